# SPDX-License-Identifier: Apache-2.0
"""headsds.generate and headsds.Job, on the toy head and a small reference prior."""

import gc
import os
import signal
import sys
import threading
import weakref

import pytest

import headsds

STAGE = {"steps": 2, "views": 1, "resolution": 64}
LONG = {"steps": 100_000, "views": 1, "resolution": 64}


def generate(egg, prior, **more):
    arguments = {"seed": 3, "geometry": STAGE, "texture": STAGE, **more}
    return headsds.generate("a head", egg, prior, **arguments)


def test_generate(egg, prior):
    seen = []
    head = generate(egg, prior, on_progress=seen.append)
    assert head.prompt == "a head"
    assert head.model is egg
    assert [(line.stage, line.step) for line in head.history] == [
        ("geometry", 0), ("geometry", 1), ("texture", 0), ("texture", 1)]
    assert seen[-1].state == "done"
    assert (seen[-1].step, seen[-1].step_count) == (4, 4)
    assert isinstance(seen[-1], headsds.Progress)
    assert any(abs(x) > 0 for x in head.shape)


def test_equal_seeds_give_equal_heads(egg, prior):
    a, b = generate(egg, prior), generate(egg, prior)
    assert (a.shape, a.texture, a.history) == (b.shape, b.texture, b.history)
    assert generate(egg, prior, seed=4).shape != a.shape
    assert generate(egg, prior, negative_prompt="a nose").shape != a.shape


def sculpt(egg, depth=0.01, **more):
    """A head with a dent at one vertex, and a texture of one grey."""
    offsets = memoryview(bytearray(12 * egg.vertex_count)).cast("f", (egg.vertex_count, 3))
    offsets[40, 2] = depth
    texture = memoryview(bytes([90]) * 48).cast("B", (4, 4, 3))
    return headsds.Head(egg, **{"shape": [0.5, -1], "expression": [0, 0.3], "texture": texture,
                                "offsets": offsets, **more})


def test_start(egg, prior, tmp_path):
    start = sculpt(egg)
    start.save(tmp_path / "a.headsds")
    head = generate(egg, prior, start=start)
    assert head.offsets == start.offsets and head.expression == start.expression
    assert head.texture.shape == (4, 4, 3) and head.texture != start.texture
    assert head.shape != start.shape
    assert all(abs(a - b) < 0.2 for a, b in zip(head.shape, start.shape))
    assert generate(None, prior, start=start).model is egg
    again = generate(egg, prior, start=headsds.Head.load(tmp_path / "a.headsds", egg))
    assert (again.shape, again.texture) == (head.shape, head.texture)
    job = headsds.Job("a head", prior=prior, start=start, seed=3, geometry=STAGE, texture=None)
    job.start()
    assert job.wait().texture == start.texture
    assert generate(egg, prior, start=None).shape == generate(egg, prior).shape


def test_start_of_another_model(egg, egg_path, prior):
    with pytest.raises(TypeError, match="start: <class 'str'>, expected a headsds.Head or None"):
        generate(egg, prior, start="a head")
    with pytest.raises(ValueError, match="start is a head of 'egg' .*, expected one of"):
        generate(headsds.HeadModel.load(egg_path, shape_count=1), prior, start=sculpt(egg))


def test_checkpoint_of_another_start(egg, prior, tmp_path):
    path = tmp_path / "run"
    whole = generate(egg, prior, start=sculpt(egg), checkpoint=path)
    again = generate(egg, prior, start=sculpt(egg), checkpoint=path, resume=True)
    assert (again.shape, again.texture) == (whole.shape, whole.texture)
    for start in None, sculpt(egg, depth=0.02), sculpt(egg, texture=None), sculpt(egg, shape=[1]):
        with pytest.raises(ValueError, match="the checkpoint is of another run: its start"):
            generate(egg, prior, start=start, checkpoint=path, resume=True)


