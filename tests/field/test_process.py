# SPDX-License-Identifier: Apache-2.0
"""A process that forks, ends, is interrupted, or has another libtorch: each in a process of its own,
which a time limit ends where it hangs."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import headsds

LIMIT = 300  # seconds: a hang, on a machine that does much else

START = """
import atexit, multiprocessing, os, signal, subprocess, sys, threading, time
import numpy as np
import headsds

G = {"steps": 5000, "views": 1, "resolution": 64}
IMAGES = np.full((16, 64, 64, 3), 0.5, "f4")


def job(**more):
    j = headsds.Job("a head", None, prior, geometry=G, texture=None, **more)
    j.start()
    return j


def wait_for_step(j, step=2):
    while j.progress().step < step:
        time.sleep(0.01)


def in_child(function):
    # What it returns, or raises, in the child of a fork.
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(function())
        except Exception as e:
            said = f"{type(e).__name__}: {e}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said


def main():
"""


def run(code, *arguments, code_expected=0):
    """Runs the code as a program's main(); -> its stdout."""
    program = (START + textwrap.indent("global prior\nprior = headsds.Prior.load()\n"
                                       + textwrap.dedent(code), "    ")
               + "\n\nif __name__ == '__main__':\n    main()\n")
    path = pathlib.Path("program.py")
    path.write_text(program)
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True,
                          timeout=LIMIT)
    assert done.returncode == code_expected, (done.returncode, done.stdout, done.stderr[-2000:])
    return done.stdout


# ---- forks ----

FORKED = "Error: this process was forked from one that had loaded the networks"


def test_fork_beside_a_job():
    """Case 56. Neither is the job harmed nor does the fork wait for it."""
    run("""
        j = job()
        wait_for_step(j)
        for _ in range(12):
            assert in_child(lambda: "here") == "here"
        wait_for_step(j, j.progress().step + 3)
        j.cancel()
    """)


def test_fork_beside_calls():
    run("""
        stop = threading.Event()

        def repeat(call):
            while not stop.is_set():
                call()

        calls = [lambda: prior.encode_image(IMAGES), lambda: prior.encode_text(["a"]),
                 lambda: prior.sample("a", steps=2, height=64, width=64),
                 lambda: headsds.Prior.load(dtype="float16"),
                 lambda: headsds.Head().render(size=64)]
        threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for _ in range(30):
            assert in_child(lambda: len(headsds.Head().render(size=32)) and "drawn") == "drawn"
        stop.set()
        for thread in threads:
            thread.join()
        prior.encode_text(["a"])
    """)


def test_what_a_forked_child_can_do():
    said = run("""
        import gc
        j, model = job(), headsds.HeadModel.load()
        wait_for_step(j)
        short = dict(geometry={"steps": 1, "views": 1}, texture=None)

        def deleted():
            global prior
            nonlocal j
            del j, prior
            gc.collect()

        for call in (lambda: prior.encode_text(["a"]), lambda: prior.encode_image(IMAGES),
                     lambda: prior.sample("a", steps=1), headsds.Prior.load,
                     lambda: headsds.generate("a", model, prior, **short),
                     lambda: headsds.generate("a", **short),
                     lambda: j.wait(), lambda: j.wait(1), lambda: j.progress().state,
                     lambda: j.preview() and j.cancel(), deleted,
                     lambda: headsds.Head(model).save("child.glb")):
            print(in_child(call), flush=True)
        wait_for_step(j, j.progress().step + 2)
        j.cancel()
    """).splitlines()
    assert len(said) == 12
    assert all(line.startswith(FORKED) for line in said[:6]), said
    assert all(line.startswith("Error: the job runs in the process") for line in said[6:8]), said
    assert said[8:] == ["failed", "None", "None", "None"]
    assert pathlib.Path("child.glb").stat().st_size > 1000


