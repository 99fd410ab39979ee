# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel in a real Blender window under Xvfb. Pictures stay in HEADSDS_SCREENSHOTS, if set."""

import os
import shutil

import pytest
from conftest import HERE


def test_window(blender):
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed")
    code, _ = blender.run("--factory-startup", "--enable-event-simulate", "--window-geometry",
                          "0", "0", "1280", "800", "--python", HERE / "inside" / "window.py",
                          "--", blender.out,
                          before=["xvfb-run", "-a", "-s", "-screen 0 1280x800x24"])
    kept = os.environ.get("HEADSDS_SCREENSHOTS")
    if kept:
        shutil.copytree(blender.out, kept, dirs_exist_ok=True)
    result = blender.out / "result.txt"
    assert result.exists(), "Blender ended before the script did"
    assert result.read_text() == "ok"
    assert code == 0, "Blender did not leave cleanly"
    assert {p.name for p in blender.out.glob("*.png")} >= {
        "1-panel.png", "2-geometry.png", "3-texture.png", "4-done.png", "5-refused.png",
        "6-advanced.png"}
