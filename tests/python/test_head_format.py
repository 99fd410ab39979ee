# SPDX-License-Identifier: Apache-2.0
"""docs/head-format.md: its snippets run, and its table is what the loader takes."""

import re
import subprocess
import sys

import pytest

import headsds
from conftest import ROOT

np = pytest.importorskip("numpy")

TEXT = (ROOT / "docs" / "head-format.md").read_text()
TABLE = re.findall(r"^\| `(\w+)` \| \(([\w,]*)\) \| (\w+) \|", TEXT, re.M)
KINDS = {"bytes": ("S", None), "float": ("f", None), "u4": ("u", 4), "i4": ("i", 4), "u1": ("u", 1)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder in which all the snippets were run."""
    folder = tmp_path_factory.mktemp("format")
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def sizes_of(path):
    """Checks each array of the table that is there; what each letter stands for in this file."""
    arrays, sizes = np.load(path), {"3": 3, "2": 2}
    for name, letters, dtype in (row for row in TABLE if row[0] in arrays):
        array, (kind, width) = arrays[name], KINDS[dtype]
        assert array.dtype.kind == kind and width in (None, array.dtype.itemsize), name
        letters = [letter for letter in letters.split(",") if letter]
        assert len(letters) == array.ndim, name
        for letter, extent in zip(letters, array.shape, strict=True):
            assert sizes.setdefault(letter, extent) == extent, name
    return arrays, sizes


def test_snippet_writes_the_whole_table(written):
    arrays, _ = sizes_of(written / "egg.npz")
    assert set(arrays) == {name for name, *_ in TABLE}
    assert (written / "egg.png").stat().st_size > 1000


def test_snippet_is_a_closed_surface_that_looks_outwards(written):
    arrays = np.load(written / "egg.npz")
    corners = arrays["vertices"][arrays["faces"].astype(int)].astype(float)
    volume = np.linalg.det(corners).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 0.08 * 0.09 * 0.12, rel=0.03)
    edges = {(a, b) for face in arrays["faces"].tolist() for a, b in zip(face, face[1:] + face[:1])}
    assert {(b, a) for a, b in edges} == edges


def test_parts_of_the_snippet(written):
    model = headsds.HeadModel.load(written / "egg.npz")
    assert model.part_names == ("shell", "chin")
    assert (model.face_parts.format, model.face_parts.shape) == ("I", (model.face_count,))
    assert model.face_parts.tolist() == np.load(written / "egg.npz")["face_parts"].tolist()
    assert set(model.face_parts.tolist()) == {0, 1}


def test_table_is_the_built_in_head():
    path = ROOT / "samples" / "head" / "head.npz"
    arrays, sizes = sizes_of(path)
    assert {name for name, *_ in TABLE} - set(arrays) <= {"mean_texture", *OPTIONAL}
    model = headsds.HeadModel.load(path)
    assert (model.vertex_count, model.face_count) == (sizes["V"], sizes["F"])
    assert (model.shape_count, model.expression_count) == (sizes["S"], sizes["E"])
    assert model.joint_count == sizes["J"] and len(model.uvs) == sizes["T"]


GROUPS = {"expression": ["expression_basis", "expression_names"], "uv": ["uvs", "uv_faces"],
          "joint": ["joints", "joint_parents", "joint_names", "joint_shape_basis", "skin_weights"],
          "texture": ["mean_texture"], "part": ["part_names", "face_parts"],
          "attribute": ["attribute_names", "attribute_measure", "attribute_offset"]}
OPTIONAL = ["joint_expression_basis", "pose_basis", "base_pose"]
NEEDING = {"uv": ["mean_texture"], "expression": OPTIONAL[:1], "joint": OPTIONAL}


@pytest.mark.parametrize("group", GROUPS)
def test_groups_come_whole_or_not_at_all(written, tmp_path, group):
    arrays = dict(np.load(written / "egg.npz"))
    for name in GROUPS[group]:
        np.savez(tmp_path / "part.npz", **{k: a for k, a in arrays.items() if k != name})
        if len(GROUPS[group]) > 1:
            with pytest.raises(headsds.FormatError, match=f"part.npz: {name}"):
                headsds.HeadModel.load(tmp_path / "part.npz")
    gone = GROUPS[group] + NEEDING.get(group, [])
    np.savez(tmp_path / "part.npz", **{k: a for k, a in arrays.items() if k not in gone})
    headsds.HeadModel.load(tmp_path / "part.npz")


@pytest.mark.parametrize("name", OPTIONAL)
def test_each_of_these_may_be_missing(written, tmp_path, name):
    arrays = dict(np.load(written / "egg.npz"))
    del arrays[name]
    np.savez(tmp_path / "part.npz", **arrays)
    headsds.HeadModel.load(tmp_path / "part.npz")


@pytest.mark.parametrize("name", ["name", "vertices", "faces", "shape_basis"])
def test_needed_arrays(written, tmp_path, name):
    arrays = dict(np.load(written / "egg.npz"))
    del arrays[name]
    np.savez(tmp_path / "part.npz", **arrays)
    with pytest.raises(headsds.FormatError, match=f"part.npz: {name} is missing"):
        headsds.HeadModel.load(tmp_path / "part.npz")


def test_attributes_of_the_snippet(written):
    model = headsds.HeadModel.load(written / "egg.npz")
    for shape in ([], [1.5], [-2]):
        width = np.ptp(np.asarray(model.vertices(shape))[:, 0])
        assert model.measure(shape) == {"width": pytest.approx(width, rel=0.02)}
    with pytest.raises(ValueError, match="shape"):
        model.measure([1, 2])
    with pytest.raises(ValueError, match="shape"):
        model.measure([np.nan])
