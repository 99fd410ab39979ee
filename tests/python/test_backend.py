# SPDX-License-Identifier: Apache-2.0
"""The backend of the networks: opened on first need, and refused in one sentence, never a crash.

Each case is a process of its own: what a process has loaded decides.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import headsds
import toy

FOLDER = pathlib.Path(headsds.__file__).parent
BACKENDS = sorted(FOLDER.glob("headsds_torch_*.so"))
OURS = ("HEADSDS_BACKEND", "HEADSDS_TORCH_DIR", "HEADSDS_DATA")
LOAD = """
try:
    headsds.Prior.load()
    print("loaded")
except Exception as e:
    print(type(e).__name__, e)
"""
MAPPED = r"""
import re
print(sorted(set(re.findall(r"lib(?:torch|c10|opencv|tbb|gomp|openblas)\w*",
                            open("/proc/self/maps").read()))))
"""


def run(code, **environment):
    """What the code, after `import headsds`, prints."""
    env = {k: v for k, v in os.environ.items() if k not in OURS}
    env |= {"PYTHONPATH": str(FOLDER)} | {k: str(v) for k, v in environment.items()}
    done = subprocess.run([sys.executable, "-c", "import headsds\n" + code], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip()


def refused(before="", **environment):
    """The one sentence with which the networks are refused."""
    said = run(before + LOAD, **environment)
    assert said.count("\n") == 0
    return said


@pytest.fixture
def backend():
    if not BACKENDS:
        pytest.skip("no backend beside the module")
    return BACKENDS[0]


def test_import_is_light():
    assert run(MAPPED) == "[]"


def test_heads_need_no_backend(tmp_path):
    egg = toy.write(tmp_path / "egg.npz")
    run(f"""
model = headsds.HeadModel.load(r"{egg}")
head = headsds.Head(model)
head.save(r"{tmp_path / 'out.glb'}")
assert len(memoryview(head.render(size=32)).tobytes()) >= 32 * 32
""" + MAPPED, HEADSDS_BACKEND="/nowhere")
    assert (tmp_path / "out.glb").stat().st_size


def test_no_backend(tmp_path):
    said = refused(HEADSDS_BACKEND="/nowhere/headsds_torch_1.so")
    assert said.startswith("FileNotFoundError /nowhere/headsds_torch_1.so: no such backend")
    said = refused(HEADSDS_BACKEND=tmp_path)
    assert said.startswith("FileNotFoundError no backend for the networks") and str(tmp_path) in said
    (tmp_path / "headsds_torch_2.so").write_bytes(b"\x7fELF, but nothing of ours")
    assert "holds no note" in refused(HEADSDS_BACKEND=tmp_path)


def test_tried_again(backend):
    """After a refusal the next call looks anew."""
    said = run("import os\n" + LOAD + "del os.environ['HEADSDS_BACKEND']\n" + LOAD,
               HEADSDS_BACKEND="/nowhere").splitlines()
    assert "no such backend" in said[0] and said[1:] == ["loaded"]


def patched(tmp_path, backend, old, new):
    data = backend.read_bytes()
    assert len(re.findall(old, data)) == 1
    other = tmp_path / "headsds_torch_0.so"
    other.write_bytes(re.sub(old, new, data))
    return other


def test_other_abi(tmp_path, backend):
    other = patched(tmp_path, backend, rb"\nabi=\d", b"\nabi=9")
    said = refused(HEADSDS_BACKEND=other)
    assert said.startswith(f"FormatError {other}: a backend of ABI 9, expected ")


def test_libtorch_is_gone(tmp_path, backend):
    """As long as before, as this is a program: the system's is found by a name with a version."""
    library = re.search(rb"\nlibrary=(.*)\n", backend.read_bytes())[1]
    other = patched(tmp_path, backend, rb"\nlibrary=/.", b"\nlibrary=/~")
    said = refused(HEADSDS_BACKEND=other)
    if re.search(rb"\.so\.\d", library):
        assert said == "loaded"
    else:
        assert said.startswith("FileNotFoundError libtorch ") and "HEADSDS_TORCH_DIR" in said


def other_libtorch(folder):
    """A file that is called libtorch_cpu.so, in a wheel of version 9.9."""
    (folder / "torch" / "lib").mkdir(parents=True)
    (folder / "torch" / "version.py").write_text("__version__ = '9.9.0+cpu'\n")
    mapped = re.findall(r"(/\S+/libz\.so[.\d]*)", pathlib.Path("/proc/self/maps").read_text())
    library = folder / "torch" / "lib" / "libtorch_cpu.so"
    shutil.copy(mapped[0], library)
    return library


def test_process_has_another(tmp_path, backend):
    library = other_libtorch(tmp_path)
    said = refused(f"import ctypes\nctypes.CDLL(r'{library}')\n")
    assert said.startswith(f"OSError this process has libtorch 9.9.0+cpu ({library}), and no ")
    assert backend.name in said


def test_named_folder(tmp_path, backend):
    library = other_libtorch(tmp_path)
    said = refused(HEADSDS_TORCH_DIR=library.parent)
    assert said.startswith("OSError HEADSDS_TORCH_DIR names libtorch 9.9.0+cpu")
    said = refused(HEADSDS_TORCH_DIR=tmp_path)
    assert said.startswith(f"FileNotFoundError HEADSDS_TORCH_DIR is {tmp_path}, and no")


def test_import_of_another_afterwards(tmp_path, backend):
    """Python's torch brings a libtorch of its own, which would crash where ours is open."""
    (other_libtorch(tmp_path).parents[1] / "__init__.py").write_text("print('imported')\n")
    code = f"""
import sys
sys.path.insert(0, r"{tmp_path}")
try:
    import torch
except ImportError as e:
    print(e)
"""
    assert run(code) == "imported"
    said = run(LOAD + code).splitlines()
    assert said[0] == "loaded" and len(said) == 2
    assert said[1].startswith("headsds has opened the libtorch ") and str(tmp_path) in said[1]
