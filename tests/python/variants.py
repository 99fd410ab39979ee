# SPDX-License-Identifier: Apache-2.0
"""Other forms of a diffusers folder: its weights as numpy arrays, changed and written anew."""

import io
import json
import pickle
import shutil
import zipfile

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


class Named:
    """Pickles as a global of this name, called with these arguments."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class _Pickler(pickle._Pickler):
    """torch.save's pickle, without torch: `store(array)` keeps a storage and gives its key."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, store):
        super().__init__(file, protocol=2)
        self.store = store

    def _global(self, name):
        module, _, attribute = name.rpartition(".")
        self.write(pickle.GLOBAL + f"{module}\n{attribute}\n".encode())

    def save_named(self, named):
        self._global(named.name)
        self.save(named.arguments)
        self.write(pickle.REDUCE)

    def save_tensor(self, array):
        storage = {"f4": "torch.FloatStorage", "f2": "torch.HalfStorage", "i8": "torch.LongStorage",
                   "i4": "torch.IntStorage"}[array.dtype.str[1:]]
        self._global("torch._utils._rebuild_tensor_v2")
        self.write(pickle.MARK)
        self.write(pickle.MARK)
        self.save("storage")
        self._global(storage)
        for item in (self.store(array), "cpu", array.size):
            self.save(item)
        self.write(pickle.TUPLE + pickle.BINPERSID)
        strides = [stride // array.itemsize for stride in array.strides]
        for item in (0, array.shape, tuple(strides), False, {}):
            self.save(item)
        self.write(pickle.TUPLE + pickle.REDUCE)

    dispatch[Named] = save_named
    dispatch[numpy.ndarray] = save_tensor


def write_torch(path, content):
    """What torch.save writes of dicts of arrays and plain values."""
    storages = []

    def store(array):
        storages.append(array.tobytes())
        return str(len(storages) - 1)

    text = io.BytesIO()
    _Pickler(text, store).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        for key, block in enumerate(storages):
            archive.writestr(f"archive/data/{key}", block)
        archive.writestr("archive/version", "3\n")


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
