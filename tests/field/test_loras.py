# SPDX-License-Identifier: Apache-2.0
"""LoRAs and their relatives, under the names that trainers give them: each must change the weights as
its definition says, computed here with numpy and written as a model's folder."""

import json
import os
import pathlib
import warnings

import numpy as np
import pytest

import headsds
from files import numbers, read_safetensors, write_safetensors
from released import config_of, unet_name

RNG = np.random.RandomState(5)
RANK = 4
FILES = {"unet": "diffusion_pytorch_model.safetensors", "text_encoder": "model.safetensors"}
LINEAR = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
TEXT = "text_model.encoder.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def weights(prior):
    """{part: {name: float32 array}}"""
    kinds = {"F16": "f2", "F32": "f4", "I64": "i8"}
    return {part: {name: np.frombuffer(data, kinds[dtype]).astype("f4").reshape(shape) for name, (dtype, shape, data)
                   in read_safetensors(pathlib.Path(prior.path, part, file)).items()} for part, file in FILES.items()}


@pytest.fixture
def changed(prior, weights, tmp_path):
    """numbers() of the prior whose weights are changed: {name of a weight: array}."""
    def make(changes):
        folder = tmp_path / "changed"
        for part in ("tokenizer", "scheduler", "vae"):
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / part).symlink_to(pathlib.Path(prior.path, part))
        left = dict(changes)
        for part, file in FILES.items():
            (folder / part).mkdir()
            (folder / part / "config.json").symlink_to(pathlib.Path(prior.path, part, "config.json"))
            write_safetensors(folder / part / file, {name: left.pop(name, array) for name, array in weights[part].items()})
        assert not left, left
        return numbers(headsds.Prior.load(folder))
    return make


def near(one, other):
    return abs(one - other).max() < 1e-4 * abs(other).max()


