# SPDX-License-Identifier: Apache-2.0
"""Tokenizers, textual inversions and prompts as users have them."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

import headsds
from files import edit_json, numbers, read_safetensors, write_safetensors

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
from variants import Named, write_torch  # noqa: E402

START, END = "<|startoftext|>", "<|endoftext|>"
TABLE = "text_model.embeddings.token_embedding.weight"
ODD = ["a man WITH  thé hat's 12", "İstanbul ﬁ ½", "日本 emoji 😀!", "a<|endoftext|>b", "", "it'll  3dy"]
# as transformers 5 writes them
NORMALIZER = {"type": "Sequence", "normalizers": [
    {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
    {"type": "Lowercase"}]}
WORDS = {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Removed", "invert": True, "pattern": {
        "Regex": "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]"
                 "|[^\\s\\p{L}\\p{N}]+"}},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}


def added(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **flags}


def vocabulary(folder):
    return json.loads((folder / "tokenizer" / "vocab.json").read_text())


def whole(folder, pairs=True, **changes):
    """The folder's tokenizer as one tokenizer.json; keys of its model are changed, too."""
    place = folder / "tokenizer"
    vocab = vocabulary(folder)
    lines = [line for line in (place / "merges.txt").read_text(encoding="utf-8").split("\n")[1:]
             if line]
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        (place / name).unlink()
    model = {"type": "BPE", "dropout": None, "unk_token": END, "continuing_subword_prefix": "",
             "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": vocab,
             "merges": [line.split(" ") for line in lines] if pairs else lines}
    model = {key: changes.pop(key, value) for key, value in model.items()}
    content = {"version": "1.0", "truncation": None, "padding": None,
               "added_tokens": [added(vocab[START], START), added(vocab[END], END)],
               "normalizer": NORMALIZER, "pre_tokenizer": WORDS,
               "post_processor": {"type": "RobertaProcessing", "sep": [END, vocab[END]],
                                  "cls": [START, vocab[START]], "trim_offsets": False,
                                  "add_prefix_space": False},
               "decoder": {"type": "ByteLevel"}, "model": model, **changes}
    (place / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def grow(folder, rows):
    """Gives the text encoder more embeddings, copies of its first ones; the first new id."""
    path = folder / "text_encoder" / "model.safetensors"
    tensors = read_safetensors(path)
    dtype, (old, width), data = tensors[TABLE]
    size = len(data) // old
    tensors[TABLE] = (dtype, [old + rows, width], data + data[:rows * size])
    write_safetensors(path, tensors)
    edit_json(folder / "text_encoder" / "config.json", vocab_size=old + rows)
    return old


def ids(prior, text):
    """Without start, end and padding."""
    row = list(np.asarray(prior.tokenize([text]))[0])
    return row[1:row.index(row[-1])]


def rows_of(prior, word, count=1):
    """Embeddings of a word's first token, as float32."""
    dtype, (_, width), data = read_safetensors(
        pathlib.Path(prior.path) / "text_encoder" / "model.safetensors")[TABLE]
    table = np.frombuffer(data, {"F16": "f2", "F32": "f4"}[dtype]).reshape(-1, width)
    return np.concatenate([table[i:i + 1] for i in ids(prior, word)[:count]]).astype("f4")


# ---- JSON as Python writes it ----

def test_numbers_that_json_has_not(prior, folder):
    edit_json(folder / "scheduler" / "scheduler_config.json", lambda_min_clipped=float("-inf"),
              _note=[float("nan"), float("inf"), 10**400, -10**25])
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=int(1e30))
    edit_json(folder / "unet" / "config.json", _note="-Infinity, \"NaN\" 10000000000000000000000")
    index = folder / "model_index.json"
    index.write_bytes(b"\xef\xbb\xbf" + index.read_bytes())
    assert np.array_equal(numbers(headsds.Prior.load(folder)), numbers(prior))


