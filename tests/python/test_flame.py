# SPDX-License-Identifier: Apache-2.0
"""FLAME's files, made here in its form: pickles with chumpy and scipy objects (neither is needed), the
.npz of the same names, the UV template and the texture beside them. What is loaded is compared with
FLAME's equations in NumPy."""

import pickle
import sys
import types

import numpy
import pytest

import headsds
from conftest import shared

V, F, S, E, J = 40, 60, 300, 7, 5
PARENTS = [-1, 0, 1, 1, 1]


def tables():
    rng = numpy.random.default_rng(3)
    weights = rng.random((V, J)) * (rng.random((V, J)) > 0.4) + 1e-3
    regressor = rng.random((J, V)) * (rng.random((J, V)) > 0.7)
    return {
        "v_template": rng.standard_normal((V, 3)) * 0.1,
        "f": rng.integers(0, V, (F, 3)).astype(numpy.uint32),
        "shapedirs": rng.standard_normal((V, 3, S + E)) * 0.01,
        "posedirs": rng.standard_normal((V, 3, 9 * (J - 1))) * 0.01,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "kintree_table": numpy.array([PARENTS, range(J)], numpy.int64),
        "weights": weights / weights.sum(1, keepdims=True),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def rotation(r):
    angle = numpy.linalg.norm(r)
    if angle == 0:
        return numpy.eye(3)
    x, y, z = r / angle
    k = numpy.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return numpy.eye(3) + numpy.sin(angle) * k + (1 - numpy.cos(angle)) * k @ k


def flame(t, betas, pose):
    """Loper et al. 2015, equations 2 to 10; Li et al. 2017, equation 1."""
    rest = t["v_template"] + t["shapedirs"] @ betas
    joints = t["J_regressor"] @ rest
    turns = [rotation(r) for r in pose.reshape(J, 3)]
    rest = rest + t["posedirs"] @ numpy.concatenate([(r - numpy.eye(3)).ravel() for r in turns[1:]])
    world = []
    for j, parent in enumerate(PARENTS):
        local = numpy.eye(4)
        local[:3, :3] = turns[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    out = numpy.zeros((V, 3))
    for j in range(J):
        out += t["weights"][:, j : j + 1] * ((rest - joints[j]) @ world[j][:3, :3].T + world[j][:3, 3])
    return out


def place(monkeypatch, name, attribute):
    """A class that pickles as module.attribute, though no such module is installed."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:end]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    made = type(attribute, (), {"__module__": name})
    setattr(module, attribute, made)
    return made


def as_pickled(monkeypatch, t, matrix="scipy.sparse.csc"):
    """The tables with the objects that FLAME's own pickles hold."""
    chumpy, sparse = place(monkeypatch, "chumpy.ch", "Ch"), place(monkeypatch, matrix, matrix[-3:] + "_matrix")
    t = dict(t)
    for name in ("v_template", "shapedirs", "posedirs"):
        held = chumpy()
        held.x = t[name]
        t[name] = held
    columns = t["J_regressor"] if matrix.endswith("csr") else t["J_regressor"].T
    held = sparse()
    held._shape = t["J_regressor"].shape
    held.data = numpy.concatenate([c[c != 0] for c in columns])
    held.indices = numpy.concatenate([numpy.flatnonzero(c) for c in columns]).astype(numpy.int32)
    held.indptr = numpy.cumsum([0] + [(c != 0).sum() for c in columns]).astype(numpy.int32)
    t["J_regressor"] = held
    return t


def check(model, t):
    assert (model.name, model.vertex_count, model.shape_count, model.expression_count) == ("FLAME", V, S, E)
    assert list(model.joint_names) == ["root", "neck", "jaw", "eye_left", "eye_right"]
    assert numpy.array_equal(model.faces, t["f"])
    rng = numpy.random.default_rng(4)
    shape, expression, pose = rng.standard_normal(S), rng.standard_normal(E), rng.standard_normal(3 * J)
    for pose in (0 * pose, pose):
        expected = flame(t, numpy.concatenate([shape, expression]), pose)
        got = model.vertices(*(x.astype(numpy.float32) for x in (shape, expression, pose)))
        assert numpy.abs(got - expected).max() < 2e-6


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("matrix", ["scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse.csr"])
def test_pickles(monkeypatch, tmp_path, protocol, matrix):
    t = tables()
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(as_pickled(monkeypatch, t, matrix), protocol))
    check(headsds.HeadModel.load(path), t)
    few = headsds.HeadModel.load(path, shape_count=10, expression_count=2)
    assert (few.shape_count, few.expression_count) == (10, 2)


def test_plain_arrays_and_an_unsigned_root(tmp_path):
    t = tables()
    t["kintree_table"] = t["kintree_table"].astype(numpy.uint32)
    (tmp_path / "flame2023.pkl").write_bytes(pickle.dumps(t, 2))
    check(headsds.HeadModel.load(tmp_path / "flame2023.pkl"), t)
    numpy.savez(tmp_path / "generic_model.npz", **t)
    check(headsds.HeadModel.load(tmp_path / "generic_model.npz"), t)


def test_template_and_texture_beside_it(tmp_path):
    t = tables()
    (tmp_path / "flame2023.pkl").write_bytes(pickle.dumps(t, 2))
    lines = [f"v {x} {y} {z}" for x, y, z in t["v_template"]]
    lines += [f"vt {k / F} {1 - k / F}" for k in range(F)]
    lines += ["f " + " ".join(f"{v + 1}/{(k + c) % F + 1}" for c, v in enumerate(face))
              for k, face in enumerate(t["f"].tolist())]
    template = tmp_path / "head_template.obj"
    template.write_text("\n".join(lines) + "\n")
    mean = numpy.random.default_rng(1).integers(0, 256, (4, 6, 3)).astype(numpy.uint8)
    numpy.savez(tmp_path / "FLAME_texture.npz", mean=mean)
    model = headsds.HeadModel.load(tmp_path / "flame2023.pkl")
    assert numpy.allclose(model.uvs, [(k / F, 1 - k / F) for k in range(F)], atol=1e-6)
    assert numpy.array_equal(model.uv_faces, [[(k + c) % F for c in range(3)] for k in range(F)])
    assert numpy.array_equal(model.mean_texture, mean[:, :, ::-1])
    template.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(headsds.FormatError, match="head_template.obj: its faces are not those of"):
        headsds.HeadModel.load(tmp_path / "flame2023.pkl")


def as_flame(vertices, faces, eyes, pitch):
    """A head in FLAME's form, turned down about its root; eyes: the vertices of the left and the right one."""
    count = len(vertices)
    regressor = numpy.zeros((J, count))
    for joint, part in enumerate([numpy.arange(count)] * 3 + list(eyes)):
        regressor[joint, part] = 1 / len(part)
    root = regressor[0] @ vertices
    return {
        "v_template": (vertices - root) @ rotation(numpy.array([pitch, 0, 0])).T + root,
        "f": faces,
        "shapedirs": numpy.zeros((count, 3, 1), "f4"),
        "posedirs": numpy.zeros((count, 3, 9 * (J - 1)), "f4"),
        "J_regressor": regressor,
        "kintree_table": numpy.array([PARENTS, range(J)]),
        "weights": numpy.eye(1, J, dtype="f4").repeat(count, 0),
    }


def face(pitch, path=None, eyes=("eye_left", "eye_right")):
    model = headsds.HeadModel.load(path, shape_count=1, expression_count=1)
    faces, parts = numpy.asarray(model.faces), numpy.asarray(model.face_parts)
    sides = [numpy.unique(faces[parts == model.part_names.index(eye)]) for eye in eyes]
    return as_flame(numpy.asarray(model.vertices()).astype(float), faces, sides, pitch)


def test_average_pose_looks_straight_ahead(tmp_path):
    path, found = tmp_path / "flame.npz", []
    for pitch in (0, -0.14, 0.1):
        numpy.savez(path, **face(pitch))
        model = headsds.HeadModel.load(path, base_pose="average")
        base = numpy.asarray(model.base_pose)
        assert base.shape == (J, 3) and base.dtype == numpy.float32 and not base.ravel()[1:].any()
        found.append(base[0, 0] + pitch)
        level = numpy.asarray(model.vertices())
        if pitch == 0:
            straight = level
    # The built-in head's chin lies a little behind the vertical through its forehead.
    assert -0.06 < found[0] < 0 and found == pytest.approx([found[0]] * 3, abs=2e-3)
    assert numpy.abs(level - straight).max() < 1e-3
    assert headsds.HeadModel.load(path).base_pose is None
    own = headsds.HeadModel.load(path, base_pose=base)
    assert (numpy.asarray(own.vertices()) == level).all()
    more = numpy.asarray(own.vertices(pose=[0.1, 0, 0]))
    assert (more == headsds.HeadModel.load(path, base_pose=base + numpy.eye(J, 3, dtype="f4") * [0.1, 0, 0])
            .vertices()).all()


def test_average_pose_of_a_head_that_looks_straight_ahead(tmp_path):
    kit = shared("ict-facekit/FaceXModel")
    numpy.savez(tmp_path / "kit.npz", **face(0, kit, ("M_ScleraLeft", "M_ScleraRight")))
    model = headsds.HeadModel.load(tmp_path / "kit.npz", base_pose="average")
    assert numpy.degrees(model.base_pose[0, 0]) == pytest.approx(1.36, abs=0.1)


def test_average_pose_is_refused(tmp_path):
    with pytest.raises(ValueError, match="known for FLAME with its 5 joints, not for headsds sample head with 5"):
        headsds.HeadModel.load(base_pose="average")
    numpy.savez(tmp_path / "noise.npz", **tables())
    with pytest.raises(headsds.FormatError, match="noise.npz: no profile of a forehead and a chin"):
        headsds.HeadModel.load(tmp_path / "noise.npz", base_pose="average")
    numpy.savez(tmp_path / "lying.npz", **face(0.5))
    with pytest.raises(headsds.FormatError, match="lying.npz: no profile of a forehead and a chin"):
        headsds.HeadModel.load(tmp_path / "lying.npz", base_pose="average")


def wrong(name, value, word):
    return pytest.param(name, value, word, id=f"{name}: {word[:30]}")


@pytest.mark.parametrize("name, value, word", [
    wrong("shapedirs", None, "shapedirs: missing, expected it in a FLAME model"),
    wrong("v_template", numpy.zeros((V, 2)), r"v_template: f8 of shape \(40,2\), expected numbers of shape \(any,3\)"),
    wrong("posedirs", numpy.zeros((V, 3, 9)), r"posedirs: f8 of shape \(40,3,9\), expected numbers of shape \(40,3,36\)"),
    wrong("f", numpy.full((F, 3), -1), "expected less than 40"),
    wrong("f", numpy.full((F, 3), V), r"faces\[0,0\] is 40, expected less than 40"),
    wrong("v_template", numpy.full((V, 3), numpy.nan), r"vertices\[0,0\] is nan"),
    wrong("kintree_table", numpy.array([[-1, 2, 1, 1, 1], range(J)]), r"joint_parents\[1\] is 2, expected an earlier"),
    wrong("weights", numpy.zeros((V, J)), r"skin_weights\[0\] add up to 0"),
    wrong("J_regressor", numpy.zeros((J, V + 1)), r"J_regressor: f8 of shape \(5,41\)"),
])
def test_hostile_tables(tmp_path, name, value, word):
    t = tables()
    t[name] = value
    if value is None:
        del t[name]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(t, 2))
    with pytest.raises(headsds.FormatError, match=word):
        headsds.HeadModel.load(path)


@pytest.mark.parametrize("field, value, word", [
    ("indptr", [0, 99], "indptr"),
    ("indices", -1, "indices is out of range"),
    ("indices", J, "indices is out of range"),
])
def test_hostile_regressors(monkeypatch, tmp_path, field, value, word):
    t = as_pickled(monkeypatch, tables())
    array = getattr(t["J_regressor"], field)
    if isinstance(value, list):
        array = numpy.array(value * (len(array) // 2) + [0] * (len(array) % 2), numpy.int32)
    else:
        array[3] = value
    setattr(t["J_regressor"], field, array)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(t, 2))
    with pytest.raises(headsds.FormatError, match=word):
        headsds.HeadModel.load(path)


def test_what_is_no_flame(monkeypatch, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([1, 2], 2))
    with pytest.raises(headsds.FormatError, match="holds no dict, expected FLAME's"):
        headsds.HeadModel.load(path)
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(headsds.FormatError, match="system"):
        headsds.HeadModel.load(path)