def test_skipped_stages(egg, prior):
    head = generate(egg, prior, texture=None)
    assert {line.stage for line in head.history} == {"geometry"}
    assert head.texture == egg.mean_texture


def test_on_progress_that_raises_cancels(egg, prior):
    def stop(progress):
        if progress.step >= 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        generate(egg, prior, geometry=LONG, on_progress=stop)


def test_interrupt_cancels(egg, prior):
    """Between steps, and not only when a callback runs Python: seen.append does not."""
    seen = []
    pressed = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        generate(egg, prior, geometry={**LONG, "steps": 2000}, on_progress=seen.append)
    pressed.join()
    assert seen[-1].step < 2000


def test_job(egg, prior):
    job = headsds.Job("a head", egg, prior, geometry=STAGE, texture=None, seed=3)
    assert job.progress().state == "new"
    assert job.preview() is None
    with pytest.raises(headsds.Error, match="not been started"):
        job.wait()
    job.start()
    head = job.wait()
    assert job.progress().state == "done"
    assert job.wait().shape == head.shape
    assert job.preview().shape == head.shape
    assert head.shape == generate(egg, prior, texture=None).shape


def test_cancel_from_another_thread(egg, prior):
    job = headsds.Job("a head", egg, prior, geometry=LONG)
    job.start()
    assert job.wait(timeout=0) is None
    threading.Timer(0.2, job.cancel).start()
    with pytest.raises(headsds.Cancelled):
        job.wait(timeout=60)
    assert job.progress().state == "cancelled"


