# SPDX-License-Identifier: Apache-2.0
"""meson install into a folder that stands for another machine: programs are built against it by
pkg-config, run, and find its data; they still do when the folder has been moved.

Environment: MESON, BUILD (its folder), PREFIX, CC, CXX, PYTHON, VERSION, PROGRAM (use.c).
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

PREFIX = os.environ["PREFIX"].lstrip("/")
PROGRAM = os.environ["PROGRAM"]
VERSION = os.environ["VERSION"]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = {"c": [*shlex.split(os.environ["CC"]), "-std=c11"],
             "cpp": [*shlex.split(os.environ["CXX"]), "-std=c++11", "-x", "c++"]}
# What a shell would add of the build or the source tree.
HIDDEN = ("HEADSDS_DATA", "LD_LIBRARY_PATH", "PYTHONPATH", "PKG_CONFIG_PATH")


def run(*command, env=None, cwd=None, ok=True):
    clean = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    done = subprocess.run(command, env={**clean, **(env or {})}, cwd=cwd, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if (done.returncode == 0) != ok:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if ok else done.stderr


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory())).resolve()
        cls.root = cls.scratch / "first"
        run(*shlex.split(os.environ["MESON"]), "install", "-C", os.environ["BUILD"],
            "--destdir", str(cls.root), "--no-rebuild", "--quiet")
        for language in LANGUAGES:
            cls.build(language)
        # Nothing may depend on where it was installed and built against.
        cls.root = cls.root.rename(cls.scratch / "second")

    @classmethod
    def find(cls, name):
        found = list((cls.root / PREFIX).rglob(name))
        assert len(found) == 1, (name, found)
        return found[0]

    @classmethod
    def pkg_config(cls, *what):
        folder = cls.find("headsds.pc").parent
        return run("pkg-config", *what, "headsds", env={
            "PKG_CONFIG_LIBDIR": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(cls.root)}).split()

    @classmethod
    def build(cls, language):
        source = shutil.copy(PROGRAM, cls.scratch)
        run(*LANGUAGES[language], *STRICT, source, "-x", "none", "-o", f"use_{language}",
            *cls.pkg_config("--cflags", "--libs"), cwd=cls.scratch)

    def start(self, language, ok=True):
        return run(str(self.scratch / f"use_{language}"), VERSION, ok=ok, cwd=self.scratch,
                   env={"LD_LIBRARY_PATH": str(self.find("libheadsds.so").parent)})

    def start_python(self, ok=True):
        code = ("import headsds; model = headsds.HeadModel.load(); prior = headsds.Prior.load(); "
                "print(headsds.__version__, headsds.__file__); "
                "print(open('/proc/self/maps').read())")
        return run(os.environ["PYTHON"], "-B", "-c", code, ok=ok, cwd=self.scratch,
                   env={"PYTHONPATH": str(self.find("headsds.abi3.so").parent)})

    def test_c(self):
        self.assertIn(f"headsds {VERSION}: a picture", self.start("c"))

    def test_cpp(self):
        self.assertIn(f"headsds {VERSION}: a picture", self.start("cpp"))

    def test_python(self):
        first, maps = self.start_python().split("\n", 1)
        self.assertEqual(first, f"{VERSION} {self.find('headsds.abi3.so')}")
        self.assertIn(f"{self.root}/{PREFIX}/share/headsds/prior/", maps)
        self.assertNotIn(os.environ["BUILD"], maps)
        self.assertTrue(self.find("headsds.pyi").is_file())

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), [VERSION])
        self.assertEqual(self.pkg_config("--print-requires", "--print-requires-private"), [])
        self.assertEqual(self.pkg_config("--libs")[-1], "-lheadsds")

    def test_soname(self):
        library = self.find("libheadsds.so").resolve()
        major, minor, _ = VERSION.split(".")
        name = f"libheadsds.so.{major}.{minor}" if major == "0" else f"libheadsds.so.{major}"
        self.assertIn(f"soname: [{name}]", run("readelf", "-d", str(library)))
        self.assertEqual(library.name, f"libheadsds.so.{VERSION}")
        self.assertEqual(self.find(name).resolve(), library)

    def test_only_what_is_used(self):
        data = self.root / PREFIX / "share" / "headsds"
        kinds = {path.suffix for path in data.rglob("*") if path.is_file()}
        self.assertEqual(kinds, {".npz", ".json", ".txt", ".safetensors"})

    def test_no_other_data(self):
        """Without the data in the prefix there is none: not the source tree's."""
        if (pathlib.Path("/") / PREFIX / "share" / "headsds").exists():
            self.skipTest("headsds is installed on this machine too")
        data = self.find("head.npz").parents[1]
        away = data.rename(data.with_name("away"))
        try:
            for output in self.start("c", ok=False), self.start_python(ok=False):
                self.assertIn("head/head.npz: not found in headsds_data nor in share/headsds of "
                              f"any folder above {self.root}/{PREFIX}/", output)
        finally:
            away.rename(data)


if __name__ == "__main__":
    unittest.main()
