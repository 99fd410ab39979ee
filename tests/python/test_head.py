# SPDX-License-Identifier: Apache-2.0
"""headsds.Head: made, drawn, saved and loaded; and write_png."""

import array
import os

import numpy as np
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


def test_render_many(head):
    pictures = head.render(azimuth=[30, -30, 0], elevation=5, size=48, distance=[1, 2, 0.8], fov=25)
    assert (pictures.format, pictures.shape) == ("B", (3, 48, 48, 3))
    pictures = np.asarray(pictures)
    for i, (azimuth, distance) in enumerate([(30, 1), (-30, 2), (0, 0.8)]):
        one = head.render(azimuth, 5, 48, distance=distance, fov=25)
        assert (np.asarray(one) == pictures[i]).all()
    assert head.render(np.zeros(0), size=8).shape == (0, 8, 8, 3)
    assert head.render(np.float32(30), np.int64(5), 8) == head.render(30, 5, 8)
    with pytest.raises(ValueError, match="elevation"):
        head.render([0, 1], [0, 1, 2], size=8)
    with pytest.raises(TypeError, match="number"):
        head.render("x", size=8)


def test_render_modes(head, egg):
    front = {m: np.asarray(head.render(0, 0, 64, m)).astype(int) for m in
             ("normals", "camera_normals", "control_normals", "depth")}
    side = {m: np.asarray(head.render(90, 0, 64, m)).astype(int) for m in front}
    # From the front, object and camera space are one; the ControlNets' has x turned round.
    inside = front["depth"][..., 0] > 127
    inside[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    assert inside.sum() > 500
    assert abs(front["normals"] - front["camera_normals"])[inside].max() <= 1
    assert abs(front["control_normals"][..., 0] + front["camera_normals"][..., 0] - 255)[inside].max() <= 1
    assert (front["control_normals"][..., 1:] == front["camera_normals"][..., 1:])[inside].all()
    assert (front["control_normals"][0, 0] == (128, 128, 255)).all()
    # From its own left, +x is what looks at the camera.
    assert side["normals"][32, 32, 0] > 230 and side["camera_normals"][32, 32, 2] > 230
    depth = front["depth"]
    assert (depth[0, 0] == 0).all() and depth.max() == 255 and depth[inside].min() >= 127
    assert depth[32, 32, 0] > depth[inside][:, 0].mean()


def test_render_light_and_background(head):
    plain = head.render(size=32, mode="grey")
    lit = [head.render(size=32, mode="grey", light=i) for i in (0, 1)]
    assert lit[0] != plain and lit[0] != lit[1]
    dark = np.asarray(head.render(size=32, mode="grey", light=[0] * 9, background=[1, 0, 0.5]))
    assert (dark[16, 16] == 0).all() and (dark[0, 0] == (255, 0, 128)).all()
    picture = np.arange(32 * 32 * 3, dtype="u1").reshape(32, 32, 3)
    drawn = np.asarray(head.render(size=32, background=picture))
    assert abs(drawn[:, :2].astype(int) - picture[:, :2]).max() <= 1
    assert (drawn[16, 16] != picture[16, 16]).any()


def test_render_parts():
    head = headsds.Head()
    if not head.model.part_names:
        pytest.skip("the sample head has no parts")
    drawn = np.asarray(head.render(size=64, mode="parts"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > len(head.model.part_names)


def test_cameras(head):
    drawn = headsds.cameras("faceg2e-geometry", 200)
    assert sorted(drawn) == ["azimuth", "distance", "elevation", "fov"]
    assert -45 <= min(drawn["azimuth"]) < -30 and 30 < max(drawn["azimuth"]) <= 45
    assert 1 <= min(drawn["distance"]) and max(drawn["distance"]) <= 1.3
    assert set(headsds.cameras("faceg2e-texture", 99, seed=3)["azimuth"]) == {0, 60, 120, 240, 300}
    assert drawn == headsds.cameras("faceg2e-geometry", 200) != headsds.cameras("faceg2e-geometry", 200, 1)
    few = headsds.cameras("anihead", 3)
    assert head.render(**few, size=16).shape == (3, 16, 16, 3)
    with pytest.raises(ValueError, match="cameras: 'x', expected one of faceg2e-geometry"):
        headsds.cameras("x", 1)
    with pytest.raises(ValueError, match="count"):
        headsds.cameras("anihead", -1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "size: 0, expected 1 to 4096"),
        ({"size": 5000}, "size: 5000"),
        ({"mode": "x"}, "mode: 'x', expected 'textured', 'grey', 'normals', 'camera_normals'"),
        ({"mode": "parts"}, "mode: egg has no parts; add part_names and face_parts"),
        ({"light": 99}, "light: preset -?[0-9]+, expected 0 to"),
        ({"light": [1, 2]}, "light"),
        ({"light": [float("nan")] * 9}, r"light\[0\]: nan"),
        ({"background": [0, 0]}, "background"),
        ({"background": [0, 128, 0]}, r"background\[1\]: 128, expected a number from 0 to 1"),
        ({"background": np.zeros((4, 4, 3), "u1")}, "background"),
        ({"elevation": 100}, "elevation"),
        ({"azimuth": float("nan")}, "azimuth"),
        ({"distance": -1}, "distance: -1, expected 0.01 to 100 metres"),
        ({"fov": 170}, "fov: 170, expected 1 to 150 degrees"),
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


def test_base_pose_returns_with_the_head(tmp_path, egg, egg_path):
    posed = headsds.HeadModel.load(egg_path, base_pose=[0.3, 0, 0, 0, 0.1])
    head = headsds.Head(posed, shape=[1], pose=[0, 0.2, 0])
    head.save(tmp_path / "a.headsds")
    for back in headsds.Head.load(tmp_path / "a.headsds"), headsds.Head.load(tmp_path / "a.headsds", posed):
        assert back.vertices() == head.vertices() and back.model.base_pose == posed.base_pose
    other = headsds.HeadModel.load(egg_path, base_pose=[0.3])
    headsds.Head(egg).save(tmp_path / "b.headsds")
    for name, model in ("a", egg), ("a", other), ("b", posed):
        with pytest.raises(ValueError, match=f"{name}.headsds: was made on .* 'egg' in another base pose"):
            headsds.Head.load(tmp_path / f"{name}.headsds", model)


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
