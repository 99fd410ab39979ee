# SPDX-License-Identifier: Apache-2.0
"""Bad files, numbers, meshes and folders: an error with place and cure; no file left."""

import array
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

import headsds
from conftest import shared

NAN = float("nan")


# ---- a prior's folder ----

@pytest.fixture
def folder(tmp_path):
    """A copy of a whole prior, to be broken."""
    copy = tmp_path / "prior"
    shutil.copytree(shared("parity/tiny-sd15"), copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    for path in copy.rglob("*"):
        path.chmod(0o755)
    return copy


def unet(folder):
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def refused(folder, kind, message):
    with pytest.raises(kind, match=message) as caught:
        headsds.Prior.load(folder)
    assert str(unet(folder)) in str(caught.value)


def test_whole_prior_loads(folder):
    assert headsds.Prior.load(folder).latent_channels == 4


def test_missing_weights(folder):
    unet(folder).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        headsds.Prior.load(folder)
    assert str(caught.value).startswith(
        f"{folder / 'unet'}: no weights: looked for diffusion_pytorch_model.safetensors, ")


@pytest.mark.parametrize(
    "size, message",
    [
        (0, "0 bytes are too few for a safetensors file; .*fetch it again"),
        (4, "4 bytes are too few for a safetensors file; .*fetch it again"),
        (2000, "the file ends after 2000 bytes; it may be cut short: fetch it again"),
        (-1, "data_offsets .* outside .*; the file may be cut short: fetch it again"),
    ],
)
def test_truncated_weights(folder, size, message):
    unet(folder).write_bytes(unet(folder).read_bytes()[:size])
    refused(folder, headsds.FormatError, message)


@pytest.mark.parametrize("length", [1 << 27, 1 << 40, (1 << 64) - 1])
def test_oversized_header(folder, length):
    unet(folder).write_bytes(struct.pack("<Q", length) + unet(folder).read_bytes()[8:])
    refused(folder, headsds.FormatError, f"header length {length}, expected .*fetch it again")


def test_weights_of_another_shape(folder):
    """One tensor turned in the header, its bytes as they were."""
    data = unet(folder).read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    rows, columns = header[name]["shape"]
    assert rows != columns
    header[name]["shape"] = [columns, rows]
    text = json.dumps(header).encode()
    unet(folder).write_bytes(struct.pack("<Q", len(text)) + text + data[end:])
    refused(folder, headsds.FormatError,
            rf"{name}: shape \({columns}, {rows}\), expected \({rows}, {columns}\); "
            "take config.json and weights from one model")


# ---- a head model and its numbers ----

def test_missing_files(tmp_path):
    for load, name in ((headsds.HeadModel.load, "no.npz"), (headsds.Prior.load, "no"),
                       (headsds.Head.load, "no.headsds")):
        with pytest.raises(FileNotFoundError, match=name):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="expected a headsds or FLAME .npz file, a FLAME .pkl"):
        headsds.HeadModel.load(tmp_path / "no.npz")


@pytest.mark.parametrize("size", [0, 3, 100, 5000, -30])
def test_truncated_head_model(egg_path, tmp_path, size):
    path = tmp_path / "cut.npz"
    path.write_bytes(pathlib.Path(egg_path).read_bytes()[:size])
    with pytest.raises(headsds.FormatError, match="cut.npz"):
        headsds.HeadModel.load(path)


def test_bytes_that_are_no_text(tmp_path):
    """What a file says is repeated, as a line of text."""
    (tmp_path / "generic_neutral_mesh.obj").write_bytes(b"v 0 0 \xff\x1b[2J\xc3\n")
    with pytest.raises(headsds.FormatError, match=r'mesh[.]obj:1: found "[?] \[2J[?]", expected a finite'):
        headsds.HeadModel.load(tmp_path)


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("field, index", [("shape", 1), ("expression", 2), ("pose", 3)])
def test_numbers_that_are_none(egg, field, index, value):
    numbers = [0.0] * 6 if field == "pose" else [0.0] * (index + 1)
    numbers[index] = value
    for function in (egg.vertices, lambda **n: headsds.Head(egg, **n)):
        with pytest.raises(ValueError, match=rf"{field}\[{index}\] is .*, expected a finite"):
            function(**{field: numbers})


def test_mesh_of_another_topology(egg):
    corners = array.array("I", sum(egg.faces.tolist(), []))
    with pytest.raises(ValueError, match=f"mesh has 8 vertices, expected .* {egg.vertex_count}"):
        headsds.match_topology(egg, [4] * 6, list(range(8)) * 3, 8)
    with pytest.raises(ValueError, match=f"triangles, expected .* {egg.face_count}"):
        headsds.match_topology(egg, [3], corners[:3], egg.vertex_count)
    with pytest.raises(ValueError):
        headsds.match_topology(egg, [3] * egg.face_count, corners[::-1], egg.vertex_count)


@pytest.mark.parametrize("prompt", ["", " ", "\t\n"])
def test_empty_prompt(egg, prior, prompt):
    for function in headsds.generate, headsds.Job:
        with pytest.raises(ValueError, match="prompt is empty: say what the head should look like"):
            function(prompt, egg, prior)


# ---- where nothing can be written ----

UNWRITABLE = """
import os, sys
import headsds
folder, egg = sys.argv[1:]
head = headsds.Head(headsds.HeadModel.load(egg))
picture = head.render(size=8)
for name in ("a.glb", "a.gltf", "a.obj", "a.headsds", "a.png"):
    path = os.path.join(folder, name)
    try:
        headsds.write_png(path, picture) if name == "a.png" else head.save(path)
    except OSError as error:
        assert path[:-4] in str(error) and "no permission to write" in str(error), error
        assert "choose another place" in str(error), error
    else:
        raise AssertionError(name + " was written")
"""


def test_unwritable_folder(egg_path, tmp_path):
    command = [sys.executable, "-c", UNWRITABLE, tmp_path / "out", egg_path]
    if os.getuid() == 0:        # root writes everywhere, unless it gives up that right
        without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if subprocess.run([*without, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            pytest.skip("root without the right to give up rights")
        command = without + command
    (tmp_path / "out").mkdir(mode=0o555)
    done = subprocess.run(command, capture_output=True, text=True)
    (tmp_path / "out").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["a.glb", "a.gltf", "a.obj", "a.headsds"])
def test_folder_that_is_not_there(egg, tmp_path, name):
    with pytest.raises(FileNotFoundError, match="no/a[.].*folder does not exist; create it"):
        headsds.Head(egg).save(tmp_path / "no" / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.glb", "a.gltf", "a.obj", "a.headsds"])
def test_folder_in_the_place_of_the_file(egg, tmp_path, name):
    """The files beside it (.bin, .mtl, .png) must not appear either."""
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=f"{name}: is a folder, expected a file"):
        headsds.Head(egg).save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name] and not list((tmp_path / name).iterdir())


def test_checkpoint_that_cannot_be_written(egg, prior, tmp_path):
    with pytest.raises(FileNotFoundError, match="no/run.*create it first"):
        headsds.generate("a head", egg, prior, checkpoint=tmp_path / "no" / "run",
                         geometry={"steps": 30, "views": 1, "resolution": 64})
    assert not list(tmp_path.iterdir())
