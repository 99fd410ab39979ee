# SPDX-License-Identifier: Apache-2.0
"""Other forms of a diffusers folder: its weights as numpy arrays, changed and written anew."""

import json
import shutil

import numpy

DTYPES = {"F32": numpy.float32, "F16": numpy.float16, "I32": numpy.int32, "I64": numpy.int64}


def read(path):
    """{name: array} of a .safetensors file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = (8 + length + offset for offset in entry["data_offsets"])
            numbers = numpy.frombuffer(data[first:last], DTYPES[entry["dtype"]])
            tensors[name] = numbers.reshape(entry["shape"])
    return tensors


def write(path, tensors):
    header, blocks, offset = {}, [], 0
    for name in sorted(tensors):
        array = numpy.ascontiguousarray(tensors[name])
        dtype = next(key for key, value in DTYPES.items() if value == array.dtype)
        block = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(block)]}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def copy(folder, target):
    shutil.copytree(folder, target)
    return target


def set_config(path, **values):
    config = json.loads(path.read_text())
    config.update(values)
    path.write_text(json.dumps(config))


def change_unet(folder, change):
    """Replaces the UNet's tensors by change(tensors)."""
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    write(path, change(read(path)))
