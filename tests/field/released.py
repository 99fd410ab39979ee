# SPDX-License-Identifier: Apache-2.0
"""The built-in prior in one file, under the names of the original release."""

import json
import pathlib

from files import read_safetensors

LEAVES = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
          "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
ENDS = {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "conv_norm_out": "out.0",
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
VAE = {"mid_block.resnets.0": "mid.block_1", "mid_block.resnets.1": "mid.block_2",
       "mid_block.attentions.0": "mid.attn_1", "conv_norm_out": "norm_out",
       "conv_shortcut": "nin_shortcut", "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v",
       "to_out.0": "proj_out"}


def unet_name(name, config):
    """A module or weight of the UNet, as the original release calls it."""
    rows = config["layers_per_block"] + 1
    crossed = [kind.startswith("Cross") for kind in config["up_block_types"]]
    for new, old in ENDS.items():
        if name.startswith(new + "."):
            return old + name[len(new):]
    parts = name.split(".")
    if parts[0] == "mid_block":
        part = "1" if parts[1] == "attentions" else "0" if parts[2] == "0" else "2"
        head, rest = ["middle_block", part], parts[3:]
    else:
        level, kind, layer, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
        down = parts[0] == "down_blocks"
        last = kind in ("downsamplers", "upsamplers")
        row = level * rows + (rows - 1 if last else layer) + down
        part = 1 if kind == "attentions" else 1 + crossed[level] if kind == "upsamplers" else 0
        head = ["input_blocks" if down else "output_blocks", str(row), str(part)]
        if kind == "downsamplers":
            rest[0] = "op"
    if rest[0] in LEAVES:
        rest[0] = LEAVES[rest[0]]
    return ".".join(head + rest)


def vae_name(name, levels):
    for new, old in VAE.items():
        name = name.replace(new + ".", old + ".")
    parts = name.split(".")
    if parts[1] in ("down_blocks", "up_blocks"):
        up = parts[1] == "up_blocks"
        level = levels - 1 - int(parts[2]) if up else int(parts[2])
        kind = ["block", parts[4]] if parts[3] == "resnets" else ["upsample" if up else "downsample"]
        parts[1:5] = ["up" if up else "down", str(level), *kind]
    return ".".join(parts)


def config_of(folder, part):
    return json.loads((pathlib.Path(folder) / part / "config.json").read_text())


def vae(folder):
    """{name: tensor} of the VAE alone; its attention's layers are 1x1 convolutions there."""
    path = pathlib.Path(folder) / "vae/diffusion_pytorch_model.safetensors"
    levels = len(config_of(folder, "vae")["block_out_channels"])
    named = {}
    for name, (dtype, shape, data) in read_safetensors(path).items():
        name = vae_name(name, levels)
        if ".attn_1." in name and len(shape) == 2:
            shape = [*shape, 1, 1]
        named[name] = (dtype, shape, data)
    return named


def one_file(folder, text="cond_stage_model.transformer."):
    folder = pathlib.Path(folder)
    unet = config_of(folder, "unet")
    tensors = {f"model.diffusion_model.{unet_name(name, unet)}": tensor for name, tensor in
               read_safetensors(folder / "unet/diffusion_pytorch_model.safetensors").items()}
    tensors.update((f"first_stage_model.{name}", tensor) for name, tensor in vae(folder).items())
    for name, tensor in read_safetensors(folder / "text_encoder/model.safetensors").items():
        tensors[text + name] = tensor
    return tensors
