# SPDX-License-Identifier: Apache-2.0
"""Every command but generate and batch: results, refusals and exit codes."""

import json
import re
import shutil
import struct
import subprocess

import pytest

from conftest import COMMAND, ROOT

COMMANDS = ["generate", "batch", "render", "convert", "info", "options", "completion", "help"]
HEAD_MODEL = ROOT / "samples/head/head.npz"


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


# ---- help ----

def test_version(run):
    assert re.fullmatch(r"headsds \d+\.\d+\.\d+\n", run("--version"))


def test_overview(run):
    text = run("--help")
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M)
    assert run("help") == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help(run, command):
    text = run("help", command)
    assert run(command, "--help") == text
    assert text.startswith(f"usage: headsds {command} [options]")
    assert "examples:\n  $ " in text
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("  $"))


def test_unknown_command(run):
    assert run.refused("rendr").startswith("rendr: unknown command, perhaps render; see")
    assert run.refused("teapot").startswith("teapot: unknown command; see")
    assert run.refused("help", "rendr").startswith("rendr: unknown command, perhaps render")
    assert "expected a command" in run.refused()


@pytest.mark.parametrize("arguments, message", [
    (["generate", "x", "--sed", "3"], "--sed: unknown option, perhaps --seed"),
    (["generate", "x", "-z"], "-z: unknown option"),
    (["generate", "x", "--seed"], "--seed needs a value"),
    (["generate", "x", "-o"], "-o needs a value"),
    (["generate", "x", "--json=3"], "--json takes no value"),
    (["generate", "x", "--dtype", "int8"], "--dtype is int8, expected one of"),
    (["generate"], "something is missing, expected headsds generate PROMPT"),
    (["generate", "an", "elf"], "a text with blanks needs quotes"),
    (["options", "--json", "--markdown"], "expected one of them"),
    (["completion", "tcsh"], "tcsh: expected one of bash, zsh, fish"),
])
def test_wrong_arguments(run, arguments, message):
    line = run.refused(*arguments)
    assert message in line
    assert line.endswith(f"; see headsds {arguments[0]} --help")


