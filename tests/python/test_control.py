# SPDX-License-Identifier: Apache-2.0
"""ControlNets of a headsds.Prior; their numbers are judged in tests/nn."""

import pytest

import headsds
from conftest import shared


def floats(*shape):
    count = 4
    for extent in shape:
        count *= extent
    return memoryview(bytes(count)).cast("f", shape)


@pytest.fixture(scope="module")
def controlled():
    return headsds.Prior.load(shared("parity/tiny-sd15"), depth=shared("parity/tiny-controlnet-depth"),
                              texture=shared("parity/tiny-controlnet-canny"))


def test_noise(controlled):
    text = controlled.encode_text(["a head"])
    latents, picture = floats(1, 4, 8, 8), floats(1, 64, 64, 3)
    plain = controlled.predict_noise(latents, 500, text)
    depth = controlled.predict_noise(latents, 500, text, depth=picture)
    both = controlled.predict_noise(latents, 500, text, depth=picture, texture=picture)
    assert depth != plain and both != depth
    assert controlled.predict_noise(latents, 500, text, picture, 0.5) not in (plain, depth)
    assert controlled.predict_noise(latents, 500, text, picture, 0) == plain


def test_sample(controlled):
    size = {"height": 64, "width": 64, "steps": 2}
    plain = controlled.sample("a head", **size)
    assert controlled.sample("a head", depth=floats(64, 64, 3), **size) != plain
    with pytest.raises(ValueError, match="depth: axis 1 has 56 entries, expected 64"):
        controlled.sample("a head", depth=floats(64, 56, 3), **size)
    with pytest.raises(ValueError, match="texture_scale is inf"):
        controlled.sample("a head", texture=floats(64, 64, 3), texture_scale=float("inf"), **size)


def test_errors(prior, tmp_path):
    with pytest.raises(ValueError, match="depth: .*loaded without a ControlNet"):
        prior.predict_noise(floats(1, 4, 8, 8), 5, prior.encode_text(["a"]), floats(1, 64, 64, 3))
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder, expected a ControlNet"):
        headsds.Prior.load(prior.path, depth=tmp_path / "nowhere")
    with pytest.raises(headsds.FormatError, match="was made for another UNet"):
        headsds.Prior.load(depth=shared("parity/tiny-controlnet-depth"))
