# SPDX-License-Identifier: Apache-2.0
"""A small vocabulary of CLIP's kind: all bytes, merges learned from a few lines, start and end."""

import collections
import json
import re

LINES = """a photo of a head with big ears and a long nose, front view, side view, back view
the face of an old man with a beard, an old woman's face, a boxer, a head of a young person
blue eyes, brown hair, a hat, it's the man, they're heads, naïve café übermut façade
голова человека с большими ушами 头 顔 머리 رأس 😀 😀 👍 12 3d 4k 1980s, café, большая борода"""
MERGES = 110


def byte_names():
    """GPT-2's printable name of each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in kept]
    return {**{byte: chr(byte) for byte in kept}, **{byte: chr(256 + k) for k, byte in enumerate(rest)}}


def write(folder):
    """vocab.json and merges.txt."""
    names = byte_names()
    words = collections.Counter()
    for word in re.findall(r"'s|'re|\d|[^\W\d]+|[^\s\w]+", LINES.lower()):
        pieces = [names[byte] for byte in word.encode()]
        words[(*pieces[:-1], pieces[-1] + "</w>")] += 1
    merges = []
    for _ in range(MERGES):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = collections.Counter()
        for word, count in words.items():
            new, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    new.append(word[i] + word[i + 1])
                    i += 2
                else:
                    new.append(word[i])
                    i += 1
            merged[tuple(new)] += count
        words = merged
    tokens = dict.fromkeys([*names.values(), *(name + "</w>" for name in names.values()), *map("".join, merges),
                            "<|startoftext|>", "<|endoftext|>"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(tokens)}, ensure_ascii=False),
                                       encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    return folder
