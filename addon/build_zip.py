# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the add-on together: its Python files, the compiled module and the data beside it.

Writes a folder that Blender can run as it is, and, with --zip, the file that an artist installs.
The same inputs give the same zip, to the byte. Nothing is written when a part is missing.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

NAME = "headsds_addon"
SOURCES = (".py", ".toml")
PRIOR = (".json", ".txt", ".safetensors")
NEEDED = ("head/head.npz", "prior/text_encoder/model.safetensors",
          "prior/vae/diffusion_pytorch_model.safetensors",
          "prior/unet/diffusion_pytorch_model.safetensors")
EPOCH = (1980, 1, 1, 0, 0, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", required=True, type=pathlib.Path, help="headsds.abi3.so")
    parser.add_argument("--backend", required=True, type=pathlib.Path, action="append",
                        help="headsds_torch_<version>.so; may be given several times")
    parser.add_argument("--data", required=True, type=pathlib.Path,
                        help="folder with head/head.npz and prior/")
    parser.add_argument("--license", required=True, type=pathlib.Path, help="of the add-on")
    parser.add_argument("--core-license", required=True, type=pathlib.Path,
                        help="of the module and the data")
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="made anew")
    parser.add_argument("--zip", type=pathlib.Path)
    parser.add_argument("--strip", help="a program that takes the symbols off what goes into the "
                        "zip, as strip does; the folder keeps them")
    parser.add_argument("--depfile", type=pathlib.Path, help="names every input, for ninja")
    options = parser.parse_args()
    for name in NEEDED:
        if not (options.data / name).is_file():
            sys.exit(f"{options.data / name}: missing; the add-on is not put together without it")
    target = options.folder / NAME
    contents = dict(collect(options))
    shutil.rmtree(target, ignore_errors=True)
    for name, source in contents.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / name)
    if options.zip:
        write_zip(options.zip, contents, options.strip)
    if options.depfile:
        inputs = " ".join(str(path).replace(" ", "\\ ") for path in inputs_of(options, contents))
        options.depfile.write_text(f"{options.zip}: {inputs}\n")


def inputs_of(options, contents):
    """The files and, so that a new file is noticed, the folders that are searched for them."""
    files = set(contents.values())
    alone = {options.module, *options.backend, options.license, options.core_license}
    return sorted(files | {path.parent for path in files - alone})


def collect(options):
    """(name in the add-on, file) pairs."""
    sources = pathlib.Path(__file__).resolve().parent / NAME
    for path in sorted(sources.rglob("*")):
        if path.suffix in SOURCES and path.is_file():
            yield path.relative_to(sources).as_posix(), path
    for path in (options.module, *options.backend):
        yield path.name, path
    yield "LICENSE", options.license
    yield "LICENSE-Apache-2.0", options.core_license
    yield "headsds_data/head/head.npz", options.data / "head" / "head.npz"
    for path in sorted((options.data / "prior").rglob("*")):
        if path.suffix in PRIOR and path.is_file():
            yield f"headsds_data/{path.relative_to(options.data).as_posix()}", path


def content(source, strip):
    """The bytes of a file, of a compiled one without its symbols."""
    if not strip or source.suffix != ".so":
        return source.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        small = pathlib.Path(folder, source.name)
        subprocess.run([strip, "--strip-unneeded", "-o", small, source], check=True)
        return small.read_bytes()


def write_zip(path, contents, strip=None):
    beside = path.with_name(path.name + ".part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(contents.items()):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content(source, strip))
    beside.replace(path)


if __name__ == "__main__":
    main()
