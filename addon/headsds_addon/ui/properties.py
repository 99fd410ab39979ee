# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's fields, saved with the scene."""

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..core import settings
from ..ops import options, session


class HeadsdsSettings(bpy.types.PropertyGroup):
    prompt: StringProperty(name="Prompt", description="What the head should look like")
    seed: IntProperty(name="Seed", min=0, description="Another number makes another head")
    quality: EnumProperty(
        name="Quality", default="STANDARD",
        items=[(key, label, text) for key, (label, text, *_) in settings.PRESETS.items()])
    geometry_steps: IntProperty(name="Geometry", default=100, min=0,
                                description="Steps for the shape; 0 leaves it as it is")
    texture_steps: IntProperty(name="Texture", default=100, min=0,
                               description="Steps for the texture; 0 makes none")


def _fraction(self):
    return 100.0 * session.current.run.progress.fraction if session.running() else 0.0


_groups = []


def register():
    group = options.make_group()
    HeadsdsSettings.__annotations__["advanced"] = PointerProperty(type=group)
    _groups[:] = [group, HeadsdsSettings]
    for group in _groups:
        bpy.utils.register_class(group)
    bpy.types.Scene.headsds = PointerProperty(type=HeadsdsSettings)
    bpy.types.WindowManager.headsds_progress = FloatProperty(
        name="Progress", subtype="PERCENTAGE", min=0.0, max=100.0, precision=0, get=_fraction)


def unregister():
    del bpy.types.WindowManager.headsds_progress
    del bpy.types.Scene.headsds
    for group in reversed(_groups):
        bpy.utils.unregister_class(group)
