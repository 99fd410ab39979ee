# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's data and operators: all calls of bpy that change a scene, on the main thread."""

import bpy


def register():
    from . import handlers, operators
    for cls in operators.classes:
        bpy.utils.register_class(cls)
    handlers.register()


def unregister():
    from . import handlers, operators
    handlers.unregister()
    operators.stop(bpy.context)
    for cls in reversed(operators.classes):
        bpy.utils.unregister_class(cls)
