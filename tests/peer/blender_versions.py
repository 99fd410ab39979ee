#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's scene tests in the bpy wheels of PyPI, one version after the other.

    python3 tests/peer/blender_versions.py --addon build/addon [--work DIR] [VERSION ...]

Each version gets a virtual environment of its own, of about 1 GB, which goes again before the next
is made (--keep leaves them). The Python that a version needs is looked for as python3.N, with uv
and with pyenv. Prints a table; exit code 1 when a test failed. Not part of the default suite.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SCENE = pathlib.Path(__file__).resolve().parents[1] / "addon" / "inside" / "scene.py"
VERSIONS = ("4.2", "4.5", "5")          # the newest of each


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--addon", type=pathlib.Path, required=True,
                        help="the folder that the build put headsds_addon in")
    parser.add_argument("--work", type=pathlib.Path, help="where the environments are made")
    parser.add_argument("--keep", action="store_true", help="leaves the environments")
    parser.add_argument("versions", nargs="*", default=VERSIONS, metavar="VERSION")
    options = parser.parse_args()
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="headsds-bpy-"))
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for version in options.versions:
        place = work / f"bpy-{version}"
        try:
            rows.append(try_version(version, place, options.addon.resolve()))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            rows.append((version, "", "", f"not tried: {error}"))
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    print("\n| bpy | Python | tests passed | outcome |\n| --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return any(row[3] != "right" for row in rows)


def try_version(version, place, addon):
    """A row of the table."""
    numbers = tuple(int(part) for part in version.split("."))
    wanted = "3.11" if numbers < (5,) or numbers[:2] == (5, 0) else "3.13"
    program = environment(place, wanted)
    subprocess.run([program, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                    f"bpy=={version}" if len(numbers) > 2 else f"bpy=={version}.*"], check=True)
    installed = subprocess.run([program, "-c", "import bpy; print('BPY', bpy.app.version_string)"],
                               check=True, capture_output=True, text=True).stdout
    name = re.search("^BPY (.*)$", installed, re.M)[1]
    code, text = run_scene(program, place, addon)
    log = place.with_name(place.name + ".log")
    log.write_text(text)
    count = re.search(r"^(\d+) tests, (\d+) failed$", text, re.M)
    faults = re.findall(r"^FAILED  (\w+)$", text, re.M)
    faults += sorted(set(re.findall(r"headsds_addon/.*DeprecationWarning: (.*)", text)))
    if not count:
        faults.append(f"ended early, see {log}")
    elif code != 0 and not faults:
        faults.append(f"exit code {code}, see {log}")
    passed = f"{int(count[1]) - int(count[2])} of {count[1]}" if count else "none"
    return name, wanted, passed, "; ".join(faults) or "right"


def environment(place, wanted):
    """Makes a virtual environment with Python `wanted`; its python."""
    program = place / "bin" / "python"
    if program.exists():
        return program
    subprocess.run([interpreter(wanted), "-m", "venv", str(place)], check=True)
    return program


def interpreter(wanted):
    """A Python of that version, by whatever manager of Pythons there is."""
    finders = [[f"python{wanted}", "-c", "import sys; print(sys.executable)"],
               ["uv", "python", "find", wanted]]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"), "versions")
    finders += [[str(path), "-c", "import sys; print(sys.executable)"]
                for path in sorted(pyenv.glob(f"{wanted}.*/bin/python{wanted}"))]
    for finder in finders:
        try:
            found = subprocess.run(finder, capture_output=True, text=True)
        except FileNotFoundError:
            continue
        if found.returncode == 0:
            return found.stdout.strip()
    raise RuntimeError(f"no Python {wanted} (python{wanted}, uv, pyenv)")


def run_scene(program, place, addon):
    """(exit code, all that it printed) of the scene tests, with user folders of their own."""
    folder = place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    environment = dict(os.environ, HEADSDS_ADDON=str(addon), PWD=str(folder),
                       PYTHONDONTWRITEBYTECODE="1")
    for kind in ("CONFIG", "SCRIPTS", "DATAFILES", "EXTENSIONS"):
        (folder / kind).mkdir(parents=True)
        environment[f"BLENDER_USER_{kind}"] = str(folder / kind)
    done = subprocess.run([program, "-W", "always::DeprecationWarning", SCENE, "--", folder],
                          cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800)
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