@pytest.mark.parametrize("text", ["{\"a\": -Infinit}", "{\"a\": NaN", "{\"a\": +Infinity}", "Infinity"])
def test_what_is_no_json_is_refused_still(folder, text):
    (folder / "unet" / "config.json").write_text(text)
    with pytest.raises(headsds.FormatError, match="config.json: line 1"):
        headsds.Prior.load(folder)


# ---- tokenizers ----

def test_special_tokens_in_tokenizer_config(prior, folder):
    (folder / "tokenizer" / "special_tokens_map.json").unlink()
    loaded = headsds.Prior.load(folder)
    for text in ODD:
        assert ids(loaded, text) == ids(prior, text)


def test_vocabulary_and_merges_alone(prior, folder):
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (folder / "tokenizer" / name).unlink()
    assert ids(headsds.Prior.load(folder), ODD[0]) == ids(prior, ODD[0])


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_tokenizer_json_alone(prior, folder, pairs, bare):
    parts = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor")) if bare else {}
    whole(folder, pairs, **parts)
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=int(1e30))
    loaded = headsds.Prior.load(folder)
    assert np.array_equal(loaded.tokenize(ODD), prior.tokenize(ODD))


@pytest.mark.parametrize("changes, said", [
    ({"type": "Unigram"}, "model.type is Unigram, expected BPE"),
    ({"end_of_word_suffix": None}, "end_of_word_suffix is absent, expected </w>"),
    ({"byte_fallback": True}, "byte_fallback is true"),
    ({"normalizer": {"type": "BertNormalizer"}}, "normalizer is BertNormalizer"),
    ({"normalizer": {"type": "NFC"}}, "normalizer is without Lowercase"),
    ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer is Metaspace"),
    ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "ByteLevel"),
    ({"post_processor": {"type": "BertProcessing"}}, "post_processor is BertProcessing"),
    ({"post_processor": {"type": "RobertaProcessing", "cls": [END, 1], "sep": [END, 1]}},
     "start that post_processor puts"),
    ({"merges": [["a"]]}, "merge 0: expected"),
    ({"merges": ["a  b"]}, "merge 0: .*two tokens"),
    ({"merges": 3}, "model.merges"),
    ({"vocab": []}, "model.vocab"),
    ({"added_tokens": [added(-1, "<x>")]}, "\"<x>\": expected an id"),
    ({"added_tokens": [{"id": 3}]}, "expected \"content\""),
])
def test_tokenizers_that_are_not_clips(folder, changes, said):
    whole(folder, **changes)
    with pytest.raises(headsds.FormatError, match=f"tokenizer.json: .*{said}"):
        headsds.Prior.load(folder)


def test_vocabulary_of_another_kind(folder):
    vocab = {word.replace("</w>", "Ġ"): id for word, id in vocabulary(folder).items()}
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocab))
    edit_json(folder / "tokenizer" / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    with pytest.raises(headsds.FormatError, match="no token ends in </w>.*GPT2Tokenizer"):
        headsds.Prior.load(folder)


def test_no_tokenizer(folder):
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="vocab.json and merges.txt, and for tokenizer.json"):
        headsds.Prior.load(folder)


# ---- added tokens ----

def add_as(form, folder, tokens):
    """tokens: as added() makes them."""
    place = folder / "tokenizer"
    if form == "tokenizer.json":
        vocab = vocabulary(folder)
        whole(folder, added_tokens=[added(vocab[START], START), added(vocab[END], END), *tokens])
    elif form == "added_tokens_decoder":
        edit_json(place / "tokenizer_config.json", added_tokens_decoder={
            str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in tokens})
    else:
        (place / form).write_text(json.dumps({token["content"]: token["id"] for token in tokens}))