def loaded(tensors, scale=1, metadata={"format": "pt"}):
    write_safetensors("lora.safetensors", tensors, metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return numbers(headsds.Prior.load(loras=[("lora.safetensors", scale)]))


def draw(*shape):
    return (RNG.randn(*shape) * .3).astype("f4")


def pair(weight, rank=RANK):
    """down, up of a matrix or a convolution, and their product."""
    down, up = draw(rank, *weight.shape[1:]), draw(weight.shape[0], rank)
    return down, up, (up @ down.reshape(rank, -1)).reshape(weight.shape)


# ---- names ----

def kohya(prefix):
    return lambda module: f"{prefix}{module.replace('.', '_')}.lora_", ("down.weight", "up.weight")


def dotted(prefix, down, up):
    return lambda module: prefix + module, (down, up)


NEW = (".lora_A.weight", ".lora_B.weight")
ATTENTION = {"to_k": "processor.to_k_lora", "to_out.0": "processor.to_out_lora"}


def processor(prefix):
    """diffusers before 0.22"""
    def name(module):
        for now, old in ATTENTION.items():
            if module.endswith("." + now):
                module = module[:-len(now)] + old
        return prefix + module
    return name, (".down.weight", ".up.weight")


def released(prefix, flat):
    def name(module, config=None):
        config = config_of(headsds.Prior.load().path, "unet")
        module = unet_name(module + ".", config)[:-1]
        return prefix + (module.replace(".", "_") if flat else module) + ".lora_"
    return name, ("down.weight", "up.weight")


def without(prefix):
    """A text encoder without text_model."""
    return lambda module: prefix + module[len("text_model."):], NEW


UNET_NAMES = {
    "kohya": kohya("lora_unet_"), "lycoris": kohya("lycoris_"), "kohya, first release": released("lora_unet_", True),
    "comfy": released("diffusion_model.", False), "first release": released("model.diffusion_model.", False),
    "diffusers": dotted("unet.", *NEW), "diffusers, plain": dotted("", *NEW),
    "diffusers 0.2x": dotted("unet.", ".lora.down.weight", ".lora.up.weight"),
    "diffusers, processors": processor("unet."),
    "diffusers, processors alone": processor(""),
    "peft": dotted("base_model.model.", *NEW),
    "peft, named": dotted("base_model.model.", ".lora_A.default.weight", ".lora_B.default.weight"),
    "peft, oddly named": dotted("base_model.model.", ".lora_A.my-face_2.weight", ".lora_B.my-face_2.weight"),
    "peft in diffusers": dotted("unet.base_model.model.", *NEW),
}
TEXT_NAMES = {
    "kohya": kohya("lora_te_"), "one naming": kohya("lora_te1_"), "diffusers": dotted("text_encoder.", *NEW),
    "diffusers 0.2x": dotted("text_encoder.", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    "peft": dotted("base_model.model.", *NEW), "plain": dotted("", *NEW),
    "without text_model": without("text_encoder."), "peft, without text_model": without("base_model.model."),
    "kohya, without text_model": (lambda m: "lora_te_" + m[len("text_model."):].replace(".", "_") + ".lora_",
                                  ("down.weight", "up.weight")),
}


@pytest.fixture(scope="module")
def unet_pairs(weights):
    return {module: pair(weights["unet"][module + ".weight"]) for module in (LINEAR, OUT)}


@pytest.fixture(scope="module")
def plain_unet(unet_pairs, prior, tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "plain.safetensors"
    write_safetensors(path, named(UNET_NAMES["kohya"], unet_pairs))
    return numbers(headsds.Prior.load(loras=[path]))


def named(names, pairs):
    name, (down_ending, up_ending) = names
    tensors = {}
    for module, (down, up, product) in pairs.items():
        tensors[name(module) + down_ending], tensors[name(module) + up_ending] = down, up
    return tensors


def test_a_lora_is_its_product(unet_pairs, plain_unet, weights, changed, prior):
    assert not near(numbers(prior), plain_unet)
    assert near(plain_unet, changed({f"{module}.weight": weights["unet"][module + ".weight"] + product
                                     for module, (down, up, product) in unet_pairs.items()}))


@pytest.mark.parametrize("family", UNET_NAMES)
def test_names_of_the_unet(family, unet_pairs, plain_unet):
    assert (loaded(named(UNET_NAMES[family], unet_pairs)) == plain_unet).all()


@pytest.mark.parametrize("family", TEXT_NAMES)
def test_names_of_the_text_encoder(family, weights, changed):
    down, up, product = pair(weights["text_encoder"][TEXT + ".weight"])
    one = loaded(named(TEXT_NAMES[family], {TEXT: (down, up, product)}))
    assert near(one, changed({TEXT + ".weight": weights["text_encoder"][TEXT + ".weight"] + product}))


# ---- kinds ----

def flat(module):
    return "lora_unet_" + module.replace(".", "_")


def tucker(core, a, b):
    """LyCORIS' rebuild_tucker: a (i,p), b (j,r)"""
    return np.einsum("ij...,ip,jr->pr...", core, a, b)


def low_rank(w, prefix):
    down, up, product = pair(w)
    return {f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up}, product, RANK


def locon(w, prefix):
    down, up, core = draw(RANK, w.shape[1], 1, 1), draw(w.shape[0], RANK, 1, 1), draw(RANK, RANK, 3, 3)
    tensors = {f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up, f"{prefix}.lora_mid.weight": core}
    return tensors, tucker(core, up[:, :, 0, 0].T, down[:, :, 0, 0]), RANK


def loha(w, prefix):
    parts = {k: draw(w.shape[0], RANK) if k.endswith("a") else draw(RANK, w[0].size)
             for k in ("w1_a", "w1_b", "w2_a", "w2_b")}
    product = (parts["w1_a"] @ parts["w1_b"]) * (parts["w2_a"] @ parts["w2_b"])
    return {f"{prefix}.hada_{k}": v for k, v in parts.items()}, product.reshape(w.shape), RANK


def loha_tucker(w, prefix):
    parts = {k: draw(RANK, w.shape[0]) if k.endswith("a") else draw(RANK, w.shape[1])
             for k in ("w1_a", "w1_b", "w2_a", "w2_b")}
    parts.update({k: draw(RANK, RANK, 3, 3) for k in ("t1", "t2")})
    product = tucker(parts["t1"], parts["w1_a"], parts["w1_b"]) * tucker(parts["t2"], parts["w2_a"], parts["w2_b"])
    return {f"{prefix}.hada_{k}": v for k, v in parts.items()}, product, RANK


def lokr(w, prefix, first=False, second=False, core=False):
    """Kronecker's product of (4, 2) and the rest; each in two parts or whole."""
    a, b, kernel = 4, 2, w.shape[2:]
    c, d = w.shape[0] // a, w.shape[1] // b
    parts, rank = {}, None
    if first:
        rank = RANK
        parts["w1_a"], parts["w1_b"] = draw(a, RANK), draw(RANK, b)
        w1 = parts["w1_a"] @ parts["w1_b"]
    else:
        w1 = parts["w1"] = draw(a, b)
    if core:
        rank = RANK
        parts["w2_a"], parts["w2_b"], parts["t2"] = draw(RANK, c), draw(RANK, d), draw(RANK, RANK, *kernel)
        w2 = tucker(parts["t2"], parts["w2_a"], parts["w2_b"])
    elif second:
        rank = RANK
        parts["w2_a"], parts["w2_b"] = draw(c, RANK), draw(RANK, d * int(np.prod(kernel)))
        w2 = (parts["w2_a"] @ parts["w2_b"]).reshape(c, d, *kernel)
    else:
        w2 = parts["w2"] = draw(c, d, *kernel)
    product = np.kron(w1.reshape(a, b, *[1] * len(kernel)), w2)
    return {f"{prefix}.lokr_{k}": v for k, v in parts.items()}, product, rank


KINDS = {
    "LoRA": (LINEAR, low_rank), "LoRA of a convolution": (CONV, low_rank), "LoCon, tucker": (CONV, locon),
    "LoHa": (LINEAR, loha), "LoHa of a convolution": (CONV, loha), "LoHa, tucker": (CONV, loha_tucker),
    "LoKr": (LINEAR, lokr), "LoKr of a convolution": (CONV, lokr),
    "LoKr, first": (LINEAR, lambda w, p: lokr(w, p, first=True)),
    "LoKr, second": (CONV, lambda w, p: lokr(w, p, second=True)),
    "LoKr, both": (LINEAR, lambda w, p: lokr(w, p, first=True, second=True)),
    "LoKr, tucker": (CONV, lambda w, p: lokr(w, p, core=True)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind, weights, changed):
    """alpha / rank where there is a rank; then times the scale."""
    module, make = KINDS[kind]
    w = weights["unet"][module + ".weight"]
    tensors, product, rank = make(w, flat(module))
    tensors[flat(module) + ".alpha"] = np.float32(2)
    gain = 2 / rank if rank else 1
    assert near(loaded(tensors, .5), changed({module + ".weight": w + .5 * gain * product}))


def with_norms(w, norms, axes):
    return w / np.sqrt((w**2).sum(axes, keepdims=True)) * norms


@pytest.mark.parametrize("module, make, by_row, ending", [
    (LINEAR, low_rank, True, "dora_scale"), (LINEAR, low_rank, False, "dora_scale"), (CONV, low_rank, True, "dora_scale"),
    (CONV, loha, False, "dora_scale"), (LINEAR, lokr, True, "dora_scale"),
    (LINEAR, low_rank, True, "lora_magnitude_vector"), (CONV, low_rank, True, "lora_magnitude_vector"),
])
def test_dora(module, make, by_row, ending, weights, changed):
    w = weights["unet"][module + ".weight"]
    tensors, product, rank = make(w, flat(module))
    tensors[flat(module) + ".alpha"] = np.float32(2)
    axes = tuple(k for k in range(w.ndim) if k != (0 if by_row else 1))
    norms = abs(draw(*[n if k not in axes else 1 for k, n in enumerate(w.shape)])) + .5
    saved = norms
    if ending == "lora_magnitude_vector":        # peft: (O), of a convolution (1,O,1,1)
        saved = norms.reshape(-1) if w.ndim == 2 else norms.reshape(1, -1, 1, 1)
    tensors[f"{flat(module)}.{ending}"] = saved
    whole = with_norms(w + product * (2 / rank if rank else 1), norms, axes)
    assert near(loaded(tensors), changed({module + ".weight": whole}))


def test_dora_at_a_scale_is_on_the_way(weights, changed):
    w = weights["unet"][LINEAR + ".weight"]
    tensors, product, _ = low_rank(w, flat(LINEAR))
    norms = tensors[flat(LINEAR) + ".dora_scale"] = abs(draw(len(w), 1)) + .5
    whole = with_norms(w + product, norms, (1,))
    assert near(loaded(tensors, .25), changed({LINEAR + ".weight": w + .25 * (whole - w)}))


def test_full_changes_of_weights_biases_and_norms(weights, changed):
    """LyCORIS' full and norm modules."""
    norm = "mid_block.attentions.0.norm"
    shapes = {CONV + ".weight": "diff", CONV + ".bias": "diff_b", norm + ".weight": "w_norm", norm + ".bias": "b_norm"}
    tensors, changes = {}, {}
    for name, ending in shapes.items():
        change = draw(*weights["unet"][name].shape)
        tensors[f"{flat(name.rpartition('.')[0])}.{ending}"] = change
        changes[name] = weights["unet"][name] + .5 * change
    assert near(loaded(tensors, .5), changed(changes))


def test_a_bias_of_up(weights, changed):
    """peft's lora_bias."""
    down, up, product = pair(weights["unet"][OUT + ".weight"])
    bias = draw(len(up))
    tensors = {f"unet.{OUT}.lora_A.weight": down, f"unet.{OUT}.lora_B.weight": up, f"unet.{OUT}.lora_B.bias": bias}
    assert near(loaded(tensors), changed({OUT + ".weight": weights["unet"][OUT + ".weight"] + product,
                                          OUT + ".bias": weights["unet"][OUT + ".bias"] + bias}))


def test_loras_add_up_in_order(weights, changed):
    w = weights["unet"][LINEAR + ".weight"]
    products = []
    for k, make in enumerate((low_rank, lokr)):
        tensors, product, _ = make(w, flat(LINEAR))
        write_safetensors(f"{k}.safetensors", tensors)
        products.append(product)
    both = numbers(headsds.Prior.load(loras=[("0.safetensors", .5), "1.safetensors"]))
    assert near(both, changed({LINEAR + ".weight": w + .5 * products[0] + products[1]}))


# ---- alpha beside the tensors ----

def adapter(**settings):
    return {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}


@pytest.mark.parametrize("settings, gains", [
    ({"unet.r": 4, "unet.lora_alpha": 8}, (2, 2)),
    ({"r": 4, "lora_alpha": 8}, (2, 2)),
    ({"unet.lora_alpha": 8, "unet.use_rslora": True}, (4, 4)),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {LINEAR: 2}}, (.5, 2)),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_out.0": 2, "o_k": 1}}, (2, .5)),
    ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"^" + LINEAR: 2, "^to_out.0": 1}}, (.5, 2)),
    ({"text_encoder.lora_alpha": 8}, (1, 1)),
    ({"unet.lora_alpha": 8, "unet.rank_pattern": {"to_k": 4}, "unet.use_dora": False, "unet.alpha_pattern": {}}, (2, 2)),
])
def test_alpha_of_diffusers_metadata(settings, gains, weights, changed, unet_pairs):
    one = loaded(named(UNET_NAMES["diffusers"], unet_pairs), metadata=adapter(**settings))
    assert near(one, changed({f"{module}.weight": weights["unet"][module + ".weight"] + gain * unet_pairs[module][2]
                              for module, gain in zip((LINEAR, OUT), gains)}))


