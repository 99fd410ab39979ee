# SPDX-License-Identifier: Apache-2.0
"""Model folders, single files and schedulers as users have them."""

import json
import math
import os
import subprocess

import numpy as np
import pytest

import headsds
from files import edit_json, numbers, read_safetensors, write_safetensors
from released import config_of, one_file, vae

SIZE = {"height": 64, "width": 64}


@pytest.fixture(scope="module")
def expected(prior):
    return numbers(prior)


# ---- safetensors ----

def test_null_metadata_is_absent(prior, expected):
    """"__metadata__": null, which the reference reader takes."""
    write_safetensors("m.safetensors", one_file(prior.path), metadata=None)
    data = open("m.safetensors", "rb").read()
    text = data[8:8 + int.from_bytes(data[:8], "little")].rstrip()
    text = b'{"__metadata__": null, ' + text[1:]
    text += b" " * (-len(text) % 8)
    with open("n.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little"):])
    assert (numbers(headsds.Prior.load("n.safetensors", config=prior.path)) == expected).all()


# ---- 8-bit floats ----

def table_of(kind):
    """float32 of every 8-bit code, by the definition of the formats."""
    exponents, bias = (4, 7) if kind == "F8_E4M3" else (5, 15)
    mantissas = 7 - exponents
    values = []
    for code in range(256):
        exponent, mantissa = code >> mantissas & (1 << exponents) - 1, code & (1 << mantissas) - 1
        value = math.ldexp(mantissa, 1 - bias - mantissas) if exponent == 0 else \
            math.ldexp(1 + mantissa / (1 << mantissas), exponent - bias)
        values.append(-value if code & 128 else value)
    return np.array(values, "f4")


def in_8_bits(tensors, kind, scaled):
    """The matrices of the UNet in 8 bits, and the same numbers in float32."""
    table = table_of(kind)
    small, full = {}, {}
    for name, (dtype, shape, data) in tensors.items():
        small[name] = full[name] = (dtype, shape, data)
        if not name.startswith("model.diffusion_model.") or len(shape) < 2:
            continue
        values = np.frombuffer(data, {"F16": "f2", "F32": "f4"}[dtype]).astype("f4").reshape(shape)
        scale = np.float32(abs(values).max() / 400 if scaled else 1)
        near = np.clip(np.searchsorted(table[:0x7b], abs(values) / scale), 0, 0x7a).astype("u1")
        codes = near | np.where(values < 0, 128, 0).astype("u1")
        small[name] = (kind, shape, codes.tobytes())
        numbers_of = table[codes] * scale
        full[name] = ("F32", shape, numbers_of.tobytes())
        if scaled:
            small[name[:-len("weight")] + scaled] = ("F32", [], scale.tobytes())
    return small, full


@pytest.mark.parametrize("kind, scaled", [("F8_E4M3", ""), ("F8_E5M2", ""), ("F8_E4M3", "scale_weight"),
                                          ("F8_E4M3", "weight_scale")])
def test_8_bit_floats(prior, kind, scaled):
    """As ComfyUI and WebUI save models, with and without a scale for each weight."""
    small, full = in_8_bits(one_file(prior.path), kind, scaled)
    if scaled:
        small["model.diffusion_model.scaled_fp8"] = (kind, [2], b"\0\0")
        name = next(n for n in small if n.endswith(scaled))
        small[name.replace(scaled, "scale_input")] = ("F32", [], np.float32(1).tobytes())
        small[name.replace(scaled, "comfy_quant")] = ("U8", [28], b'{"format": "float8_e4m3fn"} ')
    write_safetensors("small.safetensors", small)
    write_safetensors("full.safetensors", full)
    one = numbers(headsds.Prior.load("small.safetensors", config=prior.path))
    other = numbers(headsds.Prior.load("full.safetensors", config=prior.path))
    assert abs(one - other).max() <= (2e-5 if scaled else 0)


@pytest.mark.parametrize("change, message", [
    (lambda t, name: {name.replace(".weight", ".scale_weight"): np.ones(4)}, "4 scales, expected one"),
    (lambda t, name: {name.replace(".weight", ".comfy_quant"): ("U8", [18], b'{"format":"nvfp4"}')},
     "packed otherwise"),
    (lambda t, name: {name: ("F4", t[name][1], t[name][2])}, 'dtype "F4", expected F16.*float16'),
])
def test_other_8_bit_files_are_refused(prior, change, message):
    tensors = one_file(prior.path)
    name = next(n for n in tensors if n.endswith("attn1.to_q.weight"))
    write_safetensors("m.safetensors", {**tensors, **change(tensors, name)})
    with pytest.raises(headsds.FormatError, match=message):
        headsds.Prior.load("m.safetensors", config=prior.path)


