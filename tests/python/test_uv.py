# SPDX-License-Identifier: Apache-2.0
"""UV space: maps of the surface, textures from pictures, left and right."""

import numpy as np
import pytest

import headsds
from conftest import shared

# The same from everywhere, and 1: colours without shading.
FLAT = [1 / 0.28209479177387814] + [0.0] * 8
VIEWS = {"azimuth": [0, 50, -50, 100, -100, 180], "elevation": [0, 10, 10, 0, 0, 0]}


@pytest.fixture(scope="module")
def head():
    return headsds.Head(headsds.HeadModel.load(), shape=[1.5, -1])


def altered(egg_path, path, **changes):
    """The egg with arrays replaced, or left out where None."""
    arrays = {**np.load(egg_path), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return headsds.HeadModel.load(path)


@pytest.fixture
def bare(egg_path, tmp_path):
    return altered(egg_path, tmp_path / "bare.npz", uvs=None, uv_faces=None, mean_texture=None)


def look_up(picture, uv):
    """The texel that holds each uv."""
    size = len(picture)
    x = np.clip(uv[..., 0] * size, 0, size - 1).astype(int)
    y = np.clip((1 - uv[..., 1]) * size, 0, size - 1).astype(int)
    return picture[y, x]


def test_positions(head):
    positions, coverage = head.uv_map("positions", 256)
    assert (positions.format, positions.shape) == ("f", (256, 256, 3))
    assert (coverage.format, coverage.shape) == ("B", (256, 256))
    positions, coverage = np.asarray(positions), np.asarray(coverage)
    assert set(np.unique(coverage)) == {0, 1}
    assert (positions[coverage == 0] == 0).all()
    model, vertices = head.model, np.asarray(head.vertices())
    assert (positions >= vertices.min(axis=0)).all() and (positions <= vertices.max(axis=0)).all()
    # each corner of a face lies within a texel of what the map has at its uv
    uv = np.asarray(model.uvs)[np.asarray(model.uv_faces).ravel()]
    known = look_up(coverage, uv) == 1
    apart = look_up(positions, uv) - vertices[np.asarray(model.faces).ravel()]
    assert known.mean() > 0.95
    assert np.percentile(np.linalg.norm(apart[known], axis=1), 99) < 0.005


def test_normals(head):
    normals, coverage = (np.asarray(array) for array in head.uv_map(kind="normals", size=64))
    length = np.linalg.norm(normals, axis=2)
    assert np.abs(length - coverage).max() < 1e-5
    positions = np.asarray(head.uv_map("positions", 64)[0])
    front = (coverage == 1) & (positions[..., 2] > 0.09)
    assert front.sum() > 20
    assert normals[front][:, 2].mean() > 0.4


def test_default_size(egg):
    head = headsds.Head(egg)
    assert head.uv_map("normals")[0].shape == (512, 512, 3)
    assert head.model.uv_mirror().shape == (512, 512, 2)
    picture = np.zeros((4, 4, 3), "u1")
    assert [array.shape for array in head.unwrap(picture)] == [(512, 512, 3), (512, 512)]


def test_unwrap_gives_the_texture_back(head):
    """Six unlit pictures, unwrapped, and the head with that texture drawn again."""
    texture, weight = head.unwrap(head.render(**VIEWS, light=FLAT), **VIEWS, size=256)
    assert (texture.format, texture.shape) == ("B", (256, 256, 3))
    assert (weight.format, weight.shape) == ("f", (256, 256))
    weight = np.asarray(weight)
    covered = np.asarray(head.uv_map("positions", 256)[1]) == 1
    assert (weight[~covered] == 0).all()
    assert 0.9 < (weight > 0)[covered].mean() < 0.99  # all but mouth, behind the eyes, ...
    assert weight.max() <= 6
    difference = np.abs(np.asarray(texture).astype(int) - np.asarray(head.texture))
    assert difference[weight > 0].mean() < 1.5
    assert difference[weight > 0.5].mean() < 0.75
    assert np.asarray(texture)[~covered].min(axis=1).max() > 100  # gutters are no black
    again = headsds.Head(head.model, shape=head.shape, texture=texture)
    views = {"azimuth": [0, 35, -70, 160], "elevation": 5}
    before, after = (np.asarray(h.render(**views)).astype(int) for h in (head, again))
    assert np.abs(before - after).mean() < 0.25
    assert np.percentile(np.abs(before - after).max(axis=-1), 99) < 8


def test_unwrap_takes_the_side_that_none_shows_from_the_other(head):
    """From one side only: the nearest texel that is seen would be off by 20 to 30."""
    views = {"azimuth": [0, 45, 90], "elevation": 0}
    texture, weight = (np.asarray(x) for x in head.unwrap(head.render(**views, light=FLAT), **views, size=256))
    covered = np.asarray(head.uv_map("positions", 256)[1]) == 1
    mirror = np.asarray(head.model.uv_mirror(256))
    hidden = covered & (weight == 0)
    there = hidden & (look_up(weight, mirror) > 0)
    assert 0.25 < hidden[covered].mean() < 0.35 and there.sum() > 0.6 * hidden.sum()
    difference = np.abs(texture.astype(int) - np.asarray(head.texture))
    assert difference[hidden].mean() < 11 and difference[there].mean() < 6
    opposite = look_up(texture, mirror)[there].astype(int)      # to a texel, and so but for edges
    assert np.percentile(np.abs(opposite - texture[there]).max(axis=1), 95) < 12


def test_unwrap_of_a_model_without_symmetry(egg_path, tmp_path, egg):
    """Nothing is opposite: the nearest texel."""
    vertices = np.load(egg_path)["vertices"]
    vertices[30, 0] += 0.004
    odd = headsds.Head(altered(egg_path, tmp_path / "odd.npz", vertices=vertices))
    picture = np.zeros((64, 64, 3), "u1")
    picture[:, :32] = 200
    texture, weight = (np.asarray(x) for x in odd.unwrap(picture, 60, size=32))
    even = np.asarray(headsds.Head(egg).unwrap(picture, 60, size=32)[0])
    hidden = weight == 0
    assert (even != texture)[hidden].any()
    seen = np.argwhere(~hidden)
    for y, x in np.argwhere(hidden):
        far = ((seen - (y, x)) ** 2).sum(axis=1)
        assert (texture[tuple(seen[far == far.min()].T)] == texture[y, x]).all(axis=1).any()


def test_unwrap_one_picture(head):
    picture = head.render(30, 5, size=64)
    texture, weight = head.unwrap(picture, 30, 5, size=32)
    texture2, weight2 = head.unwrap(np.asarray(picture)[None], [30], [5], size=32)
    assert texture == texture2 and weight == weight2
    assert 0 < (np.asarray(weight) > 0).mean() < 0.6
    assert np.asarray(weight).max() <= 1
    other = head.unwrap(picture, -30, 5, size=32)[1]
    assert other != weight


def test_unwrap_wide_picture(head):
    """The angle of a camera is from bottom to top: what is added at the sides changes nothing."""
    picture = np.asarray(head.render(20, size=64))
    wide = np.pad(picture, ((0, 0), (9, 9), (0, 0)))
    texture, weight = head.unwrap(picture, 20, size=32)
    texture2, weight2 = head.unwrap(wide, 20, size=32)
    assert texture == texture2
    assert np.abs(np.asarray(weight) - np.asarray(weight2)).max() < 1e-5


def test_unwrap_nothing(head):
    empty = np.zeros((0, 8, 8, 3), "u1")
    texture, weight = head.unwrap(empty, [], size=8)
    assert not np.asarray(texture).any() and not np.asarray(weight).any()


def test_mirror(head):
    model = head.model
    mirror = np.asarray(model.uv_mirror(256))
    template = headsds.Head(model)
    positions, coverage = (np.asarray(array) for array in template.uv_map("positions", 256))
    covered = coverage == 1
    assert (mirror[~covered] == -1).all()
    there = look_up(coverage, mirror[covered]) == 1  # else beside a chart's edge, by a texel
    assert there.mean() > 0.97
    expected = positions[covered][there] * [-1, 1, 1]
    apart = np.linalg.norm(look_up(positions, mirror[covered])[there] - expected, axis=1)
    assert np.percentile(apart, 99) < 0.005
    # twice is where it began
    back = look_up(mirror, mirror[covered])[there]
    y, x = np.nonzero(covered)
    here = np.stack([(x + 0.5) / 256, 1 - (y + 0.5) / 256], axis=1)[there]
    assert np.percentile(np.abs(back - here).max(axis=1), 99) < 2 / 256


def test_no_mirror(egg_path, tmp_path, egg):
    assert egg.uv_mirror(16) is not None
    vertices = np.load(egg_path)["vertices"]
    vertices[30, 0] += 0.004
    assert altered(egg_path, tmp_path / "odd.npz", vertices=vertices).uv_mirror(16) is None


def test_mirror_of_ict():
    """Quads that are split along one diagonal on the left and along the other on the right."""
    model = headsds.HeadModel.load(shared("ict-facekit"), shape_count=1, expression_count=1)
    mirror = np.asarray(model.uv_mirror(128))
    coverage = np.asarray(headsds.Head(model).uv_map("positions", 128)[1])
    assert ((mirror[..., 0] >= 0) == (coverage == 1)).all()


@pytest.mark.parametrize(
    "call, exception, message",
    [
        (lambda h: h.uv_map("colours"), ValueError, "kind: 'colours', expected 'positions' or"),
        (lambda h: h.uv_map("normals", 0), ValueError, "size: 0, expected 1 to 8192"),
        (lambda h: h.uv_map("normals", 9000), ValueError, "size: 9000"),
        (lambda h: h.model.uv_mirror(-1), ValueError, "size: -1"),
        (lambda h: h.unwrap(bytes(3)), ValueError, r"pictures: shape \(3,\), expected \(H, W, 3\)"),
        (lambda h: h.unwrap(np.zeros((2, 4, 4, 3), "u1"), [1]), ValueError,
         "pictures: 2 of them, expected 1, as many as cameras"),
        (lambda h: h.unwrap(np.zeros((4, 4, 3), "u1"), [1]), ValueError, r"expected \(N, H, W, 3\)"),
        (lambda h: h.unwrap(np.zeros((4, 4, 3), "f4")), TypeError, "type 'f', expected uint8; floats in .0, 1. become"),
        (lambda h: h.unwrap(np.zeros((0, 4, 3), "u1")), ValueError, "4 x 0 pixels"),
        (lambda h: h.unwrap(np.zeros((4, 4, 3), "u1"), 0, 100), ValueError, "elevation"),
        (lambda h: h.unwrap(np.zeros((4, 4, 3), "u1"), size=0), ValueError, "size: 0"),
    ],
)
def test_errors(egg, call, exception, message):
    with pytest.raises(exception, match=message):
        call(headsds.Head(egg))


def test_without_uvs(bare):
    head = headsds.Head(bare)
    for call in (lambda: head.uv_map("normals", 8), lambda: bare.uv_mirror(8),
                 lambda: head.unwrap(np.zeros((4, 4, 3), "u1"), size=8)):
        with pytest.raises(ValueError, match="egg has no UV layout"):
            call()
