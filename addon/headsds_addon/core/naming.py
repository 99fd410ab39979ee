# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of data-blocks and shape keys made from prompts: at most 63 bytes of UTF-8, unique."""

import unicodedata

MAX_BYTES = 63


def cut(text, limit=MAX_BYTES):
    """The longest beginning of `text` of at most `limit` bytes that splits no character."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    kept = data[:limit].decode("utf-8", "ignore")
    # A base letter must not lose the accent that was cut off behind it.
    rest = data.decode("utf-8")[len(kept):]
    if unicodedata.combining(rest[0]):
        kept = kept.rstrip("".join(c for c in kept if unicodedata.combining(c)))[:-1]
    return kept.rstrip()


def unique(prompt, taken):
    """A name for `prompt` that is not in `taken`: itself, or with .001, .002, ... at its end."""
    words = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in prompt)
    base = " ".join(words.split()) or "Head"
    taken = set(taken)
    name = cut(base)
    number = 0
    while name in taken:
        number += 1
        suffix = f".{number:03d}"
        name = cut(base, MAX_BYTES - len(suffix)) + suffix
    return name
