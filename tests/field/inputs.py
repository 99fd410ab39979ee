# SPDX-License-Identifier: Apache-2.0
"""Inputs that are equal with every numpy, for headsds and for the reference packages."""

import numpy as np


def draw(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype("f4")


def pictures(seed, *shape):
    return np.random.RandomState(seed).random_sample(shape).astype("f4")
