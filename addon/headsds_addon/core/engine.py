# SPDX-License-Identifier: GPL-3.0-or-later
"""The headsds module, and the models and priors that it has loaded, shared by all runs."""

import importlib
import threading

_lock = threading.Lock()
_models = {}
_priors = {}


class MissingModule(RuntimeError):
    """The compiled module cannot be loaded."""


def module():
    """headsds: the one that lies in the add-on's folder, else one on Python's path."""
    package = __package__.rpartition(".")[0]
    try:
        return importlib.import_module(".headsds", package)
    except ModuleNotFoundError as error:
        if error.name != f"{package}.headsds":
            raise MissingModule(f"headsds cannot be loaded: {error}") from error
    except ImportError as error:
        raise MissingModule(f"headsds cannot be loaded: {error}. Install the libraries that it "
                            "needs (docs/blender.md lists them)") from error
    try:
        return importlib.import_module("headsds")
    except ImportError as error:
        raise MissingModule("the compiled module headsds.abi3.so is not in the add-on's folder: "
                            "install the add-on from the zip that the build makes") from error


def model(path=""):
    """The head model at `path`, "" for the built-in sample head; loaded once."""
    return _cached(_models, path, lambda headsds: headsds.HeadModel)


def prior(path=""):
    """The prior at `path`, "" for the built-in sample prior; loaded once. May take long."""
    return _cached(_priors, path, lambda headsds: headsds.Prior)


def _cached(cache, path, kind):
    with _lock:
        if path not in cache:
            loader = kind(module())
            cache[path] = loader.load(path) if path else loader.load()
        return cache[path]
