# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's advanced options."""

import bpy

from ..ops import options as advanced


class HEADSDS_OT_reset_options(bpy.types.Operator):
    """Give every advanced option its default again"""
    bl_idname = "headsds.reset_options"
    bl_label = "Reset Options"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        advanced.reset(context.scene.headsds.advanced)
        return {"FINISHED"}


class HEADSDS_PT_advanced(bpy.types.Panel):
    bl_label = "Advanced"
    bl_idname = "HEADSDS_PT_advanced"
    bl_parent_id = "HEADSDS_PT_panel"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return bool(advanced.stages)

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        group = context.scene.headsds.advanced
        for stage, options in advanced.stages.items():
            layout.label(text=stage.capitalize())
            column = layout.column(align=True)
            for option, name in options.items():
                column.prop(group, name, text=option.replace("_", " ").capitalize())
        layout.operator("headsds.reset_options", icon="LOOP_BACK")
