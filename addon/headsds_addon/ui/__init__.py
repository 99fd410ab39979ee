# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist sees: the sidebar panel, its fields, the preferences and a menu entry."""

import bpy

from . import advanced, panel, preferences, properties

classes = (preferences.HeadsdsPreferences, panel.HEADSDS_PT_panel, advanced.HEADSDS_PT_advanced,
           advanced.HEADSDS_OT_reset_options)


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
