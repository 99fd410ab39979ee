# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the add-on together: its Python files, the compiled module and the data beside it.

Writes a folder that Blender can run as it is, and, with --zip, the file that an artist installs.
The same inputs give the same zip, to the byte.
"""

import argparse
import pathlib
import shutil
import sys
import zipfile

NAME = "headsds_addon"
SOURCES = (".py", ".toml")
PRIOR = (".json", ".txt", ".safetensors")
EPOCH = (1980, 1, 1, 0, 0, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", required=True, type=pathlib.Path, help="headsds.abi3.so")
    parser.add_argument("--data", required=True, type=pathlib.Path,
                        help="folder with head/head.npz and prior/")
    parser.add_argument("--license", required=True, type=pathlib.Path)
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="made anew")
    parser.add_argument("--zip", type=pathlib.Path)
    parser.add_argument("--depfile", type=pathlib.Path, help="names every input, for ninja")
    options = parser.parse_args()
    target = options.folder / NAME
    contents = dict(collect(options))
    shutil.rmtree(target, ignore_errors=True)
    for name, source in contents.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / name)
    if options.zip:
        write_zip(options.zip, contents)
    if options.depfile:
        inputs = " ".join(str(path).replace(" ", "\\ ") for path in contents.values())
        options.depfile.write_text(f"{options.zip}: {inputs}\n")
    return 0


def collect(options):
    """(name in the add-on, file) pairs."""
    sources = pathlib.Path(__file__).resolve().parent / NAME
    for path in sorted(sources.rglob("*")):
        if path.suffix in SOURCES and path.is_file():
            yield path.relative_to(sources).as_posix(), path
    yield options.module.name, options.module
    yield "LICENSE", options.license
    head = options.data / "head" / "head.npz"
    if head.exists():
        yield "headsds_data/head/head.npz", head
    prior = options.data / "prior"
    if (prior / "model_index.json").exists():
        for path in sorted(prior.rglob("*")):
            if path.suffix in PRIOR and path.is_file():
                yield f"headsds_data/prior/{path.relative_to(prior).as_posix()}", path


def write_zip(path, contents):
    beside = path.with_name(path.name + ".part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(contents.items()):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, source.read_bytes())
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