def test_alpha_of_a_text_encoder(weights, changed):
    down, up, product = pair(weights["text_encoder"][TEXT + ".weight"])
    one = loaded(named(TEXT_NAMES["without text_model"], {TEXT: (down, up, product)}),
                 metadata=adapter(**{"text_encoder.lora_alpha": 2, "text_encoder.r": 4, "unet.lora_alpha": 99}))
    assert near(one, changed({TEXT + ".weight": weights["text_encoder"][TEXT + ".weight"] + product / 2}))


def test_alpha_of_peft_beside_the_file(weights, changed, unet_pairs, prior):
    """A folder that peft wrote: the folder, or its file."""
    os.mkdir("saved")
    write_safetensors("saved/adapter_model.safetensors", named(UNET_NAMES["peft"], unet_pairs))
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "init_lora_weights": True, "fan_in_fan_out": False}
    pathlib.Path("saved/adapter_config.json").write_text(json.dumps(config))
    one = numbers(headsds.Prior.load(loras=["saved"]))
    assert (one == numbers(headsds.Prior.load(loras=["saved/adapter_model.safetensors"]))).all()
    assert near(one, changed({f"{module}.weight": weights["unet"][module + ".weight"] + 2 * product
                              for module, (down, up, product) in unet_pairs.items()}))
    record = {"geometry": {"steps": 1, "views": 1, "resolution": 64}, "texture": None}
    hashes, kept = [], []
    for alpha in (8, 4):
        pathlib.Path("saved/adapter_config.json").write_text(json.dumps({**config, "lora_alpha": alpha}))
        kept.append(headsds.Prior.load(loras=["saved/adapter_model.safetensors"]))
        head = headsds.generate("a head", None, kept[-1], **record)
        hashes.append(head.record["prior"]["loras"][0]["hash"])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("settings, message", [
    ({"unet.init_lora_weights": "pissa_niter_4", "unet.lora_alpha": 4}, '"init_lora_weights" is "pissa_niter_4"'),
    ({"peft_type": "OFT"}, '"peft_type" is "OFT"'),
    ({"use_qalora": True}, '"use_qalora" is true'),
    ({"lora_alpha": 4, "alpha_pattern": {".*to_(k|q)": 4}}, "is a regular expression"),
    ({"lora_alpha": "four"}, '"lora_alpha" is "four"'),
])
def test_settings_that_are_refused(settings, message, unet_pairs):
    with pytest.raises(headsds.FormatError, match=message):
        loaded(named(UNET_NAMES["diffusers"], unet_pairs), metadata=adapter(**settings))


