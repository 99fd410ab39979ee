# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which head model and which prior."""

import bpy
from bpy.props import StringProperty

PACKAGE = __package__.rpartition(".")[0]


class HeadsdsPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    head_model: StringProperty(
        name="Head Model", subtype="FILE_PATH",
        description="A headsds .npz file or an ICT-FaceKit FaceXModel folder; "
                    "empty: the built-in sample head")
    prior: StringProperty(
        name="Prior", subtype="DIR_PATH",
        description="A Stable Diffusion folder in diffusers' layout; "
                    "empty: the built-in sample prior")

    def draw(self, context):
        self.layout.use_property_split = True
        self.layout.prop(self, "head_model")
        self.layout.prop(self, "prior")

