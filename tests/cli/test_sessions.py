# SPDX-License-Identifier: Apache-2.0
"""The sessions of docs/command.md give what the page shows; "..." stands for anything."""

import os
import re
import shlex
import subprocess

import pytest

from conftest import COMMAND, ROOT

PAGE = (ROOT / "docs/command.md").read_text()
SESSIONS = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)


def commands(text):
    """(line, its output) of the blocks of a session."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, _, output = part.partition("\n")
            yield line, output


def matches(expected, output):
    return re.fullmatch(".*".join(map(re.escape, expected.split("..."))), output, re.S)


@pytest.mark.parametrize("title, text", [s for s in SESSIONS if "```console" in s[1]],
                         ids=lambda value: value if "\n" not in value else "")
def test_session(title, text, tmp_path):
    script = tmp_path / "bin/headsds"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(COMMAND)} "$@"\n')
    script.chmod(0o755)
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}"}
    for line, expected in commands(text):
        ended = subprocess.run(["bash", "-c", line], cwd=tmp_path / "work", env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
        assert matches(expected, ended.stdout), f"$ {line}\n{ended.stdout}"


def test_there_are_five():
    assert sum("```console" in text for _, text in SESSIONS) == 5
