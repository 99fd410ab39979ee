# SPDX-License-Identifier: GPL-3.0-or-later
"""One generation on one object: checks it, follows the core's job, writes what comes of it.

All of it runs on the main thread, called from a timer (or a loop, without a window). The object is
looked up at every tick, for an undo or an artist may have replaced, renamed or removed it.
"""

import bpy

from ..core import coordinates, engine, naming, run, sculpt
from . import meshes, preview

current = None                  # the session that runs, or the last one
last_error = ""                 # why the last one wrote nothing
timer = None                    # what calls its tick(), where there is a window


class Session:
    """start() ... tick() until `over`; then `error` is "" or says why nothing was written."""

    def __init__(self, obj, settings, live=True):
        settings.check()
        self._headsds = engine.module()
        self.model = engine.model(settings.model_path)
        self._order = meshes.check(self._headsds, self.model, obj)
        self.settings = settings
        self.object_name = obj.name
        self.key_name = ""
        self.error = ""
        self.notes = ""         # what of the prior's files was left out
        self.over = False
        self.head = None
        self._live = live
        preview.restore_all()
        basis = meshes.basis(obj.data)
        self.placement = coordinates.place(self._in_mesh(self.model), basis)
        self.start = sculpt.start(self._headsds, self.model, self._order, self.placement, basis)
        self._before = self._in_mesh(self.start or self.model)
        self.run = run.Run(self._make, self._headsds.Cancelled)

    def _make(self):
        """On the loading thread: no bpy here."""
        prior = engine.prior(**self.settings.prior())
        self.notes = prior.notes or ""
        job = self._headsds.Job(**self.settings.arguments(self.model, prior, self.start))
        job.start()
        return job

    def text(self):
        if self.error:
            return self.error
        if self.run.state in run.OVER and not self.over:
            return f"{self.run.text()}: go back to object mode"
        return self.run.text()

    def tick(self):
        """Looks at the job, shows or writes what there is; what goes wrong ends the run."""
        if self.over:
            return
        try:
            self._step()
        except Exception as error:
            self._fail(str(error) or type(error).__name__)

    def _step(self):
        state = self.run.poll()
        obj = self._object()
        if obj is None:
            if not self.run.cancelling:
                self._fail(self.run.error
                           or f"{self.object_name} was removed: the run is cancelled")
            if state in run.OVER:
                self._end()
        elif obj.mode != "OBJECT":
            pass                # a mesh under edit cannot be written: its turn comes
        elif state in run.OVER and (self.error or state != run.DONE):
            self._end()
        elif not self.run.cancelling:
            preview.begin(obj)
            if state == run.DONE:
                self._finish(obj)
            elif self._live:
                self._show(obj)

    def _object(self):
        """The object, under a new name too, for its mesh is marked; None when it was removed."""
        obj = bpy.data.objects.get(self.object_name)
        if obj is None or not preview.is_on(obj):
            obj = next((other for other in bpy.data.objects if preview.is_on(other)), obj)
        if obj is None or obj.type != "MESH":
            return None
        self.object_name = obj.name
        return obj

    def cancel(self):
        """Takes the preview back at once; `over` follows when the core has ended."""
        self.run.cancel()
        preview.restore_all()

    def _fail(self, message):
        """As cancel(), with a reason: the first one, for others may follow from it."""
        self.error = self.error or message
        try:
            self.cancel()
        except Exception as error:
            self.error += f" (and the preview could not be taken back: {error})"
            self.over = True

    def _in_mesh(self, head):
        """(V,3) of a head or the model, in the mesh's order and Blender's axes."""
        return coordinates.to_blender(head.vertices())[self._order]

    def _vertices(self, obj, head):
        basis = meshes.basis(obj.data)      # read anew: it may be sculpted while the job runs
        if len(basis) != self.model.vertex_count:
            raise ValueError(f"{obj.name}: now has {len(basis)} vertices, expected "
                             f"{self.model.vertex_count} as when the run began")
        return coordinates.shape_key(self._before, basis, self._in_mesh(head), self.placement)

    def _show(self, obj):
        head = self.run.preview()
        if head is None:
            return
        preview.show_key(obj, self._vertices(obj, head))
        stages = engine.recipe(self.settings.recipe)
        changed = stages[self.run.progress.stage]["variable"] == "texture"
        if changed and head.texture is not None:
            preview.show_texture(obj, self.model, self._order, head.texture)

    def _finish(self, obj):
        head = self.run.head
        keys = obj.data.shape_keys
        taken = {key.name for key in keys.key_blocks} if keys else set()
        name = naming.unique(self.settings.prompt, taken | {"Basis"})
        key = preview.show_key(obj, self._vertices(obj, head))
        image = None
        if head.texture is not None:
            image_name = naming.unique(name, bpy.data.images.keys())
            image = preview.keep_texture(obj, self.model, self._order, head.texture,
                                         image_name)
        key.name = name
        meshes.add_record(obj, name, self._record(head, image))
        preview.commit(obj)
        self.key_name, self.head = name, head
        self.over = True

    def _record(self, head, image):
        record = {"prompt": self.settings.prompt, "seed": str(self.settings.seed),
                  "head_model": self.model.name, "image": image.name if image else "",
                  "shape": list(head.shape), "expression": list(head.expression),
                  "pose": [number for joint in head.pose.tolist() for number in joint]}
        if self.start is not None:
            record["start_shape"] = list(self.start.shape)
        return record

    def _end(self):
        self.over = True
        self.error = self.error or self.run.error
        preview.restore_all()


def running():
    """Whether a session is under way."""
    return current is not None and not current.over
