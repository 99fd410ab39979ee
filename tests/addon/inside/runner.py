# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts inside Blender share: the add-on enabled, their tests run, an exit code."""

import os
import sys
import traceback

import bpy

STAGED = os.environ["HEADSDS_ADDON"]


def enable():
    """The add-on from the staged folder."""
    import addon_utils
    sys.path.insert(0, STAGED)
    if addon_utils.enable("headsds_addon", default_set=True) is None:
        raise RuntimeError("headsds_addon cannot be enabled")


def empty():
    """A file without anything, the add-on still enabled."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)


def ask(prompt, geometry_steps, texture_steps, seed=0):
    """Fills in the panel."""
    fields = bpy.context.scene.headsds
    fields.prompt, fields.seed, fields.quality = prompt, seed, "CUSTOM"
    fields.geometry_steps, fields.texture_steps = geometry_steps, texture_steps


def run(tests):
    """Runs each test on an empty file; leaves with 1 if any fails."""
    enable()
    failed = 0
    for test in tests:
        empty()
        try:
            test()
            print(f"ok      {test.__name__}", flush=True)
        except BaseException:
            failed += 1
            traceback.print_exc()
            print(f"FAILED  {test.__name__}", flush=True)
    print(f"{len(tests)} tests, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