# ---- single files ----

def strip(tensors, prefix):
    return {name.replace(prefix + "text_model.", prefix): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("prefix", ["cond_stage_model.transformer.", "conditioner.embedders.0.transformer."])
def test_text_encoder_without_text_model(prior, expected, prefix):
    """NAI's names, and those of models made with transformers 5."""
    tensors = strip(one_file(prior.path, text=prefix), prefix)
    tensors[prefix + "text_projection.weight"] = np.ones((3, 3))
    write_safetensors("m.safetensors", tensors)
    assert (numbers(headsds.Prior.load("m.safetensors", config=prior.path)) == expected).all()


def test_folder_without_text_model(folder, expected):
    path = folder / "text_encoder/model.safetensors"
    write_safetensors(path, {name.replace("text_model.", "", 1): tensor for name, tensor in
                             read_safetensors(path).items()})
    assert (numbers(headsds.Prior.load(folder)) == expected).all()


def test_leftovers_of_training(prior, expected):
    more = {"model_ema.decay": np.ones(()), "betas": np.ones(4), "first_stage_model.loss.logvar": np.ones(()),
            "first_stage_model.loss.discriminator.main.0.weight": np.ones((4, 4)),
            "embedding_manager.x": np.ones(3), "cond_stage_model.logit_scale": np.ones(())}
    write_safetensors("m.safetensors", {**one_file(prior.path), **more})
    assert (numbers(headsds.Prior.load("m.safetensors", config=prior.path)) == expected).all()


def without_vae(prior):
    tensors = {n: t for n, t in one_file(prior.path).items() if not n.startswith("first_stage_model.")}
    write_safetensors("no-vae.safetensors", tensors)
    return "no-vae.safetensors"


def test_a_file_without_a_vae_says_so(prior):
    with pytest.raises(headsds.FormatError, match="holds no VAE .first_stage_model.*; give one as vae"):
        headsds.Prior.load(without_vae(prior), config=prior.path)


def test_a_vae_of_its_own(prior, expected):
    """A VAE's folder, a model's folder, a file with the names of either release."""
    path = without_vae(prior)
    write_safetensors("original.safetensors", {**vae(prior.path), "loss.logvar": np.ones(())})
    write_safetensors("prefixed.safetensors", {f"first_stage_model.{n}": t for n, t in vae(prior.path).items()})
    folder = os.path.join(prior.path, "vae")
    for own in (prior.path, folder, os.path.join(folder, "diffusion_pytorch_model.safetensors"),
                "original.safetensors", "prefixed.safetensors"):
        assert (numbers(headsds.Prior.load(path, config=prior.path, vae=own)) == expected).all(), own
    with pytest.raises(FileNotFoundError, match="vae: nowhere: no such"):
        headsds.Prior.load(path, config=prior.path, vae="nowhere")
    with pytest.raises(FileNotFoundError, match="vae: .*unet: no config.json|weights do not fit"):
        os.makedirs("empty/unet")
        headsds.Prior.load(path, config=prior.path, vae="empty/unet")


def test_another_vae_is_another_prior(prior, expected):
    tensors = dict(vae(prior.path))
    name = next(n for n in tensors if n.startswith("decoder.conv_out.weight"))
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, shape, bytes(len(data)))
    write_safetensors("grey.safetensors", tensors)
    other = headsds.Prior.load(vae="grey.safetensors")
    latents = np.zeros((1, 4, 8, 8), "f4")
    assert np.ptp(np.asarray(other.decode_latents(latents))) < np.ptp(np.asarray(prior.decode_latents(latents)))
    settings = {"geometry": {"steps": 1, "views": 1, "resolution": 64}, "texture": None}
    records = [headsds.generate("a head", None, p, **settings).record for p in (prior, other)]
    assert records[0]["prior"]["vae"] != records[1]["prior"]["vae"]
    assert records[0]["prior"]["unet"] == records[1]["prior"]["unet"]


