# SPDX-License-Identifier: GPL-3.0-or-later
"""Textures in Blender: a packed image on a Principled material of our own.

An artist's materials are never changed. Ours is put beside them and the faces are given to it; the
faces' earlier materials are remembered in the face attribute `headsds_previous_material`.
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
    for slot in obj.material_slots:
        if slot.material is not None and slot.material.get(MARK):
            return slot.material
    return None


def show_image(obj, image):
    """Makes `image` the colour of `obj`, through our material, made if there is none yet."""
    material = ours(obj)
    if material is None:
        material = _new_material()
        _give_faces(obj, material)
    node = material.node_tree.nodes.get(IMAGE_NODE)
    if node is None:
        node = _wire(material)
    node.image = image
    return material


def show_mean_texture(obj, model):
    """The head model's own texture, if it has one, on a head that was just added."""
    if model.mean_texture is not None:
        image = new_image(f"{model.name} texture", model.mean_texture)
        image.pack()
        show_image(obj, image)


def shown_image(obj):
    """The image in our material on `obj`, or None."""
    material = ours(obj)
    node = material.node_tree.nodes.get(IMAGE_NODE) if material else None
    return node.image if node else None


def _new_material():
    material = bpy.data.materials.new("HeadSDS")
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


def _give_faces(obj, material):
    mesh = obj.data
    before = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", before)
    if len(mesh.materials) > 0:
        if PREVIOUS not in mesh.attributes:
            mesh.attributes.new(PREVIOUS, "INT", "FACE")
        mesh.attributes[PREVIOUS].data.foreach_set("value", before)
    mesh.materials.append(material)
    after = np.full(len(before), len(mesh.materials) - 1, dtype=np.int32)
    mesh.polygons.foreach_set("material_index", after)
    mesh.update()


class TexturePreview:
    """The texture so far on the object, and everything needed to take it back."""

    def __init__(self, obj):
        mesh = obj.data
        self._image_before = shown_image(obj)
        self._had_material = ours(obj) is not None
        self._had_attribute = PREVIOUS in mesh.attributes
        self._had_uvs = meshes.UV_NAME in mesh.uv_layers
        self._active_uv = mesh.uv_layers.active_index
        self._indices = np.empty(len(mesh.polygons), dtype=np.int32)
        mesh.polygons.foreach_get("material_index", self._indices)
        self._image_name = None

    def show(self, obj, model, texture):
        """Shows a texture; the image is made again if its size changed or an undo took it."""
        height, width = np.asarray(texture).shape[:2]
        image = bpy.data.images.get(self._image_name or "")
        if image is not None and tuple(image.size) == (width, height):
            write_image(image, texture)
        else:
            self._drop_image()
            image = new_image(meshes.PREVIEW_KEY, texture)
            self._image_name = image.name
        meshes.ensure_uvs(obj, model)
        show_image(obj, image)
        return image

    def keep(self, obj, model, texture, name):
        """The result: packed, under its own name, and kept in the file when another replaces it."""
        image = self.show(obj, model, texture)
        image.name = name
        self._image_name = image.name
        image.use_fake_user = True
        image.pack()
        return image

    def restore(self, obj):
        """As if nothing had been."""
        mesh = obj.data
        material = ours(obj)
        if material is not None and self._had_material:
            show_image(obj, self._image_before)
        elif material is not None:
            mesh.materials.pop(index=mesh.materials.find(material.name))
            bpy.data.materials.remove(material)
            mesh.polygons.foreach_set("material_index", self._indices)
        if not self._had_attribute and PREVIOUS in mesh.attributes:
            mesh.attributes.remove(mesh.attributes[PREVIOUS])
        if not self._had_uvs and meshes.UV_NAME in mesh.uv_layers:
            mesh.uv_layers.remove(mesh.uv_layers[meshes.UV_NAME])
            mesh.uv_layers.active_index = self._active_uv
        self._drop_image()
        mesh.update()

    def _drop_image(self):
        image = bpy.data.images.get(self._image_name or "")
        if image is not None:
            bpy.data.images.remove(image)
