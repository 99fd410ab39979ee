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
    """with Folder(dir, names) as f: write f.path(name) for each; all are renamed at the end.

    What could not be replaced is refused at the start, before hours of work, and once more before
    the first file takes its name.
    """

    def __init__(self, path, names):
        self._folder = os.path.abspath(path)
        self._names = names
        self.written = []

    def __enter__(self):
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise OSError(f"{self._folder}: cannot be made: {error.strerror}; choose another --out"
                          ) from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{self._folder}: cannot be written to; choose another --out")
        self._check_targets()
        return self

    def path(self, name):
        """Where to write what will be called `name`."""
        return os.path.join(self._folder, f".{os.getpid()}-{name}")

    def _check_targets(self):
        for name in self._names:
            target = os.path.join(self._folder, name)
            if os.path.lexists(target) and not os.path.isfile(target):
                raise OSError(f"{target}: is no file, so it cannot be replaced; move it away or "
                              "choose another --out")
            if os.path.exists(target) and not os.access(target, os.W_OK):
                raise PermissionError(f"{target}: cannot be written to; change its permissions or "
                                      "choose another --out")

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._keep()
        finally:
            for name in self._names:
                if os.path.exists(self.path(name)):
                    os.unlink(self.path(name))

    def _keep(self):
        for name in self._names:
            if not os.path.isfile(self.path(name)):
                raise OSError(f"{os.path.join(self._folder, name)}: was not written; is the disk "
                              "full?")
        self._check_targets()
        for name in self._names:
            final = os.path.join(self._folder, name)
            os.replace(self.path(name), final)
            self.written.append(final)
