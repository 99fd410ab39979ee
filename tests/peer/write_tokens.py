# SPDX-License-Identifier: Apache-2.0
"""Tokenizers as one transformers writes them, and their token ids: ROOT VOCABULARY

Runs with transformers 5, and with transformers 4, whose CLIPTokenizer is written in Python."""

import json
import pathlib
import random
import sys
import unicodedata

import transformers

PROMPTS = ["a head with big ears", "An OLD man's face, 45 years; they'll, it's, I'd", "  white \t\n space\u3000here\u00a0",
           "na\u00efve cafe\u0301 \u0130stanbul \ufb01n \u00bd \u1e9e Stra\u00dfe", "голова человека с большими ушами",
           "大きな耳のある頭 一个大耳朵的人头 귀가 큰 머리", "رأس بأذنين كبيرتين ראש עם אוזניים", "बड़े कान वाला सिर หัวที่มีหูใหญ่",
           "😀👍🏽 👨‍👩‍👧 🇩🇪 ❤️", "x² ⅷ ①② 𝓱𝓮𝓪𝓭 ｆａｃｅ 3d4k", "don't--stop!!! (beard:1.3), [ears] a_b <x>", "",
           "a<|endoftext|>b <|startoftext|>", "very " * 80 + "big ears", "'s 't 're 've 'm 'll 'd ’s 'S",
           "zero\u200bwidth \ufeff soft\u00adhyphen \u0007bell \x7f"]
GROWN = ["a <my-face> and <my-face>", "a <MY-FACE>", "my cat toys, cat toy", "<solo>x <solo> x", "a <spec>  b"]


def draw(count, seed=0):
    """Texts of all scripts, without what a str can't hold."""
    source, texts = random.Random(seed), []
    blocks = [(32, 127), (160, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0xe80), (0x1e00, 0x2070), (0x2070, 0x2c00),
              (0x3000, 0x3400), (0x4e00, 0x5000), (0xac00, 0xad00), (0xfb00, 0xfff0), (0x1d400, 0x1d800), (0x1f300, 0x1fb00)]
    while len(texts) < count:
        text = "".join(chr(source.randrange(*source.choice(blocks))) for _ in range(source.randrange(1, 20)))
        if all(unicodedata.category(c) not in ("Cs", "Cn") for c in text):
            texts.append(text)
    return texts


def ids(tokenizer, prompts):
    return tokenizer(prompts, padding="max_length", truncation=True, max_length=77)["input_ids"]


def kinds():
    if transformers.__version__ < "5":
        return {"slow": transformers.CLIPTokenizer, "fast": transformers.CLIPTokenizerFast}
    return {"": transformers.CLIPTokenizer}


def make(cls, vocabulary):
    return cls(str(vocabulary / "vocab.json"), str(vocabulary / "merges.txt"), model_max_length=77) \
        if transformers.__version__ < "5" else cls.from_pretrained(vocabulary, model_max_length=77)


def save(tokenizer, root, name, prompts, rows, kind):
    folder = f"tokenizers/{name}"
    tokenizer.save_pretrained(root / folder)
    rows.append({"name": name, "folder": folder, "prompts": prompts, "ids": ids(tokenizer, prompts), "kind": kind})
    return root / folder


def main(root, vocabulary):
    rows = []
    for label, cls in kinds().items():
        name = f"transformers-{transformers.__version__}" + (f"-{label}" if label else "")
        folder = save(make(cls, vocabulary), root, name, PROMPTS, rows, "prompts")
        rows.append({**rows[-1], "name": name + "-drawn", "prompts": draw(500), "kind": "drawn",
                     "ids": ids(make(cls, vocabulary), draw(500))})
        if (folder / "tokenizer.json").exists() and (folder / "vocab.json").exists():
            alone = root / f"tokenizers/{name}-json-alone"
            alone.mkdir()
            for file in ("tokenizer.json", "tokenizer_config.json"):
                (alone / file).write_bytes((folder / file).read_bytes())
            rows.append({**rows[-2], "name": name + "-json-alone", "folder": f"tokenizers/{name}-json-alone"})
        grown = make(cls, vocabulary)
        grown.add_tokens(["<my-face>", "cat toy", transformers.AddedToken("<solo>", single_word=True)])
        grown.add_special_tokens({"additional_special_tokens": [transformers.AddedToken("<spec>", lstrip=True)]}
                                 if transformers.__version__ < "5" else
                                 {"extra_special_tokens": [transformers.AddedToken("<spec>", lstrip=True)]})
        save(grown, root, name + "-grown", PROMPTS + GROWN, rows, "grown")
        grown.add_special_tokens({"pad_token": "!"})
        save(grown, root, name + "-pad", PROMPTS[:3], rows, "pad")
    (root / f"tokens-{transformers.__version__}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
