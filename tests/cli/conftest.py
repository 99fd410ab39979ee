# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: it is run as users run it, in a folder of its own."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = os.environ["HEADSDS_COMMAND"]
# A run of two seconds: the texture alone, from one view.
TINY = ["--set", "geometry.skip=true", "--set", "texture.steps=2", "--set", "texture.views=1"]


class Run:
    """Calls the command in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, code=0):
        """stdout; stderr is in .log. The exit code has to be as expected."""
        ended = subprocess.run([COMMAND, *map(str, arguments)], cwd=self.folder,
                               stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.log = ended.stderr
        assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
        return ended.stdout

    def refused(self, *arguments, code=2):
        """The one line that says why; nothing is printed on stdout."""
        assert self(*arguments, code=code) == ""
        lines = [line for line in self.log.splitlines() if line != "loading"]
        assert len(lines) == 1, self.log
        assert lines[0].startswith("headsds: error: ")
        return lines[0].removeprefix("headsds: error: ")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.fixture(scope="session")
def mean(tmp_path_factory):
    """The sample head's mean as a .headsds file."""
    folder = tmp_path_factory.mktemp("mean")
    Run(folder)("convert", ROOT / "samples/head/head.npz", "mean.headsds")
    return folder / "mean.headsds"
