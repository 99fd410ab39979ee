# SPDX-License-Identifier: Apache-2.0
"""libheadsds, for C: it exports what the public headers declare, and works."""

import ctypes
import os
import re
import subprocess

import pytest

from conftest import ROOT


@pytest.fixture
def path():
    found = os.environ.get("HEADSDS_LIBRARY")
    if not found:
        pytest.skip("no libheadsds: set HEADSDS_LIBRARY, as meson test does")
    return found


def test_exports_the_public_api(path):
    declared = set()
    for header in (ROOT / "include" / "headsds").glob("*.h"):
        declared |= set(re.findall(r"HDS_API[^;]*?\b(hds_\w+)\(", header.read_text()))
    out = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True,
                         text=True).stdout
    assert {line.split()[-1] for line in out.splitlines()} == declared


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1024)]


def test_loads_a_model(path, egg_path):
    library = ctypes.CDLL(path)
    model, error = ctypes.c_void_p(), Error()

    class Params(ctypes.Structure):
        _fields_ = [("path", ctypes.c_char_p), ("shapes", ctypes.c_int), ("weights", ctypes.c_int),
                    ("uv_template", ctypes.c_char_p), ("mean_texture", ctypes.c_char_p),
                    ("base_pose", ctypes.c_void_p), ("base_pose_count", ctypes.c_size_t),
                    ("average_pose", ctypes.c_bool)]

    params = Params(bytes(egg_path))
    assert library.hds_head_model_load(ctypes.byref(model), ctypes.byref(params),
                                       ctypes.byref(error)) == 0, error.message
    library.hds_head_model_unref(model)
    params.path = b"missing.npz"
    library.hds_head_model_load(ctypes.byref(model), ctypes.byref(params), ctypes.byref(error))
    assert b"missing.npz" in error.message
