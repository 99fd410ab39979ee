# SPDX-License-Identifier: Apache-2.0
"""headsds.Prior on a small reference model; its numbers are judged in tests/nn."""

import pytest

import headsds


def floats(*shape):
    count = 4
    for extent in shape:
        count *= extent
    return memoryview(bytes(count)).cast("f", shape)


def test_info(prior):
    assert prior.latent_channels == 4
    assert prior.timestep_count == 1000
    alphas = prior.alphas_cumprod
    assert alphas.shape == (1000,) and alphas[0] > 0.99 and alphas[999] < 0.01
    assert prior.path.endswith("tiny-sd15")


def test_text(prior):
    ids = prior.tokenize(["a head", ""])
    assert (ids.format, ids.shape) == ("q", (2, 77))
    states = prior.encode_tokens(ids)
    assert (states.format, states.shape) == ("f", (2, 77, prior.text_width))
    assert prior.encode_text(["a head", ""]) == states


def test_pictures(prior):
    latents = prior.encode_image(floats(1, 32, 48, 3))
    assert latents.shape == (1, 4, 4, 6)
    picture = prior.decode_latents(latents)
    assert picture.shape == (1, 32, 48, 3)
    assert 0 <= min(picture.cast("B").cast("f")) and max(picture.cast("B").cast("f")) <= 1


def test_noise(prior):
    text = prior.encode_text(["a head"] * 2)
    latents = floats(2, 4, 8, 8)
    noise = prior.predict_noise(latents, 500, text)
    assert noise.shape == (2, 4, 8, 8)
    assert prior.predict_noise(latents, timestep=[500.0, 500.0], text=text) == noise
    assert prior.predict_noise(latents, 10.5, text) != noise
    numpy = pytest.importorskip("numpy")
    for timestep in numpy.int64(500), numpy.float16(500), numpy.array([500, 500]):
        assert prior.predict_noise(latents, timestep, text) == noise


def test_attention_maps(prior):
    text = prior.encode_text(["a head", "a red nose"])
    latents = floats(2, 4, 8, 16)
    noise, maps = prior.attention_maps(latents, 500, text)
    assert noise == prior.predict_noise(latents, 500, text)
    assert len(maps) == 16 and all(m.shape[3] == 77 for m in maps.values())
    chosen = prior.attention_maps(latents, 500, text, tokens=[3, 0], heights=[4])[1]
    assert list(chosen) == [name for name in maps if maps[name].shape[1] == 4]
    for name, found in chosen.items():
        assert found.shape == (2, 4, 8, 2)
        whole = maps[name]
        assert sum(whole[1, 2, 5, k] for k in range(77)) == pytest.approx(1, abs=1e-5)
        assert [found[1, 2, 5, k] for k in (0, 1)] == [whole[1, 2, 5, k] for k in (3, 0)]
    with pytest.raises(ValueError, match=r"tokens\[1\] is 77, expected 0 to 76"):
        prior.attention_maps(latents, 500, text, tokens=[0, 77])
    with pytest.raises(ValueError, match=r"heights\[0\] is 5, expected one of .*: 8, 4, 2, 1$"):
        prior.attention_maps(latents, 500, text, heights=[5])


def test_errors(prior, tmp_path):
    text = prior.encode_text(["a"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        headsds.Prior.load(tmp_path / "nowhere")
    with pytest.raises((headsds.FormatError, FileNotFoundError), match=str(tmp_path)):
        headsds.Prior.load(tmp_path)
    with pytest.raises(TypeError, match="texts: <class 'str'>, expected a list of str"):
        prior.encode_text("a head")
    with pytest.raises(TypeError, match=r"texts\[1\]: <class 'int'>"):
        prior.tokenize(["a", 3])
    with pytest.raises(ValueError, match=r"ids: shape \(2,\), expected \(N, 77\)"):
        prior.encode_tokens(memoryview(bytes(16)).cast("q"))
    with pytest.raises(ValueError, match="token id"):
        prior.encode_tokens(memoryview(b"\x7f" * 77 * 8).cast("B").cast("q", (1, 77)))
    with pytest.raises(ValueError, match="33 x 32 pixels, expected multiples of 8"):
        prior.encode_image(floats(1, 33, 32, 3))
    with pytest.raises(ValueError, match=r"expected \(N, 4, h, w\)"):
        prior.decode_latents(floats(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"timestep: 3 numbers, expected 1 or one for each of 1"):
        prior.predict_noise(floats(1, 4, 8, 8), [1, 2, 3], text)
    with pytest.raises(ValueError, match=r"text: shape \(1, 77, 3\)"):
        prior.predict_noise(floats(1, 4, 8, 8), 5, floats(1, 77, 3))
    with pytest.raises(TypeError, match="image: an array of type 'B', expected floats in .0, 1.; bytes become those when divided by 255"):
        prior.encode_image(memoryview(bytes(192)).cast("B", (1, 8, 8, 3)))
