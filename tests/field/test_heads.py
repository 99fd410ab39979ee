# SPDX-License-Identifier: Apache-2.0
"""Head models, meshes and saved heads as users have them."""

import json
import os
import pathlib
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
import types
import zipfile

import numpy as np
import pytest

import headsds

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], "f8") / 10
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 1, 4]], "u4")


# ---- FLAME, in the form of its own pickles ----

def flame(**changes):
    """Five vertices, two joints, 302 components."""
    numbers = np.random.RandomState(3)
    weights = numbers.rand(5, 2)
    regressor = numbers.rand(2, 5) * (numbers.rand(2, 5) > 0.3) + np.eye(2, 5)
    return {"v_template": CORNERS, "f": FACES,
            "shapedirs": 0.01 * numbers.randn(5, 3, 302), "posedirs": 0.01 * numbers.randn(5, 3, 9),
            "weights": weights / weights.sum(1, keepdims=True),
            "J_regressor": regressor / regressor.sum(1, keepdims=True),
            "kintree_table": np.array([[-1, 0], [0, 1]]), "bs_type": "lrotmin", **changes}


def posed(model):
    """Vertices that all of a FLAME has a part in."""
    shape = [1.0, -1.0] + [0.0] * 298
    return np.asarray(model.vertices(shape=shape, expression=[0.5], pose=[0.3, 0.1, 0, 0, 0.2, 0]))


def write(name, data):
    pathlib.Path(name).parent.mkdir(exist_ok=True)
    pathlib.Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return name


@pytest.fixture
def plain():
    return posed(headsds.HeadModel.load(write("plain.pkl", pickle.dumps(flame(), 2))))


def says(name, *words, load=headsds.HeadModel.load, **options):
    """Loading is refused in a message that names the file and holds all `words`."""
    with pytest.raises(ValueError) as caught:
        load(name, **options)
    message = str(caught.value)
    rest = message.split(pathlib.Path(name).name, 1)[1]
    assert all(word in rest for word in words), message
    return message


def named_class(name, base=object):
    """A class that pickles under a full name, of a package that need not be there."""
    module, _, short = name.rpartition(".")
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        sys.modules.setdefault(path, types.ModuleType(path))
    made = type(short, (base,), {"__module__": module})
    setattr(sys.modules[module], short, made)
    return made


def sparse(name, dense, **state):
    """What SciPy pickles under this name for a dense matrix."""
    made = named_class(name)()
    made._shape, made.maxprint = dense.shape, 50
    if "coo" in name:
        row, column = (index.astype("i4") for index in np.nonzero(dense))
        made.data = dense[row, column]
        if state.pop("coords", False):
            made.coords = (row, column)
        else:
            made.row, made.col = row, column
    else:
        lines = dense.T if "csc" in name else dense
        made.data = np.concatenate([line[line != 0] for line in lines])
        made.indices = np.concatenate([np.flatnonzero(line) for line in lines]).astype("i4")
        made.indptr = np.cumsum([0] + [np.count_nonzero(line) for line in lines]).astype("i4")
    vars(made).update(state)
    return made


# ---- files of another kind ----

def glb():
    headsds.Head().save("kind.glb")
    return pathlib.Path("kind.glb").read_bytes()


