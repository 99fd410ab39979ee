# SPDX-License-Identifier: GPL-3.0-or-later
"""Textures in Blender: a packed image on a Principled material of our own.

An artist's materials are never changed. Ours is put beside them and the faces are given to it; the
faces' earlier materials are remembered in the face attribute `headsds_previous_material`. Each mesh
has a material of its own: a copy of a head gets one as soon as it shows something else.
"""

import bpy
import numpy as np

from . import meshes

MARK = "headsds"                # custom property of a material that we made
IMAGE_NODE = "HeadSDS texture"
PREVIOUS = "headsds_previous_material"


def write_image(image, texture):
    """(H,W,3) u8 sRGB, row 0 at the top, into an image of that size, packed into the .blend."""
    rows = np.asarray(texture, dtype=np.uint8)[::-1]
    pixels = np.ones(rows.shape[:2] + (4,), dtype=np.float32)
    pixels[..., :3] = rows * np.float32(1.0 / 255.0)
    image.pixels.foreach_set(pixels.ravel())
    image.update()


def new_image(name, texture):
    """A new image with that texture."""
    height, width = np.asarray(texture).shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    write_image(image, texture)
    return image


def ours(obj):
    """The material on `obj` that we made, or None."""
    slot = _slot(obj)
    return slot.material if slot else None


def show_image(obj, image):
    """Makes `image` the colour of `obj` alone, through our material, made if there is none yet."""
    slot = _slot(obj)
    if slot is None:
        material = _new_material()
        _give_faces(obj, material)
    else:
        if _is_shared(obj, slot.material):
            slot.material = slot.material.copy()
        material = slot.material
    node = _image_node(material) or _wire(material)
    node.image = image


def put_back(obj, material, image):
    """Makes `material`, which was ours on `obj` before, show `image` again."""
    slot = _slot(obj)
    if slot is not None and slot.material != material:
        copy = slot.material
        slot.material = material
        _remove_unused(copy)
    node = _image_node(material)
    if node is not None:
        node.image = image


def take_off(obj):
    """Takes our material off; the faces that have it get those back that they had before."""
    mesh, material = obj.data, ours(obj)
    index = mesh.materials.find(material.name) if material else -1
    if index < 0:
        return
    lost = _face_materials(mesh) == index
    mesh.materials.pop(index=index)
    _remove_unused(material)
    before = np.zeros(len(lost), dtype=np.int32)
    if PREVIOUS in mesh.attributes:
        mesh.attributes[PREVIOUS].data.foreach_get("value", before)
    mesh.polygons.foreach_set("material_index", np.where(lost, before, _face_materials(mesh)))


def show_mean_texture(obj, model):
    """The head model's own texture, if it has one, on a head that was just added."""
    if model.mean_texture is not None:
        image = new_image(f"{model.name} texture", model.mean_texture)
        image.pack()
        show_image(obj, image)


def shown_image(obj):
    """The image in our material on `obj`, or None."""
    material = ours(obj)
    node = _image_node(material) if material else None
    return node.image if node else None


def _slot(obj):
    for slot in obj.material_slots:
        if slot.material is not None and slot.material.get(MARK):
            return slot
    return None


def _image_node(material):
    return material.node_tree.nodes.get(IMAGE_NODE)


def _is_shared(obj, material):
    """Whether an object with another mesh has it too."""
    return material.users > 1 and any(
        slot.material == material for other in bpy.data.objects if other.data != obj.data
        for slot in other.material_slots)


def _remove_unused(material):
    if material.users == 0:
        bpy.data.materials.remove(material)


def _new_material():
    material = bpy.data.materials.new("HeadSDS")
    if bpy.app.version < (5, 0):        # later ones always have nodes
        material.use_nodes = True
    material[MARK] = True
    return material


def _wire(material):
    """UV map -> image -> base colour of the material's Principled node."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = next((n for n in nodes if n.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        shader = nodes.new("ShaderNodeBsdfPrincipled")
        output = next((n for n in nodes if n.type == "OUTPUT_MATERIAL"), None)
        output = output or nodes.new("ShaderNodeOutputMaterial")
        links.new(shader.outputs[0], output.inputs["Surface"])
    shader.inputs["Roughness"].default_value = 0.55
    image = nodes.new("ShaderNodeTexImage")
    image.name = image.label = IMAGE_NODE
    image.location = (shader.location.x - 300, shader.location.y)
    uv = nodes.new("ShaderNodeUVMap")
    uv.uv_map = meshes.UV_NAME
    uv.location = (image.location.x - 200, image.location.y - 200)
    links.new(uv.outputs["UV"], image.inputs["Vector"])
    links.new(image.outputs["Color"], shader.inputs["Base Color"])
    return image


def _face_materials(mesh):
    indices = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", indices)
    return indices


def _give_faces(obj, material):
    mesh = obj.data
    before = _face_materials(mesh)
    if len(mesh.materials) > 0 or PREVIOUS in mesh.attributes:
        if PREVIOUS not in mesh.attributes:
            mesh.attributes.new(PREVIOUS, "INT", "FACE")
        mesh.attributes[PREVIOUS].data.foreach_set("value", before)
    mesh.materials.append(material)
    after = np.full(len(before), len(mesh.materials) - 1, dtype=np.int32)
    mesh.polygons.foreach_set("material_index", after)
    mesh.update()
