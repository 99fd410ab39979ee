# SPDX-License-Identifier: GPL-3.0-or-later
"""The head so far, shown on an object as a shape key and a texture, and taken back again.

What was there before is kept in the mesh itself, in the custom property STATE: it stays true
through undo, saving, copies and new names, and whoever finds it can take the preview back.
"""

import bpy
import numpy as np

from . import materials, meshes

STATE = "headsds_preview"
NAME = "HeadSDS preview"        # of the shape key and of the image


def is_on(obj):
    """Whether `obj` shows a preview, or is about to."""
    return obj.type == "MESH" and STATE in obj.data


def begin(obj):
    """Marks the object: from here on restore_all() knows it."""
    if STATE not in obj.data:
        obj.data[STATE] = {}


def show_key(obj, vertices):
    """Writes `vertices` into the preview key (made again should an undo have taken it)."""
    state = obj.data[STATE]
    if "values" not in state:
        _remember_keys(obj, state)
    if obj.data.shape_keys is None:
        meshes.new_key(obj, "Basis")
    blocks = obj.data.shape_keys.key_blocks
    key = blocks.get(NAME)
    if key is None:
        key = meshes.new_key(obj, NAME)
        key.value = 1.0
        obj.active_shape_key_index = len(blocks) - 1
        for name in state["values"].keys():
            if name in blocks:
                blocks[name].value = 0.0
    meshes.write_key(obj, key, vertices)
    return key


def show_texture(obj, model, order, texture):
    """Shows a texture; the image is made again if its size changed or an undo took it."""
    state = _begin_texture(obj, model, order)
    height, width = np.asarray(texture).shape[:2]
    image = state.get("shown")
    if image is not None and tuple(image.size) == (width, height):
        materials.write_image(image, texture)
    else:
        _drop_image(state)
        image = materials.new_image(NAME, texture)
        state["shown"] = image
    materials.show_image(obj, image)


def keep_texture(obj, model, order, texture, name):
    """The result: packed, under its own name, and kept in the file when another replaces it."""
    _begin_texture(obj, model, order)
    image = materials.new_image(name, texture)
    image.use_fake_user = True
    image.pack()
    materials.show_image(obj, image)
    return image


def commit(obj):
    """What the object shows is the result now; a copy that was made meanwhile goes back."""
    _drop_image(obj.data[STATE])
    del obj.data[STATE]
    restore_all()


def restore_all():
    """As if nothing had been. A mesh under edit cannot be written: it waits for the next call."""
    for mesh in [m for m in bpy.data.meshes if STATE in m and m.library is None]:
        objects = [obj for obj in bpy.data.objects if obj.data == mesh]
        if not objects:                 # deleted; its mesh may come back with an undo
            holder = bpy.data.objects.new(NAME, mesh)
            _restore([holder])
            bpy.data.objects.remove(holder)
        elif all(obj.mode == "OBJECT" for obj in objects):
            _restore(objects)


def _restore(objects):
    mesh = objects[0].data
    state = mesh[STATE]
    if "active_uv" in state:
        _restore_texture(objects[0], state)
    if "values" in state:
        _restore_keys(objects, state)
    del mesh[STATE]
    mesh.update()
    mesh.update_tag()


def _remember_keys(obj, state):
    keys, ours = obj.data.shape_keys, meshes.records(obj)
    state["had_keys"] = int(keys is not None)
    state["active_key"] = obj.active_shape_key_index
    state["values"] = {key.name: key.value for key in (keys.key_blocks if keys else ())
                       if key.name in ours}


def _restore_keys(objects, state):
    mesh = objects[0].data
    if mesh.shape_keys and NAME in mesh.shape_keys.key_blocks:
        objects[0].shape_key_remove(mesh.shape_keys.key_blocks[NAME])
    if mesh.shape_keys is None:
        return
    blocks = mesh.shape_keys.key_blocks
    if not state["had_keys"] and len(blocks) == 1:
        objects[0].shape_key_clear()
        return
    for name, value in state["values"].items():
        if name in blocks:
            blocks[name].value = value
    for obj in objects:
        obj.active_shape_key_index = state["active_key"]


def _begin_texture(obj, model, order):
    """Remembers what there is, and gives the mesh the model's UVs."""
    mesh = obj.data
    state = mesh[STATE]
    if "active_uv" not in state:
        material, image = materials.ours(obj), materials.shown_image(obj)
        if material is not None:
            state["material"] = material
        if image is not None:
            state["image"] = image
        state["had_previous"] = int(materials.PREVIOUS in mesh.attributes)
        state["had_uvs"] = int(meshes.UV_NAME in mesh.uv_layers)
        state["active_uv"] = mesh.uv_layers.active_index
    meshes.ensure_uvs(obj, model, order)
    return state


def _restore_texture(obj, state):
    mesh = obj.data
    before = state.get("material")
    if before is not None:
        materials.put_back(obj, before, state.get("image"))
    else:
        materials.take_off(obj)
    if not state["had_previous"] and materials.PREVIOUS in mesh.attributes:
        mesh.attributes.remove(mesh.attributes[materials.PREVIOUS])
    if not state["had_uvs"] and meshes.UV_NAME in mesh.uv_layers:
        mesh.uv_layers.remove(mesh.uv_layers[meshes.UV_NAME])
        mesh.uv_layers.active_index = state["active_uv"]
    _drop_image(state)


def _drop_image(state):
    image = state.get("shown")
    if image is not None:
        bpy.data.images.remove(image)
