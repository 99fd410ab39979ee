# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on inside `blender -b`: its operators, its zip, its command line."""

import os
import pathlib
import platform
import re
import shlex
import subprocess

import pytest
from conftest import SOURCE, STAGED


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_scene(blender):
    code, text = blender.inside("scene.py", blender.out)
    assert re.search(r"\d+ tests, 0 failed", text)
    assert code == 0, "Blender did not leave cleanly"


def test_zip_installs(blender):
    archive = pathlib.Path(STAGED, "headsds_addon.zip")
    code, text = blender.run("-b", "--factory-startup", "--python-exit-code", "1", "--python-expr",
                             "import bpy;"
                             f"bpy.ops.preferences.addon_install(filepath={str(archive)!r});"
                             "bpy.ops.preferences.addon_enable(module='headsds_addon');"
                             "bpy.ops.headsds.add_head(); print('INSTALLED')")
    assert code == 0 and "INSTALLED" in text
    installed = blender.folder / "SCRIPTS" / "addons" / "headsds_addon"
    assert "GNU GENERAL PUBLIC LICENSE" in (installed / "LICENSE").read_text()
    assert "Apache License" in (installed / "LICENSE-Apache-2.0").read_text()


# ---- the command line ----

STEPS = ("--geometry-steps", "2", "--texture-steps", "2")


def test_command_adds_a_head(blender):
    out = blender.folder / "new" / "folder"
    code, text = blender.command("--prompt", "a man", "--out", out, "--pictures", *STEPS)
    assert code == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "evolution.png", "head.blend", "head.glb", "render.png", "turntable.png"]
    assert png_size(out / "render.png") == (512, 512)
    assert (out / "head.glb").read_bytes()[:4] == b"glTF"
    assert "Added Head" in text and str(out / "head.blend") in text
    assert re.search("^ *[0-9]+%  (Geometry|Texture), step [0-9]+ of 4", text, re.M)
    assert re.search("^100%  Texture, step 4 of 4", text, re.M)

    check = ("import bpy, numpy as np; o = bpy.data.objects['Head'];"
             "k = o.data.shape_keys.key_blocks['a man']; assert k.value == 1.0;"
             "n = [s.material.node_tree.nodes['HeadSDS texture'] for s in o.material_slots][0];"
             "assert n.image.packed_file; assert o['headsds_keys']['a man']['prompt'] == 'a man';"
             "assert bpy.context.scene.camera; print('CHECKED')")
    code, text = blender.run("-b", out / "head.blend", "--python-exit-code", "1",
                             "--python-expr", check)
    assert code == 0 and "CHECKED" in text

    # The file as it is now goes in again: its own head is found, and the picture stays out of it.
    again = blender.folder / "again"
    code, text = blender.command("--prompt", "a woman", "--out", again, *STEPS,
                                 file=out / "head.blend")
    assert code == 0 and "Using Head" in text
    check = ("import bpy; k = bpy.data.objects['Head'].data.shape_keys.key_blocks;"
             "assert k['a man'].value == 0.0 and k['a woman'].value == 1.0;"
             "assert len(bpy.data.cameras) == 1 and len(bpy.data.scenes) == 1; print('CHECKED')")
    code, text = blender.run("-b", again / "head.blend", "--python-exit-code", "1",
                             "--python-expr", check)
    assert code == 0 and "CHECKED" in text


def test_command_refuses(blender):
    """One line that says why, the exit code, and nothing left behind."""
    cases = [
        (["--prompt", " "], 1, "prompt is empty"),
        (["--prompt", "a", "--prior", "/nowhere/prior"], 1, "/nowhere/prior"),
        (["--prompt", "a", "--prior-config", "/nowhere"], 1, "config is given, but"),
        (["--prompt", "a", "--lora", "/no/lora.safetensors=0.5"], 1, "/no/lora.safetensors: "),
        (["--prompt", "a", "--device", "gpu"], 1, 'device is "gpu", expected "auto", "cpu"'),
        (["--prompt", "a", "--dtype", "int8"], 1, 'dtype is "int8", expected'),
        (["--prompt", "a", "--head-model", "/nowhere/head.npz"], 1, "/nowhere/head.npz"),
        (["--prompt", "a", "--object", "Suzanne"], 1, "Suzanne: no such object"),
        (["--prompt", "a", "--geometry-steps", "-1"], 1, "geometry steps: -1"),
        (["--prompt", "a", "--geometry-steps", "many"], 2, "--geometry-steps"),
        ([], 2, "--prompt"),
    ]
    for arguments, expected, word in cases:
        code, text = blender.command(*arguments, "--out", blender.out)
        assert code == expected, text
        assert word in text and "Traceback" not in text
        assert expected == 2 or len(re.findall("^headsds: error: ", text, re.M)) == 1
        assert not list(blender.out.iterdir()), arguments


