# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which head model, which prior, and what is added to it."""

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

PACKAGE = __package__.rpartition(".")[0]


class HeadsdsPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    head_model: StringProperty(
        name="Head Model", subtype="FILE_PATH",
        description="A headsds .npz file, FLAME's .pkl, HIFI3D's .mat or an ICT-FaceKit FaceXModel "
                    "folder; empty: the built-in sample head")
    prior: StringProperty(
        name="Prior", subtype="FILE_PATH",
        description="A Stable Diffusion 1.x or 2.x folder in diffusers' layout, or one file of "
                    "weights; empty: the built-in sample prior")
    prior_config: StringProperty(
        name="Configuration", subtype="DIR_PATH",
        description="With one file: a diffusers folder whose tokenizer and configurations are "
                    "the model's")
    vae: StringProperty(
        name="VAE", subtype="FILE_PATH",
        description="In place of the prior's own, or for a file that has none: a diffusers folder "
                    "of a VAE, or a file of one; empty: the prior's own")
    lora: StringProperty(
        name="LoRA", subtype="FILE_PATH",
        description="A LoRA for the prior, .safetensors; empty: none")
    lora_scale: FloatProperty(
        name="LoRA Scale", default=1.0, soft_min=0.0, soft_max=1.0,
        description="How much of the LoRA is added")

    embedding: StringProperty(
        name="Embedding", subtype="FILE_PATH",
        description="A textual inversion, .safetensors, .bin or .pt: prompts name what it learned "
                    "by its token, else by the file's name; empty: none")

    device: StringProperty(
        name="Device", default="auto",
        description="Where the prior runs: auto, cpu, cuda or cuda:N")
    dtype: EnumProperty(
        name="Numbers", default="auto",
        description="What the prior's UNet is kept in, and computed in where the device has "
                    "instructions for it",
        items=(("auto", "Automatic", "float16 on a GPU, bfloat16 on a processor that computes in "
                "it, else float32"),
               ("float32", "float32", "Exact; the most memory"),
               ("bfloat16", "bfloat16", "Half the memory"),
               ("float16", "float16", "Half the memory")))

    def draw(self, context):
        self.layout.use_property_split = True
        self.layout.prop(self, "head_model")
        self.layout.prop(self, "prior")
        self.layout.prop(self, "prior_config")
        self.layout.prop(self, "vae")
        self.layout.prop(self, "lora")
        row = self.layout.row()
        row.active = bool(self.lora)
        row.prop(self, "lora_scale")
        self.layout.prop(self, "embedding")
        self.layout.prop(self, "device")
        self.layout.prop(self, "dtype")

