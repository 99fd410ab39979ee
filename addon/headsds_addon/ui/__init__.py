# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist sees: the sidebar panel, its fields, the preferences and a menu entry."""

import bpy

from . import panel, preferences, properties

classes = (preferences.HeadsdsPreferences, properties.HeadsdsSettings, panel.HEADSDS_PT_panel)


def register():
    for cls in classes:
        bpy.utils.register_class(cls)
    properties.register()
    bpy.types.VIEW3D_MT_mesh_add.append(panel.draw_add_menu)


def unregister():
    bpy.types.VIEW3D_MT_mesh_add.remove(panel.draw_add_menu)
    properties.unregister()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