def test_the_command_takes_a_vae(prior):
    path = without_vae(prior)
    command = [os.environ["HEADSDS_COMMAND"], "generate", "a head", "--prior", path, "--prior-config",
               prior.path, "--out", "a.headsds"]
    for stage in ("geometry", "texture"):
        for option in ("steps=1", "views=1", "resolution=64"):
            command += ["--set", f"{stage}.{option}"]
    assert subprocess.run(command, capture_output=True).returncode == 1
    done = subprocess.run([*command, "--vae", prior.path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tensors, message", [
    ({"lora_unet_a.lora_up.weight": np.ones((2, 2))}, "this is a LoRA; give it as one of loras"),
    ({"control_model.time_embed.0.weight": np.ones((2, 2))}, "this is a ControlNet; give it as depth"),
    ({"decoder.conv_in.weight": np.ones((2, 2))}, "this is a VAE; give it as vae"),
    ({"model.diffusion_model.input_blocks.0.0.weight": np.ones((2, 2)),
      "conditioner.embedders.1.model.ln_final.weight": np.ones(2)}, "this is Stable Diffusion XL"),
    ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": np.ones((2, 2))}, "transformer as Flux"),
    ({"model.diffusion_model.input_blocks.0.0.weight": np.ones((2, 2))}, "holds no text encoder"),
    ({"down_blocks.0.resnets.0.conv1.weight": np.ones((2, 2))}, "holds no UNet .*loaded from its folder"),
])
def test_files_of_another_kind_are_named(prior, tensors, message):
    write_safetensors("m.safetensors", tensors)
    with pytest.raises(headsds.FormatError, match=message):
        headsds.Prior.load("m.safetensors", config=prior.path)


def test_marks_of_v_prediction(prior):
    write_safetensors("m.safetensors", {**one_file(prior.path), "v_pred": ("F32", [0], b""),
                                        "ztsnr": ("F32", [0], b"")})
    marked = headsds.Prior.load("m.safetensors", config=prior.path)
    assert marked.alphas_cumprod[-1] == 0
    latents = np.random.RandomState(0).randn(1, 4, 8, 8).astype("f4")
    text = prior.encode_text(["a head"])
    v = np.asarray(prior.predict_noise(latents, 300, text))
    abar = marked.alphas_cumprod[300]
    expected = abar**.5 * v + (1 - abar)**.5 * latents
    assert np.allclose(marked.predict_noise(latents, 300, text), expected, atol=1e-5)


# ---- schedules ----

def scheduler(folder, **changes):
    edit_json(folder / "scheduler/scheduler_config.json", **changes)


def cumulative(betas):
    return np.cumprod(1 - np.asarray(betas, "f8"))


def bar(function):
    t = np.arange(1000)
    return cumulative(np.minimum(1 - function((t + 1) / 1000) / function(t / 1000), .999))


def laplace(t):
    snr = np.exp(-.5 * np.sign(.5 - t) * np.log(1 - 2 * abs(.5 - t) + 1e-6))
    return np.sqrt(snr / (1 + snr))


LINEAR = np.linspace(.00085, .012, 1000)
SCALED = np.linspace(.00085**.5, .012**.5, 1000)**2


@pytest.mark.parametrize("changes, expected", [
    ({"beta_schedule": "linear"}, cumulative(LINEAR)),
    ({"beta_schedule": "scaled_linear"}, cumulative(SCALED)),
    ({"beta_schedule": "squaredcos_cap_v2"}, bar(lambda t: np.cos((t + .008) / 1.008 * np.pi / 2)**2)),
    ({"beta_schedule": "laplace"}, bar(laplace)),
    ({"beta_schedule": "sigmoid"},
     cumulative((.012 - .00085) / (1 + np.exp(-np.linspace(-6, 6, 1000))) + .00085)),
    ({"trained_betas": [.1, .2, .3], "num_train_timesteps": 3}, [.9, .72, .504]),
    ({"_class_name": "LCMScheduler", "beta_start": ..., "beta_end": ..., "beta_schedule": ...}, cumulative(SCALED)),
    ({"_class_name": "HeunDiscreteScheduler", "beta_start": ..., "beta_end": ..., "beta_schedule": ...},
     cumulative(LINEAR)),
    ({"_class_name": "DDIMScheduler", "beta_start": ..., "beta_end": ..., "beta_schedule": ...},
     cumulative(np.linspace(.0001, .02, 1000))),
])
def test_schedules(folder, changes, expected):
    scheduler(folder, **changes)
    assert np.allclose(headsds.Prior.load(folder).alphas_cumprod, expected, rtol=1e-4, atol=1e-7)


