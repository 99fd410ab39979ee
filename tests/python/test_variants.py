# SPDX-License-Identifier: Apache-2.0
"""The forms that models come in, made from the sample prior: equal numbers in another form must come
out equal, and a changed meaning must show as its formula says."""

import json

import numpy
import pytest

import headsds
import variants

RNG = numpy.random.default_rng(5)
LATENTS = RNG.standard_normal((2, 4, 8, 8), numpy.float32)
NOISE = RNG.standard_normal((1, 4, 4, 4), numpy.float32)
PICTURE = RNG.random((32, 32, 3), numpy.float32)


@pytest.fixture(scope="module")
def plain():
    return headsds.Prior.load()


@pytest.fixture
def folder(plain, tmp_path):
    return variants.copy(plain.path, tmp_path / "model")


def predict(prior, timestep=300):
    text = prior.encode_text(["a head with a beard", "a head"])
    return numpy.asarray(prior.predict_noise(LATENTS, timestep, text))


def sample(prior, **settings):
    settings = {"steps": 4, "guidance_scale": 3, "noise": NOISE, "height": 32, "width": 32, **settings}
    return numpy.asarray(prior.sample("a head with a beard", **settings))


def test_velocity(plain, folder):
    """v = sqrt(abar) eps - sqrt(1 - abar) x0, so eps = sqrt(abar) v + sqrt(1 - abar) x."""
    variants.set_config(folder / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    prior = headsds.Prior.load(folder)
    abar = plain.alphas_cumprod[300]
    expected = abar**0.5 * predict(plain) + (1 - abar) ** 0.5 * LATENTS
    assert numpy.allclose(predict(prior), expected, atol=1e-5)
    assert not numpy.allclose(sample(prior), sample(plain), atol=0.01)
    variants.set_config(folder / "scheduler" / "scheduler_config.json", prediction_type="sample")
    with pytest.raises(headsds.FormatError, match='"prediction_type" is "sample", expected'):
        headsds.Prior.load(folder)


def test_linear_projections_and_a_list_of_heads(plain, folder):
    """Stable Diffusion 2's way to write the same function."""

    def linear(tensors):
        return {name: array[:, :, 0, 0] if "proj_in.w" in name or "proj_out.w" in name else array
                for name, array in tensors.items()}

    config = folder / "unet" / "config.json"
    variants.set_config(config, use_linear_projection=True)
    with pytest.raises(headsds.FormatError, match=r"proj_in.weight: shape \(.*, 1, 1\), expected"):
        headsds.Prior.load(folder)
    variants.change_unet(folder, linear)
    assert numpy.allclose(predict(headsds.Prior.load(folder)), predict(plain), atol=1e-5)
    variants.set_config(config, attention_head_dim=[1, 1, 1])
    assert not numpy.allclose(predict(headsds.Prior.load(folder)), predict(plain), atol=1e-3)
    variants.set_config(config, attention_head_dim=[1, 7, 1])
    with pytest.raises(headsds.FormatError, match="a number of heads that divides"):
        headsds.Prior.load(folder)


def with_inputs(more):
    def change(tensors):
        first = tensors["conv_in.weight"]
        return {**tensors, "conv_in.weight": numpy.concatenate([first, more(first)], 1)}

    return change


def test_editing(plain, folder):
    """An UNet that ignores the picture is guided by the text alone; one that sees it is not."""
    variants.set_config(folder / "unet" / "config.json", in_channels=8)
    variants.change_unet(folder, with_inputs(numpy.zeros_like))
    blind = headsds.Prior.load(folder)
    assert numpy.allclose(sample(blind, image=PICTURE), sample(plain), atol=1e-4)
    with pytest.raises(ValueError, match="image is not given: .* edits pictures"):
        sample(blind)
    with pytest.raises(ValueError, match="edits pictures"):
        predict(blind)


def test_editing_guidance(plain, folder):
    variants.set_config(folder / "unet" / "config.json", in_channels=8)
    variants.change_unet(folder, with_inputs(lambda first: first))
    prior = headsds.Prior.load(folder)
    near, far = (sample(prior, image=PICTURE, image_guidance_scale=scale) for scale in (1.5, 1))
    assert not numpy.allclose(near, far, atol=0.01)
    # The picture is added to the noisy latents: with both scales 1 the step is the plain UNet's on
    # latents + picture, which one DDIM step from the last timestep shows.
    scaling = json.loads((folder / "vae" / "config.json").read_text())["scaling_factor"]
    mean = numpy.asarray(plain.encode_image(PICTURE[None])) / scaling
    settings = {"steps": 1, "guidance_scale": 1, "image_guidance_scale": 1, "scheduler": "ddim"}
    seen = []
    sample(prior, image=PICTURE, on_progress=lambda *now: seen.append(numpy.asarray(now[2])), **settings)
    seen_plain = []
    sample(plain, on_progress=lambda *now: seen_plain.append(numpy.asarray(now[2])),
           **{k: v for k, v in settings.items() if k != "image_guidance_scale"})
    text = plain.encode_text(["a head with a beard"])
    # One leading step stands at steps_offset, 1, and ends at the first timestep.
    abar, last = plain.alphas_cumprod[1], plain.alphas_cumprod[0]
    for shift, run in ((0, seen_plain), (1, seen)):
        noise = numpy.asarray(plain.predict_noise(NOISE + shift * mean, 1, text))
        clean = (NOISE - (1 - abar) ** 0.5 * noise) / abar**0.5
        expected = last**0.5 * clean + (1 - last) ** 0.5 * noise
        assert numpy.allclose(run[1], expected, atol=1e-4), shift


def test_inpainting_is_refused(folder):
    variants.set_config(folder / "unet" / "config.json", in_channels=9)
    with pytest.raises(headsds.FormatError, match="9 input channels: an inpainting model"):
        headsds.Prior.load(folder)
