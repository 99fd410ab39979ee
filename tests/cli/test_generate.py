# SPDX-License-Identifier: Apache-2.0
"""headsds generate: files, results, refusals, interrupts and checkpoints."""

import json
import re
import signal
import subprocess
import time

import pytest

from conftest import COMMAND, TINY


def test_generate(run, tmp_path):
    assert run("generate", "an old man", "--seed", 3, *TINY, "-o", "a.glb", "-o",
               "a.headsds") == "a.glb\na.headsds\n"
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    lines = run.log.splitlines()
    assert lines[0] == "loading"
    assert re.fullmatch(r"100%  texture: step 2 of 2", lines[-1])
    info = json.loads(run("info", "a.headsds", "--json"))
    assert info["prompt"] == "an old man" and info["steps"] == 2
    assert info["record"] is not None


def test_defaults_and_json(run, tmp_path):
    result = json.loads(run("generate", "an elf", *TINY, "--json", "--quiet"))
    assert run.log == ""
    assert result["outputs"] == ["head.glb"] and (tmp_path / "head.glb").exists()
    assert result["steps"] == 2 and result["recipe"] == "default" and result["seed"] == "0"


def test_start(run):
    run("generate", "an elf", *TINY, "-o", "a.headsds")
    run("generate", "red hair", *TINY, "--start", "a.headsds", "-o", "b.headsds")
    assert json.loads(run("info", "b.headsds", "--json"))["prompt"] == "red hair"


@pytest.mark.parametrize("arguments, message", [
    (["x", "--seed", "-1"], "--seed is -1, expected a whole number from 0 to 18446744073709551615"),
    (["x", "--seed", "18446744073709551616"], "--seed is 18446744073709551616"),
    (["  "], "the prompt is empty"),
    (["x", "--set", "geometry.steps"], "--set is geometry.steps, expected STAGE.OPTION=VALUE"),
    (["x", "--set", "geometry.steps=0"], "geometry.steps is 0, expected a whole number from 1"),
    (["x", "--set", "geometry.foo=1"], 'geometry: unknown option "foo"'),
    (["x", "--set", "foo.steps=1"], "expected STAGE.OPTION with one of the stages geometry"),
    (["x", "--recipe", "foo"], 'recipe is "foo", expected one of default'),
    (["x", "-o", "a.xyz"], "a.xyz: expected a name that ends in .glb"),
    (["x", "-o", ".glb"], ".glb: expected a name that ends in"),
    (["x", "-o", "a.glb", "-o", "a.glb"], "a.glb: is named twice"),
    (["x", "--resume"], "--resume needs --checkpoint FILE"),
])
def test_wrong(run, arguments, message):
    assert message in run.refused("generate", *arguments)


@pytest.mark.parametrize("arguments, message", [
    (["-o", "none/a.glb"], "none/a.glb: its folder does not exist; create it first"),
    (["-o", "folder.glb"], "folder.glb: is a folder"),
    (["--start", "none.headsds"], "none.headsds: not found"),
    (["--head-model", "none.npz"], "none.npz: no such file"),
    (["--prior", "none"], "none: no such file or folder, expected a diffusers folder"),
    (["--lora", "none.safetensors=0.5"], "none.safetensors: "),
])
def test_failed(run, tmp_path, arguments, message):
    (tmp_path / "folder.glb").mkdir()
    assert message in run.refused("generate", "x", *TINY, *arguments, code=1)


def test_interrupt_and_resume(run, tmp_path):
    steps = ["--set", "geometry.skip=true", "--set", "texture.views=1", "--set"]
    arguments = ["generate", "an elf", *steps, "texture.steps=60", "-o", "a.headsds"]
    kept = [*arguments, "--checkpoint", "a.checkpoint", "--resume"]
    with subprocess.Popen([COMMAND, *kept], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if "texture: step" in line:
                break
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        output, log = running.communicate()
    assert running.returncode == 130 and output == ""
    assert log.splitlines()[-1] == ("headsds: error: interrupted; continue with --resume "
                                    "--checkpoint a.checkpoint")
    assert (tmp_path / "a.checkpoint").exists() and not (tmp_path / "a.headsds").exists()
    run(*kept)
    resumed = (tmp_path / "a.headsds").read_bytes()
    run(*arguments)
    assert (tmp_path / "a.headsds").read_bytes() == resumed