@pytest.mark.parametrize("form", ["added_tokens.json", "added_tokens_decoder", "tokenizer.json"])
def test_added_tokens_are_one_each(prior, folder, form):
    first = grow(folder, 3)
    plain = {"normalized": True, "special": False}
    add_as(form, folder, [added(first, "<My-Face>", **plain), added(first + 1, "<my", **plain),
                          added(first + 2, "cat toy", **plain)])
    loaded = headsds.Prior.load(folder)
    assert ids(loaded, "a <My-Face>") == [*ids(prior, "a"), first]
    assert ids(loaded, "<my-FACE><my x") == [first, first + 1, *ids(prior, "x")]  # the longest
    assert ids(loaded, "Cat \n toys") == [first + 2, *ids(prior, "s")]
    assert np.isfinite(loaded.encode_text(["a <my-face>"])).all()


@pytest.mark.parametrize("form", ["added_tokens.json", "added_tokens_decoder", "tokenizer.json"])
def test_vectors_that_diffusers_saved_belong_to_their_word(folder, form):
    first = grow(folder, 6)
    words = ["<w>", "<w>_1", "<w>_2", "<v>", "<v>_2", "<u>_1"]
    add_as(form, folder, [added(first + k, word) for k, word in enumerate(words)])
    loaded = headsds.Prior.load(folder)
    assert ids(loaded, "a <w> face") == [
        *ids(loaded, "a"), first, first + 1, first + 2, *ids(loaded, "face")]
    for alone in (3, 4, 5):  # nothing that is missing is passed over
        assert ids(loaded, words[alone]) == [first + alone]


@pytest.mark.parametrize("form", ["added_tokens_decoder", "tokenizer.json"])
def test_how_added_tokens_are_looked_for(prior, folder, form):
    first = grow(folder, 2)
    add_as(form, folder, [added(first, "<SPEC>", lstrip=True),
                          added(first + 1, "solo", single_word=True, normalized=True)])
    loaded = headsds.Prior.load(folder)
    assert ids(loaded, "a  <SPEC> b") == [*ids(prior, "a"), first, *ids(prior, "b")]
    assert ids(loaded, "<spec>") == ids(prior, "<spec>")
    assert ids(loaded, "Solo, solos") == [first + 1, *ids(prior, ", solos")]


def test_added_tokens_without_an_embedding(folder):
    (folder / "tokenizer" / "added_tokens.json").write_text(
        json.dumps({"<my-face>": len(vocabulary(folder))}))
    with pytest.raises(headsds.FormatError, match="\"<my-face>\" has the id 1067, and the text encoder 1067"):
        headsds.Prior.load(folder)


def test_two_ids_of_one_token(folder):
    first = grow(folder, 2)
    add_as("added_tokens_decoder", folder, [added(first, "<x>")])
    add_as("added_tokens.json", folder, [added(first + 1, "<x>")])
    with pytest.raises(headsds.FormatError, match="added_tokens.json: \"<x>\" is a token already"):
        headsds.Prior.load(folder)


# ---- textual inversions ----

def write_embedding(form, path, rows):
    if form == "webui.pt":
        write_torch(path, {"string_to_token": {"*": 265}, "string_to_param": {"*": rows},
                           "name": "other", "step": 100})
    elif form == "webui.safetensors":
        write_safetensors(path, {"emb_params": rows})
    elif form == "diffusers.bin":
        write_torch(path, {"<x>": rows if len(rows) > 1 else rows[0]})
    else:
        write_safetensors(path, {"<x>": rows})
    return path


@pytest.mark.parametrize("form", ["diffusers.safetensors", "diffusers.bin", "webui.pt",
                                  "webui.safetensors"])
