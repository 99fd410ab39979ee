# SPDX-License-Identifier: Apache-2.0
"""What the writers of cases share: small models, the reference's numbers, the list of cases."""

import json
import pathlib
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "field"))
from inputs import draw, pictures  # noqa: E402

torch.set_num_threads(1)        # the models are small
PROMPTS = ["a head with big ears", "an old man's face, 45 years, naïve"]
SIZE = [8, 4]                   # of latents: no square
SCHEDULE = dict(beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                steps_offset=1)


class Recorder:
    """Cases, in the folder that holds their files."""

    def __init__(self, root):
        self.root, self.cases, self.written = pathlib.Path(root), [], 0

    def add(self, group, name, load, check, expected, tolerance, fixture=False):
        expected = np.asarray(expected, "f8")
        self.cases.append({"group": group, "name": name, "load": load, "check": check, "tolerance": tolerance,
                           "fixture": fixture, "shape": list(expected.shape),
                           "expected": [float(f"{x:.8g}") for x in expected.ravel()]})

    def all_of(self, group, name, load, pipe, tolerance, fixture=False, which=("states", "noise", "encode", "decode")):
        """Every network of a model."""
        for what in which:
            check = CHECKS[what]
            self.add(group, f"{name}: {what}", load, check, KINDS[what](pipe, check), tolerance, fixture)

    def save(self):
        text = json.dumps({"versions": versions(), "cases": self.cases}, ensure_ascii=False)
        (self.root / "cases.json").write_text(text, encoding="utf-8")


def versions():
    import importlib.metadata as metadata
    names = ("torch", "diffusers", "transformers", "tokenizers", "peft", "lycoris-lora", "safetensors")
    return {name: metadata.version(name) for name in names}


# ---- models ----

def randomize(module, seed):
    """Norms, biases and layers that begin at zero get numbers of their own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = .15 if parameter.dim() < 2 or not parameter.any() else 0
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def unet(seed=0, **settings):
    torch.manual_seed(seed)
    settings = {"sample_size": 8, "layers_per_block": 1, "block_out_channels": (16, 32), "norm_num_groups": 8,
                "cross_attention_dim": 16, "attention_head_dim": 4,
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), **settings}
    return randomize(UNet2DConditionModel(**settings), seed)


def vae(seed=1, **settings):
    torch.manual_seed(seed)
    settings = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 64,
                "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
                **settings}
    return randomize(AutoencoderKL(**settings), seed)


def text_encoder(tokenizer, seed=2, **settings):
    torch.manual_seed(seed)
    settings = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                "projection_dim": 16, "vocab_size": len(tokenizer), "max_position_embeddings": 77,
                "hidden_act": "quick_gelu", "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, **settings}
    return randomize(CLIPTextModel(CLIPTextConfig(**settings)), seed)


def pipeline(tokenizer, scheduler=None, kind=StableDiffusionPipeline, **parts):
    pipe = kind(tokenizer=tokenizer, scheduler=scheduler or DDIMScheduler(**SCHEDULE, clip_sample=False,
                                                                          set_alpha_to_one=False),
                unet=parts.pop("unet", None) or unet(), vae=parts.pop("vae", None) or vae(),
                text_encoder=parts.pop("text_encoder", None) or text_encoder(tokenizer), safety_checker=None,
                feature_extractor=None, requires_safety_checker=False, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


# ---- the reference's numbers; inputs as in tests/field/reference.py ----

CHECKS = {"states": {"what": "states", "prompts": PROMPTS},
          "noise": {"what": "noise", "prompts": PROMPTS, "timesteps": [0, 1, 301, 640, 999], "size": SIZE},
          "encode": {"what": "encode", "size": SIZE}, "decode": {"what": "decode", "size": SIZE}}


def tokenized(pipe, prompts):
    """As the pipelines do it: with the words of textual inversions spelled out."""
    prompts = pipe.maybe_convert_prompt(list(prompts), pipe.tokenizer)
    return pipe.tokenizer(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids


@torch.no_grad()
def states(pipe, check):
    return pipe.text_encoder(tokenized(pipe, check["prompts"]))[0].float().numpy()


def as_noise(scheduler, output, latents, t):
    """What the UNet says, as a prediction of the noise."""
    if scheduler.config.prediction_type == "epsilon":
        return output
    abar = scheduler.alphas_cumprod[t]
    return abar**.5 * output + (1 - abar)**.5 * latents


@torch.no_grad()
def noise(pipe, check):
    text = torch.from_numpy(states(pipe, check))
    latents = torch.from_numpy(draw(1, len(text), 4, *check["size"]))
    found = []
    for t in check["timesteps"]:
        more = {}
        if "depth_scale" in check:
            shown = torch.from_numpy(pictures(2, len(text), *(8 * n for n in check["size"]), 3)).permute(0, 3, 1, 2)
            down, mid = pipe.controlnet(latents, t, text, shown, conditioning_scale=check["depth_scale"],
                                        return_dict=False)
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        found.append(as_noise(pipe.scheduler, pipe.unet(latents, t, text, **more).sample, latents, t).numpy())
    return np.stack(found)


@torch.no_grad()
def encode(pipe, check):
    shown = torch.from_numpy(pictures(3, 2, *(8 * n for n in check["size"]), 3)).permute(0, 3, 1, 2)
    return (pipe.vae.encode(2 * shown - 1).latent_dist.mean * pipe.vae.config.scaling_factor).numpy()


@torch.no_grad()
def decode(pipe, check):
    latents = torch.from_numpy(draw(4, 2, 4, *check["size"]))
    shown = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return (shown / 2 + .5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def walk(pipe, check):
    """Latents before the first evaluation and after each."""
    text = torch.from_numpy(states(pipe, check))
    pipe.scheduler.set_timesteps(check["steps"])
    if "first" in check:
        pipe.scheduler.timesteps[0] = check["first"]
    x = torch.from_numpy(draw(6, 1, 4, *check["size"])) * pipe.scheduler.init_noise_sigma
    seen = [x.numpy()]
    for t in pipe.scheduler.timesteps:
        output = pipe.unet(pipe.scheduler.scale_model_input(x, t), t, text).sample
        x = pipe.scheduler.step(output, t, x).prev_sample.float()
        seen.append(x.numpy())
    return np.stack(seen)


KINDS = {kind.__name__: kind for kind in (states, noise, encode, decode, walk)}
