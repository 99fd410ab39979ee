# SPDX-License-Identifier: Apache-2.0
"""headsds.Head: made, drawn, saved and loaded; and write_png."""

import array
import os

import pytest

import headsds
import toy

TEXTURE = memoryview(bytes(i % 251 for i in range(4 * 8 * 3))).cast("B", (4, 8, 3))


@pytest.fixture
def head(egg):
    return headsds.Head(egg, shape=[1, -2], expression=[0, 0.5], pose=[0, 0.1, 0],
                        texture=TEXTURE, prompt="naïve head")


def test_attributes(egg, head):
    assert head.model is egg
    assert head.prompt == "naïve head"
    assert head.shape.tolist() == [1, -2]
    assert head.expression.tolist() == [0, 0.5, 0]
    assert head.pose.shape == (2, 3)
    assert head.texture.tobytes() == TEXTURE.tobytes()
    assert head.texture.shape == (4, 8, 3)
    assert head.history == ()
    assert head.vertices() == egg.vertices(head.shape, head.expression, head.pose)


def dents(egg):
    """(V, 3) offsets as a float32 memoryview."""
    numbers = array.array("f", [0.01 * ((7 * i) % 5 - 2) for i in range(3 * egg.vertex_count)])
    return memoryview(numbers).cast("B").cast("f", (egg.vertex_count, 3))


def test_offsets(egg, head, tmp_path):
    offsets = dents(egg)
    assert head.offsets is None
    sculpt = headsds.Head(egg, shape=[1, -2], texture=TEXTURE, offsets=offsets)
    assert sculpt.offsets == offsets and sculpt.offsets.shape == (egg.vertex_count, 3)
    plain = egg.vertices(shape=[1, -2])
    for i in 0, 17, egg.vertex_count - 1:
        for k in range(3):
            expected = plain[i, k] + offsets[i, k]
            assert sculpt.vertices()[i, k] == pytest.approx(expected, abs=1e-6)
    assert sculpt.render(size=32) != headsds.Head(egg, shape=[1, -2], texture=TEXTURE).render(
        size=32)
    sculpt.save(tmp_path / "sculpt.headsds")
    back = headsds.Head.load(tmp_path / "sculpt.headsds", egg)
    assert back.offsets == offsets and back.vertices() == sculpt.vertices()
    sculpt.save(tmp_path / "sculpt.obj")
    lines = [line.split() for line in (tmp_path / "sculpt.obj").read_text().splitlines()]
    written = array.array("f", [float(x) for line in lines if line[:1] == ["v"] for x in line[1:]])
    assert written.tobytes() == sculpt.vertices().tobytes()


def test_texture_of_the_model_is_the_default(egg):
    assert headsds.Head(egg).texture == egg.mean_texture


@pytest.mark.parametrize("mode", ["textured", "grey", "normals"])
def test_render(head, mode):
    picture = head.render(azimuth=30, elevation=5, size=48, mode=mode)
    assert (picture.format, picture.shape) == ("B", (48, 48, 3))
    assert picture == head.render(30, 5, 48, mode)
    assert picture != head.render(-30, 5, 48, mode)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "size: 0, expected 1 to 4096"),
        ({"size": 5000}, "size: 5000"),
        ({"mode": "x"}, "mode: 'x', expected 'textured', 'grey' or 'normals'"),
        ({"elevation": 100}, "elevation"),
        ({"azimuth": float("nan")}, "azimuth"),
    ],
)
def test_render_errors(head, arguments, message):
    with pytest.raises(ValueError, match=message):
        head.render(**arguments)


def test_save_and_load_exact(egg, head, tmp_path):
    path = tmp_path / "a.headsds"
    head.save(path)
    for back in headsds.Head.load(path), headsds.Head.load(str(path), model=egg):
        assert back.prompt == head.prompt
        assert back.shape == head.shape
        assert back.texture == head.texture
        back.save(tmp_path / "b.headsds")
        assert path.read_bytes() == (tmp_path / "b.headsds").read_bytes()
    assert headsds.Head.load(path, egg).model is egg


