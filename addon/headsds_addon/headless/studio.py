# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera, lights and a backdrop around a head, and a picture of it with Cycles on the CPU."""

import os

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..core import coordinates
from . import output

SIZE = 512
SAMPLES = 32
FOCAL = 85.0                    # mm on a 36 mm sensor: a portrait lens
# Azimuth (positive: the head's own left), elevation in degrees, power, size in head heights.
LIGHTS = (("Key", 55.0, 35.0, 1.0, 1.0), ("Fill", -50.0, 10.0, 0.3, 1.6),
          ("Rim", 190.0, 40.0, 1.2, 0.8))
CAMERA = (32.0, 6.0)
BACKDROP = (0.16, 0.17, 0.19, 1.0)


class Stage:
    """The head's centre, height and axes in the world, whatever the object's transform is."""

    def __init__(self, obj, ended):
        matrix = np.array(obj.matrix_world)
        local = ended.placement.rotation * ended.placement.scale
        axes = matrix[:3, :3] @ local
        head = coordinates.to_blender(ended.head.vertices())
        world = ended.placement.point(head) @ matrix[:3, :3].T + matrix[:3, 3]
        # Model axes in Blender's terms: left +x, face -y, up +z.
        self.left, self.face, self.up = (axes[:, 0], -axes[:, 1], axes[:, 2])
        self.left, self.face, self.up = (a / np.linalg.norm(a)
                                         for a in (self.left, self.face, self.up))
        low, high = (world @ self.up).min(), (world @ self.up).max()
        self.height = float(high - low)
        middle = (world.min(axis=0) + world.max(axis=0)) / 2.0
        self.centre = middle + self.up * ((low + high) / 2.0 - middle @ self.up)

    def around(self, azimuth, elevation, distance):
        """A place seen from the centre at these degrees, so many head heights away."""
        a, e = np.radians(azimuth), np.radians(elevation)
        direction = (np.cos(e) * (np.sin(a) * self.left + np.cos(a) * self.face)
                     + np.sin(e) * self.up)
        return Vector(self.centre + direction * distance * self.height)


def furnish(scene, obj, ended):
    """Adds camera, lights and render settings to `scene`, so that it can be rendered as it is."""
    bpy.context.view_layer.update()
    stage = Stage(obj, ended)
    camera = bpy.data.cameras.new("HeadSDS camera")
    camera.lens = FOCAL
    camera.clip_start, camera.clip_end = 0.01 * stage.height, 100.0 * stage.height
    scene.camera = _aimed(scene, "HeadSDS camera", camera, stage, stage.around(*CAMERA, 3.3))
    for name, azimuth, elevation, power, size in LIGHTS:
        light = bpy.data.lights.new(f"HeadSDS {name}", "AREA")
        light.size = size * stage.height
        light.energy = 55.0 * power * stage.height ** 2
        _aimed(scene, light.name, light, stage, stage.around(azimuth, elevation, 2.0))
    world = bpy.data.worlds.new("HeadSDS backdrop")
    if bpy.app.version < (5, 0):        # later ones always have nodes
        world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = BACKDROP
    scene.world = world
    _settings(scene)


def _aimed(scene, name, data, stage, place):
    """An object at `place` that looks at the head's centre, up being the head's."""
    back = (place - Vector(stage.centre)).normalized()
    right = Vector(stage.up).cross(back).normalized()
    up = back.cross(right)
    obj = bpy.data.objects.new(name, data)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2], matrix[:3, 3] = right, up, back, place
    obj.matrix_world = Matrix(matrix.tolist())
    scene.collection.objects.link(obj)
    return obj


def _settings(scene):
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.view_settings.view_transform = "Standard"


def render(obj, ended, path):
    """A picture of `obj` alone, in a scene of its own that is thrown away."""
    scene = bpy.data.scenes.new("HeadSDS render")
    try:
        scene.collection.objects.link(obj)
        furnish(scene, obj, ended)
        scene.render.filepath = path
        with output.quiet():
            bpy.ops.render.render(write_still=True, scene=scene.name)
    finally:
        bpy.data.scenes.remove(scene)
    if not os.path.isfile(path):
        raise OSError(f"{path}: Blender rendered no picture")