def test_zero_terminal_snr(folder, prior):
    """The last abar is 0, the first stays, the roots are stretched evenly between."""
    scheduler(folder, rescale_betas_zero_snr=True, prediction_type="v_prediction",
              timestep_spacing="trailing", steps_offset=0)
    rescaled = headsds.Prior.load(folder)
    before, after = (np.sqrt(np.asarray(p.alphas_cumprod, "f8")) for p in (prior, rescaled))
    expected = (before - before[-1]) * before[0] / (before[0] - before[-1])
    assert after[-1] == 0 and np.allclose(after, expected, atol=2e-6)
    latents = np.random.RandomState(0).randn(1, 4, 8, 8).astype("f4")
    text = rescaled.encode_text(["a head"])
    assert (np.asarray(rescaled.predict_noise(latents, 999, text)) == latents).all()
    for name in (None, "ddim", "ddpm", "euler", "euler_ancestral", "unipc", "dpm++_2m"):
        picture = np.asarray(rescaled.sample("a head", steps=3, scheduler=name, **SIZE))
        assert np.isfinite(picture).all() and np.ptp(picture) > .01, name
    with pytest.raises(ValueError, match="timestep 999 has no signal left"):
        rescaled.sample("a head", steps=5, scheduler="pndm", **SIZE)
    head = headsds.generate("a head", None, rescaled, texture=None, geometry={
        "steps": 1, "views": 1, "resolution": 64, "timestep_max": 1.0, "timestep_min": 0.99})
    assert np.isfinite(np.asarray(head.vertices())).all()


def test_a_noise_prediction_at_no_signal(folder):
    scheduler(folder, rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=0)
    rescaled = headsds.Prior.load(folder)
    for name in ("ddim", "ddpm"):
        with pytest.raises(ValueError, match="timestep 999 has no signal left"):
            rescaled.sample("a head", steps=3, scheduler=name, **SIZE)
    assert np.isfinite(np.asarray(rescaled.sample("a head", steps=3, scheduler="euler", **SIZE))).all()


@pytest.mark.parametrize("changes, message", [
    ({"beta_schedule": "cosine"}, '"beta_schedule" is "cosine"'),
    ({"trained_betas": [.1, 2]}, '"trained_betas" is'),
    ({"prediction_type": "flow_prediction"}, '"prediction_type" is "flow_prediction"'),
    ({"rescale_betas_zero_snr": "yes"}, '"rescale_betas_zero_snr" is "yes"'),
    ({"_class_name": "FlowMatchEulerDiscreteScheduler", "beta_schedule": ..., "beta_start": ...},
     "not trained with a noise schedule of betas"),
])
def test_schedules_that_are_refused(folder, changes, message):
    scheduler(folder, **changes)
    with pytest.raises(headsds.FormatError, match=message):
        headsds.Prior.load(folder)


# ---- schedulers ----

OTHERS = """AmusedScheduler CMStochasticIterativeScheduler CogVideoXDDIMScheduler CogVideoXDPMScheduler
CosineDPMSolverMultistepScheduler DDIMInverseScheduler DDPMWuerstchenScheduler DEISMultistepScheduler
DPMSolverMultistepInverseScheduler DPMSolverSDEScheduler DPMSolverSinglestepScheduler
EDMDPMSolverMultistepScheduler EDMEulerScheduler FlowMatchEulerDiscreteScheduler
FlowMatchHeunDiscreteScheduler FlowMatchLCMScheduler HeunDiscreteScheduler IPNDMScheduler
KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler KarrasVeScheduler LCMScheduler
LMSDiscreteScheduler RePaintScheduler SASolverScheduler SCMScheduler ScoreSdeVeScheduler TCDScheduler
UnCLIPScheduler VQDiffusionScheduler SomethingNewScheduler""".split()
NAMES = ["ddim", "ddpm", "pndm", "euler", "euler_ancestral", "unipc", "dpm++_2m"]


def test_schedulers_that_are_not_done(folder):
    """Refused by name when they are used, never when another one was named; settings of theirs that
    no sampler knows, or that the named one does not do, do not matter then."""
    odd = {"original_inference_steps": 50, "timestep_scaling": 10.0, "use_beta_sigmas": True,
           "use_lu_lambdas": True, "sigma_min": 0.002, "solver_order": 3, "algorithm_type": "dpmsolver",
           "solver_type": "logrho", "timestep_type": "continuous", "variance_type": "learned"}
    for k, name in enumerate(OTHERS):
        scheduler(folder, _class_name=name, **odd)
        loaded = headsds.Prior.load(folder)
        with pytest.raises(headsds.FormatError, match=f'"_class_name" is "{name}", expected DDIM'):
            loaded.sample("a head", steps=1, **SIZE)
        if k < len(NAMES):
            assert np.isfinite(np.asarray(loaded.sample("a head", steps=4, scheduler=NAMES[k], **SIZE))).all()