def zip_of(name):
    with zipfile.ZipFile("kind.zip", "w") as archive:
        archive.writestr(name, "text")
    return pathlib.Path("kind.zip").read_bytes()


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "0" + "\nsize 53023716\n"
HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
KINDS = {
    "lfs": (LFS, "Git LFS pointer", "git lfs pull"),
    "xet": ("# xet version 0\nfilesize = 3\n", "Xet pointer", "fetch"),
    "annex": ("/annex/objects/SHA256E-s3--00.pkl\n", "git-annex pointer", "git annex get"),
    "login": ("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page", "logged in"),
    "page": ("\ufeff<HTML><head></head></HTML>", "an HTML page", "logged in"),
    "xhtml": ('<?xml version="1.0"?><html xmlns=""></html>', "an HTML page"),
    "denied": ('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"),
    "answer": ('{"error": "Invalid credentials"}', "a JSON file"),
    "no entry": ("Entry not found", "a text that begins with \"Entry not found\""),
    "glb": (glb, "a glTF file"),
    "gltf": ('{"asset": {"version": "2.0"}}', "a glTF file"),
    "fbx": (b"Kaydara FBX Binary  \0\x1a\0" + bytes(40), "an FBX file"),
    "blend": (b"BLENDER-v304RENDH" + bytes(40), "a .blend file"),
    "usd": (b"PXR-USDC" + bytes(40), "a USD file"),
    "collada": ('<?xml version="1.0"?>\n<COLLADA version="1.4">', "a Collada file"),
    "ply": ("ply\nformat ascii 1.0\n", "a PLY mesh"),
    "stl": ("solid head\nfacet\n", "an STL mesh"),
    "hdf": (b"\x89HDF\r\n\x1a\n" + bytes(200), "an HDF5 file"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(40), "a GGUF model"),
    "weights": (struct.pack("<Q", len(HEADER)) + HEADER + bytes(4), "a safetensors file"),
    "torch": (lambda: zip_of("archive/data.pkl"), "a torch checkpoint"),
    "old torch": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + bytes(40), "a torch checkpoint"),
    "zip": (lambda: zip_of("generic_model.pkl"), "a zip archive", "unpack it"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(40), "a gzip file", "unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7z archive", "unpack it"),
    "rar": (b"Rar!\x1a\x07\1\0" + bytes(40), "a RAR archive", "unpack it"),
    "tar": (b"model.pkl".ljust(257, b"\0") + b"ustar\0" + bytes(300), "a tar archive", "unpack it"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(40), "a JPEG picture"),
    "utf-16": ("# text".encode("utf-16"), "a UTF-16 text"),
    "as text": (b"\xef\xbf\xbd\x02}q\1(" + 30 * b"\xef\xbf\xbd", "copied as text",
                "fetch it again"),
    "zeros": (bytes(5000), "nothing but zero bytes", "fetch it again"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(kind):
    data, *words = KINDS[kind]
    data = data() if callable(data) else data
    write("plain.pkl", pickle.dumps(flame(), 2))
    says(write("h.headsds", data), *words, load=headsds.Head.load)
    for name in ("m.pkl", "m.npz", "m.mat", "m.h5"):
        says(write(name, data), *words)
    if kind not in ("empty", "no entry"):       # a text may be an OBJ without a face
        says(write("t.obj", data), *words, load=lambda path: headsds.HeadModel.load(
            "plain.pkl", uv_template=path))
    template()
    says(write("t.png", data), *words, load=lambda path: headsds.HeadModel.load(
        "plain.pkl", uv_template="template.obj", mean_texture=path))


def template():
    """UVs for the small FLAME."""
    corners = "".join("v %r %r %r\n" % tuple(corner) for corner in CORNERS.tolist())
    faces = "".join(f"f {a + 1}/1 {b + 1}/2 {c + 1}/3\n" for a, b, c in FACES.tolist())
    write("template.obj", corners + "vt 0 0\nvt 1 0\nvt 0 1\n" + faces)


def test_heads_and_head_models_are_told_apart():
    headsds.Head().save("h.headsds")
    headsds.HeadModel.load().save("m.npz")
    os.rename("h.headsds", "h.npz")
    says("h.npz", "is a head saved as .headsds", "Head.load")
    says("m.npz", ".headsds", "HeadModel.load", load=headsds.Head.load)


def test_what_a_file_holds_goes_before_its_name(plain):
    for name in ("flame.pickle", "generic_model", "flame.npz"):
        model = headsds.HeadModel.load(write(name, pickle.dumps(flame(), 4)))
        assert np.array_equal(posed(model), plain)
    arrays = {name: value for name, value in flame().items()}
    np.savez("arrays.npz", **arrays)
    os.rename("arrays.npz", "arrays.pkl")
    assert np.array_equal(posed(headsds.HeadModel.load("arrays.pkl")), plain)


# ---- files that were cut short or damaged on their way ----

def lengths(size):
    """Of the whole: some, and all around both ends."""
    return sorted({*range(30), *range(0, size, size // 40 + 1), *range(size - 30, size)})


def test_a_head_that_is_cut_short_says_so():
    headsds.Head(texture=np.zeros((8, 8, 3), "u1")).save("h.headsds")
    whole = pathlib.Path("h.headsds").read_bytes()
    headsds.Head.load("h.headsds")
    for length in lengths(len(whole)):
        says(write("cut.headsds", whole[:length]),
             "is empty" if length == 0 else "cut short" if length > 4 else "expected",
             load=headsds.Head.load)
    unwritten = whole[:len(whole) // 2].ljust(len(whole), b"\0")
    says(write("cut.headsds", unwritten), "cut short", load=headsds.Head.load)


def test_a_head_model_that_is_cut_short_says_so():
    np.savez("m.npz", **flame())
    pathlib.Path("m.pkl").write_bytes(pickle.dumps(flame(), 2))
    for name in ("m.npz", "m.pkl"):
        whole = pathlib.Path(name).read_bytes()
        for length in lengths(len(whole))[5:]:
            says(write("cut" + name, whole[:length]), "cut short")


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_was_copied_as_text(protocol):
    data = pickle.dumps(flame(text="\n" * 40), protocol).replace(b"\n", b"\r\n")
    says(write("generic_model.pkl", data), "copied as text", "fetch it again")


def test_archives_as_macs_pack_them(plain):
    np.savez("flame.npz", **flame())
    with zipfile.ZipFile("flame.npz") as old, zipfile.ZipFile("again.npz", "w") as new:
        new.writestr("__MACOSX/._v_template.npy", b"\0\5\x16\7")
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(".DS_Store", "")
    assert np.array_equal(posed(headsds.HeadModel.load("again.npz")), plain)


# ---- arrays that nobody needs, and others of NumPy and SciPy ----

def test_arrays_that_nobody_needs_may_be_anything(plain):
    odd = {"part2num": np.array({"head": 0}, object), "big": np.arange(3, dtype=">f8"),
           "complex": np.ones(3, "c16"), "record": np.zeros(2, [("a", "f4")]),
           "name": np.array({"a": 1}, object), "faces": np.array([None, 1], object)}
    np.savez("flame.npz", **flame(), **odd)
    assert np.array_equal(posed(headsds.HeadModel.load("flame.npz")), plain)
    headsds.HeadModel.load().save("head.npz")
    with np.load("head.npz") as file:
        np.savez("head2.npz", **dict(file), part2num=odd["part2num"])
    assert headsds.HeadModel.load("head2.npz").vertex_count == headsds.HeadModel.load().vertex_count


def test_an_object_array_that_is_needed_is_named():
    np.savez("flame.npz", **flame(J_regressor=np.array({"a": 1}, object)))
    says("flame.npz", "J_regressor", "Python objects")


def test_textures_beside_what_else_flame_has():
    write("plain.pkl", pickle.dumps(flame(), 2))
    template()
    np.savez("FLAME_texture.npz", mean=np.full((4, 4, 3), 90.0), tex_dir=np.array({"a": 1}, object))
    model = headsds.HeadModel.load("plain.pkl", uv_template="template.obj")
    assert np.asarray(model.mean_texture).tolist() == np.full((4, 4, 3), 90).tolist()


def test_an_albedo_model_is_named():
    write("plain.pkl", pickle.dumps(flame(), 2))
    template()
    np.savez("albedoModel2020_FLAME_albedoPart.npz", MU=np.ones((4, 4, 3)), PC=np.ones((48, 2)))
    says("albedoModel2020_FLAME_albedoPart.npz", "albedo model", "MU", "mean", ".png",
         load=lambda path: headsds.HeadModel.load("plain.pkl", uv_template="template.obj",
                                                  mean_texture=path))


SPARSE = [f"scipy.sparse.{module}.{kind}_{form}" for kind in ("csc", "csr", "coo")
          for module, form in ((kind, "matrix"), ("_" + kind, "matrix"), ("_" + kind, "array"),
                               ("_arrays", "array"))]


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_regressors(plain, name):
    dense = flame()["J_regressor"]
    for coords in (False, True) if "coo" in name else (False,):
        data = flame(J_regressor=sparse(name, dense, coords=coords) if "coo" in name
                     else sparse(name, dense))
        for protocol in (0, 2, 5):
            model = headsds.HeadModel.load(write("m.pkl", pickle.dumps(data, protocol)))
            assert np.allclose(posed(model), plain, atol=1e-7), (name, protocol)


def test_sparse_regressors_that_do_not_fit():
    name, dense = "scipy.sparse._coo.coo_array", flame()["J_regressor"]
    for changes, words in (({"row": np.array([2] * 10, "i4")}, ("row", "below the joints")),
                           ({"col": np.array([-1] * 10, "i4")}, ("col", "below the vertices")),
                           ({"data": None}, ("data",)), ({"row": np.zeros(3, "i4")}, ("row",))):
        matrix = sparse(name, np.ones_like(dense), **changes)
        says(write("m.pkl", pickle.dumps(flame(J_regressor=matrix), 2)), "J_regressor", *words)
    lil = named_class("scipy.sparse._lil.lil_matrix")()
    says(write("m.pkl", pickle.dumps(flame(J_regressor=lil), 2)), "scipy.sparse._lil.lil_matrix")


def test_numpys_matrix_and_new_names(plain):
    """numpy.matrix is what .todense() gives; NumPy 2 calls its modules numpy._core."""
    data = flame(J_regressor=np.matrix(flame()["J_regressor"]))
    for protocol in (0, 2, 4):
        for there in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
            raw = pickle.dumps(data, protocol)
            if protocol < 4:                # names with a length before them stay as they are
                raw = raw.replace(b"numpy.core.multiarray", there)
            assert np.array_equal(posed(headsds.HeadModel.load(write("m.pkl", raw))), plain)


# ---- OBJ ----

MESH = ("mtllib x.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
        "usemtl skin\nf 1/1 2/2 3/3 4/4\nusemtl teeth\nf 1/1 2/2 5/3\n")


def kit(mesh, target=MESH):
    """An ICT-FaceKit's model of two files, as lists."""
    write("FaceXModel/generic_neutral_mesh.obj", mesh)
    write("FaceXModel/identity000.obj", target.replace("v 1 1 0", "v 1.5 1 0"))
    model = headsds.HeadModel.load("FaceXModel")
    return (np.asarray(model.vertices()).tolist(), np.asarray(model.faces).tolist(),
            np.asarray(model.uvs).tolist(), list(model.part_names))


def test_meshes_as_other_programs_write_them():
    wanted = kit(MESH)
    after = MESH.split("\n", 1)[1]
    for name, mesh in {
            "a byte order mark before a vertex": "\ufeff" + after,
            "a byte order mark and CR LF": ("\ufeff" + MESH).replace("\n", "\r\n"),
            "line ends of old Macs": MESH.replace("\n", "\r"),
            "continued faces": MESH.replace("2/2 3/3", "2/2 \\\n  3/3"),
            "continued, CR LF": MESH.replace("2/2 3/3", "2/2\\\n3/3").replace("\n", "\r\n"),
            "a continued vertex": MESH.replace("v 1 1 0", "v 1\\\n 1\\\n 0"),
            "a path that ends in a backslash": MESH.replace("x.mtl", "C:\\heads\\"),
            "a comment that ends in a backslash": "# C:\\heads\\\n" + after,
            "a comment behind, with a backslash": MESH.replace("v 0 0 0\n", "v 0 0 0 # a\\\n"),
            "Maya's groups": MESH.replace("usemtl skin", "s off\ng default\nusemtl skin"),
            "ZBrush's colours": MESH + "#MRGB ffffffff\n",
    }.items():
        assert kit(mesh) == wanted, name
        assert kit(mesh, mesh) == wanted, name


def test_meshes_that_are_refused_by_place():
    for mesh, *words in (
            (MESH.replace("v 1 0 0", "v 1,0 0,0 0,0"), ":3", "1,0", "decimal point, not a comma"),
            (MESH.replace("f 1/1 2/2 5/3", "f 1 2 5"), ":14", "texture coordinate"),
            (MESH.encode("utf-16"), "UTF-16", "UTF-8"),
            (MESH.replace("2/2 3/3", "2/2 \\\n 9/3"), ":12", "vertex 9")):
        with pytest.raises(ValueError) as caught:
            kit(mesh)
        assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(ValueError, match="identity000.obj: 6 vertices, expected 5"):
        kit(MESH, "v 0 0 0\n" + MESH)
    with pytest.raises(ValueError, match="identity000.obj: is a Git LFS pointer"):
        kit(MESH, LFS)


# ---- heads in other tools' formats ----

def read_glb(name):
    """(JSON, binary) of a .glb, after a look at its lengths."""
    data = pathlib.Path(name).read_bytes()
    magic, version, size = struct.unpack("<4sII", data[:12])
    assert (magic, version, size) == (b"glTF", 2, len(data))
    length, kind = struct.unpack("<I4s", data[12:20])
    text, rest = data[20:20 + length], data[20 + length:]
    size, binary = struct.unpack("<I4s", rest[:8])
    assert kind == b"JSON" and binary == b"BIN\0" and size == len(rest) - 8
    assert length % 4 == 0 and size % 4 == 0
    return json.loads(text), rest[8:]


def extensions(value):
    """All names of extensions in a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = set(value.get("extensions", ())) if isinstance(value, dict) else set()
    return found.union(*map(extensions, inner))


def test_gltf_declares_what_it_uses():
    for texture in (None, np.zeros((8, 8, 3), "u1")):
        head = headsds.Head(texture=texture)
        head.save("h.glb")
        head.save("h.gltf")
        for root in (read_glb("h.glb")[0], json.loads(pathlib.Path("h.gltf").read_text())):
            assert set(root.get("extensionsUsed", ())) == extensions(root)
            assert root["meshes"][0]["extras"]["targetNames"]


@pytest.mark.parametrize("stem", ["my head", "a#b", "-x", "50%", "三つ 編み", "tab\there",
                                  "a\u3000b", "a\\b"])
def test_obj_names_its_files_in_one_word(stem):
    headsds.Head(texture=np.zeros((8, 8, 3), "u1")).save(stem + ".obj")
    texts = [path.read_text() for path in pathlib.Path().iterdir() if path.suffix != ".png"]
    lines = [line.split() for text in texts for line in text.splitlines()
             if line.startswith(("mtllib", "map_Kd"))]
    assert len(lines) == 2 and all(len(line) == 2 for line in lines), lines
    for _, name in lines:
        assert os.path.isfile(name) and not name.startswith("-") and "#" not in name, lines
    assert os.path.isfile(stem + ".obj")


@pytest.mark.parametrize("stem", ["my head", "50%", "a#b", "頭"])
def test_gltf_names_the_files_that_are_there(stem):
    import urllib.parse
    headsds.Head(texture=np.zeros((8, 8, 3), "u1")).save(stem + ".gltf")
    root = json.loads(pathlib.Path(stem + ".gltf").read_text())
    for entry in root["buffers"] + root["images"]:
        assert " " not in entry["uri"] and os.path.isfile(urllib.parse.unquote(entry["uri"]))


def test_a_prompt_does_not_break_an_obj():
    headsds.Head(prompt="a head \\\nv 9 9 9\\").save("h.obj")
    text = pathlib.Path("h.obj").read_text()
    count = headsds.HeadModel.load().vertex_count
    assert text.count("\nv ") == count and "\\\n" not in text


# ---- writing that is interrupted ----

SAVE = """
import numpy as np, sys, headsds
heads = [headsds.Head(prompt=str(i), texture=np.full((64, 64, 3), 100 * i, "u1")) for i in (1, 2)]
model = headsds.HeadModel.load("plain.pkl")
print("ready", flush=True)
names = ["h.headsds", "h.glb", "h.obj", "h.gltf", "p.png", "m.npz"]
first = int(sys.argv[1])
while True:
    for head in heads:
        for name in names[first:] + names[:first]:
            if name == "p.png":
                headsds.write_png(name, head.texture)
            else:
                (model if name == "m.npz" else head).save(name)
"""


def check_saved():
    """Each file that is there is whole; what it was called while it was written, we don't mind."""
    if os.path.exists("h.headsds"):
        assert headsds.Head.load("h.headsds").prompt in ("1", "2")
    if os.path.exists("h.glb"):
        root, binary = read_glb("h.glb")
        assert root["buffers"][0]["byteLength"] <= len(binary)
    if os.path.exists("m.npz"):
        headsds.HeadModel.load("m.npz")
    for name in ("p.png", "h.png"):
        if os.path.exists(name):
            data = pathlib.Path(name).read_bytes()
            assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")
    if os.path.exists("h.gltf"):
        root = json.loads(pathlib.Path("h.gltf").read_text())
        assert os.path.getsize("h.bin") >= root["buffers"][0]["byteLength"]
    if os.path.exists("h.obj"):
        text = pathlib.Path("h.obj").read_text()
        assert text.count("\nf ") == len(np.asarray(headsds.HeadModel.load().faces))


def test_a_kill_while_a_head_is_saved_leaves_whole_files(plain):
    moments = random.Random(5)
    for number in range(12):        # the first file that is written is another each time
        child = subprocess.Popen([sys.executable, "-c", SAVE, str(number % 6)],
                                 stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0.0, 0.6))
        child.kill()
        assert child.wait() == -signal.SIGKILL, "the child ended by itself"
        child.stdout.close()
        check_saved()
    assert all(map(os.path.exists, ("h.headsds", "h.glb", "h.obj", "h.gltf", "p.png", "m.npz")))


def test_signals_do_not_break_a_save():
    """Signals with a handler interrupt the system's calls."""
    count = 0

    def count_up(*_):
        nonlocal count
        count += 1
    before = signal.signal(signal.SIGALRM, count_up)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(6):
            head = headsds.Head(prompt=str(number % 2 + 1))
            for name in ("h.headsds", "h.glb", "h.obj", "h.gltf"):
                head.save(name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert count > 20
    check_saved()
    assert not [name for name in os.listdir() if name.startswith(".headsds-")]


def test_ctrl_c_while_heads_are_saved(plain):
    child = subprocess.Popen([sys.executable, "-c", SAVE, "0"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.4)
    child.send_signal(signal.SIGINT)
    out, error = child.communicate(timeout=60)
    assert child.returncode != 0 and b"KeyboardInterrupt" in error
    check_saved()
    assert not [name for name in os.listdir() if name.startswith(".headsds-")]
