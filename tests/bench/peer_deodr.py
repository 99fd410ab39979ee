#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_geometry beside DEODR 0.2.3, in turns on the same machine.

    python3 tests/bench/peer_deodr.py build/tests/bench/bench_geometry

Needs DEODR (`pip install deodr`). Its scene is that of bench_geometry: the sphere of
tests/raster_meshes.h (10,000 triangles), 512 px, the same camera and background, silhouettes one
pixel wide, a directional and an ambient light. Its side is what a user of it runs: 186 components by
numpy in float32, without skinning; Scene3D.render, and render_backward of a given gradient of the
picture, which include normals, projection and the silhouette's edges. One core, its own limit.
"""
import math
import os
import re
import subprocess
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: E402

RINGS, SIZE, COMPONENTS, TURNS, ROUNDS = 50, 512, 186, 5, 20


def sphere():
    """-> vertices (V,3), faces (F,3); as test_sphere(50, 0, 0.2, 0.1)."""
    around = 2 * RINGS
    theta = math.pi * np.arange(1, RINGS + 1)[:, None] / (RINGS + 1)
    phi = 2 * math.pi * np.arange(around)[None] / around - math.pi
    radius = 0.2 * (1 + 0.1 * np.sin(7 * theta) * np.cos(5 * phi) * np.sin(theta))
    ring = radius * np.sin(theta)
    grid = np.stack((ring * np.sin(phi), radius * np.cos(theta), ring * np.cos(phi)), axis=-1)
    vertices = np.concatenate(([[0, 0.2, 0]], grid.reshape(-1, 3), [[0, -0.2, 0]]))
    faces = []
    for r in range(RINGS + 1):
        for a in range(around):
            right, above, below = (a + 1) % around, 1 + (r - 1) * around, 1 + r * around
            top = (above + a, above + right) if r > 0 else (0, 0)
            low = (below + a, below + right) if r < RINGS else (len(vertices) - 1,) * 2
            if r > 0:
                faces.append((top[0], low[0], top[1]))
            if r < RINGS:
                faces.append((top[1], low[0], low[1]))
    return vertices, np.array(faces, dtype=np.uint32)


def camera(deodr):
    """As test_view: azimuth 20, elevation 15, distance 1, a field of view of 30 degrees."""
    a, e = math.radians(20), math.radians(15)
    back = np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
    right = np.array([math.cos(a), 0, -math.sin(a)])
    rotation = np.stack((right, -np.cross(back, right), -back))
    focal = SIZE / (2 * math.tan(math.radians(15)))
    intrinsic = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
    extrinsic = np.column_stack((rotation, -rotation @ back))
    return deodr.Camera(extrinsic, intrinsic, SIZE, SIZE)


class Peer:
    def __init__(self, deodr):
        self.rest, faces = sphere()
        self.camera = camera(deodr)
        colours = np.full((len(self.rest), 3), 0.5)
        self.scene = deodr.Scene3D(integer_pixel_centers=False)
        self.scene.set_mesh(deodr.ColoredTriMesh(faces, self.rest, colors=colours))
        self.scene.set_light(light_directional=(-0.3, -0.5, -0.8), light_ambient=0.3)
        self.scene.set_background_color((0.2, 0.25, 0.3))
        noise = np.random.default_rng(1)
        self.basis = noise.normal(0, 1e-6, (COMPONENTS, self.rest.size)).astype(np.float32)
        self.coefficients = noise.normal(size=COMPONENTS).astype(np.float32)
        self.dimage = noise.normal(size=(SIZE, SIZE, 3))

    def round_trip(self):
        """-> milliseconds: head, picture, back, to the coefficients"""
        mesh, times = self.scene.mesh, [time.perf_counter()]
        offsets = (self.coefficients @ self.basis).reshape(-1, 3)
        mesh.set_vertices(self.rest + offsets)
        times.append(time.perf_counter())
        self.scene.render(self.camera)
        times.append(time.perf_counter())
        self.scene.clear_gradients()
        self.scene.render_backward(self.dimage)
        times.append(time.perf_counter())
        self.basis @ mesh._vertices_b.astype(np.float32).ravel()
        times.append(time.perf_counter())
        return 1e3 * np.diff(times)


def ours(program):
    """-> milliseconds forward and backward on two threads"""
    printed = subprocess.run([program, "compare"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"^2 threads:.* sum ([0-9.]+) ms", printed, re.MULTILINE).group(1))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        import deodr
    except ImportError as error:
        sys.exit(f"needs DEODR (pip install deodr): {error}")
    peer, mine, theirs = Peer(deodr), [], []
    for _ in range(TURNS):
        mine.append(ours(sys.argv[1]))
        theirs.append(np.min([peer.round_trip() for _ in range(ROUNDS)], axis=0))
        head, picture, back, coefficients = theirs[-1]
        print(f"ours {mine[-1]:.2f} ms; DEODR: head {head:.2f}, picture {picture:.2f}, back "
              f"{back:.2f}, to coefficients {coefficients:.2f}: sum {sum(theirs[-1]):.2f} ms, "
              f"{sum(theirs[-1]) / mine[-1]:.1f} times ours")
    best = np.min(theirs, axis=0)
    print(f"least of {TURNS} turns: {best.sum() / min(mine):.1f} times ours; its picture and back "
          f"alone, {best[1] + best[2]:.2f} ms: {(best[1] + best[2]) / min(mine):.1f} times")


if __name__ == "__main__":
    main()