@pytest.mark.parametrize("name, kind", [("DDIMParallelScheduler", "ddim"), ("DDPMParallelScheduler", "ddpm"),
                                        ("FlaxDDIMScheduler", "ddim"), ("FlaxDDPMScheduler", "ddpm"),
                                        ("FlaxPNDMScheduler", "pndm")])
def test_schedulers_that_are_equal(folder, name, kind):
    scheduler(folder, _class_name=name, skip_prk_steps=True)
    loaded = headsds.Prior.load(folder)
    one, other = (loaded.sample("a head", steps=4, scheduler=named, **SIZE) for named in (None, kind))
    assert one == other


def test_unipc_as_diffusers_writes_it_today(folder):
    scheduler(folder, **{"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.42.1",
                         "disable_corrector": [], "dynamic_thresholding_ratio": .995, "final_sigmas_type": "zero",
                         "flow_shift": 1.0, "lower_order_final": True, "predict_x0": True,
                         "rescale_betas_zero_snr": False, "sample_max_value": 1.0, "shift_terminal": None,
                         "sigma_max": None, "sigma_min": None, "solver_order": 2, "solver_p": None,
                         "solver_type": "bh2", "thresholding": False, "time_shift_type": "exponential",
                         "timestep_spacing": "linspace", "trained_betas": None, "use_beta_sigmas": False,
                         "use_dynamic_shifting": False, "use_exponential_sigmas": False,
                         "use_flow_sigmas": False, "use_karras_sigmas": False, "use_what_comes": None,
                         "use_what_comes_next": False})
    assert np.isfinite(np.asarray(headsds.Prior.load(folder).sample("a head", steps=3, **SIZE))).all()


@pytest.mark.parametrize("changes, message", [
    ({"_class_name": "UniPCMultistepScheduler", "shift_terminal": .1}, '"shift_terminal" is 0.1'),
    ({"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": True}, '"use_beta_sigmas" is true'),
    ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}, '"use_flow_sigmas" is true'),
    ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}, '"solver_order" is 3'),
    ({"_class_name": "DDIMScheduler", "use_what_comes": True}, '"use_what_comes" is not a setting'),
])
def test_settings_that_are_refused(folder, changes, message):
    scheduler(folder, **changes)
    loaded = headsds.Prior.load(folder)
    with pytest.raises(headsds.FormatError, match=message):
        loaded.sample("a head", steps=2, **SIZE)


def walk(prior, steps, **arguments):
    """(evaluations + 1, 4, 8, 8): the latents of a run without guidance, from fixed noise."""
    noise = np.random.RandomState(1).randn(1, 4, 8, 8).astype("f4")
    seen = []
    prior.sample("a head", steps=steps, guidance_scale=1, noise=noise,
                 on_progress=lambda done, count, x: seen.append(np.array(x)), **SIZE, **arguments)
    return np.array(seen, "f8").reshape(-1, 4, 8, 8)


class Model:
    def __init__(self, prior):
        self.prior, self.abar = prior, np.asarray(prior.alphas_cumprod, "f8")
        self.text = prior.encode_text(["a head"])

    def noise(self, x, t):
        return np.asarray(self.prior.predict_noise(x[None].astype("f4"), float(t), self.text), "f8")[0]


def transfer(model, x, eps, t, to):
    """Liu et al. 2022, equation 11."""
    now, then = model.abar[t], model.abar[max(to, 0)]
    return np.sqrt(then / now) * x - (then - now) / (
        now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then)) * eps


