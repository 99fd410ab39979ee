# SPDX-License-Identifier: GPL-3.0-or-later
"""From the head model's space (metres, y up, face to +z) to a mesh's own, and back as offsets.

A mesh may lie turned, scaled and moved in its own coordinates (FBX in centimetres, y up, ...) and
may have been sculpted. A similarity x -> s R x + t from the template to the mesh is found by least
squares (Umeyama 1991); only s R is used to carry offsets over: key = basis + s R (head - start), where
the start is the template, or the head that the mesh was sculpted to.
"""

from dataclasses import dataclass, replace

import numpy as np

EXACT = 1e-4            # of the mesh's size: below this it is the template itself, moved
NEAR_ANGLE = 15.0       # degrees
NEAR_SCALE = 0.10       # of a power of ten

# (x, y, z) -> (x, -z, y): y up to z up; the face, at +z, comes to look along -y.
MODEL_TO_BLENDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def points(buffer):
    """(V,3) numbers of any kind as float64."""
    return np.asarray(buffer, dtype=np.float64).reshape(-1, 3)


def to_blender(vertices):
    """(V,3) of the model in Blender's axes: z up, face to -y."""
    return points(vertices) @ MODEL_TO_BLENDER.T


def to_model(vertices):
    """to_blender() undone."""
    return points(vertices) @ MODEL_TO_BLENDER


@dataclass(frozen=True)
class Placement:
    """How the template lies in a mesh: x -> scale * rotation @ x + translation."""
    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    exact: bool = False     # nothing but this has happened to the mesh

    def point(self, vertices):
        return self.scale * points(vertices) @ self.rotation.T + self.translation

    def back(self, vertices):
        """point() undone."""
        return (points(vertices) - self.translation) @ self.rotation / self.scale

    def offset(self, vectors):
        return self.scale * points(vectors) @ self.rotation.T


def fit(template, basis):
    """The similarity, without reflection, that brings (V,3) template nearest to (V,3) basis."""
    a, b = points(template), points(basis)
    a_mean, b_mean = a.mean(axis=0), b.mean(axis=0)
    a0, b0 = a - a_mean, b - b_mean
    u, singular, vt = np.linalg.svd(b0.T @ a0)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (a0 ** 2).sum())
    return Placement(scale, rotation, b_mean - scale * rotation @ a_mean)


def place(template, basis):
    """How the template lies in `basis`, (V,3) of a mesh of its topology.

    ValueError: it has no size.

    The fit is taken as it is when the mesh is the template; where it was sculpted, the sculpt has
    drawn the fit along, and the nearest quarter turns and power of ten are meant if near.
    """
    a, b = points(template), points(basis)
    if not np.isfinite(b).all():
        raise ValueError("the mesh has coordinates that are not numbers")
    size = float(np.sqrt(((b - b.mean(axis=0)) ** 2).sum(axis=1).mean()))
    if size == 0.0:
        raise ValueError("all vertices of the mesh lie in one point")
    found = fit(a, b)
    if found.scale <= 0.0:
        raise ValueError("the mesh does not look like the head model at all")
    if np.abs(found.point(a) - b).max() <= EXACT * size:
        return replace(found, exact=True)
    rotation = _nearest_turn(found.rotation)
    scale = _nearest_scale(found.scale)
    return Placement(scale, rotation, b.mean(axis=0) - scale * rotation @ a.mean(axis=0))


def shape_key(start, basis, head, placement):
    """basis + (head - start) in the mesh's units and axes: what was sculpted stays."""
    return points(basis) + placement.offset(points(head) - points(start))


def _nearest_turn(rotation):
    turn = np.zeros((3, 3))
    for column in range(3):
        row = int(np.argmax(np.abs(rotation[:, column])))
        turn[row, column] = np.sign(rotation[row, column])
    if abs(np.linalg.det(turn)) != 1.0:
        return rotation
    cosine = (np.trace(turn.T @ rotation) - 1.0) / 2.0
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return turn if angle <= NEAR_ANGLE else rotation


def _nearest_scale(scale):
    power = 10.0 ** np.round(np.log10(scale))
    return float(power) if abs(scale / power - 1.0) <= NEAR_SCALE else scale