def test_command_refuses_another_topology(blender):
    cube = blender.folder / "cube.blend"
    code, _ = blender.run("-b", "--factory-startup", "--python-expr",
                          f"import bpy; bpy.ops.wm.save_as_mainfile(filepath={str(cube)!r})")
    assert code == 0
    code, text = blender.command("--prompt", "a", "--object", "Cube", "--out", blender.out,
                                 file=cube)
    assert code == 1
    assert re.search("headsds: error: Cube: not the topology of .*8 vertices.*Add Head", text)
    assert not list(blender.out.iterdir())


def test_command_and_an_unwritable_folder(blender):
    file = blender.folder / "file"
    file.write_text("not a folder")
    code, text = blender.command("--prompt", "a", "--out", file / "inside", *STEPS)
    assert code == 1 and f"{file / 'inside'}: cannot be made: Not a directory; choose" in text
    assert "Traceback" not in text
    without = []
    if os.getuid() == 0:        # root writes everywhere, unless it gives up that right
        without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if subprocess.run([*without, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            pytest.skip("root without the right to give up rights: no permission was taken away")
    blender.out.chmod(0o500)
    code, text = blender.command("--prompt", "a", "--out", blender.out, *STEPS,
                                 before=without)
    blender.out.chmod(0o700)
    assert code == 1 and f"{blender.out}: cannot be written to; choose another --out" in text
    assert "Traceback" not in text and not list(blender.out.iterdir())


def test_command_refuses_a_folder_in_the_place_of_a_file(blender):
    """Before the run, not after it; the other files must not appear either."""
    (blender.out / "render.png").mkdir()
    code, text = blender.command("--prompt", "a", "--out", blender.out, *STEPS)
    assert code == 1 and "render.png: is no file" in text and "Loading" not in text
    assert [p.name for p in blender.out.iterdir()] == ["render.png"]


# ---- docs/blender.md ----

DOC = (SOURCE / "docs" / "blender.md").read_text()


def test_doc_lists_the_options(blender):
    code, text = blender.command("--help")
    assert code == 0
    listed = re.findall(r"^\| `(--[\w-]+)(?: [A-Z.=\[\]]+)?` \|", DOC, re.M)
    assert len(set(listed)) == len(listed) > 5
    assert set(listed) == set(re.findall(r"--[\w-]+", text)) - {"--help", "--python",
                                                               "--python-exit-code"}


def test_doc_commands_work(blender):
    """As they stand in the document, one after the other; only the number of steps is added."""
    lines = re.findall("^    (blender .*)$", DOC, re.M)
    files = set(re.findall(r"^\| `(\w+\.\w+)` \|", DOC, re.M))
    with_pictures = set(re.findall(r"^\| `(\w+\.\w+)` \| with `--(?:pictures|report)`", DOC, re.M))
    assert len(lines) == 2 and len(files) == 6 and len(with_pictures) == 3
    (blender.folder / "build").mkdir()
    (blender.folder / "build" / "addon").symlink_to(STAGED)
    for line, out, expected in zip(lines, ("heads", "more"), (files - with_pictures, files)):
        code, text = blender.run(*shlex.split(line)[1:], *STEPS)
        assert code == 0
        assert {p.name for p in (blender.folder / out).iterdir()} == expected
    assert "Using Head" not in text and "Added" not in text, "the object was named"


def test_doc_names_the_libraries(blender):
    """Every library that the module is linked with is in a package that the document installs."""
    system = platform.freedesktop_os_release()
    if (system["ID"], system.get("VERSION_ID")) != ("debian", "12"):
        pytest.skip("the packages have Debian 12's names")
    module = pathlib.Path(STAGED, "headsds_addon", "headsds.abi3.so")
    needed = subprocess.run(["objdump", "-p", module], check=True, capture_output=True, text=True)
    listed = re.search("apt-get install (.*)", DOC)[1].split()
    known = ("libc.so", "libm.so", "libstdc++", "libgcc_s", "ld-linux")
    for name in re.findall(r"NEEDED +(\S+)", needed.stdout):
        if not name.startswith(known):
            owner = subprocess.run(["dpkg", "-S", f"*/{name}"], capture_output=True, text=True)
            owners = {line.split(":")[0] for line in owner.stdout.splitlines()}
            assert not owners or owners & set(listed), (name, owners)