def test_pndm_without_skip_prk_steps(prior):
    """The sample prior's DDIM folder does not say: as in diffusers, Runge-Kutta comes first."""
    model, steps = Model(prior), 6
    stride, kept = 1000 // steps, []
    times = [k * stride + 1 for k in range(steps)][::-1]
    x = walk(prior, steps, scheduler="pndm")
    assert len(x) == steps + 9 + 1
    z = x[0]
    for k in range(3):
        t, half, last = times[k], times[k] - stride // 2, times[k + 1]
        slope = [model.noise(z, t)]
        slope.append(model.noise(transfer(model, z, slope[0], t, half), last + stride // 2))
        slope.append(model.noise(transfer(model, z, slope[1], t, last + stride // 2), last + stride // 2))
        slope.append(model.noise(transfer(model, z, slope[2], t, last + stride // 2 - stride // 2), last))
        kept.append(slope[0])
        z = transfer(model, z, (slope[0] + 2 * slope[1] + 2 * slope[2] + slope[3]) / 6, t, last)
    assert np.allclose(z, x[12], atol=1e-4)
    for k in range(3, steps):
        kept.append(model.noise(z, times[k]))
        eps = (55 * kept[-1] - 59 * kept[-2] + 37 * kept[-3] - 9 * kept[-4]) / 24
        z = transfer(model, z, eps, times[k], times[k] - stride)
    assert np.allclose(z, x[-1], atol=2e-4)
    with pytest.raises(ValueError, match="3 sampling steps, expected at least 4"):
        walk(prior, 3, scheduler="pndm")


@pytest.mark.parametrize("changes", [
    {"clip_sample": ...}, {"clip_sample": True, "clip_sample_range": .25},
    {"thresholding": True, "dynamic_thresholding_ratio": .5, "sample_max_value": 1.25},
])
def test_ddim_cuts(folder, changes):
    """clip_sample, whose default is true, and dynamic thresholding."""
    scheduler(folder, set_alpha_to_one=True, **changes)
    model, steps = Model(headsds.Prior.load(folder)), 4
    x = walk(model.prior, steps, scheduler="ddim")
    z, stride = x[0], 1000 // steps
    for t in [k * stride + 1 for k in range(steps)][::-1]:
        now, then = model.abar[t], model.abar[t - stride] if t >= stride else 1
        eps = model.noise(z, t)
        clean = (z - np.sqrt(1 - now) * eps) / np.sqrt(now)
        if changes.get("thresholding"):
            most = np.clip(np.quantile(abs(clean), .5), 1, 1.25)
            clean = np.clip(clean, -most, most) / most
        else:
            most = changes.get("clip_sample_range", 1)
            clean = np.clip(clean, -most, most)
        z = np.sqrt(then) * clean + np.sqrt(1 - then) * eps
    assert np.allclose(z, x[-1], atol=1e-4)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
def test_dpm_solver(folder, solver):
    """Lu et al. 2022: order 2, the end at the first sigma."""
    scheduler(folder, _class_name="DPMSolverMultistepScheduler", solver_type=solver, final_sigmas_type="sigma_min",
              lower_order_final=False, lambda_min_clipped=-1.5, timestep_spacing="linspace")
    model, steps = Model(headsds.Prior.load(folder)), 4
    sigma = np.sqrt((1 - model.abar) / model.abar)
    last = 1000 - (-np.log(sigma) < -1.5).sum()
    assert last < 1000
    times = np.rint(np.linspace(0, last - 1, steps + 1))[::-1].astype(int)[:-1]
    sigmas = np.append(sigma[times], sigma[0])
    x = walk(model.prior, steps)
    z, older = x[0], None
    for k, t in enumerate(times):
        signal = 1 / np.sqrt(1 + sigmas**2)
        clean = (z - sigmas[k] * signal[k] * model.noise(z, t)) / signal[k]
        h = np.log(sigmas[k] / sigmas[k + 1])
        weight = signal[k + 1] * (1 - np.exp(-h))
        z = sigmas[k + 1] * signal[k + 1] / (sigmas[k] * signal[k]) * z + weight * clean
        if older is not None:
            slope = (clean - older) * h / np.log(sigmas[k - 1] / sigmas[k])
            z += slope * (weight / 2 if solver == "midpoint" else
                          signal[k + 1] * ((np.exp(-h) - 1) / h + 1))
        older = clean
    assert np.allclose(z, x[-1], atol=1e-4)


@pytest.mark.parametrize("changes", [
    {"algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
    {"use_exponential_sigmas": True}, {"solver_order": 1}, {"euler_at_final": True}, {"algorithm_type": "deis"},
])
def test_settings_of_dpm_solver_run(folder, changes):
    scheduler(folder, _class_name="DPMSolverMultistepScheduler", lambda_min_clipped=None, **changes)
    x = walk(headsds.Prior.load(folder), 5)
    assert np.isfinite(x).all() and .3 < x[-1].std() < 1.2