@pytest.mark.parametrize("words", ["beard", "beard nose ears"])
def test_embeddings_stand_for_their_vectors(prior, tmp_path, form, words):
    rows = rows_of(prior, words, len(words.split()))
    path = write_embedding(form, tmp_path / ("my-Face." + form.split(".")[1]), rows)
    word = "<x>" if "diffusers" in form else "My-face"
    spoken = " ".join(words.split()[:len(rows)])
    loaded = headsds.Prior.load(embeddings=[path])
    assert np.array_equal(loaded.encode_text([f"a {word}, old"]),
                          prior.encode_text([f"a {spoken}, old"]))
    named = headsds.Prior.load(embeddings=[(path, "Zed")])
    assert ids(named, "zed") == list(range(1067, 1067 + len(rows)))
    assert ids(named, "zedd") == ids(prior, "zedd")     # not inside of a word


def test_embeddings_beside_each_other(prior, tmp_path):
    os.mkdir("learned")
    a, b = rows_of(prior, "beard"), rows_of(prior, "nose")
    write_embedding("safetensors", "learned/learned_embeds.safetensors", a)
    write_embedding("webui.safetensors", "b.safetensors", b)
    loaded = headsds.Prior.load(embeddings=["learned", "b.safetensors"])
    assert np.array_equal(loaded.encode_text(["<x> b"]), prior.encode_text(["beard nose"]))
    assert np.array_equal(loaded.encode_text(["old"]), prior.encode_text(["old"]))
    assert headsds.Prior.load(embeddings=["learned"]) is not None
    with pytest.raises(headsds.FormatError, match="\"<x>\" is a token already"):
        headsds.Prior.load(embeddings=["learned", "learned"])


def test_embeddings_in_one_with_a_folder_that_has_added_tokens(prior, folder, tmp_path):
    first = grow(folder, 1)
    add_as("added_tokens.json", folder, [added(first, "<old>")])
    write_embedding("safetensors", "a.safetensors", rows_of(prior, "beard"))
    loaded = headsds.Prior.load(folder, embeddings=["a.safetensors"])
    assert ids(loaded, "<old><x>") == [first, first + 1]


@pytest.mark.parametrize("tensors, said", [
    ({"clip_l": np.zeros((1, 128)), "clip_g": np.zeros((1, 128))}, "clip_g.*Stable Diffusion XL"),
    ({"<x>": np.zeros((1, 768))}, "vectors of 768 numbers, expected 128"),
    ({"<x>": np.full((1, 128), np.nan)}, "number 0 is nan"),
    ({"<x>": np.zeros((76, 128))}, "76 vectors, expected 1 to 75"),
    ({"<x>": np.zeros((1, 1, 128))}, "expected vectors"),
    ({"emb_params": np.zeros((1, 128)), "x": np.zeros((1, 128))}, "holds 2 tensors"),
])
def test_embeddings_that_do_not_fit(tensors, said):
    write_safetensors("a.safetensors", tensors)
    with pytest.raises(ValueError, match=f"a.safetensors: .*{said}"):
        headsds.Prior.load(embeddings=["a.safetensors"])


def test_embeddings_arguments():
    with pytest.raises(TypeError, match="embeddings: one path"):
        headsds.Prior.load(embeddings="a.pt")
    with pytest.raises(TypeError, match="embeddings: None"):
        headsds.Prior.load(embeddings=[None])
    with pytest.raises(ValueError, match="embeddings: token: character 1 is NUL"):
        headsds.Prior.load(embeddings=[("a.pt", "a\0")])
    with pytest.raises(FileNotFoundError, match="learned_embeds.safetensors"):
        headsds.Prior.load(embeddings=["."])


def quick(prompt, prior, **more):
    return headsds.generate(prompt, None, prior, geometry={"steps": 1, "views": 1, "resolution": 64},
                            texture=None, **more)


def test_embeddings_are_part_of_what_a_head_came_from(prior, tmp_path):
    write_embedding("safetensors", "a.safetensors", rows_of(prior, "beard"))
    loaded = headsds.Prior.load(embeddings=["a.safetensors"])
    head = quick("a <x>", loaded, checkpoint="run.checkpoint")
    assert [e["token"] for e in head.record["prior"]["embeddings"]] == ["<x>"]
    with pytest.raises(ValueError, match="prior.embeddings"):
        quick("a <x>", prior, checkpoint="run.checkpoint", resume=True)


