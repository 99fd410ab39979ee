# SPDX-License-Identifier: GPL-3.0-or-later
"""Head meshes in Blender: making one, reading one's polygons, and its shape keys."""

import bpy
import numpy as np

from ..core import coordinates, topology

UV_NAME = "HeadSDS"
RECORDS = "headsds_keys"        # custom property of the object: what each of our keys came from


def polygons(mesh):
    """Corners of each polygon (P,) and vertices of all corners (L,), both uint32."""
    sizes = np.empty(len(mesh.polygons), dtype=np.uint32)
    corners = np.empty(len(mesh.loops), dtype=np.uint32)
    mesh.polygons.foreach_get("loop_total", sizes)
    mesh.loops.foreach_get("vertex_index", corners)
    return sizes, corners


def basis(mesh):
    """(V,3) float64: the basis key where there are keys, else the vertices."""
    keys = mesh.shape_keys
    source = keys.reference_key.data if keys else mesh.vertices
    flat = np.empty(len(mesh.vertices) * 3, dtype=np.float32)
    source.foreach_get("co", flat)
    return coordinates.points(flat)


def check(headsds, model, obj):
    """(V,) the vertex of `model` that each vertex of `obj` is.

    ValueError, for the artist, unless it is a mesh that can take a head of `model`.
    """
    if obj is None:
        raise ValueError("no object is active: select a head mesh, or use Add Head")
    if obj.type != "MESH":
        raise ValueError(f"{obj.name}: a {obj.type.lower()}, expected a mesh")
    if obj.library or obj.data.library:
        raise ValueError(f"{obj.name}: linked from another file; make it local first "
                         "(Object > Relations > Make Local)")
    if obj.data.shape_keys and not obj.data.shape_keys.use_relative:
        raise ValueError(f"{obj.name}: its shape keys are absolute, and a new one would not show: "
                         "tick Relative in Object Data Properties > Shape Keys, or work on a copy")
    if obj.mode != "OBJECT":
        raise ValueError(f"{obj.name}: in {obj.mode.lower()} mode; go back to object mode first")
    sizes, corners = polygons(obj.data)
    return topology.match(headsds, model, obj.name, sizes, corners, basis(obj.data))


def add_head(model, collection, location=(0.0, 0.0, 0.0)):
    """A new object: the template of `model` with its UVs and expressions as shape keys."""
    template = coordinates.to_blender(model.vertices())
    faces = np.asarray(model.faces, dtype=np.int64).reshape(-1, 3)
    mesh = bpy.data.meshes.new("Head")
    mesh.from_pydata(template.tolist(), [], faces.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), dtype=bool))
    mesh.update()
    obj = bpy.data.objects.new("Head", mesh)
    obj.location = location
    collection.objects.link(obj)
    ensure_uvs(obj, model, np.arange(model.vertex_count))
    if model.expression_count:
        new_key(obj, "Basis")
    for number, name in enumerate(model.expression_names):
        weights = [0.0] * model.expression_count
        weights[number] = 1.0
        key = new_key(obj, name)
        write_key(obj, key, coordinates.to_blender(model.vertices(expression=weights)))
    return obj


def ensure_uvs(obj, model, order):
    """Gives the mesh the model's UV layout, under our name, beside the artist's own. order (V,): as
    check() returned it."""
    if model.uvs is None or UV_NAME in obj.data.uv_layers:
        return
    layer = obj.data.uv_layers.new(name=UV_NAME, do_init=False)
    if layer is None:
        raise ValueError(f"{obj.name}: has no room for another UV map (Blender's limit is 8); "
                         "remove one")
    sizes, corners = polygons(obj.data)
    uvs = topology.corner_uvs(model, sizes, order[corners])
    layer.data.foreach_set("uv", np.ascontiguousarray(uvs, dtype=np.float32).ravel())


def new_key(obj, name):
    """A shape key that is off (Blender 5.0 and later make them with value 1)."""
    key = obj.shape_key_add(name=name, from_mix=False)
    key.value = 0.0
    return key


def write_key(obj, key, vertices):
    """(V,3) into a shape key, and tells Blender to show it."""
    key.data.foreach_set("co", np.ascontiguousarray(vertices, dtype=np.float32).ravel())
    obj.data.update()
    obj.data.update_tag()


def records(obj):
    """{key name: what it came from} as plain Python."""
    stored = obj.get(RECORDS)
    return stored.to_dict() if stored is not None else {}


def add_record(obj, name, record):
    """Remembers what key `name` came from; forgets keys that are gone."""
    kept = {key: value for key, value in records(obj).items()
            if key in obj.data.shape_keys.key_blocks}
    kept[name] = record
    obj[RECORDS] = kept
