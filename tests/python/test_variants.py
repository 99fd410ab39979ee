# SPDX-License-Identifier: Apache-2.0
"""The forms that models come in, made from the sample prior: equal numbers in another form must come
out equal, and a changed meaning must show as its formula says."""

import json
import pathlib

import numpy
import pytest

import headsds
import variants
from conftest import shared

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


def shard(folder, part, stem):
    """Two files and their index in place of one."""
    path = folder / part / f"{stem}.safetensors"
    tensors = variants.read(path)
    path.unlink()
    names = sorted(tensors)
    halves = {f"{stem}-0000{k + 1}-of-00002.safetensors": names[k::2] for k in (0, 1)}
    for name, mine in halves.items():
        variants.write(path.parent / name, {key: tensors[key] for key in mine})
    index = {"metadata": {}, "weight_map": {key: name for name, mine in halves.items() for key in mine}}
    place = path.parent / f"{stem}.safetensors.index.json"
    place.write_text(json.dumps(index))
    return place, index


def test_shards_and_half_variants(plain, folder):
    place, index = shard(folder, "unet", "diffusion_pytorch_model")
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(folder / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    prior = headsds.Prior.load(folder)
    assert (sample(prior) == sample(plain)).all()
    index["weight_map"]["conv_in.bias"] = "../elsewhere.safetensors"
    place.write_text(json.dumps(index))
    with pytest.raises(headsds.FormatError, match="the file of conv_in.bias is not a name in the same"):
        headsds.Prior.load(folder)
    place.write_text("{}")
    with pytest.raises(headsds.FormatError, match='"weight_map" is absent'):
        headsds.Prior.load(folder)
    place.unlink()
    with pytest.raises(FileNotFoundError, match="no weights: looked for diffusion_pytorch_model.safe"):
        headsds.Prior.load(folder)


def test_torch_checkpoints(plain, folder):
    for part, stem, old in (("unet", "diffusion_pytorch_model", "diffusion_pytorch_model"),
                            ("text_encoder", "model", "pytorch_model")):
        path = folder / part / f"{stem}.safetensors"
        variants.write_torch(folder / part / f"{old}.bin", variants.read(path))
        path.unlink()
    assert (sample(headsds.Prior.load(folder)) == sample(plain)).all()


def test_a_pickle_that_would_run_something(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    harm = folder / "harm"
    variants.write_torch(path.with_suffix(".bin"), {
        **variants.read(path), "x": variants.Named("os.system", f"touch {harm}")})
    path.unlink()
    with pytest.raises(headsds.FormatError, match=r"diffusion_pytorch_model.bin: .*os\.system"):
        headsds.Prior.load(folder)
    assert not harm.exists()


def numbers(prior):
    latents = numpy.asarray(prior.encode_image(PICTURE[None]))
    text = prior.encode_text(["an old man"])
    return [numpy.asarray(a) for a in (text, latents, prior.decode_latents(latents),
                                       prior.predict_noise(latents, 300, text))]


def test_one_file():
    config = shared("parity/tiny-sd15-fp16")
    path = shared("parity/tiny-sd15-fp16-ldm.safetensors")
    for one, other in zip(numbers(headsds.Prior.load(path, config=config)),
                          numbers(headsds.Prior.load(config))):
        assert (one == other).all()
    with pytest.raises(ValueError, match="one file, which holds neither tokenizer nor configuration"):
        headsds.Prior.load(path)
    with pytest.raises(ValueError, match="config is given, but"):
        headsds.Prior.load(config, config=config)


def test_one_checkpoint(tmp_path):
    """As Lightning wrote the first releases: the weights in "state_dict", counters beside it."""
    config = shared("parity/tiny-sd15-fp16")
    tensors = variants.read(shared("parity/tiny-sd15-fp16-ldm.safetensors"))
    path = tmp_path / "model.ckpt"
    variants.write_torch(path, {"epoch": 3, "global_step": 470000, "state_dict": tensors})
    for one, other in zip(numbers(headsds.Prior.load(path, config=config)),
                          numbers(headsds.Prior.load(config))):
        assert (one == other).all()


def test_one_file_without_a_part(tmp_path):
    config = shared("parity/tiny-sd15-fp16")
    tensors = variants.read(shared("parity/tiny-sd15-fp16-ldm.safetensors"))
    path = tmp_path / "pruned.safetensors"
    variants.write(path, {k: v for k, v in tensors.items() if not k.startswith("first_stage_model")})
    with pytest.raises(headsds.FormatError, match=r"pruned.safetensors: holds no VAE .* give one as vae"):
        headsds.Prior.load(path, config=config)


def open_clip(tensors):
    """A text encoder's tensors under OpenCLIP's names, as Stable Diffusion 2's single files have
    them, with one layer more and what only the pooled text needs."""
    renames = [("text_model.embeddings.token_embedding.", "token_embedding."),
               ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
               ("text_model.final_layer_norm.", "ln_final."), ("text_model.encoder.layers.",
               "transformer.resblocks."), ("layer_norm", "ln_"), ("mlp.fc1.", "mlp.c_fc."),
               ("mlp.fc2.", "mlp.c_proj."), ("self_attn.out_proj.", "attn.out_proj.")]
    named = {}
    for name, array in tensors.items():
        for old, new in renames:
            name = name.replace(old, new)
        named[name] = array
    for name in [name for name in named if ".q_proj." in name]:
        thirds = [named.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        joined = name.replace("self_attn.q_proj.", "attn.in_proj_")
        named[joined] = numpy.concatenate(thirds)
    named = {name: array for name, array in named.items() if "position_ids" not in name}
    last = {name.replace(".0.", ".2."): array + 1 for name, array in named.items() if "blocks.0." in name}
    return {**named, **last, "text_projection": named["positional_embedding"], "logit_scale":
            numpy.ones((), numpy.float32)}


def test_one_file_with_open_clip(tmp_path):
    config = shared("parity/tiny-sd15-fp16")
    assert json.loads((config / "text_encoder" / "config.json").read_text())["num_hidden_layers"] == 2
    tensors = variants.read(shared("parity/tiny-sd15-fp16-ldm.safetensors"))
    rest = {k: v for k, v in tensors.items() if not k.startswith("cond_stage_model")}
    text = open_clip(variants.read(config / "text_encoder" / "model.safetensors"))
    path = tmp_path / "second.safetensors"
    variants.write(path, {**rest, **{f"cond_stage_model.model.{k}": v for k, v in text.items()}})
    one = headsds.Prior.load(path, config=config).encode_text(["an old man"])
    assert (numpy.asarray(one) == numbers(headsds.Prior.load(config))[0]).all()


def usual_embedding(tensors):
    """The row of convolutions on the picture with the channels that single files have: random."""
    channels, last = [3, 16, 16, 32, 32, 96, 96, 256], tensors["controlnet_cond_embedding.conv_out.bias"]
    kept = {name: a for name, a in tensors.items() if not name.startswith("controlnet_cond_embedding")}
    names = ["conv_in", *(f"blocks.{k}" for k in range(6)), "conv_out"]
    for name, inputs, outputs in zip(names, channels, [*channels[1:], len(last)]):
        kept[f"controlnet_cond_embedding.{name}.weight"] = RNG.standard_normal(
            (outputs, inputs, 3, 3), numpy.float32) / inputs**0.5
        kept[f"controlnet_cond_embedding.{name}.bias"] = RNG.standard_normal(outputs, numpy.float32)
    return kept


def test_a_controlnet_in_one_file(tmp_path):
    """A ControlNet under the names of its first release; the folder's in diffusers'."""
    source = variants.copy(shared("parity/tiny-controlnet-depth"), tmp_path / "folder")
    weights = source / "diffusion_pytorch_model.safetensors"
    tensors = usual_embedding(variants.read(weights))
    variants.write(weights, tensors)
    variants.set_config(source / "config.json", conditioning_embedding_out_channels=[16, 32, 96, 256])
    path = tmp_path / "control.safetensors"
    variants.write(path, {"control_model." + released(name, 3): a for name, a in tensors.items()})
    pictures = numpy.broadcast_to(PICTURE, (1, 32, 32, 3)).copy()
    found = []
    for depth in (path, source, None):
        prior = headsds.Prior.load(shared("parity/tiny-sd15"), depth=depth)
        text, shown = prior.encode_text(["a head"]), {"depth": pictures} if depth else {}
        found.append(numpy.asarray(prior.predict_noise(NOISE, 300, text, **shown)))
    assert (found[0] == found[1]).all()
    assert not numpy.allclose(found[0], found[2], atol=1e-3)


def released(name, blocks):
    """diffusers' name of a ControlNet's tensor -> the first release's."""
    leaves = [("norm1.", "in_layers.0."), ("conv1.", "in_layers.2."), ("time_emb_proj.", "emb_layers.1."),
              ("norm2.", "out_layers.0."), ("conv2.", "out_layers.3."),
              ("conv_shortcut.", "skip_connection.")]
    residual = "resnets" in name
    ends = [("time_embedding.linear_1.", "time_embed.0."), ("time_embedding.linear_2.", "time_embed.2."),
            ("controlnet_cond_embedding.conv_in.", "input_hint_block.0."),
            ("controlnet_cond_embedding.conv_out.", "input_hint_block.14."),
            ("controlnet_mid_block.", "middle_block_out.0."), ("conv_in.", "input_blocks.0.0."),
            ("mid_block.resnets.0.", "middle_block.0."), ("mid_block.attentions.0.", "middle_block.1."),
            ("mid_block.resnets.1.", "middle_block.2.")]
    for old, new in ends:
        if name.startswith(old):
            name = new + name[len(old):]
            break
    parts = name.split(".")
    if parts[0] == "controlnet_down_blocks":
        return ".".join(["zero_convs", parts[1], "0", *parts[2:]])
    if parts[0] == "controlnet_cond_embedding":
        return ".".join(["input_hint_block", str(2 * int(parts[2]) + 2), *parts[3:]])
    if parts[0] == "down_blocks":
        row = 1 + int(parts[1]) * blocks + (2 if parts[2] == "downsamplers" else int(parts[3]))
        part = {"resnets": "0", "attentions": "1", "downsamplers": "0"}[parts[2]]
        rest = ["op", *parts[5:]] if parts[2] == "downsamplers" else parts[4:]
        name = ".".join(["input_blocks", str(row), part, *rest])
    for old, new in leaves if residual else []:
        name = name.replace("." + old, "." + new)
    return name


LORA = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def lora(path, change=lambda tensors: tensors):
    unet = headsds.Prior.load().path + "/unet/diffusion_pytorch_model.safetensors"
    weight = LORA[len("lora_unet_") :].replace("_block_a", "_block.a").replace("s_0_", "s.0.")
    width = len(variants.read(pathlib.Path(unet))[weight.replace("attn1_", "attn1.") + ".weight"])
    tensors = {f"{LORA}.lora_down.weight": RNG.standard_normal((2, width), numpy.float32),
               f"{LORA}.lora_up.weight": RNG.standard_normal((width, 2), numpy.float32)}
    variants.write(path, change(tensors))
    return path


def test_loras_add_up(plain, tmp_path):
    path = lora(tmp_path / "a.safetensors")

    def adapted(*loras):
        return predict(headsds.Prior.load(loras=loras))

    once = adapted((path, 0.5))
    assert not numpy.allclose(once, predict(plain), atol=1e-3)
    assert numpy.allclose(adapted((path, 1.5), (path, -1)), once, atol=1e-5)
    assert (adapted((path, 0)) == predict(plain)).all()
    assert (adapted(path) == adapted((path, 1))).all()


@pytest.mark.parametrize("change, message", [
    (lambda t: {**t, "lora_unet_nowhere.lora_up.weight": t[f"{LORA}.lora_up.weight"]},
     "1 of its tensors have no place in .*: lora_unet_nowhere.lora_up.weight"),
    (lambda t: {k: v for k, v in t.items() if "down" not in k}, f"no place in .*: {LORA}.lora_up"),
    (lambda t: {k: v[:1] for k, v in t.items()}, f"no place in .*: {LORA}.lora_down"),
    (lambda t: {"hada_w1_a": t[f"{LORA}.lora_up.weight"]}, "hada_w1_a; take a LoRA"),
    (lambda t: {}, "holds no tensors"),
])
def test_bad_loras(tmp_path, change, message):
    path = lora(tmp_path / "bad.safetensors", change)
    with pytest.raises(headsds.FormatError, match=message):
        headsds.Prior.load(loras=[path])


def test_loras_of_another_type():
    with pytest.raises(TypeError, match="loras: one path"):
        headsds.Prior.load(loras="a.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors"):
        headsds.Prior.load(loras=["nowhere.safetensors"])
    with pytest.raises(TypeError, match="loras"):
        headsds.Prior.load(loras=[("a", "b", "c")])


def test_dtypes(plain):
    """The sample prior's file is float16, so that is exact; bfloat16 keeps 8 bits of each weight."""
    exact = predict(plain)
    half = headsds.Prior.load(dtype="float16")
    assert (plain.dtype, half.dtype) == ("float32", "float16")
    rounded = headsds.Prior.load(dtype="bfloat16")
    if plain.device == "cpu":
        assert numpy.array_equal(predict(half), exact)
    error = numpy.sqrt(numpy.mean((predict(rounded) - exact) ** 2) / numpy.mean(exact**2))
    assert 1e-4 < error < 0.01
    with pytest.raises(ValueError, match='dtype is "int8", expected "auto", "float32", "bfloat16"'):
        headsds.Prior.load(dtype="int8")


def test_devices(plain):
    assert plain.device in ("cpu", "cuda")
    assert headsds.Prior.load(device="cpu").device == "cpu"
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0 ", "CPU"):
        with pytest.raises(ValueError, match=f'device is "{name}", expected "auto", "cpu", "cuda"'):
            headsds.Prior.load(device=name)
    if plain.device == "cpu":
        with pytest.raises(ValueError, match='device "cuda": .*"cpu"'):
            headsds.Prior.load(device="cuda")
    else:
        on_cpu = predict(headsds.Prior.load(device="cpu"))
        assert numpy.allclose(predict(plain), on_cpu, rtol=1e-3, atol=1e-3)