# ---- prompts longer than 75 tokens ----

FRONT = "a head with " + "very " * 80


def test_long_prompts_go_on_in_chunks(prior):
    words = ["very"] * 75 + ["big", "ears"]
    one, two = (prior.encode_text([" ".join(part)]) for part in (words[:75], words[75:]))
    both = np.asarray(prior.encode_text([" ".join(words)]))
    assert both.shape == (1, 154, prior.text_width)
    assert np.allclose(both, np.concatenate([one, two], 1), atol=1e-5)
    # a word is not divided: 74 tokens and one of two
    parts = ids(prior, "zombie")
    assert 1 < len(parts) < 9
    text = "very " * 74
    assert np.allclose(np.asarray(prior.encode_text([text + "zombie"]))[:, 77:],
                       prior.encode_text(["zombie"]), atol=1e-5)


def test_short_texts_beside_long_ones_mean_the_same(prior):
    states = np.asarray(prior.encode_text(["a head", "very " * 80]))
    assert states.shape == (2, 154, prior.text_width)
    alone = np.asarray(prior.encode_text(["a head"]))
    latents = np.random.RandomState(0).randn(1, 4, 16, 16).astype("f4")
    assert np.allclose(prior.predict_noise(latents, 300, states[:1]),
                       prior.predict_noise(latents, 300, alone), atol=1e-5)
    _, maps = prior.attention_maps(latents, 300, states[1:], tokens=[0, 153])
    assert next(iter(maps.values())).shape[-1] == 2
    with pytest.raises(ValueError, match=r"tokens\[0\] is 154, expected 0 to 153"):
        prior.attention_maps(latents, 300, states[1:], tokens=[154])
    with pytest.raises(ValueError, match=r"text: shape \(1, 76, 128\)"):
        prior.predict_noise(latents, 300, states[:1, :76])


def test_the_end_of_a_long_prompt_counts(prior):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ears, nose = (quick(FRONT + end, prior) for end in ("big ears", "a long nose"))
        pictures = [prior.sample(FRONT + end, negative_prompt="a hat", steps=2)
                    for end in ("big ears", "a long nose")]
        other = prior.sample("a head", negative_prompt=FRONT + "big ears", steps=2)
    assert not np.array_equal(ears.shape, nose.shape)
    assert not np.array_equal(*pictures)
    assert not np.array_equal(other, prior.sample("a head", steps=2))


def test_prompts_that_are_too_long_are_refused(prior):
    said = "text: 1300 tokens, expected at most 1200"
    for call in (lambda t: prior.encode_text([t]), lambda t: prior.sample(t, steps=1),
                 lambda t: prior.sample("a", negative_prompt=t, steps=1)):
        with pytest.raises(ValueError, match=said):
            call("very " * 1300)
    with pytest.raises(ValueError, match="text: 13.. tokens, expected at most 1200"):
        quick("very " * 1300, prior)


def test_tokenize_says_what_it_leaves_out(prior):
    with pytest.warns(UserWarning, match=r"texts\[1\]: 85 tokens, .* left out: very .* big ears$"):
        found = np.asarray(prior.tokenize(["a", FRONT + "Big ears"]))
    assert found.shape == (2, 77)
    with pytest.warns(UserWarning, match=r"left out: (very )+\.\.\.$"):
        prior.tokenize(["very " * 1000])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior.tokenize(["very " * 75])
        with pytest.raises(UserWarning):
            prior.tokenize(["very " * 76])


