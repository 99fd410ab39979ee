# SPDX-License-Identifier: Apache-2.0
"""The module as a whole: stubs, docs, exceptions, references, life without NumPy."""

import ast
import gc
import inspect
import pathlib
import subprocess
import sys

import pytest

import headsds
import toy

STUB = pathlib.Path(headsds.__file__).with_name("headsds.pyi")


def declared(body):
    """Public names of a stub's module or class."""
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def public(thing):
    return {name for name in vars(thing) if not name.startswith("_")}


def test_stub_names_what_the_module_has():
    tree = ast.parse(STUB.read_text())
    assert declared(tree.body) == public(headsds)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name not in ("Progress", "HistoryEntry", "Fit"):
            assert declared(node.body) == public(getattr(headsds, node.name)), node.name


def test_stub_names_the_fields_of_records():
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name in ("Progress", "HistoryEntry", "Fit"):
            fields = [item.target.id for item in node.body]
            assert fields == list(getattr(headsds, node.name).__match_args__)


def test_stub_and_module_agree_on_arguments():
    for node in ast.parse(STUB.read_text()).body:
        functions = node.body if isinstance(node, ast.ClassDef) else [node]
        for f in functions:
            if not isinstance(f, ast.FunctionDef) or f.decorator_list[:1] and \
                    getattr(f.decorator_list[0], "id", "") == "property":
                continue
            where = getattr(headsds, node.name)
            if isinstance(node, ast.ClassDef):
                where = where if f.name == "__new__" else getattr(where, f.name)
            a = f.args
            wanted = [x.arg for x in a.posonlyargs + a.args + a.kwonlyargs]
            wanted = [x for x in wanted if x not in ("self", "cls")]
            found = [x for x in inspect.signature(where).parameters if x not in ("self", "type")]
            assert found == wanted, (node.name, f.name)


def test_everything_has_help():
    for name in public(headsds):
        thing = getattr(headsds, name)
        assert thing.__doc__, name
        if isinstance(thing, type) and not issubclass(thing, (Exception, tuple)):
            for inner in public(thing):
                assert getattr(thing, inner).__doc__, f"{name}.{inner}"


def test_exceptions():
    assert issubclass(headsds.FormatError, (headsds.Error, ValueError))
    assert issubclass(headsds.Cancelled, headsds.Error)
    assert headsds.__version__.count(".") == 2


def test_exports_only_its_entry():
    out = subprocess.run(["nm", "-D", "--defined-only", headsds.__file__], check=True,
                         capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in out.splitlines()] == ["PyInit_headsds"]


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import headsds
model = headsds.HeadModel.load(sys.argv[1])
head = headsds.Head(model, shape=[1.0, 0.5])
assert len(head.vertices().tolist()) == model.vertex_count
assert head.render(size=16).shape == (16, 16, 3)
head.save(sys.argv[2])
assert headsds.Head.load(sys.argv[2]).shape.tolist() == [1.0, 0.5]
"""


def test_without_numpy(egg_path, tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_NUMPY, egg_path, tmp_path / "a.headsds"],
                   check=True)


def failing(call):
    try:
        call()
    except (ValueError, OSError, TypeError, headsds.Error):
        return
    raise AssertionError("expected an error")


def calls(egg, egg_path, folder):
    texture = memoryview(bytes(48)).cast("B", (4, 4, 3))
    head = headsds.Head(egg, shape=[1, 2], texture=texture, prompt="a head")
    corners = sum(egg.faces.tolist(), [])
    saved = folder / "a.headsds"
    head.save(saved)
    return {
        "load": lambda: headsds.HeadModel.load(egg_path),
        "load fails": lambda: failing(lambda: headsds.HeadModel.load("none")),
        "vertices": lambda: egg.vertices([float("0.5")], [1], [0, 0, float("0.1")]),
        "vertices fails": lambda: failing(lambda: egg.vertices([float("0.5"), "x"])),
        "vertices of nan": lambda: failing(lambda: egg.vertices([float("nan")])),
        "arrays": lambda: (egg.faces, egg.uvs, egg.uv_faces, egg.mean_texture, egg.joint_names),
        "head": lambda: headsds.Head(egg, shape=[1], texture=texture),
        "head fails": lambda: failing(lambda: headsds.Head(egg, texture=b"1")),
        "attributes": lambda: (head.model, head.shape, head.texture, head.history, repr(head)),
        "render": lambda: head.render(size=4),
        "render fails": lambda: failing(lambda: head.render(size=4, elevation=100)),
        "load head": lambda: headsds.Head.load(saved, egg),
        "save fails": lambda: failing(lambda: head.save("x.y")),
        "fit": lambda: egg.fit(head.vertices(), expression=True),
        "fit fails": lambda: failing(lambda: egg.fit(texture)),
        "match": lambda: headsds.match_topology(egg, [3] * egg.face_count, corners,
                                                egg.vertex_count, head.vertices()),
        "match fails": lambda: failing(lambda: headsds.match_topology(egg, [3], [0, 1, 2], 3)),
    }


NAMES = ("load", "load fails", "vertices", "vertices fails", "vertices of nan", "arrays", "head",
         "head fails", "attributes", "render", "render fails", "load head", "save fails",
         "fit", "fit fails", "match", "match fails")


def counts(egg):
    gc.collect()
    things = headsds.HeadModel, headsds.Head, headsds.Error, headsds.FormatError, egg
    return [sys.getrefcount(x) for x in things]


@pytest.mark.parametrize("name", NAMES)
def test_no_leak_over_1000_calls(egg, egg_path, tmp_path, name):
    call = calls(egg, egg_path, tmp_path)[name]
    for _ in range(20):
        call()
    before, blocks = counts(egg), sys.getallocatedblocks()
    for _ in range(1000):
        call()
    assert counts(egg) == before
    assert sys.getallocatedblocks() - blocks < 100


def test_all_calls_are_listed(egg, egg_path, tmp_path):
    assert tuple(calls(egg, egg_path, tmp_path)) == NAMES
