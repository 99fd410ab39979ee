# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a mesh is the head model's, in which vertex order, and the model's UV layout carried over
to its polygons."""

import numpy as np


def match(headsds, model, name, sizes, corners, vertices):
    """(V,) the model's vertex of each of the mesh's, whose places are (V,3) vertices.

    ValueError, in words for the artist, when its polygons are not the model's topology.
    """
    if not np.isfinite(vertices).all():
        raise ValueError(f"{name}: the mesh has coordinates that are not numbers")
    try:
        order = headsds.match_topology(model, sizes, corners, len(vertices),
                                       np.ascontiguousarray(vertices, dtype=np.float32))
    except ValueError as error:
        raise ValueError(f"{name}: not the topology of the head model {model.name}: {error}. "
                         + cure(model, sizes, vertices)) from None
    return np.asarray(order, dtype=np.int64)


def cure(model, sizes, vertices):
    """What an artist can do about a mesh that does not match."""
    triangles = int(np.sum(np.asarray(sizes, dtype=np.int64) - 2))
    if len(vertices) > model.vertex_count and triangles == len(model.faces):
        places = len(np.unique(np.asarray(vertices, dtype=np.float32), axis=0))
        if places < len(vertices):
            return (f"{len(vertices) - places} of its vertices lie on another one, as importers "
                    "of glTF leave them at UV seams: in edit mode select all, use Mesh > Clean Up "
                    "> Merge by Distance and try again (or tick Merge Vertices when you import)")
    return "Use Add Head, or set this mesh's head model in the preferences"


def corner_uvs(model, sizes, corners):
    """(L,2) UVs for the corners, named as the model's vertices, of polygons that match the model.

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
