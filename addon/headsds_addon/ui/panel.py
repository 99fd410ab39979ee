# SPDX-License-Identifier: GPL-3.0-or-later
"""View3D > Sidebar > HeadSDS: prompt, Generate, Cancel, progress and what went wrong."""

import textwrap

import bpy

from ..ops import session


class HEADSDS_PT_panel(bpy.types.Panel):
    bl_label = "HeadSDS"
    bl_idname = "HEADSDS_PT_panel"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HeadSDS"

    def draw(self, context):
        layout = self.layout
        fields = context.scene.headsds
        running = session.running()
        self._draw_target(layout, context, running)

        column = layout.column()
        column.enabled = not running
        column.label(text="Prompt")
        column.prop(fields, "prompt", text="")
        settings = column.column()
        settings.use_property_split = True
        settings.use_property_decorate = False
        settings.prop(fields, "seed")
        settings.prop(fields, "quality")
        if fields.quality == "CUSTOM":
            settings.prop(fields, "geometry_steps")
            settings.prop(fields, "texture_steps")

        if running:
            self._draw_running(layout, context)
        else:
            row = layout.row()
            row.scale_y = 1.4
            row.operator("headsds.generate", icon="SHADERFX")
            if session.last_error:
                draw_text(layout, context, session.last_error, "ERROR")

    def _draw_target(self, layout, context, running):
        if running:
            layout.label(text=session.current.object_name, icon="MESH_MONKEY")
            return
        obj = context.active_object
        row = layout.row(align=True)
        if obj is not None and obj.type == "MESH":
            row.label(text=obj.name, icon="MESH_MONKEY")
        else:
            row.label(text="Select a head mesh", icon="INFO")
        row.operator("headsds.add_head", icon="ADD")

    def _draw_running(self, layout, context):
        current = session.current
        text = current.text()
        if hasattr(layout, "progress"):
            layout.progress(factor=current.run.progress.fraction,
                            text=f"{100 * current.run.progress.fraction:.0f}%")
        else:
            layout.prop(context.window_manager, "headsds_progress", slider=True)
        draw_text(layout, context, text, "NONE")
        layout.operator("headsds.cancel", icon="X")


def draw_text(layout, context, text, icon):
    """A message in as many lines as the sidebar's width needs; labels do not wrap by themselves."""
    scale = context.preferences.system.ui_scale
    columns = max(16, int(context.region.width / (7.0 * scale)) - 6)
    box = layout.box().column(align=True)
    for number, line in enumerate(textwrap.wrap(text, columns)):
        box.label(text=line, icon=icon if number == 0 else
                  ("BLANK1" if icon != "NONE" else "NONE"))


def draw_add_menu(self, context):
    """Add > Mesh"""
    self.layout.operator("headsds.add_head", text="Head (HeadSDS)", icon="MESH_MONKEY")