# ---- what is left out, and what is refused ----

def bundled(unet_pairs, name):
    write_safetensors("lora.safetensors", {**named(UNET_NAMES["kohya"], unet_pairs),
                                           f"bundle_emb.my-face.{name}": np.ones((2, 128))})
    return headsds.Prior.load(loras=["lora.safetensors"])


@pytest.mark.parametrize("name", ["string_to_param.*", "emb_params"])
def test_a_bundled_embedding_is_added_with_its_lora(unet_pairs, plain_unet, name):
    prior, alone = bundled(unet_pairs, name), headsds.Prior.load()
    assert (numbers(prior) == plain_unet).all()
    ids = np.asarray(prior.tokenize(["a my-face b"]))[0]
    assert ids.max() > np.asarray(alone.tokenize(["a my-face b"])).max()


def test_a_bundled_embedding_of_another_kind_is_left_out_with_a_warning(unet_pairs, plain_unet):
    with pytest.warns(UserWarning, match="bundle_emb.my-face.clip_l was left out"):
        prior = bundled(unet_pairs, "clip_l")
    assert (numbers(prior) == plain_unet).all() and "my-face" in prior.notes
    assert headsds.Prior.load().notes is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            headsds.Prior.load(loras=["lora.safetensors"])


def test_names_of_both_releases(unet_pairs, plain_unet):
    """Trainers that wrote the same LoRA twice: diffusers takes its own names."""
    tensors = {**named(UNET_NAMES["kohya, first release"], unet_pairs), **named(UNET_NAMES["kohya"], unet_pairs)}
    write_safetensors("lora.safetensors", tensors)
    with pytest.warns(UserWarning, match="4 tensors under the names of the original release were left out"):
        assert (numbers(headsds.Prior.load(loras=["lora.safetensors"])) == plain_unet).all()


