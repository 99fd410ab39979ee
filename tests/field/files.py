# SPDX-License-Identifier: Apache-2.0
"""Small files of the kinds that users have, and what a prior makes of a fixed input."""

import json
import struct

import numpy as np


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    start = 8 + size
    return {name: (entry["dtype"], entry["shape"],
                   data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]])
            for name, entry in header.items()}


def write_safetensors(path, tensors, metadata={"format": "pt"}):
    """tensors: as read_safetensors gives them, or arrays of float32. metadata None: no entry."""
    header, pieces, at = {}, [], 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        if not isinstance(tensor, tuple):
            array = np.ascontiguousarray(tensor, "f4")
            tensor = ("F32", list(array.shape), array.tobytes())
        dtype, shape, data = tensor
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        pieces.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(pieces))


def edit_json(path, **changes):
    """Sets keys of a JSON object in a file; Ellipsis removes one. Written as Python writes JSON."""
    value = json.loads(path.read_text())
    for key, new in changes.items():
        if new is ...:
            value.pop(key, None)
        else:
            value[key] = new
    path.write_text(json.dumps(value))


def numbers(prior, prompt="a head with big ears"):
    """Numbers that each network of a prior has a part in."""
    text = np.asarray(prior.encode_text([prompt]))
    latents = np.random.RandomState(0).randn(1, 4, 16, 16).astype("f4")
    return np.concatenate([text.ravel(),
                           np.asarray(prior.predict_noise(latents, 300, text)).ravel(),
                           np.asarray(prior.decode_latents(latents)).ravel()])
