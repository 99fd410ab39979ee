# SPDX-License-Identifier: GPL-3.0-or-later
"""An output folder in which all files of a run appear together, or none does."""

import contextlib
import os
import sys


@contextlib.contextmanager
def quiet():
    """Blender writes dozens of lines for one picture straight to the terminal: not in here."""
    sys.stdout.flush()
    kept = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


class Folder:
    """with Folder(dir) as f: write f.path("head.glb"), ...; renamed at the end, if all went well."""

    def __init__(self, path):
        self._folder = os.path.abspath(path)
        self._names = []
        self.written = []

    def __enter__(self):
        os.makedirs(self._folder, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{self._folder}: cannot be written to; choose another --out")
        return self

    def path(self, name):
        """Where to write what will be called `name`."""
        self._names.append(name)
        return self._beside(name)

    def _beside(self, name):
        return os.path.join(self._folder, f".{os.getpid()}-{name}")

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._keep()
        finally:
            for name in self._names:
                if os.path.exists(self._beside(name)):
                    os.unlink(self._beside(name))

    def _keep(self):
        for name in self._names:
            if not os.path.isfile(self._beside(name)):
                raise OSError(f"{os.path.join(self._folder, name)}: was not written; is the disk "
                              "full?")
        for name in self._names:
            final = os.path.join(self._folder, name)
            os.replace(self._beside(name), final)
            self.written.append(final)
