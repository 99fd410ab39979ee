# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the add-on lies for these tests, and how to run a script inside Blender.

HEADSDS_ADDON names the folder that the build put the add-on together in; without it only the
tests of core/ run, from the sources.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
STAGED = os.environ.get("HEADSDS_ADDON", "")

sys.path.insert(0, STAGED or str(SOURCE / "addon"))


class Blender:
    """Blender with factory settings and user folders of its own."""

    def __init__(self, folder):
        self.program = shutil.which("blender")
        if not STAGED:
            pytest.skip("HEADSDS_ADDON is not set: the build puts the add-on together")
        if self.program is None:
            pytest.skip("blender is not installed")
        self.folder = folder
        self.out = folder / "out"
        self.out.mkdir()
        # Blender takes the folder that it runs in from PWD.
        self.environment = dict(os.environ, PWD=str(folder), HEADSDS_ADDON=STAGED,
                                LIBGL_ALWAYS_SOFTWARE="1")
        for kind in ("CONFIG", "SCRIPTS", "DATAFILES", "EXTENSIONS"):
            (folder / kind).mkdir()
            self.environment[f"BLENDER_USER_{kind}"] = str(folder / kind)

    def run(self, *arguments, before=(), timeout=900):
        """(exit code, everything printed)"""
        done = subprocess.run([*before, self.program, *map(str, arguments)], text=True,
                              env=self.environment, stdout=subprocess.PIPE, timeout=timeout,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.folder)
        print(done.stdout)
        return done.returncode, done.stdout

    def inside(self, script, *arguments):
        """Runs inside/<script> under -b; its own asserts decide."""
        return self.run("-b", "--factory-startup", "--python-exit-code", "1", "--python",
                        HERE / "inside" / script, "--", *arguments)

    def command(self, *arguments, file=None, before=()):
        """The headless entry."""
        start = [file] if file else []
        return self.run("-b", "--factory-startup", *start, "--python-exit-code", "1", "--python",
                        pathlib.Path(STAGED, "headsds_addon", "generate.py"), "--", *arguments,
                        before=before)


@pytest.fixture
def blender(tmp_path):
    return Blender(tmp_path)
