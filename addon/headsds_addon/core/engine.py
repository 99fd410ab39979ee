# SPDX-License-Identifier: GPL-3.0-or-later
"""The headsds module, and the models and the prior that it has loaded, shared by all runs."""

import importlib
import threading

_lock = threading.Lock()
_models = {}
_last_prior = None      # kept for the next run; headsds gives the same one for the same files


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


def recipe(name=""):
    """{stage: {option: value}} of a recipe, "" for the default."""
    recipes = module().recipes()
    return recipes[name] if name else next(iter(recipes.values()))


def model(path=""):
    """The head model at `path`, "" for the built-in sample head; loaded once."""
    with _lock:
        if path not in _models:
            _models[path] = module().HeadModel.load(path or None)
        return _models[path]


def prior(path="", config="", vae="", **options):
    """The prior at `path`, "" for the built-in sample prior, as headsds.Prior.load() takes them.
    May take long; the one before goes when nothing uses it."""
    global _last_prior
    with _lock:
        _last_prior = module().Prior.load(path or None, config=config or None, vae=vae or None,
                                          **options)
        return _last_prior
