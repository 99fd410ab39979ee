# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Head, Generate and Cancel."""

import time

import bpy

from ..core import engine, settings as core_settings
from . import materials, meshes, options, preview, session

PACKAGE = __package__.rpartition(".")[0]
TICK = 0.1                      # seconds between looks at the job


def preferences(context):
    """The add-on's preferences."""
    return context.preferences.addons[PACKAGE].preferences


def read_settings(context):
    """The panel's fields, the advanced options that were set, and the preferences as Settings."""
    panel = context.scene.headsds
    prefs = preferences(context)
    geometry, texture = core_settings.preset_steps(panel.quality, panel.geometry_steps,
                                                   panel.texture_steps, engine.recipe())
    return core_settings.Settings(
        prompt=panel.prompt, seed=panel.seed, geometry_steps=geometry, texture_steps=texture,
        options=options.chosen(panel.advanced), model_path=bpy.path.abspath(prefs.head_model), prior_path=bpy.path.abspath(prefs.prior),
        prior_config=bpy.path.abspath(prefs.prior_config), prior_vae=bpy.path.abspath(prefs.vae),
        loras=((bpy.path.abspath(prefs.lora), prefs.lora_scale),) if prefs.lora else (),
        embeddings=(bpy.path.abspath(prefs.embedding),) if prefs.embedding else (),
        device=prefs.device.strip() or "auto", dtype=prefs.dtype)


class HEADSDS_OT_add_head(bpy.types.Operator):
    """Add the head model as a mesh with its UV map and expressions"""
    bl_idname = "headsds.add_head"
    bl_label = "Add Head"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if session.running():
            cls.poll_message_set("A head is being generated")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Go back to object mode first")
        else:
            return True
        return False

    def execute(self, context):
        try:
            model = engine.model(bpy.path.abspath(preferences(context).head_model))
        except Exception as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        obj = meshes.add_head(model, context.collection, context.scene.cursor.location)
        materials.show_mean_texture(obj, model)
        for other in context.selected_objects:
            other.select_set(False)
        obj.select_set(True)
        context.view_layer.objects.active = obj
        return {"FINISHED"}


class HEADSDS_OT_generate(bpy.types.Operator):
    """Turn the active head mesh into what the prompt says, as a new shape key and texture"""
    bl_idname = "headsds.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        if session.running():
            cls.poll_message_set("A head is being generated")
            return False
        return True

    def execute(self, context):
        session.last_error = ""
        try:
            session.current = session.Session(context.active_object, read_settings(context))
        except Exception as error:
            return self._refuse(str(error))
        if bpy.app.background:
            return self._block(context)
        manager = context.window_manager
        session.timer = manager.event_timer_add(TICK, window=context.window)
        manager.modal_handler_add(self)
        redraw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        running = session.current
        if event.type == "ESC" and event.value == "PRESS" and not running.run.cancelling:
            running.cancel()
            redraw(context)
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        running.tick()
        redraw(context)
        if not running.over:
            return {"PASS_THROUGH"}
        remove_timer(context)
        return self._result()

    def cancel(self, context):
        """Blender's own call when it ends the operator: another file, the window closed."""
        stop(context)
        redraw(context)

    def _block(self, context):
        """Without a window there are no timers: works until the end."""
        while not session.current.over:
            session.current.tick()
            time.sleep(TICK)
        return self._result()

    def _result(self):
        ended = session.current
        if ended.error:
            return self._refuse(ended.error)
        if not ended.key_name:
            self.report({"INFO"}, "Cancelled: the mesh is as it was")
            return {"CANCELLED"}
        self.report({"INFO"}, f"New shape key: {ended.key_name}")
        return {"FINISHED"}

    def _refuse(self, message):
        session.last_error = message
        self.report({"ERROR"}, message)
        return {"CANCELLED"}


class HEADSDS_OT_cancel(bpy.types.Operator):
    """Stop generating and leave the mesh as it was"""
    bl_idname = "headsds.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context):
        if not session.running():
            cls.poll_message_set("No head is being generated")
        elif session.current.run.cancelling:
            cls.poll_message_set("The run is being cancelled already")
        else:
            return True
        return False

    def execute(self, context):
        session.current.cancel()
        redraw(context)
        return {"FINISHED"}


def stop(context):
    """Ends a run without its operator, and leaves nothing of it behind."""
    remove_timer(context)
    if session.running():
        session.current.run.cancel()
    preview.restore_all()
    session.current, session.last_error = None, ""


def remove_timer(context):
    if session.timer is not None:
        context.window_manager.event_timer_remove(session.timer)
        session.timer = None


def redraw(context):
    """Panels show what changed outside of Blender's sight."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


classes = (HEADSDS_OT_add_head, HEADSDS_OT_generate, HEADSDS_OT_cancel)
