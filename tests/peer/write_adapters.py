# SPDX-License-Identifier: Apache-2.0
"""LoRAs and their relatives, textual inversions: what peft, diffusers and LyCORIS write, and its effect."""

import logging

import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from peft import (LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict,
                  inject_adapter_in_model)
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file

import recorder

ADAPTED = 2e-5
UNET = ["to_q", "to_k", "to_v", "to_out.0"]
CONVOLUTIONS = ["conv1", "conv2", "conv_in"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1"]
LORAS = {
    "plain": {"lora_alpha": 8}, "alpha below rank": {"lora_alpha": 1}, "rank-stabilised": {"lora_alpha": 8, "use_rslora": True},
    "DoRA": {"lora_alpha": 8, "use_dora": True}, "convolutions": {"lora_alpha": 6, "target_modules": UNET + CONVOLUTIONS},
    "DoRA of convolutions": {"lora_alpha": 6, "use_dora": True, "target_modules": UNET + CONVOLUTIONS},
    "patterns": {"lora_alpha": 8, "rank_pattern": {"to_k": 2, "attn2.to_q": 3},
                 "alpha_pattern": {"to_v": 2, "attn1.to_q": 12}},
}
OTHERS = {
    "LoHa": LoHaConfig(r=4, alpha=2, target_modules=UNET + CONVOLUTIONS),
    "LoHa, effective convolutions": LoHaConfig(r=4, alpha=2, use_effective_conv2d=True, target_modules=CONVOLUTIONS),
    "LoKr": LoKrConfig(r=4, alpha=2, target_modules=UNET + CONVOLUTIONS),
    "LoKr, effective convolutions": LoKrConfig(r=2, alpha=1, use_effective_conv2d=True, target_modules=CONVOLUTIONS),
    "LoKr, both parts": LoKrConfig(r=2, alpha=1, decompose_both=True, target_modules=UNET),
}
LYCORIS = {
    "LoCon": {"algo": "locon"}, "LoCon, tucker": {"algo": "locon", "use_tucker": True},
    "LoCon, DoRA": {"algo": "locon", "dora_wd": True}, "LoCon, DoRA of inputs": {"algo": "locon", "dora_wd": True,
                                                                                "wd_on_output": False},
    "LoHa": {"algo": "loha"}, "LoHa, tucker": {"algo": "loha", "use_tucker": True}, "LoHa, DoRA": {"algo": "loha", "dora_wd": True},
    "LoKr": {"algo": "lokr"}, "LoKr, tucker": {"algo": "lokr", "use_tucker": True},
    "LoKr, both parts": {"algo": "lokr", "decompose_both": True, "factor": 4}, "LoKr, DoRA": {"algo": "lokr", "dora_wd": True},
    "LoKr, full": {"algo": "lokr", "full_matrix": True}, "full": {"algo": "full"},
}


def fill(module, seed):
    """Adapters begin without an effect: gives them numbers."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "magnitude" in name or "dora_scale" in name:
                parameter.mul_(1 + .3 * torch.rand_like(parameter))
            elif any(part in name for part in ("lora_", "hada_", "lokr_")):
                parameter.copy_(torch.randn_like(parameter) * .2)


def both(r, group, name, load, pipe, fixture=False, which=("states", "noise")):
    r.all_of(group, name, {"path": "sd", **load}, pipe, ADAPTED, fixture, which)


def loras(r, fresh):
    """UNet and text encoder, as training scripts save them with diffusers; and under the names of kohya's trainer."""
    for number, (name, settings) in enumerate(LORAS.items()):
        pipe = fresh()
        pipe.unet.add_adapter(LoraConfig(**{"r": 4, "target_modules": UNET, **settings}))
        text = {k: v for k, v in settings.items() if k in ("lora_alpha", "use_rslora", "use_dora")}
        config = LoraConfig(r=4, target_modules=TEXT, **text)
        inject_adapter_in_model(config, pipe.text_encoder)      # transformers' add_adapter asks for a peft that is not out
        pipe.text_encoder.peft_config = {"default": config}
        fill(pipe.unet, number)
        fill(pipe.text_encoder, 100 + number)
        parts = {part: convert_state_dict_to_diffusers(get_peft_model_state_dict(getattr(pipe, part)))
                 for part in ("unet", "text_encoder")}
        folder = f"loras/diffusers-{number}"
        StableDiffusionPipeline.save_lora_weights(
            r.root / folder, unet_lora_layers=parts["unet"], text_encoder_lora_layers=parts["text_encoder"],
            **_collate_lora_metadata({"unet": pipe.unet, "text_encoder": pipe.text_encoder}))
        both(r, "LoRA, diffusers", name, {"loras": [[folder, 1.0]]}, pipe, fixture=name in ("patterns", "DoRA"))
        if "DoRA" not in name and "use_rslora" not in settings:
            kohya(r, pipe, number, name)
        if "DoRA" in name:
            continue                         # packages differ in what a scale below 1 means
        for part in (pipe.unet, pipe.text_encoder):
            for module in part.modules():
                if isinstance(module, BaseTunerLayer):
                    module.scale_layer(.6)
        both(r, "LoRA, diffusers", name + ", at 0.6", {"loras": [[folder, .6]]}, pipe)


def kohya(r, pipe, number, name):
    """The same adapter under the names of kohya's trainer."""
    named = {}
    for part, start in ((pipe.unet, "lora_unet_"), (pipe.text_encoder, "lora_te_text_model_")):
        for path, module in part.named_modules():
            if isinstance(module, BaseTunerLayer):
                key = start + path.replace(".", "_")
                named[key + ".lora_down.weight"] = module.lora_A["default"].weight.detach()
                named[key + ".lora_up.weight"] = module.lora_B["default"].weight.detach()
                named[key + ".alpha"] = torch.tensor(float(module.lora_alpha["default"]))
    file = f"loras/kohya-{number}.safetensors"
    save_file(named, r.root / file)
    both(r, "LoRA, names of kohya's trainer", name, {"loras": [[file, 1.0]]}, pipe, fixture=name == "patterns")


def adapters(r, fresh):
    """Folders that peft writes, of a UNet alone."""
    configs = {**{name: LoraConfig(**{"r": 4, "target_modules": UNET, **settings}) for name, settings in LORAS.items()},
               **OTHERS}
    for number, (name, config) in enumerate(configs.items()):
        pipe = fresh()
        model = get_peft_model(pipe.unet, config)
        fill(model, 200 + number)
        folder = f"loras/peft-{number}"
        model.save_pretrained(r.root / folder)
        pipe.unet = model.eval()
        r_unet(r, "LoRA and relatives, peft", name, folder, pipe, fixture=name in ("LoHa", "LoKr"))
    pipe = fresh()
    pipe.text_encoder = get_peft_model(pipe.text_encoder, LoraConfig(r=4, lora_alpha=8, target_modules=TEXT)).eval()
    fill(pipe.text_encoder, 300)
    pipe.text_encoder.save_pretrained(r.root / "loras/peft-text")
    both(r, "LoRA and relatives, peft", "text encoder", {"loras": [["loras/peft-text", 1.0]]}, pipe, which=("states",))


def r_unet(r, group, name, file, pipe, fixture=False):
    both(r, group, name, {"loras": [[file, 1.0]]}, pipe, fixture, which=("noise",))


def lycoris(r, fresh):
    from lycoris import LycorisNetwork, create_lycoris
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    for number, (name, settings) in enumerate(LYCORIS.items()):
        for alpha in (4, 1):
            pipe = fresh()
            LycorisNetwork.apply_preset({"target_name": [".*attn.*to_[qkv]", ".*conv[12]"], "target_module": []})
            preset = dict(target_name=[".*attn.*to_[qkv]", ".*conv[12]"], target_module=[], lora_prefix="lycoris")
            network = create_lycoris(pipe.unet, 1.0, linear_dim=4, linear_alpha=alpha, preset=write_preset(r, preset),
                                     **settings)
            network.apply_to()
            torch.manual_seed(400 + number)
            with torch.no_grad():
                for key, parameter in network.named_parameters():
                    if "dora" in key:
                        parameter.mul_(1 + .3 * torch.rand_like(parameter))
                    else:
                        parameter.copy_(torch.randn_like(parameter) * .2)
            file = f"loras/lycoris-{number}-{alpha}.safetensors"
            network.eval().save_weights(str(r.root / file), torch.float32, {})
            r_unet(r, "LyCORIS", f"{name}, alpha {alpha} of 4", file, pipe,
                   fixture=alpha == 1 and name in ("LoCon, tucker", "LoHa, tucker", "LoKr, DoRA"))


def write_preset(r, preset):
    path = r.root / "preset.toml"
    path.write_text("\n".join(f"{key} = {value!r}" for key, value in preset.items()) + "\n")
    return str(path)


def inversions(r, fresh):
    words = {"one": 1, "three": 3}
    (r.root / "embeddings").mkdir()
    for name, count in words.items():
        rows = torch.from_numpy(recorder.draw(20 + count, count, 16)) * .3
        token = f"<{name}>"
        files = {f"{name}.safetensors": {token: rows}, f"{name}.bin": {token: rows if count > 1 else rows[0]},
                 f"{name}.pt": {"string_to_token": {"*": 265}, "string_to_param": {"*": rows}, "name": token, "step": 9}}
        for file, content in files.items():
            path = r.root / "embeddings" / file
            save_file(content, path) if file.endswith("safetensors") else torch.save(content, path)
            pipe = fresh()
            pipe.load_textual_inversion(path, token=token)
            check = {"what": "states", "prompts": [f"a head with {token} ears", f"{token}, {token}", "old"]}
            r.add("textual inversion", file, {"path": "sd", "embeddings": [[f"embeddings/{file}", token]]}, check,
                  recorder.states(pipe, check), 1e-5, fixture=file.endswith(("t", "s")))
        pipe.save_pretrained(r.root / f"with-{name}")
        r.add("textual inversion", f"a folder that has {token}", {"path": f"with-{name}"}, check,
              recorder.states(StableDiffusionPipeline.from_pretrained(r.root / f"with-{name}"), check), 1e-5)


def write(r, tokenizer):
    (r.root / "loras").mkdir()

    def fresh():
        pipe = StableDiffusionPipeline.from_pretrained(r.root / "sd")
        pipe.set_progress_bar_config(disable=True)
        return pipe

    inversions(r, fresh)
    loras(r, fresh)
    adapters(r, fresh)
    lycoris(r, fresh)
