# SPDX-License-Identifier: Apache-2.0
"""FLAME's files, made here in its form: pickles with chumpy and scipy objects (neither is needed), the
.npz of the same names, the UV template and the texture beside them. What is loaded is compared with
FLAME's equations in NumPy."""

import pathlib
import pickle
import resource
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


def template_lines(t):
    lines = [f"v {x} {y} {z}" for x, y, z in t["v_template"]]
    lines += [f"vt {k / F} {1 - k / F}" for k in range(F)]
    return lines + ["f " + " ".join(f"{v + 1}/{(k + c) % F + 1}" for c, v in enumerate(face))
                    for k, face in enumerate(t["f"].tolist())]


def place_looks(t, template, texture):
    """Writes both files; the mean texture."""
    template.write_text("\n".join(template_lines(t)) + "\n")
    mean = numpy.random.default_rng(1).integers(0, 256, (4, 6, 3)).astype(numpy.uint8)
    numpy.savez(texture, mean=mean)
    return mean


def check_looks(model, mean):
    assert numpy.allclose(model.uvs, [(k / F, 1 - k / F) for k in range(F)], atol=1e-6)
    assert numpy.array_equal(model.uv_faces, [[(k + c) % F for c in range(3)] for k in range(F)])
    assert numpy.array_equal(model.mean_texture, mean)


def test_template_and_texture_beside_it(tmp_path):
    t = tables()
    (tmp_path / "flame2023.pkl").write_bytes(pickle.dumps(t, 2))
    template = tmp_path / "head_template.obj"
    mean = place_looks(t, template, tmp_path / "FLAME_texture.npz")
    check_looks(headsds.HeadModel.load(tmp_path / "flame2023.pkl"), mean[:, :, ::-1])
    template.write_text("\n".join(template_lines(t)[:-1]) + "\n")
    with pytest.raises(headsds.FormatError, match="head_template.obj: its faces are not those of .* or move it away"):
        headsds.HeadModel.load(tmp_path / "flame2023.pkl")


@pytest.fixture
def apart(tmp_path):
    """A model, and template and textures in another folder: all paths, and the mean."""
    t = tables()
    (tmp_path / "looks").mkdir()
    files = {name: tmp_path / "looks" / name for name in ("uv.obj", "texture.npz", "texture.png")}
    numpy.savez(tmp_path / "flame.npz", **t)
    mean = place_looks(t, files["uv.obj"], files["texture.npz"])
    headsds.write_png(files["texture.png"], numpy.ascontiguousarray(255 - mean))
    return tmp_path / "flame.npz", files["uv.obj"], files["texture.npz"], files["texture.png"], mean


def test_named_template_and_texture(apart, tmp_path):
    path, template, texture, picture, mean = apart
    assert headsds.HeadModel.load(path).uvs is None
    model = headsds.HeadModel.load(path, uv_template=template, mean_texture=str(texture))
    check_looks(model, mean[:, :, ::-1])
    model = headsds.HeadModel.load(path, uv_template=template, mean_texture=picture)
    check_looks(model, 255 - mean)
    assert headsds.HeadModel.load(path, uv_template=template).mean_texture is None
    # what is named goes before what lies beside
    place_looks(tables(), tmp_path / "head_template.obj", tmp_path / "FLAME_texture.npz")
    check_looks(headsds.HeadModel.load(path, mean_texture=picture), 255 - mean)
    (tmp_path / "head_template.obj").write_text("v 0 0 0\n")
    check_looks(headsds.HeadModel.load(path, uv_template=template), mean[:, :, ::-1])


@pytest.mark.parametrize("kind, scale", [
    ("u1", 1), ("i2", 1), ("i8", 1), ("f4", 1), ("f8", 1), ("f4", 1 / 255), ("f8", 1 / 255), ("f2", 1 / 255)])
