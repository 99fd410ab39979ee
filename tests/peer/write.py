# SPDX-License-Identifier: Apache-2.0
"""Writes models with the reference packages, and their numbers: ROOT. Run by parity.py."""

import pathlib
import shutil
import sys

import torch
from diffusers import (AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionImg2ImgPipeline,
                       StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline, UNet2DConditionModel)
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig

import recorder
import write_adapters
import write_samplers
from inputs import draw, pictures
from recorder import CHECKS, PROMPTS, SCHEDULE, SIZE, Recorder
from released import one_file

NETWORK = 1e-5          # float32 against float32, of numbers about 1


def models(r, tokenizer):
    """Folders as save_pretrained writes them today."""
    pipe = recorder.pipeline(tokenizer)
    pipe.save_pretrained(r.root / "sd")
    r.all_of("Stable Diffusion 1, float32", "sd", {"path": "sd"}, pipe, NETWORK)
    # for tokenizers that have more tokens
    recorder.text_encoder(tokenizer, vocab_size=len(tokenizer) + 8).save_pretrained(r.root / "roomy")
    other = recorder.pipeline(
        tokenizer, DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", rescale_betas_zero_snr=True),
        unet=recorder.unet(3, attention_head_dim=(2, 4), use_linear_projection=True),
        text_encoder=recorder.text_encoder(tokenizer, 4, hidden_act="gelu"), vae=recorder.vae(5, scaling_factor=.3))
    other.save_pretrained(r.root / "sd2")
    r.all_of("Stable Diffusion 2, v prediction", "sd2", {"path": "sd2"}, other, NETWORK, fixture=True)
    deep = recorder.pipeline(tokenizer, unet=recorder.unet(
        6, layers_per_block=2, block_out_channels=(16, 32, 32), norm_num_groups=4, cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")))
    deep.save_pretrained(r.root / "deep")
    r.all_of("Stable Diffusion 1, float32", "three levels of two", {"path": "deep"}, deep, NETWORK, which=("noise",))
    return pipe


def ways_to_write(r, pipe):
    """One model, as it lies on disks: the reference is what diffusers loads of it."""
    ways = {"bin": {"safe_serialization": False}, "fp16": {"variant": "fp16"},
            "shards": {"max_shard_size": "40KB"}, "fp16-shards": {"variant": "fp16", "max_shard_size": "20KB"},
            "bf16": {}}
    kinds = {"fp16": torch.float16, "fp16-shards": torch.float16, "bf16": torch.bfloat16}
    pipe.save_pretrained(r.root / "tmp")
    for name, settings in ways.items():
        again = StableDiffusionPipeline.from_pretrained(r.root / "tmp").to(kinds.get(name, torch.float32))
        again.save_pretrained(r.root / name, **settings)
        variant = {"variant": settings["variant"]} if "variant" in settings else {}
        back = StableDiffusionPipeline.from_pretrained(r.root / name, torch_dtype=torch.float32, **variant)
        r.all_of("ways to write a folder", name, {"path": name}, back, NETWORK, fixture=name == "fp16-shards")
    for part, cls in {"unet": UNet2DConditionModel, "vae": AutoencoderKL}.items():
        for kind in ("float8_e4m3fn", "float8_e5m2"):
            folder = r.root / f"{part}-{kind}"
            shutil.copytree(r.root / "tmp", folder)
            model = cls.from_pretrained(folder / part).to(getattr(torch, kind))
            model.save_pretrained(folder / part)
            setattr(pipe, part, model.to(torch.float32))
            r.all_of("float8 weights", f"{part} in {kind}", {"path": folder.name}, pipe, NETWORK,
                     which=("noise",) if part == "unet" else ("encode", "decode"))
            setattr(pipe, part, cls.from_pretrained(r.root / "tmp" / part))


def single_files(r, tokenizer):
    """Files in the layout of the original release: diffusers reads what headsds reads."""
    text = "cond_stage_model.transformer.text_model."           # transformers 5 leaves text_model out
    tensors = {name: torch.frombuffer(bytearray(data), dtype={"F32": torch.float32, "I64": torch.int64}[dtype])
               .reshape(shape) for name, (dtype, shape, data) in one_file(r.root / "sd", text).items()}
    save_file(tensors, r.root / "one.safetensors")
    torch.save({"state_dict": tensors, "global_step": 3}, r.root / "one.ckpt")
    for file in ("one.safetensors", "one.ckpt"):
        pipe = StableDiffusionPipeline.from_single_file(r.root / file, config=str(r.root / "sd"), local_files_only=True,
                                                        safety_checker=None)
        r.all_of("one file, original layout", file, {"path": file, "config": "sd"}, pipe, NETWORK)


def controls(r, pipe):
    torch.manual_seed(7)
    # hint channels of its own: the default's are larger than this model
    net = ControlNetModel.from_unet(pipe.unet, conditioning_embedding_out_channels=(4, 8, 8, 16))
    recorder.randomize(net, 8)
    net.save_pretrained(r.root / "controlnet")
    net.half().save_pretrained(r.root / "controlnet-fp16", variant="fp16")
    for name in ("controlnet", "controlnet-fp16"):
        variant = {"variant": "fp16"} if name.endswith("fp16") else {}
        pipe.controlnet = ControlNetModel.from_pretrained(r.root / name, torch_dtype=torch.float32, **variant)
        for scale in (1.0, .4):
            check = {**CHECKS["noise"], "depth_scale": scale}
            r.add("ControlNet", f"{name} at {scale}", {"path": "sd", "depth": name}, check, recorder.noise(pipe, check),
                  NETWORK)
    del pipe.controlnet


def whole_runs(r, tokenizer):
    """Pipelines from noise, or a picture, to a picture, under guidance."""
    shown = torch.from_numpy(pictures(5, *(8 * n for n in SIZE), 3)).permute(2, 0, 1)[None]
    check = {"what": "picture", "prompts": PROMPTS[:1], "negative_prompt": "a hat", "steps": 6, "guidance_scale": 5.0,
             "size": SIZE}
    # ours takes the mean of the VAE's posterior, a pipeline a sample of it
    for name in ("sd", "sd2"):
        pipe = StableDiffusionPipeline.from_pretrained(r.root / name)
        pipe.set_progress_bar_config(disable=True)
        found = pipe(check["prompts"][0], negative_prompt="a hat", num_inference_steps=6, guidance_scale=5.0,
                     latents=torch.from_numpy(draw(6, 1, 4, *SIZE)), height=8 * SIZE[0], width=8 * SIZE[1],
                     output_type="np").images[0]
        r.add("whole pipelines", f"{name}, text to image", {"path": name}, check, found, 1e-4)
    edit = recorder.pipeline(tokenizer, kind=StableDiffusionInstructPix2PixPipeline, unet=recorder.unet(9, in_channels=8))
    edit.save_pretrained(r.root / "edit")
    found = edit(check["prompts"][0], image=shown, negative_prompt="a hat", num_inference_steps=6, guidance_scale=5.0,
                 image_guidance_scale=1.4, latents=torch.from_numpy(draw(6, 1, 4, *SIZE)), output_type="np").images[0]
    r.add("whole pipelines", "InstructPix2Pix", {"path": "edit"}, {**check, "image": True, "image_guidance_scale": 1.4},
          found, 1e-4)


def clip(r, tokenizer):
    torch.manual_seed(10)
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=len(tokenizer),
                bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, projection_dim=12)
    vision = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                  patch_size=16, projection_dim=12)
    model = recorder.randomize(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)), 11)
    model.save_pretrained(r.root / "clip")
    tokenizer.save_pretrained(r.root / "clip")
    from transformers import CLIPImageProcessor
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(r.root / "clip")
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (processor.image_mean, processor.image_std))
    shown = (torch.from_numpy(pictures(7, 2, 32, 32, 3)).permute(0, 3, 1, 2) - mean) / std
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        found = model(input_ids=ids.input_ids, attention_mask=ids.attention_mask, pixel_values=shown)
    a, b = found.image_embeds, found.text_embeds
    numbers = torch.cat([a.ravel(), b.ravel(), (a @ b.T).ravel()]).numpy()
    r.add("CLIP", "towers and similarity", {"clip": "clip"}, {"what": "similarity", "prompts": PROMPTS}, numbers, NETWORK)


def main(root):
    r = Recorder(root)
    tokenizer = CLIPTokenizer.from_pretrained(root / "vocabulary", model_max_length=77)
    pipe = models(r, tokenizer)
    ways_to_write(r, recorder.pipeline(tokenizer))
    single_files(r, tokenizer)
    controls(r, pipe)
    whole_runs(r, tokenizer)
    clip(r, tokenizer)
    write_samplers.write(r, pipe)
    write_adapters.write(r, tokenizer)
    r.save()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
