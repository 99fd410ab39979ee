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
    with pytest.raises(headsds.FormatError, match="uv.obj: texture coordinate 1 is beyond a float"):
        load(path, uv_template=template)
    place_looks(tables(), template, texture)
    for bad in ({"median": mean}, {"mean": mean[:, :, :2]}, {"mean": mean[:0]}, {"mean": mean > 9}):
        numpy.savez(texture, **bad)
        with pytest.raises(headsds.FormatError, match="texture.npz: no array mean of numbers"):
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