def test_ranges_of_textures(apart, kind, scale):
    path, template, texture, picture, mean = apart
    for levels in (mean, mean // 255):     # integers are of 0 to 255 also where none is above 1
        if scale == 1 and levels.max() <= 1 and kind[0] == "f":
            continue
        numpy.savez(texture, mean=(levels * scale).astype(kind))
        check_looks(headsds.HeadModel.load(path, uv_template=template, mean_texture=texture), levels[:, :, ::-1])


@pytest.mark.parametrize("kind, level, value, expected", [
    ("f4", 1 / 255, -0.25, "-0.25, expected 0 to 1: a texture"), ("f4", 1 / 255, numpy.nan, "nan, expected 0 to 1"),
    ("f8", 1, -1, "-1, expected 0 to 255: a texture is of 0 to 255, or of floats of 0 to 1"),
    ("f8", 1, numpy.nan, "nan, expected 0 to 255"), ("f8", 1, 256, "256, expected 0 to 255"),
    ("f8", 1, numpy.inf, "inf, expected 0 to 255"), ("i2", 1, -1, "-1, expected 0 to 255"),
    ("u2", 1, 65535, "65535, expected 0 to 255")])
def test_textures_beyond_the_range(apart, kind, level, value, expected):
    path, template, texture, picture, mean = apart
    bad = (mean * level).astype(kind)
    bad[2, 5, 1] = value
    numpy.savez(texture, mean=bad)
    with pytest.raises(headsds.FormatError, match=rf"texture.npz: mean\[2,5,1\] is {expected}"):
        headsds.HeadModel.load(path, uv_template=template, mean_texture=texture)


def test_named_files_that_do_not_fit(apart, tmp_path):
    path, template, texture, picture, mean = apart
    load = headsds.HeadModel.load
    with pytest.raises(FileNotFoundError, match="none.obj: not found; check the path"):
        load(path, uv_template=tmp_path / "none.obj")
    with pytest.raises(FileNotFoundError, match="none.npz: not found; check the path"):
        load(path, uv_template=template, mean_texture=tmp_path / "none.npz")
    with pytest.raises(ValueError, match="mean_texture: .*texture.npz: .*flame.npz has no texture coordinates; name its uv_template too"):
        load(path, mean_texture=texture)
    with pytest.raises(ValueError, match="mean_texture: .*uv.obj: expected a .png picture or FLAME_texture.npz"):
        load(path, uv_template=template, mean_texture=template)
    template.write_text("\n".join(template_lines(tables())[:-1]) + "\n")
    with pytest.raises(headsds.FormatError, match="uv.obj: its faces are not those of .*flame.npz.* or leave uv_template out"):
        load(path, uv_template=template)
    template.write_text("\n".join(template_lines(tables())).replace("vt 0.0 ", "vt 1e99 ") + "\n")
    with pytest.raises(headsds.FormatError, match="uv.obj:[0-9]+: found .1e99., expected a finite number"):
        load(path, uv_template=template)
    place_looks(tables(), template, texture)
    for bad in ({"median": mean}, {"mean": mean[:, :, :2]}, {"mean": mean[:0]}, {"mean": mean > 9}):
        numpy.savez(texture, **bad)
        with pytest.raises(headsds.FormatError, match="texture.npz: mean: .* expected"):
            load(path, uv_template=template, mean_texture=texture)
    with pytest.raises(ValueError, match="uv_template: .*uv.obj: only FLAME's own files take one, the built-in head has"):
        load(uv_template=template)


def test_saved_as_npz(apart, tmp_path):
    path, template, texture, picture, mean = apart
    model = headsds.HeadModel.load(path, uv_template=template, mean_texture=picture)
    model.save(tmp_path / "own.npz")
    again = headsds.HeadModel.load(tmp_path / "own.npz")
    check_looks(again, 255 - mean)
    assert again.joint_names == model.joint_names and again.expression_names == model.expression_names
    rng = numpy.random.default_rng(4)
    numbers = [rng.standard_normal(n).astype("f4") for n in (S, E, 3 * J)]
    assert again.vertices(*numbers) == model.vertices(*numbers)
    for array in numpy.load(tmp_path / "own.npz").values():
        assert array.dtype.kind != "f" or array.dtype == "<f4"
    with pytest.raises(ValueError, match="own.txt: expected a head model and a path that ends in .npz"):
        model.save(tmp_path / "own.txt")
    with pytest.raises(FileNotFoundError, match="none/own.npz"):
        model.save(tmp_path / "none" / "own.npz")


def test_saved_head_finds_what_its_model_was_loaded_with(apart, tmp_path):
    path, template, texture, picture, mean = apart
    model = headsds.HeadModel.load(path, uv_template=template, mean_texture=picture)
    headsds.Head(model, prompt="a head").save(tmp_path / "a.headsds")
    check_looks(headsds.Head.load(tmp_path / "a.headsds").model, 255 - mean)
    template.rename(tmp_path / "away.obj")
    with pytest.raises(FileNotFoundError, match="cannot be loaded, give it instead: .*uv.obj: not found"):
        headsds.Head.load(tmp_path / "a.headsds")
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


def changed(name, index, value, dtype=float):
    """A table of the model's with one number changed."""
    table = tables()[name].astype(dtype)
    table[index] = value
    return table


NONE, WIDE = numpy.nan, 1e39
WHOLE = "a whole number below the count of v_template"


@pytest.mark.parametrize("name, value, word", [
    wrong("shapedirs", None, "shapedirs: missing, expected it in a FLAME model"),
    wrong("v_template", numpy.zeros((V, 2)),
          r"v_template: f8 of shape \(40,2\), expected numbers of shape \(any,3\)"),
    wrong("v_template", numpy.zeros((0, 3)),
          r"v_template: f8 of shape \(0,3\), expected numbers of shape \(any,3\)"),
    wrong("posedirs", numpy.zeros((V, 3, 9)),
          r"posedirs: f8 of shape \(40,3,9\), expected numbers of shape \(40,3,36\)"),
    wrong("f", numpy.full((F, 3), -1), rf"f\[0,0\] is -1, expected {WHOLE}"),
    wrong("f", changed("f", (7, 2), V, "i8"), rf"f\[7,2\] is 40, expected {WHOLE}"),
    wrong("f", changed("f", (7, 2), 4294967296, "i8"), r"f\[7,2\] is 4294967296, expected"),
    wrong("f", changed("f", (0, 1), 0.5), r"f\[0,1\] is 0.5, expected"),
    wrong("v_template", changed("v_template", (1, 2), NONE),
          r"v_template\[1,2\] is nan, expected a finite number"),
    wrong("v_template", changed("v_template", (1, 2), WIDE),
          r"v_template\[1,2\] is 1e\+39, expected a finite .* float"),
    wrong("shapedirs", changed("shapedirs", (39, 2, 306), NONE), r"shapedirs\[39,2,306\] is nan, expected"),
    wrong("posedirs", changed("posedirs", (3, 0, 35), numpy.inf), r"posedirs\[3,0,35\] is inf, expected"),
    wrong("J_regressor", changed("J_regressor", (4, 39), -numpy.inf),
          r"J_regressor\[4,39\] is -inf, expected"),
    wrong("weights", changed("weights", (2, 3), NONE), r"weights\[2,3\] is nan, expected"),
    wrong("weights", changed("weights", (2, 3), -0.25), r"weights\[2,3\] is -0.25, expected 0 or more"),
    wrong("weights", numpy.zeros((V, J)), r"weights\[0\] add up to 0, expected 1"),
    wrong("weights", numpy.full((V, J), 0.25), r"weights\[0\] add up to 1.25, expected 1"),
    wrong("kintree_table", numpy.array([[-1, 2, 1, 1, 1], range(J)]),
          r"kintree_table\[0,1\] is 2, expected an earlier joint"),
    wrong("kintree_table", numpy.array([[-1, 0, 2, 1, 1], range(J)]),
          r"kintree_table\[0,2\] is 2, expected an earlier joint"),
    wrong("kintree_table", numpy.array([[-1, 0, 1, -1, 1], range(J)]),
          r"kintree_table\[0,3\] is -1, expected an earlier joint"),
    wrong("kintree_table", numpy.array([[4, 0, 1, 1, 1], range(J)]),
          r"kintree_table\[0,0\] is 4, expected -1 or 4294967295: joint 0"),
    wrong("kintree_table", numpy.array([[-1, 0, 0.5, 1, 1], range(J)]),
          r"kintree_table\[0,2\] is 0.5, expected an earlier joint"),
    wrong("kintree_table", numpy.zeros((2, V + 1)),
          "kintree_table: 41 joints, expected at most 40, the vertices"),
    wrong("kintree_table", numpy.array(PARENTS),
          r"kintree_table: i8 of shape \(5\), expected numbers of shape \(2,any\)"),
    wrong("J_regressor", numpy.zeros((J, V + 1)), r"J_regressor: f8 of shape \(5,41\)"),
    wrong("weights", numpy.zeros((V, J), complex), r"weights: dtype .c16, expected a float"),
    wrong("weights", numpy.zeros((V, J), ">f4"),
          r"weights.*: dtype >f4 is big-endian, expected '<': save it with .astype\('<f4'\)"),
    wrong("weights", numpy.zeros((V, J), "M8[s]"), r"weights.*: dtype .M8.*, expected a float"),
    wrong("weights", numpy.zeros((V, J), "S3"), r"weights: S3 of shape \(40,5\), expected numbers"),
    wrong("weights", numpy.zeros((V, J), bool), r"weights: b1 of shape \(40,5\), expected numbers"),
])
@pytest.mark.parametrize("ending", ["pkl", "npz"])
def test_hostile_tables(tmp_path, ending, name, value, word):
    t = tables()
    t[name] = value
    if value is None:
        del t[name]
    path = tmp_path / f"model.{ending}"
    if ending == "pkl":
        path.write_bytes(pickle.dumps(t, 2))
    else:
        numpy.savez(path, **t)
    with pytest.raises(headsds.FormatError, match=word.replace("weights: d", "weights.*: d")) as caught:
        headsds.HeadModel.load(path)
    assert str(path) in str(caught.value)


def test_fortran_order_is_only_an_order(tmp_path):
    t = tables()
    turned = {k: numpy.asfortranarray(v) if isinstance(v, numpy.ndarray) else v for k, v in t.items()}
    assert not turned["shapedirs"].flags.c_contiguous
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(turned, 4))
    numpy.savez(tmp_path / "model.npz", **turned)
    for name in ("model.pkl", "model.npz"):
        check(headsds.HeadModel.load(tmp_path / name), t)


