# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about an object that a cancelled run must leave as it was."""

import bpy
import numpy as np


def coordinates(source):
    flat = np.empty(len(source) * 3, dtype=np.float32)
    source.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def key(obj, name):
    return coordinates(obj.data.shape_keys.key_blocks[name].data)


def fingerprint(obj):
    mesh = obj.data
    keys = mesh.shape_keys.key_blocks if mesh.shape_keys else []
    indices = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", indices)
    layers = {}
    for layer in mesh.uv_layers:
        flat = np.empty(len(mesh.loops) * 2, dtype=np.float32)
        layer.data.foreach_get("uv", flat)
        layers[layer.name] = flat.tobytes()
    images = [node.image.name for slot in obj.material_slots if slot.material
              for node in slot.material.node_tree.nodes if node.type == "TEX_IMAGE"]
    return {
        "vertices": coordinates(mesh.vertices).tobytes(),
        "keys": [(k.name, k.value, coordinates(k.data).tobytes()) for k in keys],
        "active key": obj.active_shape_key_index,
        "slots": [slot.material.name if slot.material else None for slot in obj.material_slots],
        "faces": indices.tobytes(),
        "uvs": layers,
        "active uv": mesh.uv_layers.active_index,
        # Without Blender's own bookkeeping, which comes and goes; "faces" has the indices.
        "attributes": sorted(a.name for a in mesh.attributes
                             if a.name != "material_index" and not a.name.startswith(".")),
        "properties": sorted(obj.keys()) + sorted(mesh.keys()),
        "shown": images,
        "images": sorted(bpy.data.images.keys()),
        "materials": sorted(bpy.data.materials.keys()),
        "matrix": tuple(tuple(row) for row in obj.matrix_world),
    }


def difference(before, after):
    """Names of what is not as it was."""
    return [name for name in before if before[name] != after[name]]
