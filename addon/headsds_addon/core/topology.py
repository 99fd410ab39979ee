# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a mesh is the head model's, and the model's UV layout carried over to its polygons."""

import numpy as np


def check(headsds, model, name, sizes, corners, vertex_count):
    """ValueError, in words for the artist, when polygons are not the model's topology."""
    try:
        headsds.match_topology(model, sizes, corners, vertex_count)
    except ValueError as error:
        raise ValueError(f"{name}: not the topology of the head model {model.name}: {error}. "
                         "Use Add Head, or set this mesh's head model in the preferences") from None


def corner_uvs(model, sizes, corners):
    """(L,2) UVs for the corners of polygons that match the model.

    Quads are pairs of the model's triangles, so each edge of a polygon is, in its direction, an
    edge of one triangle, and the UV at its first vertex is that triangle's.
    """
    faces = np.asarray(model.faces, dtype=np.int64).reshape(-1, 3)
    uv_faces = np.asarray(model.uv_faces, dtype=np.int64).reshape(-1, 3)
    uvs = np.asarray(model.uvs, dtype=np.float32).reshape(-1, 2)
    edges = (faces * model.vertex_count + np.roll(faces, -1, axis=1)).ravel()
    order = np.argsort(edges, kind="stable")
    edges = edges[order]

    sizes = np.asarray(sizes, dtype=np.int64)
    corners = np.asarray(corners, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    following = np.arange(1, len(corners) + 1)
    following[starts + sizes - 1] = starts
    wanted = corners * model.vertex_count + corners[following]
    at = np.minimum(np.searchsorted(edges, wanted), len(edges) - 1)
    if (edges[at] != wanted).any():
        bad = int(np.argmax(edges[at] != wanted))
        raise ValueError(f"the edge {corners[bad]}-{corners[following[bad]]} is not the model's")
    return uvs[uv_faces.ravel()[order[at]]]
