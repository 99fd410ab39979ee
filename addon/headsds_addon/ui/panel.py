# SPDX-License-Identifier: GPL-3.0-or-later
"""View3D > Sidebar > HeadSDS: prompt, Generate, Cancel, progress and what went wrong."""

import blf
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
            settings.label(text="Steps")
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
            elif session.current is not None and session.current.key_name:
                draw_text(layout, context, f"New shape key: {session.current.key_name}",
                          "CHECKMARK")
                if session.current.notes:
                    draw_text(layout, context, session.current.notes, "INFO")

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
    room = context.region.width - (85 if icon != "NONE" else 60) * scale
    box = layout.box().column(align=True)
    for number, line in enumerate(wrap(text, room, 11.0 * scale)):
        box.label(text=line, icon=icon if number == 0 or icon == "NONE" else "BLANK1")


def wrap(text, room, size):
    """Lines of whole words, no wider than `room` pixels in the interface's font."""
    blf.size(0, size)
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and blf.dimensions(0, longer)[0] > room:
            yield line
            longer = word
        line = longer
    yield line


def draw_add_menu(self, context):
    """Add > Mesh"""
    self.layout.operator("headsds.add_head", text="Head (HeadSDS)", icon="MESH_MONKEY")