def test_a_child_that_loads_the_networks_itself():
    """Nothing was loaded before the fork: only then there is nothing that stays behind."""
    program = "import headsds, os, sys\n" + textwrap.dedent("""
        headsds.Head().render(size=64)
        pid = os.fork()
        if pid == 0:
            headsds.Prior.load().encode_text(["a"])
            sys.exit(5)
        assert os.waitpid(pid, 0)[1] >> 8 == 5
        headsds.Prior.load().encode_text(["a"])
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)


def test_a_child_that_ends_as_programs_do():
    run("""
        j = job()
        wait_for_step(j)
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                sys.exit(5)
            assert os.waitpid(pid, 0)[1] >> 8 == 5
        wait_for_step(j, j.progress().step + 2)
        j.cancel()
    """)


WORKERS = """
import sys
import headsds


def work(number):
    try:
        headsds.Prior.load().encode_text(["a"])
        return "used"
    except headsds.Error as e:
        return f"{type(e).__name__}: {e}"
"""


@pytest.mark.parametrize("method, expected", [("fork", FORKED), ("spawn", "used"),
                                              ("forkserver", "used")])
def test_multiprocessing(method, expected):
    pathlib.Path("workers.py").write_text(WORKERS)
    said = run("""
        import concurrent.futures, workers
        j = job()
        wait_for_step(j)
        context = multiprocessing.get_context(sys.argv[1])
        with context.Pool(1) as pool:
            said = pool.map(workers.work, range(2))
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            said += pool.map(workers.work, range(2))
        print("\\n".join(said))
        wait_for_step(j, j.progress().step + 2)
        j.cancel()
    """, method).splitlines()
    assert len(said) == 4 and all(line.startswith(expected) for line in said)


def test_subprocesses_beside_a_job():
    run("""
        j = job()
        wait_for_step(j)
        for _ in range(10):
            subprocess.run(["true"], check=True)
            subprocess.run(["true"], check=True, preexec_fn=lambda: None)
            assert os.system("true") == 0
        j.cancel()
    """)


# ---- the end of the interpreter ----

DAEMONS = {
    "generate": "headsds.generate('a head', None, prior, geometry=G, texture=None)",
    "wait": "job().wait()",
    "checkpoint": "job(checkpoint='run').wait()",
    "sample": "prior.sample('a', steps=900)",
    "repeat": "while True: prior.encode_image(IMAGES)",
    "stubborn": "while True:\n        try: prior.encode_text(['a'] * 8)\n        except Exception: pass",
    "load": "while True: headsds.Prior.load(dtype='float16')",
}
ENDS = {"": 0, "sys.exit(3)": 3, "os._exit(4)": 4, "raise OSError": 1,
        "atexit.register(os.write, 1, b'bye'); sys.exit(5)": 5,
        "atexit.register(prior.encode_text, ['a'])": 0}


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("number", range(2))
def test_end_with_work_in_a_daemon_thread(daemon, number):
    """Case 57: libtorch was taken apart while it worked."""
    end = list(ENDS)[(list(DAEMONS).index(daemon) + 3 * number) % len(ENDS)]
    said = run(f"""
def work():
    {DAEMONS[daemon]}


threading.Thread(target=work, daemon=True).start()
time.sleep({0.1 + 0.4 * number})
{end}
""", code_expected=ENDS[end])
    assert said == ("bye" if "bye" in end else "")


def test_end_with_all_kinds_of_work_at_once():
    works = [f"def work_{i}():\n    {work}\n" for i, work in enumerate(DAEMONS.values())]
    run("\n".join(works) + """
J = job()
for i in range(%d):
    threading.Thread(target=locals()[f"work_{i}"], daemon=True).start()
time.sleep(0.5)
sys.exit(6)
""" % len(works), code_expected=6)


def test_the_networks_after_the_end_began():
    """A hook that was registered before headsds' own runs after it, and may work."""
    program = textwrap.dedent("""
        import atexit, sys
        atexit.register(lambda: print(bytes(headsds.generate("a", texture=None, geometry={
            "steps": 1, "views": 1, "resolution": 64}).shape) == shape))
        import headsds
        shape = bytes(headsds.generate("a", texture=None, geometry={
            "steps": 1, "views": 1, "resolution": 64}).shape)
        sys.exit(3)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=LIMIT)
    assert (done.returncode, done.stdout) == (3, "True\n"), done.stderr


# ---- interrupts ----

LONG = {
    "encode_image": "prior.encode_image(np.full((20000, 64, 64, 3), 0.5, 'f4'))",
    "decode_latents": "prior.decode_latents(np.zeros((20000, 4, 8, 8), 'f4'))",
    "sample": "prior.sample('a', steps=900, height=256, width=256)",
    "generate": "headsds.generate('a', None, prior, geometry=G, texture=None)",
    "large": "headsds.generate('a', None, prior, texture=None, "
             "geometry={**G, 'views': 64, 'resolution': 512})",
    "preparing": "headsds.generate('a', None, prior, texture=None, "
                 "geometry={**G, 'views': 64, 'resolution': 512, 'precondition': 'whitening'})",
    "wait": "job().wait()",
}


@pytest.mark.parametrize("call", LONG)
def test_interrupt(call):
    """The networks can be used afterwards."""
    said = run(f"""
        call = lambda: {LONG[call]}
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            call()
        except KeyboardInterrupt:
            print("interrupted")
        prior.encode_text(["a"])
    """)
    assert said == "interrupted\n"


def test_interrupt_whose_handler_raises_something_else():
    """And one that raises nothing changes nothing."""
    said = run("""
        def handler(number, frame):
            if number == signal.SIGUSR1:
                raise RuntimeError("enough")
        for number in signal.SIGUSR1, signal.SIGUSR2:
            signal.signal(number, handler)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            prior.encode_image(np.full((20000, 64, 64, 3), 0.5, "f4"))
        except RuntimeError as e:
            print(e)
    """)
    assert said == "enough\n"


def test_interrupt_keeps_the_checkpoint():
    run("""
        try:
            headsds.generate("a", None, prior, geometry=G, texture=None, checkpoint="run",
                             on_progress=lambda p: p.step >= 2 and
                             os.kill(os.getpid(), signal.SIGINT))
        except KeyboardInterrupt:
            pass
        short = {**G, "steps": 5000}
        j = job(checkpoint="run", resume=True)
        while j.progress().state == "loading":
            time.sleep(0.01)
    """)
    assert pathlib.Path("run").exists()


COMMAND = os.environ.get("HEADSDS_COMMAND")


def interrupted(first_file, *arguments):
    """What the command says when it is interrupted after it has written this file."""
    process = subprocess.Popen([COMMAND, *arguments], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not pathlib.Path(first_file).exists():
        pass
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 130, said
    return said


@pytest.mark.skipif(not COMMAND, reason="no command was built")
def test_interrupt_of_convert_and_render():
    headsds.Head().save("in.headsds")
    outputs = [f"out{i}.glb" for i in range(500)]
    said = interrupted(outputs[0], "convert", "in.headsds", *outputs)
    written = [output for output in outputs if pathlib.Path(output).exists()]
    assert said == f"headsds: error: interrupted; {len(written)} of 500 files are written\n"
    assert all(pathlib.Path(output).read_bytes()[:4] == b"glTF" for output in written)
    angles = ",".join(str(i) for i in range(64))
    said = interrupted("a-000.png", "render", "in.headsds", "-o", "a.png", "--azimuth", angles)
    assert re.fullmatch(r"headsds: error: interrupted; \d+ of 64 files are written\n", said)


@pytest.mark.skipif(not COMMAND, reason="no command was built")
def test_interrupt_of_generate():
    said = interrupted("run", "generate", "a head", "--checkpoint", "run")
    assert "headsds: error: interrupted; continue with --resume --checkpoint run\n" in said
    assert not pathlib.Path("head.glb").exists()


# ---- seeds, threads, interpreters ----

@pytest.mark.parametrize("seed", [-1, 2**64, 2**70 + 1])
def test_seeds(prior, seed):
    """Case 61: sample() took them modulo 2**64."""
    for call in (lambda: prior.sample("a", steps=1, seed=seed),
                 lambda: headsds.generate("a", None, prior, seed=seed),
                 lambda: headsds.Job("a", None, prior, seed=seed),
                 lambda: headsds.cameras("facebuilder", 1, seed=seed)):
        with pytest.raises(ValueError, match=r"seed: -?\d+, expected 0 to 2\*\*64 - 1"):
            call()


def test_seeds_of_other_types(prior):
    with pytest.raises(TypeError):
        prior.sample("a", steps=1, seed=1.5)
    same = [bytes(prior.sample("a", steps=1, height=64, width=64, seed=seed))
            for seed in (3, np.uint8(3), np.int64(3))]
    assert same[0] == same[1] == same[2]
    prior.sample("a", steps=1, height=64, width=64, seed=2**64 - 1)


def test_jobs_in_a_thread_pool():
    """Case 64: the same head from each."""
    said = run("""
        from concurrent.futures import ThreadPoolExecutor

        def make(seed):
            return bytes(headsds.generate("a", None, prior, seed=seed, texture=None, geometry={
                "steps": 1, "views": 1, "resolution": 64}).shape)

        with ThreadPoolExecutor(4) as pool:
            heads = list(pool.map(make, [1, 2] * 2))
        print(len(set(heads)), heads[0] == make(1))
    """)
    assert said == "2 True\n"


INNER = """
import headsds

headsds.Head().render(size=16)
prior = headsds.Prior.load()
seen = []
prior.sample("a", steps=2, height=64, width=64, on_progress=lambda *a: seen.append(a[0]))
assert seen == [0, 1, 2], seen


def fail(*arguments):
    raise KeyError("a callback's")


try:
    prior.sample("a", steps=2, height=64, width=64, on_progress=fail)
except KeyError as e:
    print(e, flush=True)
"""


def test_subinterpreter():
    """Case 65. sample() calls back into the interpreter that called it."""
    pathlib.Path("inner.py").write_text(INNER)
    said = run("""
        import _xxsubinterpreters as interpreters
        i = interpreters.create()
        interpreters.run_string(i, open("inner.py").read())
        interpreters.destroy(i)
        prior.encode_text(["a"])
        wait_for_step(job())
    """)
    assert said.strip() == "\"a callback's\""


# ---- another libtorch ----

@pytest.fixture
def other_torch(tmp_path):
    """A package torch with a library that has the name of another libtorch."""
    package = tmp_path / "site" / "torch"
    (package / "lib").mkdir(parents=True)
    (package / "version.py").write_text("__version__ = '9.9.0+cpu'\n")
    (package / "__init__.py").write_text(
        "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/lib/libtorch_cpu.so')\n")
    mapped = re.findall(r"(/\S+/libz\.so[.\d]*)", pathlib.Path("/proc/self/maps").read_text())
    shutil.copy(mapped[0], package / "lib" / "libtorch_cpu.so")
    return package


def python(code, site):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True,
                          text=True, timeout=LIMIT,
                          env={**os.environ, "PYTHONPATH": f"{site}:{os.environ['PYTHONPATH']}"})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_another_torch_before(other_torch):
    said = python("""
        import torch, headsds
        headsds.Head().render(size=16)
        for _ in range(2):
            try:
                headsds.generate("a")
            except OSError as e:
                print(e)
    """, other_torch.parent)
    assert len(said) == 2 and said[0] == said[1]
    assert said[0].startswith("this process has libtorch 9.9.0+cpu (") and "-Dtorch_dir=" in said[0]


def test_another_torch_after(other_torch):
    """Packages look whether there is a torch, and that is no import of it."""
    said = python("""
        import headsds, importlib, importlib.util, sys
        prior = headsds.Prior.load()
        print(importlib.util.find_spec("torch").origin)
        for name in "torch", "torch", "torch.version":
            try:
                importlib.import_module(name)
            except ImportError as e:
                print(e)
        assert "torch" not in sys.modules
        prior.encode_text(["a"])
    """, other_torch.parent)
    assert said[0] == str(other_torch / "__init__.py") and len(said) == 4
    assert all(line.startswith("headsds has opened the libtorch ") and str(other_torch) in line
               for line in said[1:])
