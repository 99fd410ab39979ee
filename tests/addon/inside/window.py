# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a real Blender window: the panel, Generate with its timers, Escape, undo; takes pictures.

A generator is stepped by an application timer: it yields while Blender works. What it found goes
into result.txt, for Blender's own exit code only tells whether it left cleanly.
"""

import os
import sys
import time
import traceback

import bpy
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner
import state

OUT = sys.argv[sys.argv.index("--") + 1]
PATIENCE = 600.0                # seconds for one wait, far beyond what any takes


def window():
    return bpy.context.window_manager.windows[0]


def view():
    return next(a for a in window().screen.areas if a.type == "VIEW_3D")


def region(kind):
    return next(r for r in view().regions if r.type == kind)


def here():
    """Timers come without a window."""
    return bpy.context.temp_override(window=window(), area=view(), region=region("WINDOW"))


def click(x, y):
    for value in ("PRESS", "RELEASE"):
        window().event_simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
        window().event_simulate("LEFTMOUSE", value, x=x, y=y)


def press(key):
    area = view()
    x, y = area.x + area.width // 3, area.y + area.height // 2
    window().event_simulate("MOUSEMOVE", "NOTHING", x=x, y=y)
    for value in ("PRESS", "RELEASE"):
        window().event_simulate(key, value, x=x, y=y)


def shoot(name):
    with here():
        bpy.ops.screen.screenshot(filepath=os.path.join(OUT, name))


def until(condition, what):
    """Lets Blender work until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        yield


def pause(rounds=5):
    for _ in range(rounds):
        yield


def open_panel(draws):
    """Clicks down the sidebar's tabs until our panel is drawn."""
    view().spaces.active.show_region_ui = True
    yield from pause()
    side = region("UI")
    for down in range(20, side.height, 25):
        click(side.x + side.width - 10, side.y + side.height - down)
        yield from pause(2)
        if draws:
            return
    raise AssertionError("no tab of the sidebar shows the panel")


def count_draws():
    from headsds_addon.ui import panel
    draws = []
    original = panel.HEADSDS_PT_panel.draw

    def draw(self, context):
        draws.append(1)
        original(self, context)
    panel.HEADSDS_PT_panel.draw = draw
    return draws


def show_head():
    space = view().spaces.active
    space.shading.type = "SOLID"
    space.shading.color_type = "TEXTURE"
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
    with here():
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_orbit(type="ORBITRIGHT", angle=0.5)
        bpy.ops.view3d.view_selected()


def generate():
    with here():
        assert bpy.ops.headsds.generate("INVOKE_DEFAULT") == {"RUNNING_MODAL"}


def script():
    from headsds_addon.ops import preview, session
    yield from pause()
    with here():
        bpy.ops.object.select_all(action="SELECT")
        bpy.ops.object.delete()
        bpy.ops.headsds.add_head()
    yield from open_panel(count_draws())
    runner.ask("an old man with a long nose and red hair", 20, 20)
    show_head()
    yield from pause()
    shoot("1-panel.png")

    with here():
        bpy.ops.ed.undo_push(message="Before Generate")    # calls from a script leave none
    before = state.fingerprint(bpy.data.objects["Head"])
    generate()
    yield from until(lambda: session.current.over or session.current.run.progress.step >= 2,
                     "two steps")
    yield from pause()
    assert not session.current.over, session.current.error
    head = bpy.data.objects["Head"]
    assert preview.NAME in head.data.shape_keys.key_blocks, "no live preview"
    moved = state.key(head, preview.NAME) - state.key(head, "Basis")
    assert np.abs(moved).max() > 1e-6, "the live preview does not move"
    shoot("2-geometry.png")
    yield from until(lambda: session.current.over
                     or session.current.run.progress.stage == "texture", "the texture stage")
    yield from pause()
    shoot("3-texture.png")
    yield from until(lambda: session.current.over, "the end")
    yield from pause()
    assert session.current.error == "", session.current.error
    head = bpy.data.objects["Head"]
    name = session.current.key_name
    assert name in head.data.shape_keys.key_blocks
    assert preview.NAME not in head.data.shape_keys.key_blocks
    yield from pause(10)
    shoot("4-done.png")

    with here():
        bpy.ops.ed.undo()
    yield from pause()
    head = bpy.data.objects["Head"]
    left = state.difference(before, state.fingerprint(head))
    assert not set(left) - {"images"}, f"undo left {left}"
    with here():
        bpy.ops.ed.redo()
    yield from pause()
    assert name in bpy.data.objects["Head"].data.shape_keys.key_blocks, "redo"

    yield from escape(session)
    yield from mismatch(session)
    yield from advanced_panel()
    with here():
        bpy.context.view_layer.objects.active = bpy.data.objects["Head"]
    yield from undo_to_a_preview(session)
    yield from close_window(session)
    yield from disable(session)