def make_clip(prior, folder):
    """CLIP's folder: the prior's text encoder, and a vision tower of random numbers."""
    folder.mkdir()
    source = pathlib.Path(prior.path)
    for path in (source / "tokenizer").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    text = json.loads((source / "text_encoder" / "config.json").read_text())
    vision = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16,
              "intermediate_size": 32, "image_size": 32, "patch_size": 16}
    (folder / "config.json").write_text(json.dumps(
        {"projection_dim": 8, "text_config": text, "vision_config": vision}))
    (folder / "preprocessor_config.json").write_text(json.dumps(
        {"crop_size": 32, "size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    random = np.random.RandomState(0)
    tensors = read_safetensors(source / "text_encoder" / "model.safetensors")
    layer = "vision_model.encoder.layers.0."
    shapes = {"text_projection.weight": (8, 128), "visual_projection.weight": (8, 16),
              "vision_model.embeddings.class_embedding": (16,),
              "vision_model.embeddings.patch_embedding.weight": (16, 3, 16, 16),
              "vision_model.embeddings.position_embedding.weight": (5, 16),
              **{f"{layer}self_attn.{n}_proj.weight": (16, 16) for n in ("q", "k", "v", "out")},
              layer + "mlp.fc1.weight": (32, 16), layer + "mlp.fc2.weight": (16, 32)}
    norms = ["vision_model.pre_layrnorm", "vision_model.post_layernorm", layer + "layer_norm1",
             layer + "layer_norm2"]
    shapes.update({f"{n}.weight": (16,) for n in norms})
    for name in [n for n in shapes if n.startswith("vision_model") and n.endswith("weight")
                 and "embeddings" not in n]:
        shapes[name[:-6] + "bias"] = shapes[name][:1]
    tensors.update({name: random.randn(*shape) * .3 for name, shape in shapes.items()})
    tensors["logit_scale"] = ("F32", [], np.float32(2).tobytes())
    write_safetensors(folder / "model.safetensors", tensors)
    return headsds.Clip.load(folder)


def test_clip_says_what_it_leaves_out(prior, tmp_path):
    clip = make_clip(prior, tmp_path / "clip")
    picture = np.random.RandomState(0).rand(1, 32, 32, 3).astype("f4")
    texts = ["a head", FRONT + "big ears"]
    for call in (lambda: clip.embed_texts(texts), lambda: clip.similarity(picture, texts),
                 lambda: clip.similarity_gradient(picture, texts, np.ones((1, 2), "f4"))):
        with pytest.warns(UserWarning, match=r"texts\[1\]: 85 tokens, .* big ears$") as seen:
            call()
        assert len(seen) == 1
    with pytest.raises(ValueError, match="texts.0.: character 1 is NUL"):
        clip.embed_texts(["a\0"])


def test_clip_pools_at_the_end_of_a_text_also_with_added_tokens(prior, tmp_path):
    make_clip(prior, tmp_path / "clip")
    path = tmp_path / "clip" / "model.safetensors"
    tensors = read_safetensors(path)
    dtype, (old, width), data = tensors[TABLE]
    tensors[TABLE] = (dtype, [old + 1, width], data + data[:len(data) // old])
    write_safetensors(path, tensors)
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    edit_json(tmp_path / "clip" / "config.json",
              text_config={**config["text_config"], "vocab_size": old + 1})
    (tmp_path / "clip" / "added_tokens.json").write_text(json.dumps({"<x>": old}))
    clip = headsds.Clip.load(tmp_path / "clip")
    one, other = np.asarray(clip.embed_texts(["a <x> head", "a <x> nose"]))
    assert not np.allclose(one, other, atol=1e-3)   # what is behind the token counts


# ---- texts that are none ----

BAD = [("a head\0 with ears", "character 6 is NUL"), ("a \ud83d head", "character 2 is half of a "
                                                      r"surrogate pair \(U\+D83D\)")]


@pytest.mark.parametrize("text, said", BAD)
def test_texts_with_nul_or_half_of_a_pair(prior, text, said):
    calls = {
        r"texts\[1\]": [lambda: prior.tokenize(["a", text]), lambda: prior.encode_text(["a", text])],
        "prompt": [lambda: headsds.generate(text), lambda: headsds.Job(text),
                   lambda: prior.sample(text), lambda: headsds.Head(prompt=text)],
        "negative_prompt": [lambda: headsds.generate("a", negative_prompt=text),
                            lambda: headsds.Job("a", negative_prompt=text),
                            lambda: prior.sample("a", negative_prompt=text)],
        "recipe": [lambda: headsds.generate("a", recipe=text)],
        "scheduler": [lambda: prior.sample("a", scheduler=text)],
        "device": [lambda: headsds.Prior.load(device=text), lambda: headsds.Clip.load(".", device=text)],
        "name": [lambda: headsds.cameras(text, 3)],
        "kind": [lambda: headsds.Head().uv_map(text)],
        "mode": [lambda: headsds.Head().render(mode=text)],
    }
    for name, functions in calls.items():
        for call in functions:
            with pytest.raises(ValueError, match=f"^{name}: {said}"):
                call()


def batch(path):
    return subprocess.run([os.environ["HEADSDS_COMMAND"], "batch", path, "-o", "heads"],
                          capture_output=True, text=True)


@pytest.mark.parametrize("name, content, said", [
    ("a.jsonl", b'{"prompt": "a\\u0000b"}\n', r"a.jsonl:1: prompt holds a NUL (\u0000)"),
    ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "a\\ud83d b"}\n', "a.jsonl:2: column"),
    ("a.jsonl", b'{"prompt": "a\\ud83d b"}\n', "half of a surrogate pair"),
    ("a.txt", "an old man\n".encode("utf-16-le"), "a.txt:1: a NUL"),
    ("a.csv", b"prompt,seed\na\0b,3\n", "a.csv:2: a NUL"),
])
def test_batches_with_such_texts(name, content, said):
    pathlib.Path(name).write_bytes(content)
    result = batch(name)
    assert result.returncode == 1 and said in result.stderr, result


def test_the_command_with_a_prompt_that_is_not_utf8():
    for words in (["caf\udce9"], ["a", "--negative-prompt", "caf\udce9"]):
        ran = subprocess.run([os.environ["HEADSDS_COMMAND"], "generate", *words, "-o", "a.glb"],
                             capture_output=True, text=True)
        assert ran.returncode == 1 and "prompt: byte 3 (0xe9) is not UTF-8" in ran.stderr


def test_the_command_takes_embeddings(prior):
    write_embedding("safetensors", "a=b.safetensors", rows_of(prior, "beard"))
    command = [os.environ["HEADSDS_COMMAND"], "generate", "a <x> zed", "-o", "head.headsds",
               "--set", "geometry.steps=1", "--set", "geometry.views=1", "--set",
               "geometry.resolution=64", "--set", "texture.skip=true"]
    ran = subprocess.run([*command, "--embedding", "a=b.safetensors", "--embedding",
                          "./a=b.safetensors=zed"], capture_output=True, text=True)
    assert ran.returncode == 0, ran
    found = headsds.Head.load("head.headsds").record["prior"]["embeddings"]
    assert [e["token"] for e in found] == ["<x>", "zed"]
    ran = subprocess.run([*command, "--embedding", "none.pt"], capture_output=True, text=True)
    assert ran.returncode == 1 and "none.pt: " in ran.stderr
    write_embedding("webui.pt", "b.pt", rows_of(prior, "beard"))
    ran = subprocess.run([os.environ["HEADSDS_COMMAND"], "info", "b.pt"], capture_output=True,
                         text=True)
    assert "textual inversion" in ran.stdout


@pytest.mark.parametrize("text", ["👩‍👩‍👧 face", "中文 提示", "cafe\u0301", "\u200b\ufeff", "\x01\x1b[31m",
                                  "  a\n\tb ", "x" * 60000], ids=range(7))
def test_prompts_in_other_scripts(prior, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.asarray(prior.tokenize([text])).shape == (1, 77)
