# SPDX-License-Identifier: Apache-2.0
"""HIFI3D++'s file, made here in its form (version 5, packed): what is loaded is compared with its
equation in NumPy, and what is saved with what was loaded."""

import struct
import zlib

import numpy
import pytest

import headsds

V, F, T, S, E = 50, 70, 60, 6, 3
TYPES = {"int32": (12, 5), "float32": (7, 7), "float64": (6, 9)}


def tables(unit=False):
    rng = numpy.random.default_rng(6)
    basis = rng.standard_normal((S, 3 * V)) / numpy.arange(1, S + 1)[:, None]
    return {
        "mu_shape": rng.standard_normal((1, 3 * V)) * 10 + 2,
        "basis_shape": basis / numpy.linalg.norm(basis, axis=1, keepdims=True) if unit else basis,
        "EVs": numpy.linspace(50, 4, S)[:, None],
        "basis_exp": rng.standard_normal((E, 3 * V)).astype("f4"),
        "tri": rng.integers(0, V, (F, 3)).astype("i4"),
        "vt_list": rng.random((T, 2)),
        "tri_vt": rng.integers(0, T, (F, 3)).astype("i4"),
    }


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def write(path, arrays):
    out = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    for name, a in arrays.items():
        matlab_class, kind = TYPES[a.dtype.name]
        matrix = element(6, struct.pack("<II", matlab_class, 0)) + element(5, struct.pack("<ii", *a.shape))
        packed = zlib.compress(element(14, matrix + element(1, name.encode()) + element(kind, a.tobytes("F"))))
        out += struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("unit", [False, True])
def test_loads_and_saves(tmp_path, unit):
    t = tables(unit)
    model = headsds.HeadModel.load(write(tmp_path / "HIFI3D++.mat", t))
    assert (model.name, model.vertex_count, model.shape_count) == ("HIFI3D++", V, S)
    assert model.expression_names == ("expression_000", "expression_001", "expression_002")
    assert numpy.array_equal(model.faces, t["tri"]) and numpy.array_equal(model.uv_faces, t["tri_vt"])
    assert numpy.array_equal(model.uvs, t["vt_list"].astype("f4"))
    rng = numpy.random.default_rng(7)
    shape, expression = rng.standard_normal(S).astype("f4"), rng.standard_normal(E).astype("f4")
    moved = shape * (numpy.sqrt(t["EVs"][:, 0]) if unit else 1) @ t["basis_shape"] + expression @ t["basis_exp"]
    mean = t["mu_shape"].reshape(V, 3)
    expected = 0.01 * (mean - mean.mean(0) + moved.reshape(V, 3))
    assert numpy.abs(model.vertices(shape, expression) - expected).max() < 1e-6
    model.save(tmp_path / "own.npz")
    again = headsds.HeadModel.load(tmp_path / "own.npz")
    assert again.vertices(shape, expression) == model.vertices(shape, expression)


def test_picture_as_mean_texture(tmp_path):
    path = write(tmp_path / "HIFI3D++.mat", tables())
    pixels = numpy.random.default_rng(8).integers(0, 256, (5, 4, 3)).astype(numpy.uint8)
    headsds.write_png(tmp_path / "a.png", pixels)
    model = headsds.HeadModel.load(path, mean_texture=tmp_path / "a.png")
    assert numpy.array_equal(model.mean_texture, pixels)
    with pytest.raises(ValueError, match="uv_template: a.obj: only FLAME's own files take one, .*HIFI3D.*has texture"):
        headsds.HeadModel.load(path, uv_template="a.obj")


def test_names_that_are_missing(tmp_path):
    t = tables()
    del t["tri"], t["mu_shape"]
    with pytest.raises(headsds.FormatError, match="no mu_shape, tri in it, .* it has basis_shape, EVs, basis_exp, vt_list"):
        headsds.HeadModel.load(write(tmp_path / "part.mat", t))
