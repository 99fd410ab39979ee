# SPDX-License-Identifier: Apache-2.0
"""headsds batch: the three kinds of files, names, failures, resuming, one job of many."""

import json
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import COMMAND, TINY


def test_text(run, tmp_path):
    (tmp_path / "a.txt").write_text("an old man\n\n# not this\n  Ein Mädchen, rot!  \r\n")
    out = run("batch", "a.txt", *TINY, "-o", "heads")
    names = ["heads/0000-an-old-man.glb", "heads/0001-ein-mädchen-rot.glb"]
    assert out.splitlines() == [*names, "2 done, 0 skipped, 0 failed"]
    assert sorted(path.name for path in (tmp_path / "heads").iterdir()) == [
        pathlib.Path(name).name for name in names]
    assert run("batch", "a.txt", *TINY, "-o", "heads") == "0 done, 2 skipped, 0 failed\n"
    (tmp_path / names[1]).unlink()
    assert run("batch", "a.txt", *TINY, "-o", "heads").splitlines() == [
        names[1], "1 done, 1 skipped, 0 failed"]
    assert run("batch", "a.txt", *TINY, "-o", "heads", "--force").endswith("2 done, 0 skipped, "
                                                                          "0 failed\n")


def test_csv(run, tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffprompt,seed,output,texture.steps\r\n'
                                    '"a ""big"", old\nman",7,sub/x.headsds,1\r\n'
                                    'an elf,,,\r\n')
    result = json.loads(run("batch", "a.csv", *TINY, "-o", "h", "--format", "headsds", "--json",
                            "--seed", 5, "--name", "{slug}-{seed}"))
    assert result["done"] == 2 and result["failed"] == 0
    assert [job["line"] for job in result["jobs"]] == [2, 4]
    assert [job["output"] for job in result["jobs"]] == ["h/sub/x.headsds", "h/an-elf-5.headsds"]
    info = json.loads(run("info", "h/sub/x.headsds", "--json"))
    assert info["steps"] == 1 and info["prompt"] == 'a "big", old\nman'
    assert json.loads(run("info", "h/an-elf-5.headsds", "--json"))["steps"] == 2


def test_json_lines_failure(run, tmp_path):
    jobs = [{"prompt": "an elf", "prior": "none"}, {"prompt": "a man", "seed": 2,
                                                    "texture.learning_rate": 0.01}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    out = run("batch", "a.jsonl", *TINY, code=1).splitlines()
    assert out[:2] == ["0001-a-man.glb", "1 done, 0 skipped, 1 failed"]
    assert out[2].startswith('failed: a.jsonl:1: "an elf": none: no such file or folder')
    assert "headsds: job 1 (a.jsonl:1) failed: none: no such" in run.log
    result = json.loads(run("batch", "a.jsonl", *TINY, "--json", code=1))
    assert [job["state"] for job in result["jobs"]] == ["failed", "skipped"]
    assert result["jobs"][0]["error"].startswith("none: no such file or folder")


def test_index(run, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    assert run("batch", "a.txt", *TINY, "--index", 1).splitlines() == [
        "0001-two.glb", "1 done, 0 skipped, 0 failed"]
    assert "job 2 of 3: two\n" in run.log
    assert "--index is 3, expected 0 to 2: a.txt has 3 jobs" in run.refused("batch", "a.txt",
                                                                           "--index", 3)


@pytest.mark.parametrize("name, text, message", [
    ("a.txt", b"\n# x\n", "a.txt: no jobs in it"),
    ("a.txt", b"an elf\nan \xff\n", "a.txt:2: is not UTF-8"),
    ("a.txt", b"an elf\nan \0\n", "a.txt:2: a NUL"),
    ("a.csv", b"seed\n1\n", 'a.csv:1: no column "prompt"'),
    ("a.csv", b"prompt,prompt\n1,2\n", "a.csv:1: a column is there twice"),
    ("a.csv", b"prompt,teapot\nx,1\n", 'a.csv:2: unknown field "teapot", expected prompt'),
    ("a.csv", b"prompt,seed\nx,1\ny,z\n", "a.csv:3: seed is z, expected a whole number"),
    ("a.csv", b"prompt,seed\nx\n", "a.csv:2: 1 fields, expected 2"),
    ("a.csv", b"prompt,seed\n,1\n", "a.csv:2: no prompt"),
    ("a.csv", b'prompt\n"x\ny\n', 'a.csv:2: a quote (") is never closed'),
    ("a.csv", b'prompt\n"x"y\n', "a.csv:2: text after a closing quote"),
    ("a.csv", b"prompt,geometry.steps\nx,0\n", "a.csv:2: geometry.steps is 0, expected a whole"),
    ("a.csv", b"prompt,recipe\nx,foo\n", 'a.csv:2: recipe is "foo"'),
    ("a.jsonl", b'{"prompt": "x"}\n{"prompt": \n', "a.jsonl:2: column "),
    ("a.jsonl", b'\n["x"]\n', "a.jsonl:2: expected an object"),
    ("a.jsonl", b'{"prompt": 3}\n', "a.jsonl:1: prompt is 3, expected a text"),
    ("a.jsonl", b'{"prompt": "x", "seed": "1"}\n', "a.jsonl:1: seed is 1, expected a whole"),
    ("a.jsonl", b'{"prompt": "x", "geometry.steps": [1]}\n', "a.jsonl:1: geometry.steps is [1]"),
    ("a.jsonl", b'{"seed": 1}\n', "a.jsonl:1: no prompt"),
    ("a.csv", b"prompt,output\nx,a.glb\ny,./a.glb\n", "a.csv:3: writes to a.glb, as line 2 does"),
    ("a.yaml", b"", "a.yaml: expected a name that ends in .txt, .csv or .jsonl"),
])
def test_malformed(run, tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text)
    assert message in run.refused("batch", name, code=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_refused(run):
    assert "a.txt: not found" in run.refused("batch", "a.txt", code=1)
    assert "{x} is no field, expected {index}" in run.refused("batch", "a.txt", "--name", "{x}")
    assert "--format is fbx" in run.refused("batch", "a.txt", "--format", "fbx")
    assert "geometry.steps is 0" in run.refused("batch", "a.txt", "--set", "geometry.steps=0")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_not_writable(run, tmp_path):
    (tmp_path / "a.txt").write_text("an elf\n")
    (tmp_path / "h").mkdir(mode=0o555)
    assert "1 failed" in run("batch", "a.txt", *TINY, "-o", "h", code=1)


def test_interrupt(run, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    command = ["batch", "a.txt", *TINY, "--set", "texture.steps=60", "--format", "headsds"]
    with subprocess.Popen([COMMAND, *command], cwd=tmp_path, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if "texture: step" in line:
                break
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate()
    assert running.returncode == 130
    assert output == ("0 done, 0 skipped, 0 failed, 2 not run: interrupted; the same command "
                      "continues\n")
    assert (tmp_path / "0000-one.headsds.checkpoint").exists()
    assert run(*command).splitlines()[-1] == "2 done, 0 skipped, 0 failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0000-one.headsds", "0001-two.headsds", "a.txt"]