def shows_preview(session):
    """Begins a run that would go on for long; what the head was before."""
    runner.ask("a woman", 5000, 0)
    before = state.fingerprint(bpy.data.objects["Head"])
    generate()
    yield from until(lambda: session.current.over or session.current.run.progress.step >= 2,
                     "two steps")
    assert state.difference(before, state.fingerprint(bpy.data.objects["Head"]))
    return before


def escape(session):
    """Escape while a run is under way leaves the mesh as it was."""
    before = yield from shows_preview(session)
    press("ESC")
    yield from until(lambda: session.current.over, "Escape")
    yield from pause()
    left = state.difference(before, state.fingerprint(bpy.data.objects["Head"]))
    assert session.current.error == "" and not left, left


def undo_to_a_preview(session):
    """Undo under way: the run goes on. Undo afterwards, into it: no preview comes back."""
    with here():
        bpy.ops.ed.undo_push(message="Before")
    before = yield from shows_preview(session)
    with here():
        bpy.ops.ed.undo_push(message="Under way")
        bpy.ops.ed.undo()
    step = session.current.run.progress.step
    yield from until(lambda: session.current.over or session.current.run.progress.step > step + 2,
                     "steps after an undo")
    assert session.current.error == "", session.current.error
    with here():
        bpy.ops.ed.undo_push(message="Under way again")
    press("ESC")
    yield from until(lambda: session.current.over, "Escape")
    with here():
        bpy.ops.ed.undo_push(message="After")
        bpy.ops.ed.undo()
    yield from pause()
    left = state.difference(before, state.fingerprint(bpy.data.objects["Head"]))
    assert not left, left


def close_window(session):
    """The window that Generate was pressed in goes: the run is cancelled."""
    with here():
        bpy.ops.wm.window_new()
    yield from pause()
    second = bpy.context.window_manager.windows[1]
    runner.ask("a woman", 5000, 0)
    before = state.fingerprint(bpy.data.objects["Head"])
    with bpy.context.temp_override(window=second):
        assert bpy.ops.headsds.generate("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    yield from until(lambda: session.current.over or session.current.run.progress.step >= 2,
                     "two steps")
    with bpy.context.temp_override(window=second):
        bpy.ops.wm.window_close()
    yield from pause()
    assert len(bpy.context.window_manager.windows) == 1
    assert session.current is None and session.timer is None
    left = state.difference(before, state.fingerprint(bpy.data.objects["Head"]))
    assert not left, left


def disable(session):
    """The add-on goes while a run is under way, and comes back."""
    import addon_utils
    before = yield from shows_preview(session)
    addon_utils.disable("headsds_addon")
    yield from pause()
    assert session.current is None and session.timer is None
    left = state.difference(before, state.fingerprint(bpy.data.objects["Head"]))
    assert not left, left
    runner.enable()
    yield from pause()


def mismatch(session):
    """Another topology: the panel says why."""
    with here():
        bpy.ops.mesh.primitive_monkey_add(size=0.2, location=(0.3, 0, 0))
        try:
            bpy.ops.headsds.generate("INVOKE_DEFAULT")
        except RuntimeError as error:
            assert "not the topology" in str(error)
        else:
            raise AssertionError("another topology was taken")
    yield from pause(10)
    shoot("5-refused.png")


def advanced_panel():
    """Its options, in a copy of the panel that is open; one is changed, and reset."""
    from headsds_addon.ops import options
    from headsds_addon.ui import advanced
    opened = type("HEADSDS_PT_opened", (bpy.types.Panel,), {
        "bl_label": "Advanced", "bl_space_type": "VIEW_3D", "bl_region_type": "UI",
        "bl_category": "HeadSDS", "bl_order": -1, "draw": advanced.HEADSDS_PT_advanced.draw})
    assert advanced.HEADSDS_PT_advanced.poll(bpy.context)
    bpy.utils.register_class(opened)
    group = bpy.context.scene.headsds.advanced
    name = options.stages["texture"]["guidance_scale"]
    before = getattr(group, name)
    setattr(group, name, before + 5)
    yield from pause(10)
    shoot("6-advanced.png")
    with here():
        assert bpy.ops.headsds.reset_options() == {"FINISHED"}
    assert getattr(group, name) == before
    bpy.utils.unregister_class(opened)
    yield from pause()


def step():
    try:
        next(work)
        return 0.1
    except StopIteration:
        text = "ok"
    except BaseException:
        text = traceback.format_exc()
        try:
            shoot("failed.png")
        except Exception:
            pass
    with open(os.path.join(OUT, "result.txt"), "w") as file:
        file.write(text)
    with here():
        bpy.ops.wm.quit_blender()


runner.enable()
bpy.context.preferences.filepaths.temporary_directory = OUT
work = script()
bpy.app.timers.register(step, first_interval=1.0)
