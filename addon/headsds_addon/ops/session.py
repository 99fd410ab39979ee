# SPDX-License-Identifier: GPL-3.0-or-later
"""One generation on one object: checks it, follows the core's job, writes what comes of it.

All of it runs on the main thread, called from a timer (or a loop, without a window). The object is
looked up by name at every tick, for an undo or an artist may have replaced or removed it.
"""

import bpy

from ..core import coordinates, engine, naming, run
from . import materials, meshes

current = None                  # the session that runs, or the last one
last_error = ""                 # why the last one wrote nothing


class Session:
    """start() ... tick() until `over`; then `error` is "" or says why nothing was written."""

    def __init__(self, obj, settings, live=True):
        settings.check()
        self._headsds = engine.module()
        self.model = engine.model(settings.model_path)
        meshes.check(self._headsds, self.model, obj)
        self.settings = settings
        self.object_name = obj.name
        self.key_name = ""
        self.error = ""
        self.over = False
        self.head = None
        self._live = live
        self._template = coordinates.to_blender(self.model.vertices())
        self._keys = meshes.KeyPreview(obj)
        self._textures = materials.TexturePreview(obj)
        self.placement = coordinates.place(self._template, meshes.basis(obj.data))
        self._restored = False
        self.run = run.Run(self._make, self._headsds.Cancelled)

    def _make(self):
        """On the loading thread: no bpy here."""
        prior = engine.prior(self.settings.prior_path)
        job = self._headsds.Job(**self.settings.arguments(self.model, prior))
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
            self.fail(str(error) or type(error).__name__)

    def _step(self):
        obj = bpy.data.objects.get(self.object_name)
        if obj is None or obj.type != "MESH":
            obj = None
            self.error = f"{self.object_name} was removed or renamed: the run is cancelled"
            self.run.cancel()
        state = self.run.poll()
        if obj is None:
            self.over = state in run.OVER
        elif obj.mode != "OBJECT":
            pass                # a mesh under edit cannot be written: its turn comes
        elif state in run.OVER and (self.error or state != run.DONE):
            self._end(obj)
        elif state == run.DONE:
            self._finish(obj)
        elif self._live and not self.run.cancelling:
            self._show(obj)

    def cancel(self):
        """Takes the preview back at once; `over` follows when the core has ended."""
        self.run.cancel()
        obj = bpy.data.objects.get(self.object_name)
        if obj is not None and obj.mode == "OBJECT":
            self._restore(obj)

    def fail(self, message):
        """Something went wrong on Blender's side: as cancel(), with a reason."""
        self.error = self.error or message
        self.cancel()

    def _vertices(self, obj, head):
        basis = meshes.basis(obj.data)      # read anew: it may be sculpted while the job runs
        if len(basis) != self.model.vertex_count:
            raise ValueError(f"{obj.name}: now has {len(basis)} vertices, expected "
                             f"{self.model.vertex_count} as when the run began")
        return coordinates.shape_key(self._template, basis,
                                     coordinates.to_blender(head.vertices()), self.placement)

    def _show(self, obj):
        head = self.run.preview()
        if head is None:
            return
        self._keys.show(obj, self._vertices(obj, head))
        if self.run.progress.stage == "texture" and head.texture is not None:
            self._textures.show(obj, self.model, head.texture)

    def _finish(self, obj):
        head = self.run.head
        keys = obj.data.shape_keys
        taken = {key.name for key in keys.key_blocks} if keys else set()
        name = naming.unique(self.settings.prompt, taken | {"Basis"})
        key = self._keys.show(obj, self._vertices(obj, head))
        image = None
        if head.texture is not None:
            image_name = naming.unique(name, bpy.data.images.keys())
            image = self._textures.keep(obj, self.model, head.texture, image_name)
        key.name = name
        meshes.add_record(obj, name, self._record(head, image))
        self.key_name, self.head = name, head
        self.over = True

    def _record(self, head, image):
        return {"prompt": self.settings.prompt, "seed": str(self.settings.seed),
                "head_model": self.model.name, "image": image.name if image else "",
                "shape": list(head.shape), "expression": list(head.expression),
                "pose": [number for joint in head.pose.tolist() for number in joint]}

    def _end(self, obj):
        self._restore(obj)
        if self.run.state == run.FAILED:
            self.error = self.run.error
        self.over = True

    def _restore(self, obj):
        if self._restored:
            return
        self._restored = True
        self._keys.restore(obj)
        self._textures.restore(obj)


def running():
    """Whether a session is under way."""
    return current is not None and not current.over