NAME = flat(LINEAR)
SQUARE = np.ones((4, 4), "f4")


@pytest.mark.parametrize("tensors, message", [
    ({f"{NAME}.weight": SQUARE, f"{NAME}.on_input": np.ones(())}, "it is an IA3"),
    ({f"base_model.model.{LINEAR}.ia3_l": SQUARE}, "it is an IA3"),
    ({f"{NAME}.oft_blocks": SQUARE}, "it is an OFT"), ({f"{NAME}.oft_diag": SQUARE}, "it is an OFT"),
    ({f"{NAME}.a1.weight": SQUARE, f"{NAME}.b1.weight": SQUARE}, "it is a GLoRA"),
    ({f"base_model.model.{LINEAR}.vera_lambda_b": SQUARE}, "it is a VeRA"),
    ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": SQUARE}, "made for SDXL"),
    ({"text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight": SQUARE}, "made for SDXL"),
    ({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": SQUARE}, "transformer as Flux"),
    ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": SQUARE}, "transformer as Flux"),
    ({"down_blocks.0.motion_modules.0.temporal_transformer.proj_in.lora_A.weight": SQUARE}, "AnimateDiff"),
    ({"base_model.model.text_model.embeddings.token_embedding.lora_embedding_A": SQUARE}, "changes the table of tokens"),
    ({"string_to_param": SQUARE}, "it is a textual inversion"),
    ({f"{NAME}.hada_w1_a": SQUARE}, f"{NAME}.hada_w1_a; they are not all that a LoRA, LoHa or LoKr has"),
    ({f"{NAME}.lora_down.weight": SQUARE, f"{NAME}.lora_up.weight": SQUARE}, "they are of another shape"),
    ({f"{NAME}.lora_down.weight": SQUARE, f"unet.{LINEAR}.lora_A.weight": SQUARE}, "there twice"),
    ({"lora_unet_nowhere.lora_down.weight": SQUARE}, "take a LoRA that was made for this kind of model"),
])
def test_what_is_refused_by_name(tensors, message, unet_pairs):
    with pytest.raises(headsds.FormatError, match=message):
        loaded({**{n: t for n, t in named(UNET_NAMES["kohya"], {OUT: unet_pairs[OUT]}).items()}, **tensors})


@pytest.mark.parametrize("alpha", [np.float32(np.nan), np.ones(2)])
def test_alphas_that_are_no_number(alpha, unet_pairs):
    tensors = named(UNET_NAMES["kohya"], unet_pairs)
    with pytest.raises(headsds.FormatError, match="alpha must be one finite number"):
        loaded({**tensors, NAME + ".alpha": alpha})
