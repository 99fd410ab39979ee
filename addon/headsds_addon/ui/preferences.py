# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which head model, which prior, and a LoRA for it."""

import bpy
from bpy.props import FloatProperty, StringProperty

PACKAGE = __package__.rpartition(".")[0]


class HeadsdsPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    head_model: StringProperty(
        name="Head Model", subtype="FILE_PATH",
        description="A headsds .npz file or an ICT-FaceKit FaceXModel folder; "
                    "empty: the built-in sample head")
    prior: StringProperty(
        name="Prior", subtype="FILE_PATH",
        description="A Stable Diffusion 1.x or 2.x folder in diffusers' layout, or one file of "
                    "weights; empty: the built-in sample prior")
    prior_config: StringProperty(
        name="Configuration", subtype="DIR_PATH",
        description="With one file: a diffusers folder whose tokenizer and configurations are "
                    "the model's")
    lora: StringProperty(
        name="LoRA", subtype="FILE_PATH",
        description="A LoRA for the prior, .safetensors; empty: none")
    lora_scale: FloatProperty(
        name="LoRA Scale", default=1.0, soft_min=0.0, soft_max=1.0,
        description="How much of the LoRA is added")

    def draw(self, context):
        self.layout.use_property_split = True
        self.layout.prop(self, "head_model")
        self.layout.prop(self, "prior")
        self.layout.prop(self, "prior_config")
        self.layout.prop(self, "lora")
        row = self.layout.row()
        row.active = bool(self.lora)
        row.prop(self, "lora_scale")

