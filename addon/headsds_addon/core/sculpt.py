# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh that an artist has shaped already, as the head that a generation starts from."""

import numpy as np

from . import coordinates


def start(headsds, model, order, placement, vertices):
    """The Head of `model` that (V,3) vertices of a mesh are, in the model's own space; None where
    they are the template itself.

    order (V,): the model's vertex of each of the mesh's. The shape is what the model can explain of
    it (headsds' least squares under its prior), the offsets keep all the rest.
    """
    if placement.exact:
        return None
    at_rest = np.empty((model.vertex_count, 3))
    at_rest[order] = coordinates.to_model(placement.back(vertices))
    shape = model.fit(np.ascontiguousarray(at_rest, dtype=np.float32)).shape
    offsets = at_rest - coordinates.points(model.vertices(shape=shape))
    return headsds.Head(model, shape=shape,
                        offsets=np.ascontiguousarray(offsets, dtype=np.float32))