def test_npz_reads_in_numpy(head, tmp_path):
    numpy = pytest.importorskip("numpy")
    head.save(tmp_path / "a.headsds")
    arrays = numpy.load(tmp_path / "a.headsds")
    assert arrays["prompt"].item().decode() == head.prompt
    assert arrays["shape"].tolist() == [1, -2]


@pytest.mark.parametrize(
    "ending, files",
    [("glb", 1), ("gltf", 3), ("obj", 3), ("headsds", 1), ("GLB", 1)],
)
def test_files_of_a_save(head, tmp_path, ending, files):
    head.save(tmp_path / f"head.{ending}")
    assert len(list(tmp_path.iterdir())) == files
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~umask() for path in tmp_path.iterdir())


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_save_errors(head, tmp_path):
    with pytest.raises(ValueError, match=r"\.stl.*\.glb, \.gltf, \.obj or \.headsds"):
        head.save(tmp_path / "head.stl")
    with pytest.raises(OSError, match="/proc/head.glb"):
        head.save("/proc/head.glb")
    with pytest.raises(TypeError):
        head.save(7)
    assert list(tmp_path.iterdir()) == []


def test_load_errors(tmp_path, head):
    with pytest.raises(FileNotFoundError, match="none.headsds"):
        headsds.Head.load(tmp_path / "none.headsds")
    path = tmp_path / "cut.headsds"
    head.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(headsds.FormatError, match="cut.headsds"):
        headsds.Head.load(path)


def test_load_with_another_model(tmp_path, head, egg_path):
    head.save(tmp_path / "a.headsds")
    with pytest.raises(ValueError, match="was made on the head model 'egg'"):
        headsds.Head.load(tmp_path / "a.headsds", headsds.HeadModel.load(egg_path, shape_count=1))


@pytest.mark.parametrize(
    "arguments, exception, message",
    [
        ({"texture": b"123"}, ValueError, r"texture: shape \(3,\), expected \(H, W, 3\)"),
        ({"texture": array.array("f", [1])}, TypeError, "type 'f', expected uint8"),
        ({"texture": [1, 2]}, TypeError, "texture: <class 'list'>"),
        ({"shape": [float("nan")]}, ValueError, "shape"),
        ({"model": 3}, TypeError, "expected a headsds.HeadModel or None"),
        ({"offsets": [0.0] * 6}, TypeError, "offsets: <class 'list'>"),
        ({"offsets": array.array("f", [0] * 6)}, ValueError, r"offsets: shape \(6,\), expected"),
        ({"offsets": memoryview(bytes(24)).cast("f", (2, 3))}, ValueError,
         "offsets: 2 vertices, expected the model's 86"),
        ({"prompt": None}, TypeError, "str"),
    ],
)
def test_wrong_arguments(egg, arguments, exception, message):
    with pytest.raises(exception, match=message):
        headsds.Head(**{"model": egg, **arguments})


def test_write_png(tmp_path):
    headsds.write_png(tmp_path / "x.png", TEXTURE)
    assert (tmp_path / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    floats = array.array("f", [byte / 255 for byte in TEXTURE.tobytes()])
    floats = memoryview(floats).cast("B").cast("f", (4, 8, 3))
    headsds.write_png(tmp_path / "floats.png", floats)
    assert (tmp_path / "floats.png").read_bytes() == (tmp_path / "x.png").read_bytes()
    outside = array.array("f", [-1, 2, 0.5, float("nan"), 0, 0])
    with pytest.raises(ValueError, match="image: number 3 is not finite"):
        headsds.write_png(tmp_path / "y.png", memoryview(outside).cast("B").cast("f", (1, 2, 3)))
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\)"):
        headsds.write_png(tmp_path / "y.png", b"123")
    with pytest.raises(OSError, match="/proc/x.png"):
        headsds.write_png("/proc/x.png", TEXTURE)
    assert not (tmp_path / "y.png").exists()