@pytest.fixture
def little_memory():
    """The process may take 64 MiB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (64 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def claim(t, name, shape):
    """The pickle of the tables in which the array of this name says that it has another shape."""
    class Claim:
        def __reduce__(self):
            array = t[name].ravel()
            make, arguments, state = array.__reduce__()
            return make, arguments, (*state[:1], shape, *state[2:])
    return pickle.dumps({**t, name: Claim()}, 2)


@pytest.mark.parametrize("shape", [(1 << 28, 3), (1 << 62, 1 << 62), (-1, 3), (1 << 80, 3)])
def test_shapes_that_are_not_there(tmp_path, little_memory, shape):
    path = tmp_path / "model.pkl"
    path.write_bytes(claim(tables(), "v_template", shape))
    word = "960 bytes of data, its shape and dtype promise" if 0 < shape[0] < 1 << 63 else \
        "expected a shape of at most 8 lengths, none negative"
    with pytest.raises(headsds.FormatError, match=f"model.pkl: v_template: {word}"):
        headsds.HeadModel.load(path)


@pytest.mark.parametrize("harm, word", [
    (b"\x8e" + b"\xff\xff\xff\x7f\0\0\0\0", "BINBYTES8 claims 2147483647 bytes"),
    (b"\x8d" + b"\0\0\0\0\0\1\0\0", "BINUNICODE8 claims 1099511627776 bytes"),
    (b"\x96" + b"\xff" * 8, "BYTEARRAY8 claims 18446744073709551615 bytes"),
    (b"\x8b\xff\xff\xff\x7f", "LONG4 claims 2147483647 bytes"),
    (b"\x8b\xff\xff\xff\xff", "LONG4 claims 4294967295 bytes"),
    (b"B\xff\xff\xff\x7f", "BINBYTES claims 2147483647 bytes"),
    (b"\x95" + b"\xff" * 7 + b"\x7f", "FRAME claims 9223372036854775807 bytes"),
    (b"Nr\xff\xff\xff\x7f", "LONG_BINPUT names memo entry 2147483647, which cannot be"),
    (b"Np99999999999\n", "PUT names memo entry 99999999999, which cannot be"),
    (b"j\xff\xff\xff\x7f", "LONG_BINGET names memo entry 2147483647"),
])
def test_counts_that_are_not_there(tmp_path, little_memory, harm, word):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04}(X\1\0\0\0f" + harm + b"u.")
    with pytest.raises(headsds.FormatError, match=f"model.pkl: byte [0-9]+: {word}"):
        headsds.HeadModel.load(path)


def test_a_model_of_joints(tmp_path, little_memory):
    """300 kB of which the joints of all components would be gigabytes."""
    few = 20000
    t = {"v_template": numpy.zeros((1, 3), "u1"), "f": numpy.zeros((1, 3), "u1"),
         "shapedirs": numpy.zeros((1, 3, few), "u1"),
         "posedirs": numpy.zeros((1, 3, 9 * (few - 1)), "u1"), "J_regressor": numpy.zeros((few, 1), "u1"),
         "kintree_table": numpy.zeros((2, few), "u1"), "weights": numpy.zeros((1, few), "u1")}
    numpy.savez_compressed(tmp_path / "model.npz", **t)
    with pytest.raises(headsds.FormatError, match="kintree_table: 20000 joints, expected at most 1, the"):
        headsds.HeadModel.load(tmp_path / "model.npz")


@pytest.mark.parametrize("mean, word", [
    (numpy.zeros((16385, 1, 3), "u1"), "mean: 16385 rows of 1 pixels, expected at most 16384 each way"),
    (numpy.zeros((1, 16385, 3), "u1"), "mean: 1 rows of 16385 pixels, expected at most 16384 each way"),
    (numpy.zeros((0, 4, 3), "u1"), r"mean: u1 of shape \(0,4,3\), expected numbers of shape \(any,any,3\)"),
    (numpy.zeros((4, 4), "u1"), r"mean: u1 of shape \(4,4\), expected numbers of shape \(any,any,3\)"),
    (None, "mean: missing, expected it in FLAME's texture"),
])
def test_hostile_textures(tmp_path, mean, word):
    t = tables()
    (tmp_path / "flame2023.pkl").write_bytes(pickle.dumps(t, 2))
    faces = [" ".join(f"{v + 1}/1" for v in face) for face in t["f"].tolist()]
    (tmp_path / "head_template.obj").write_text(
        "v 0 0 0\n" * V + "vt 0 0\n" + "".join(f"f {face}\n" for face in faces))
    numpy.savez(tmp_path / "FLAME_texture.npz", **({} if mean is None else {"mean": mean}), other=[1])
    with pytest.raises(headsds.FormatError, match=f"FLAME_texture.npz: {word}"):
        headsds.HeadModel.load(tmp_path / "flame2023.pkl")


@pytest.mark.parametrize("field, value, word", [
    ("indptr", [0, 99], r"J_regressor.indptr\[1\] is 99, expected whole numbers that rise from 0 to the count"),
    ("indices", -1, r"J_regressor.indices\[3\] is -1, expected a whole number, 0 or more, below the joints"),
    ("indices", J, r"J_regressor.indices\[3\] is 5, expected a whole number, 0 or more, below the joints"),
    ("data", NONE, r"J_regressor.data\[3\] is nan, expected a finite number"),
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