@pytest.fixture
def patient_threads():
    """A thread keeps the interpreter until it gives it up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    yield
    sys.setswitchinterval(before)


def test_other_threads_run_while_waiting(egg, prior, patient_threads):
    job = headsds.Job("a head", egg, prior, geometry=LONG)
    gate = threading.Lock()
    gate.acquire()

    def cancel():
        with gate:
            job.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    job.start()
    gate.release()
    with pytest.raises(headsds.Cancelled):
        job.wait(timeout=30)
    thread.join()


def test_a_job_that_goes_is_cancelled(egg, prior):
    job = headsds.Job("a head", egg, prior, geometry=LONG)
    job.start()
    del job  # joins the thread: the test would hang otherwise


def test_a_job_in_a_cycle_is_collected(egg, prior):
    class Watcher:
        def __call__(self, progress):
            pass

    watcher = Watcher()
    watcher.job = headsds.Job("a head", egg, prior, geometry=STAGE, on_progress=watcher)
    gone = weakref.ref(watcher)
    del watcher
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "arguments, exception, message",
    [
        ({"prompt": ""}, ValueError, "prompt"),
        ({"prompt": 3}, TypeError, "str"),
        ({"geometry": {"step": 3}}, ValueError,
         'geometry: unknown option "step", expected one of .*steps, views, .*timestep_max'),
        ({"texture": {"steps": "3"}}, TypeError, r"texture\.steps: '3', expected an int"),
        ({"texture": {"steps": 2.5}}, TypeError, r"texture\.steps: 2.5, expected an int"),
        ({"geometry": {"weight_decay": float("nan")}}, ValueError,
         r"geometry\.weight_decay is nan, expected a number from 0"),
        ({"geometry": {"views": 0}}, ValueError,
         r"geometry\.views is 0, expected a whole number from 1 to 64"),
        ({"geometry": {"skip": 1}}, TypeError, r"geometry\.skip: 1, expected a bool"),
        ({"geometry": {"precondition": 3}}, TypeError, "expected a str"),
        ({"texture": {"precondition": "blur"}}, ValueError, "one of none whitening pyramid"),
        ({"texture": {"timestep_min": 0.9}}, ValueError, "less than timestep_max"),
        ({"geometry": 3}, TypeError, "expected a dict of options, or None"),
        ({"options": {"steps": 3}}, ValueError, "expected STAGE.OPTION"),
        ({"options": {"hair.steps": 3}}, ValueError, "one of the stages geometry, texture"),
        ({"options": {"geometry.clip.weight": 3}}, ValueError, 'no guidance of this name'),
        ({"options": {3: 3}}, ValueError, "options: unknown option 3"),
        ({"options": [3]}, TypeError, "options: <class 'list'>, expected a dict of options"),
        ({"recipe": "cake"}, ValueError, 'recipe is "cake", expected one of default'),
        ({"geometry": None, "texture": None}, ValueError, "nothing is left to do"),
        ({"seed": -1}, ValueError, r"seed: -1, expected 0 to 2\*\*64 - 1"),
        ({"seed": 1 << 64}, ValueError, "seed"),
        ({"head_model": 3}, TypeError, "head_model: <class 'int'>"),
        ({"prior": 3}, TypeError, "prior: <class 'int'>"),
        ({"on_progress": 3}, TypeError, "on_progress"),
        ({"chekpoint": "x"}, TypeError, "chekpoint"),
    ],
)
def test_wrong_arguments(egg, prior, arguments, exception, message):
    for function in headsds.generate, headsds.Job:
        with pytest.raises(exception, match=message):
            function(**{"prompt": "a head", "head_model": egg, "prior": prior, **arguments})


def test_settings_that_the_core_refuses(egg, prior):
    with pytest.raises(ValueError, match="resolution"):
        generate(egg, prior, geometry={"resolution": 63})


def test_recipes_have_every_option():
    options, recipes = headsds.options(), headsds.recipes()
    assert next(iter(recipes)) == "default"
    for stages in recipes.values():
        for stage in stages.values():
            assert set(stage) == set(options)
            for name, value in stage.items():
                row = options[name]
                assert row["help"] and row["range"]
                assert type(value).__name__ == row["type"].replace("name", "str")
                if "choices" in row:
                    assert value in row["choices"]


def test_every_spelling_of_an_option_is_the_same(egg, prior):
    given = {"head_model": egg, "prior": prior, "texture": None, "seed": 5}
    first = headsds.generate("a", geometry={"steps": 2, "views": 2, "weight_decay": 0.3}, **given)
    options = {"geometry.steps": 2, "geometry.views": 2, "geometry.weight_decay": 0.3}
    second = headsds.generate("a", options=options, recipe="default", **given)
    assert bytes(first.shape) == bytes(second.shape)
    with pytest.warns(DeprecationWarning, match="l2 is called weight_decay now"):
        third = headsds.generate("a", geometry={"steps": 2, "views": 2, "l2": 0.3}, **given)
    assert bytes(first.shape) == bytes(third.shape)
    assert second.record["stages"]["geometry"]["weight_decay"] == 0.3


def test_the_record_says_how_a_head_was_made(egg, prior, tmp_path):
    head = headsds.generate("a b", egg, prior, seed=7, geometry={"steps": 2}, texture=None)
    record = head.record
    assert record["version"] == headsds.__version__ and record["recipe"] == "default"
    assert record["prompt"] == "a b" and record["seed"] == 7 and record["start"] is None
    geometry = dict(record["stages"]["geometry"])
    guidance = geometry.pop("sds")
    assert set(geometry) | set(guidance) == set(headsds.options())
    assert {"unet", "vae", "text_encoder", "loras", "controlnets", "dtype", "device"} <= set(
        record["prior"])
    head.save(tmp_path / "x.headsds")
    assert headsds.Head.load(tmp_path / "x.headsds", egg).record == record
    assert headsds.Head(egg).record is None


def test_preparation_is_counted(egg, prior):
    seen = []
    job = headsds.Job("a", egg, prior, geometry={"steps": 1}, texture=None)
    job.start()
    while job.wait(0.001) is None:
        progress = job.progress()
        seen.append((progress.state, progress.prepared, progress.preparation_count))
    counts = [done for state, done, count in seen if state == "preparing"]
    assert counts == sorted(counts)
    assert all(count in (0, 36) for _, _, count in seen)
