# SPDX-License-Identifier: GPL-3.0-or-later
"""What needs no Blender: core/, the command's folder, and how the zip is put together."""

import ast
import pathlib
import subprocess
import sys
import threading
import time
import types
import zipfile

import numpy as np
import pytest

import headsds_addon
from conftest import SOURCE
from headsds_addon.core import coordinates, naming, run, sculpt, settings, topology
from headsds_addon.headless import output

PACKAGE = pathlib.Path(headsds_addon.__file__).parent
# What each layer may not import.
FORBIDDEN = {"core": {"bpy", "mathutils", "ops", "ui", "headless"}, "ops": {"ui", "headless"},
             "ui": {"headless"}, "headless": {"ui"}}


def imported(path):
    """Every module name and imported word of a source."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layers(layer):
    sources = list((PACKAGE / layer).glob("*.py"))
    assert sources
    for source in sources:
        assert not FORBIDDEN[layer] & set(imported(source)), source


# ---- naming ----

@pytest.mark.parametrize("prompt", ["a", "x" * 200, "é" * 200, "頭" * 100, "a" + "頭" * 100,
                                    "ab" + "頭" * 100, "🙂" * 50, "e\u0301" * 60,
                                    "x" * 62 + "e\u0301"])
def test_names_fit_and_are_valid(prompt):
    name = naming.unique(prompt, ())
    assert 0 < len(name.encode()) <= 63
    assert prompt.startswith(name)
    assert len(name.encode()) > 63 - 7 or name == prompt


def test_cut_takes_an_accent_with_its_letter():
    assert naming.cut("x" * 62 + "e\u0301") == "x" * 62
    assert naming.cut("abce\u0301", 4) == "abc"


def test_names_are_unique():
    taken = set()
    for _ in range(12):
        name = naming.unique("頭" * 30, taken)
        assert name not in taken and len(name.encode()) <= 63
        taken.add(name)
    assert naming.unique("head", {"head"}) == "head.001"


def test_names_are_one_line():
    assert naming.unique(" a\tman\n\nwith  hair\0 ", ()) == "a man with hair"
    assert naming.unique(" \n ", ()) == "Head"


# ---- coordinates ----

def random_head(count=50):
    return np.random.default_rng(3).normal(size=(count, 3)) * [0.08, 0.1, 0.13]


def turn(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def test_axes():
    """Model: left +x, up +y, face +z. Blender: left +x, face -y, up +z."""
    assert coordinates.to_blender([[1, 0, 0], [0, 1, 0], [0, 0, 1]]).tolist() == [
        [1, 0, 0], [0, 0, 1], [0, -1, 0]]


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.01, 2.54])
@pytest.mark.parametrize("degrees", [0.0, 90.0, 37.0])
def test_a_moved_template_is_found_exactly(scale, degrees):
    template = random_head()
    rotation = turn(0, degrees) @ turn(2, degrees)
    basis = scale * template @ rotation.T + [3.0, -2.0, 1.0]
    placement = coordinates.place(template, basis)
    assert placement.scale == pytest.approx(scale)
    assert np.allclose(placement.rotation, rotation, atol=1e-9)
    assert np.allclose(placement.point(template), basis)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("rotation", [np.eye(3), turn(0, 90.0), turn(1, 180.0)])
def test_a_sculpted_mesh_keeps_its_units_and_axes(scale, rotation):
    """The sculpt drags a plain fit along; offsets must arrive unturned and in whole units."""
    template = random_head()
    sculpt = template.copy()
    sculpt[template[:, 2] > 0.05] += [0.01, 0.02, 0.05]
    basis = scale * sculpt @ rotation.T
    assert not np.allclose(coordinates.fit(template, basis).rotation, rotation, atol=1e-4)
    head = template + 0.01
    key = coordinates.shape_key(template, basis, head, coordinates.place(template, basis))
    assert np.allclose(key - basis, scale * np.full_like(template, 0.01) @ rotation.T)


@pytest.mark.parametrize("basis", [np.zeros((50, 3)), np.full((50, 3), np.nan)])
def test_meshes_without_size_are_refused(basis):
    with pytest.raises(ValueError):
        coordinates.place(random_head(), basis)


@pytest.mark.parametrize("scale, degrees", [(1.0, 0.0), (100.0, 90.0), (2.54, 37.0)])
def test_a_placement_goes_back(scale, degrees):
    placement = coordinates.Placement(scale, turn(1, degrees) @ turn(2, 20.0),
                                      np.array([3.0, -2.0, 1.0]))
    head = random_head()
    assert np.allclose(placement.back(placement.point(head)), head)
    assert np.allclose(coordinates.to_model(coordinates.to_blender(head)), head)


# ---- sculpts ----

class Model:
    """One shape component over random vertices."""
    vertex_count = 50

    def __init__(self):
        self.component = np.random.default_rng(8).normal(size=(50, 3)) * 0.01

    def vertices(self, shape=(0.0,)):
        return (random_head() + shape[0] * self.component).astype(np.float32)

    def fit(self, vertices):
        """The first vertex alone decides."""
        assert vertices.dtype == np.float32 and vertices.shape == (50, 3)
        along = (vertices[0] - self.vertices()[0]) @ self.component[0]
        return types.SimpleNamespace(shape=[along / (self.component[0] @ self.component[0])])


def head_of(model, shape, offsets):
    """What headsds.Head is."""
    return types.SimpleNamespace(shape=shape, offsets=offsets,
                                 vertices=lambda: model.vertices(shape) + offsets)


def test_a_moved_template_is_no_sculpt():
    model = Model()
    template = coordinates.to_blender(model.vertices())
    placement = coordinates.place(template, 100.0 * template @ turn(2, 40.0).T + 7.0)
    assert placement.exact
    assert sculpt.start(None, model, np.arange(50), placement, template) is None


@pytest.mark.parametrize("scale, axes", [(1.0, np.eye(3)), (100.0, turn(0, 90.0))])
def test_a_permuted_sculpt_is_the_start(scale, axes):
    """The start is the whole mesh, with the model's share in its shape; a key that is the start
    is the artist's basis, and one that moves further does so in the mesh's order."""
    model, order = Model(), np.random.default_rng(5).permutation(50)
    at_rest = model.vertices([1.5])
    at_rest[7] += [0.02, 0.03, -0.01]
    template = coordinates.to_blender(model.vertices())[order]
    basis = scale * coordinates.to_blender(at_rest)[order] @ axes.T
    placement = coordinates.place(template, basis)
    assert not placement.exact
    start = sculpt.start(types.SimpleNamespace(Head=head_of), model, order, placement, basis)
    assert np.allclose(start.vertices(), coordinates.to_model(placement.back(basis))[
        np.argsort(order)], atol=1e-6)
    assert abs(start.shape[0] - 1.5) < 0.5 and start.offsets.dtype == np.float32
    assert int(np.argmax((start.offsets ** 2).sum(axis=1))) == 7
    before = coordinates.to_blender(start.vertices())[order]
    assert np.allclose(coordinates.shape_key(before, basis, before, placement), basis)
    further = at_rest * 0.0
    further[3] = [0.01, 0.0, 0.0]
    key = coordinates.shape_key(
        before, basis, coordinates.to_blender(start.vertices() + further)[order], placement)
    moved = np.flatnonzero(np.abs(key - basis).max(axis=1) > 1e-6 * scale)
    assert moved.tolist() == [order.tolist().index(3)]


# ---- topology ----

def grid():
    """Two quads side by side as four triangles; a UV seam runs along the edge 1-4.

        3--4--5
        |  |  |
        0--1--2
    """
    faces = [[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]]
    uvs = [[0, 0], [0.4, 0], [0.6, 0], [1, 0], [0, 1], [0.4, 1], [0.6, 1], [1, 1]]
    uv_faces = [[0, 1, 5], [0, 5, 4], [2, 3, 7], [2, 7, 6]]
    return types.SimpleNamespace(name="grid", vertex_count=6, faces=np.array(faces, np.uint32),
                                 uvs=np.array(uvs, np.float32),
                                 uv_faces=np.array(uv_faces, np.uint32))


def test_uvs_of_triangles_are_the_models():
    model = grid()
    uvs = topology.corner_uvs(model, [3] * 4, model.faces.ravel())
    assert np.array_equal(uvs, model.uvs[model.uv_faces.ravel()])


def test_uvs_of_quads_keep_the_seam():
    """Other face order, other first corners, quads: each side of the seam has its own UVs."""
    uvs = topology.corner_uvs(grid(), [4, 4], [5, 4, 1, 2, 1, 4, 3, 0])
    assert np.allclose(uvs, [[1, 1], [0.6, 1], [0.6, 0], [1, 0],
                             [0.4, 0], [0.4, 1], [0, 1], [0, 0]])


def test_uvs_of_a_foreign_edge_are_refused():
    with pytest.raises(ValueError, match="edge 2-3"):
        topology.corner_uvs(grid(), [3], [1, 2, 3])


def test_mismatch_names_the_object_and_the_cure():
    def refuse(*_):
        raise ValueError("8 vertices, expected 6")
    with pytest.raises(ValueError, match="Cube: .*grid.*8 vertices, expected 6.*Add Head"):
        topology.match(types.SimpleNamespace(match_topology=refuse), grid(), "Cube", [], [],
                       np.zeros((8, 3)))


def test_a_mesh_that_is_split_at_seams_is_named_so():
    def refuse(*_):
        raise ValueError("8 vertices, expected 6")
    model = types.SimpleNamespace(name="grid", vertex_count=6, faces=np.zeros((4, 3)))
    apart = np.arange(24.0).reshape(8, 3)
    split = np.concatenate([apart[:6], apart[:2]])
    for vertices, sizes, word in ((split, [3, 3, 3, 3], "2 of its vertices .* Merge by Distance"),
                                  (split, [4, 4], "Merge by Distance"),
                                  (split, [3, 3, 3], "Use Add Head"),
                                  (apart, [3, 3, 3, 3], "Use Add Head")):
        with pytest.raises(ValueError, match=word):
            topology.match(types.SimpleNamespace(match_topology=refuse), model, "Cube", sizes, [],
                           vertices)


def test_order_comes_as_indices():
    def swapped(model, sizes, corners, vertex_count, positions):
        assert positions.dtype == np.float32 and vertex_count == 3
        return memoryview(np.array([2, 0, 1], np.uint32))
    order = topology.match(types.SimpleNamespace(match_topology=swapped), grid(), "Cube", [3],
                           [0, 1, 2], np.eye(3))
    assert order.tolist() == [2, 0, 1] and np.arange(9)[order].tolist() == [2, 0, 1]


def test_coordinates_that_are_no_numbers_are_said_so():
    with pytest.raises(ValueError, match="Cube: the mesh has coordinates that are not numbers"):
        topology.match(None, grid(), "Cube", [3], [0, 1, 2], np.full((6, 3), np.nan))


# ---- settings ----

def test_settings():
    given = settings.Settings("a man", seed=3, geometry_steps=0, texture_steps=7)
    given.check()
    assert given.arguments("m", "p", "s") == {
        "prompt": "a man", "head_model": "m", "prior": "p", "seed": 3, "start": "s",
        "recipe": None, "options": {}, "geometry": None, "texture": {"steps": 7},
        "report": None}
    chosen = settings.Settings("a", recipe="r", options=(("texture.views", 2),))
    assert chosen.arguments("m", "p")["options"] == {"texture.views": 2}
    assert chosen.arguments("m", "p")["recipe"] == "r"
    assert settings.Settings("a").arguments(None, None)["geometry"] == {}
    assert settings.Settings("a").arguments(None, None)["start"] is None
    recipe = {"geometry": {"steps": 100}, "texture": {"steps": 60}}
    assert settings.preset_steps("CUSTOM", 1, 2, recipe) == (1, 2)
    assert settings.preset_steps("STANDARD", 1, 2, recipe) == (None, None)
    assert settings.preset_steps("DRAFT", 1, 2, recipe) == (40, 24)
    assert settings.preset_steps("FINE", 1, 2, recipe) == (200, 120)


@pytest.mark.parametrize("bad, word", [(dict(prompt=" \n"), "prompt"),
                                       (dict(prompt="a", geometry_steps=-1), "geometry"),
                                       (dict(prompt="a", geometry_steps=0, texture_steps=0),
                                        "0 steps")])
def test_bad_settings(bad, word):
    with pytest.raises(ValueError, match=word):
        settings.Settings(**bad).check()


# ---- run ----

class Stopped(Exception):
    """Stands for headsds.Cancelled."""


class Job:
    """A job that ends when told to."""

    def __init__(self):
        self.step, self.ended, self.cancelled, self.prepared = 0, None, False, 36

    def progress(self):
        return types.SimpleNamespace(stage="geometry", step=self.step, step_count=10, seconds=1.0,
                                     seconds_left=65.0, prepared=self.prepared,
                                     preparation_count=36)

    def preview(self):
        return f"head {self.step}"

    def cancel(self):
        self.cancelled = True
        self.ended = Stopped("cancelled")

    def wait(self, timeout=None):
        if isinstance(self.ended, Exception):
            raise self.ended
        return self.ended


def started(job, gate=None):
    def make():
        if gate is not None:
            gate.wait()
        return job
    return run.Run(make, Stopped)


def settle(running, *states):
    """Polls until it is in one of the states."""
    while running.poll() not in states:
        time.sleep(0.001)


def test_run_to_the_end():
    job = Job()
    running = started(job)
    assert running.state == run.LOADING and "Loading" in running.text()
    settle(running, run.RUNNING)
    assert running.preview() is None, "no step yet"
    job.step = 3
    running.poll()
    assert running.preview() == "head 3"
    assert running.preview() is None, "nothing newer"
    assert running.progress.fraction == pytest.approx(0.3)
    assert running.text() == "Geometry, step 3 of 10, 1:05 left"
    job.prepared = 12
    running.poll()
    assert running.text() == "Preparing geometry, 12 of 36, 1:05 left"
    job.prepared = 36
    job.ended = "the head"
    assert running.poll() == run.DONE
    assert running.head == "the head" and running.preview() is None


def test_run_that_fails():
    job = Job()
    running = started(job)
    settle(running, run.RUNNING)
    job.ended = RuntimeError("down_blocks.0: no such weight")
    assert running.poll() == run.FAILED
    assert running.error == running.text() == "down_blocks.0: no such weight"


def test_run_that_cannot_load():
    def make():
        raise FileNotFoundError("prior: no such folder")
    running = run.Run(make, Stopped)
    settle(running, run.FAILED)
    assert running.error == "prior: no such folder"


def test_cancel_is_over_when_the_job_is():
    job = Job()
    job.cancel = lambda: setattr(job, "cancelled", True)
    running = started(job)
    settle(running, run.RUNNING)
    running.cancel()
    job.step = 4
    assert job.cancelled and running.poll() == run.RUNNING and running.text() == "Cancelling"
    assert running.preview() is None
    job.ended = Stopped()
    assert running.poll() == run.CANCELLED and running.error == ""


def test_cancel_while_loading():
    job, gate = Job(), threading.Event()
    running = started(job, gate)
    running.cancel()
    assert running.poll() == run.LOADING
    gate.set()
    settle(running, run.CANCELLED)
    assert job.cancelled


def test_cancel_while_loading_needs_nobody_who_polls():
    job, gate = Job(), threading.Event()
    running = started(job, gate)
    running.cancel()
    gate.set()
    running._thread.join()
    assert job.cancelled


def test_cancel_that_comes_too_late_is_a_cancel():
    job = Job()
    running = started(job)
    settle(running, run.RUNNING)
    job.cancel = lambda: setattr(job, "ended", "the head")
    running.cancel()
    assert running.poll() == run.CANCELLED


def test_abandon_waits_for_the_job():
    job = Job()
    running = started(job)
    settle(running, run.RUNNING)
    running.abandon()
    assert running.state == run.CANCELLED and job.cancelled


@pytest.mark.parametrize("seconds, text", [(0, "0:00"), (59.6, "1:00"), (65, "1:05"),
                                           (7380, "2:03:00")])
def test_clock(seconds, text):
    assert run.clock(seconds) == text


# ---- the folder that the command writes to ----

def write(folder, names):
    for name in names:
        pathlib.Path(folder.path(name)).write_text(name)


def content(path):
    return {p.name: p.read_text() if p.is_file() else None for p in path.iterdir()}


def test_folder_files_appear_together(tmp_path):
    out = tmp_path / "new" / "folder"
    with output.Folder(out, ["a", "b"]) as folder:
        write(folder, ["a", "b"])
        assert not {"a", "b"} & {p.name for p in out.iterdir()}
    assert content(out) == {"a": "a", "b": "b"}
    assert folder.written == [str(out / "a"), str(out / "b")]


def test_folder_refuses_at_the_start_what_it_cannot_replace(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="/b: is no file, .*--out"):
        with output.Folder(tmp_path, ["a", "b"]):
            raise AssertionError("was let in")


@pytest.mark.parametrize("missing", [True, False])
def test_folder_keeps_the_old_files_of_a_failure(tmp_path, missing):
    """One file is not written, or at the end a folder stands where the second should go."""
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="/b: was not written" if missing else "/b: is no file"):
        with output.Folder(tmp_path, ["a", "b"]) as folder:
            write(folder, ["a"] if missing else ["a", "b"])
            if not missing:
                (tmp_path / "b").mkdir()
    assert content(tmp_path) == ({"a": "old"} if missing else {"a": "old", "b": None})


def test_folder_cleans_up_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with output.Folder(tmp_path, ["a", "b"]) as folder:
            write(folder, ["a", "b"])
            raise KeyboardInterrupt
    assert not content(tmp_path)


# ---- the zip ----

def put_together(folder, *more):
    """Runs build_zip.py on a folder of samples and a module that stand for the real ones."""
    for name in ("LICENSE", "LICENSE-core", "build/headsds.abi3.so", "torch/headsds_torch_1.so"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    return subprocess.run(
        [sys.executable, SOURCE / "addon" / "build_zip.py", "--module",
         folder / "build" / "headsds.abi3.so", "--backend", folder / "torch" / "headsds_torch_1.so",
         "--data", folder / "data", "--license", folder / "LICENSE", "--core-license",
         folder / "LICENSE-core", "--folder", folder / "out", "--zip", folder / "out.zip",
         "--depfile", folder / "out.d", *more],
        capture_output=True, text=True)


def test_zip(tmp_path):
    needed = ["head/head.npz", "prior/text_encoder/model.safetensors",
              "prior/vae/diffusion_pytorch_model.safetensors",
              "prior/unet/diffusion_pytorch_model.safetensors"]
    for name in needed:
        done = put_together(tmp_path)
        assert done.returncode == 1 and f"{tmp_path / 'data' / name}: missing" in done.stderr
        assert not (tmp_path / "out.zip").exists() and not (tmp_path / "out").exists()
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_text(name)
    done = put_together(tmp_path)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(tmp_path / "out.zip").namelist()
    assert {f"headsds_addon/headsds_data/{name}" for name in needed} < set(names)
    assert {"headsds_addon/LICENSE", "headsds_addon/LICENSE-Apache-2.0"} < set(names)
    assert {"headsds_addon/headsds.abi3.so", "headsds_addon/headsds_torch_1.so"} < set(names)
    inputs = (tmp_path / "out.d").read_text().split()
    assert str(tmp_path / "data" / "prior" / "unet") in inputs
    assert str(SOURCE / "addon" / "headsds_addon" / "ops") in inputs
    assert str(tmp_path / "build" / "headsds.abi3.so") in inputs
    assert str(tmp_path / "torch" / "headsds_torch_1.so") in inputs
    assert str(tmp_path / "build") not in inputs
    strip = tmp_path / "strip"
    strip.write_text('#!/bin/sh\necho small > "$3"\n')
    strip.chmod(0o755)
    assert put_together(tmp_path, "--strip", strip).returncode == 0
    archive = zipfile.ZipFile(tmp_path / "out.zip")
    assert archive.read("headsds_addon/headsds.abi3.so") == b"small\n"
    assert archive.read("headsds_addon/LICENSE") == b"LICENSE"
    assert (tmp_path / "out" / "headsds_addon" / "headsds.abi3.so").read_text() != "small\n"