def test_full_disk():
    with open("/dev/full", "w") as full:
        ended = subprocess.run([COMMAND, "options"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("headsds: error: standard output: ")


# ---- render ----

def test_render(run, mean, tmp_path):
    assert run("render", mean, "--size", 32, "-o", "a.png") == "a.png\n"
    assert png_size(tmp_path / "a.png") == (32, 32)
    run("render", "--head-model", HEAD_MODEL, "--size", 32, "-o", "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_render_azimuths(run, mean, tmp_path):
    result = json.loads(run("render", mean, "--size", 32, "--azimuth", "-30,0,30", "-o", "a.png",
                            "--json"))
    assert result == {"outputs": ["a-000.png", "a-001.png", "a-002.png"]}
    pictures = {(tmp_path / name).read_bytes() for name in result["outputs"]}
    assert len(pictures) == 3


def test_render_differs(run, mean, tmp_path):
    views = [["--mode", mode] for mode in ("textured", "grey", "normals", "camera_normals",
                                           "control_normals", "depth", "parts")]
    views += [["--elevation", 30], ["--distance", 2], ["--fov", 60], ["--light", 0]]
    seen = set()
    for view in views:
        run("render", mean, "--size", 32, "--azimuth", 20, "-o", "a.png", *view)
        seen.add((tmp_path / "a.png").read_bytes())
    assert len(seen) == len(views)


@pytest.mark.parametrize("arguments, message", [
    ([], "nothing to show, expected HEAD.headsds"),
    (["a.headsds", "-o", "a.jpg"], "a.jpg: expected a name that ends in .png"),
    (["a.headsds", "--mode", "x"], "--mode is x, expected one of textured grey"),
    (["a.headsds", "--azimuth", "1,x"], "--azimuth is 1,x, expected up to 360 numbers"),
    (["a.headsds", "--elevation", "91"], "--elevation is 91, expected a number from -90 to 90"),
    (["a.headsds", "--size", "0"], "--size is 0, expected 1 to 4096"),
    (["a.headsds", "--light", "99"], "--light is 99, expected 0 to "),
])
def test_render_refused(run, arguments, message):
    assert message in run.refused("render", *arguments)


def test_render_not_found(run):
    assert run.refused("render", "a.headsds", code=1).startswith("a.headsds: not found")


# ---- convert ----

def test_convert_head(run, mean, tmp_path):
    outputs = ["a.glb", "a.gltf", "b.obj", "a.headsds"]
    assert run("convert", mean, *outputs).split() == outputs
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    json.loads((tmp_path / "a.gltf").read_text())
    assert (tmp_path / "b.mtl").exists()
    assert (tmp_path / "a.headsds").read_bytes() == mean.read_bytes()


def test_convert_model(run, tmp_path):
    run("convert", HEAD_MODEL, "a.npz", "a.glb")
    run("convert", "a.npz", "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("arguments, code, message", [
    (["a.headsds"], 2, "something is missing, expected headsds convert IN OUT..."),
    (["a.headsds", "a.npz"], 2, "an .npz holds a head model, and a.headsds is one head"),
    (["a.headsds", "a.fbx"], 2, "a.fbx: expected a name that ends in .glb"),
    (["a.headsds", "a.glb", "a.glb"], 2, "a.glb: is named twice"),
    (["a.headsds", "none/a.glb"], 1, "none/a.glb: its folder does not exist; create it first"),
    (["a.headsds", "a.glb"], 1, "a.headsds: not found"),
    (["a.ply", "a.glb"], 1, "a.ply: no such file or folder, expected a headsds or FLAME .npz"),
])
def test_convert_refused(run, arguments, code, message):
    assert message in run.refused("convert", *arguments, code=code)


# ---- info ----

def test_info_head(run, mean):
    result = json.loads(run("info", mean, "--json"))
    assert result["kind"] == "head" and result["steps"] == 0 and result["record"] is None
    assert result["model"]["name"] == "headsds sample head"
    text = run("info", mean)
    assert text.startswith("kind                head\n")
    assert "  vertices          5296\n" in text


def test_info_model(run):
    result = json.loads(run("info", HEAD_MODEL, "--json"))
    assert result["kind"] == "head model" and result["vertices"] == 5296
    assert len(result["expression_names"]) == result["expressions"]


def test_info_networks(run):
    result = json.loads(run("info", ROOT / "samples/prior", "--json"))
    assert result["kind"] == "prior" and result["text_width"] == 128
    assert result["headsds"]["neutral_prompt"] == "a head"
    weights = next((ROOT / "samples/prior/unet").glob("*.safetensors"))
    result = json.loads(run("info", weights, "--json"))
    assert result["kind"] == "weights" and result["tensors"] > 0


def test_info_refused(run, tmp_path):
    assert run.refused("info", "a.glb", code=1) == "a.glb: no such file or folder"
    (tmp_path / "a.glb").write_bytes(b"glTF")
    assert "a.glb: is a glTF file; expected a head (.headsds)" in run.refused("info", "a.glb", code=1)
    (tmp_path / "a.npz").write_bytes(b"x")
    assert run.refused("info", "a.npz", code=1).startswith("a.npz: ")


# ---- options ----

def test_options(run):
    text, result = run("options"), json.loads(run("options", "--json"))
    assert list(result) == ["stage", "guidance", "recipes"]
    for option in result["stage"] + result["guidance"]:
        assert f"\n  {option['name']} " in text
        assert option["type"] in ("bool", "int", "float", "name")
    for recipe in result["recipes"].values():
        for stage in recipe["stages"].values():
            assert {o["name"] for o in result["stage"]} <= set(stage)


def test_options_page(run):
    """docs/options.md is what the command prints."""
    assert run("options", "--markdown") == (ROOT / "docs/options.md").read_text(), (
        "write it again: headsds options --markdown > docs/options.md")


# ---- completion ----

def complete(script, words):
    """What bash would offer for the last of the words."""
    line = " ".join(f'"{word}"' for word in words)
    program = (f"{script}\ncompopt() {{ :; }}\nCOMP_WORDS=({line})\n"
               f"COMP_CWORD={len(words) - 1}\n_headsds\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run(["bash", "-c", program], check=True, capture_output=True,
                          text=True).stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_parses(run, shell):
    script = run("completion", shell)
    for word in (*COMMANDS, "geometry.steps=", "default", "negative-prompt"):
        assert word in script
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_completion_bash(run, tmp_path, monkeypatch):
    script = run("completion", "bash")
    assert complete(script, ["headsds", "re"]) == ["render"]
    assert complete(script, ["headsds", "generate", "--se"]) == ["--seed", "--set"]
    assert complete(script, ["headsds", "generate", "--recipe", "def"]) == ["default"]
    assert "texture.steps=" in complete(script, ["headsds", "generate", "--set", "texture.s"])
    assert complete(script, ["headsds", "render", "--mode", "gr"]) == ["grey"]
    assert complete(script, ["headsds", "completion", "z"]) == ["zsh"]
    (tmp_path / "prompts.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    assert complete(script, ["headsds", "batch", "pro"]) == ["prompts.txt"]
