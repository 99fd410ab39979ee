# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments, the run with its progress on the terminal, and the files that it leaves.

Exit codes: 0 all is written; 1 it is not, and one line says why; 2 the arguments are wrong;
130 interrupted.
"""

import argparse
import dataclasses
import os
import sys
import time

import bpy

from ..core import engine, run, settings as core_settings
from ..ops import materials, meshes, session
from . import output, pictures, studio

TICK = 0.1
LINE_EVERY = 5.0                # seconds between lines where the terminal cannot rewrite one
FILES = ["head.blend", "head.glb", "render.png"]
PICTURES = ["evolution.png", "turntable.png"]
REPORT = ["report.html"]


def lora(text):
    """"FILE=SCALE" or "FILE" -> (path, scale)."""
    path, equals, scale = text.rpartition("=")
    try:
        return (path, float(scale)) if equals else (text, 1.0)
    except ValueError:
        return text, 1.0            # the file's name has an equals sign


def embedding(text):
    """"FILE=TOKEN" -> (path, token), "FILE" -> path."""
    path, equals, token = text.rpartition("=")
    return (path, token) if equals and not os.path.exists(text) else text


def setting(text):
    """"STAGE.OPTION=VALUE" -> (name, value); the value's type is that of the option's default."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}, expected STAGE.OPTION=VALUE")
    default = engine.module().options().get(name.rpartition(".")[2], {}).get("type", "name")
    try:
        return name, {"int": int, "float": float, "bool": _bool}.get(default, str)(value)
    except (KeyError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name} is {value!r}, expected {default}") from error


def _bool(text):
    return {"true": True, "false": False}[text]


def parse(arguments):
    """argparse's result; wrong ones leave with 2 and say what is expected."""
    parser = argparse.ArgumentParser(
        prog="blender -b [file.blend] --python-exit-code 1 --python generate.py --",
        description="Make a 3D head from a text.")
    parser.add_argument("--prompt", required=True, help="what the head should look like")
    parser.add_argument("--object", metavar="NAME", help="the head mesh; default: the first mesh "
                        "of the file with the head model's topology, or one that is added")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--geometry-steps", type=int, metavar="N", help="0 leaves the stage out")
    parser.add_argument("--texture-steps", type=int, metavar="N", help="0 leaves the stage out")
    parser.add_argument("--recipe", default="", metavar="NAME", help="default: the first one that "
                        "headsds options lists")
    parser.add_argument("--set", action="append", default=[], dest="options", type=setting,
                        metavar="STAGE.OPTION=VALUE", help="changes an option of the recipe "
                        "(docs/options.md); may be given several times")
    parser.add_argument("--head-model", default="", metavar="PATH",
                        help="default: the built-in sample head")
    parser.add_argument("--prior", default="", metavar="PATH",
                        help="a diffusers folder, or one file of weights; default: the built-in "
                        "sample prior")
    parser.add_argument("--prior-config", default="", metavar="DIR", help="with one file: a "
                        "diffusers folder whose tokenizer and configurations are the model's")
    parser.add_argument("--vae", default="", metavar="PATH", help="in place of the prior's own "
                        "VAE: a diffusers folder of one or of a model, or a file of one")
    parser.add_argument("--lora", action="append", default=[], metavar="FILE[=SCALE]", type=lora,
                        help="added to the prior; may be given several times; default scale: 1")
    parser.add_argument("--embedding", action="append", default=[], metavar="FILE[=TOKEN]",
                        type=embedding, help="a textual inversion; may be given several times; "
                        "default token: the file's")
    parser.add_argument("--device", default="auto", help="of the prior: auto, cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="auto", help="of the prior's UNet: auto, float32, "
                        "bfloat16 or float16")
    parser.add_argument("--out", default=".", metavar="DIR", help="default: this folder")
    parser.add_argument("--pictures", action="store_true",
                        help="also write evolution.png and turntable.png")
    parser.add_argument("--report", action="store_true", help="also write report.html: options, "
                        "pictures, curves and times of the run, on one page")
    return parser.parse_args(arguments)


def main(arguments):
    """Returns the exit code; never raises, for Blender would go on and leave with 0."""
    options = parse(arguments)
    try:
        _work(options)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Exception as error:
        return _complain(" ".join(str(error).split()) or type(error).__name__, 1)
    return 0


def _complain(message, code):
    sys.stdout.flush()
    print(f"headsds: error: {message}", file=sys.stderr, flush=True)
    return code


def _work(options):
    settings = core_settings.Settings(
        prompt=options.prompt, seed=options.seed, geometry_steps=options.geometry_steps,
        texture_steps=options.texture_steps, recipe=options.recipe,
        options=tuple(options.options), model_path=options.head_model,
        prior_path=options.prior, prior_config=options.prior_config, prior_vae=options.vae,
        loras=tuple(options.lora), embeddings=tuple(options.embedding),
        device=options.device, dtype=options.dtype)
    settings.check()
    names = FILES + PICTURES * options.pictures + REPORT * options.report
    with output.Folder(options.out, names) as folder:
        if options.report:
            settings = dataclasses.replace(settings, report=folder.path("report.html"))
        model = engine.model(settings.model_path)
        fresh = not bpy.data.filepath
        if fresh:
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        obj = find_head(model, options.object)
        gathered = pictures.Evolution() if options.pictures else None
        ended = generate(obj, settings, gathered)
        _write(folder, fresh, obj, ended, gathered)
    for path in folder.written:
        print(path, flush=True)


def _write(folder, fresh, obj, ended, gathered):
    if fresh:
        studio.furnish(bpy.context.scene, obj, ended)
    print("Writing the .blend and the .glb", flush=True)
    with output.quiet():
        bpy.ops.wm.save_as_mainfile(filepath=folder.path("head.blend"), copy=True,
                                    check_existing=False)
    ended.head.save(folder.path("head.glb"))
    if gathered is not None:
        headsds = engine.module()
        headsds.write_png(folder.path("evolution.png"), gathered.sheet(ended.head))
        headsds.write_png(folder.path("turntable.png"), pictures.turntable(ended.head))
    print("Rendering with Blender", flush=True)
    studio.render(obj, ended, folder.path("render.png"))


def find_head(model, name):
    """The object of that name; without one, the first that fits, or a new one."""
    headsds = engine.module()
    scene = bpy.context.scene
    if name is not None:
        obj = bpy.data.objects.get(name)
        if obj is None:
            names = ", ".join(o.name for o in bpy.data.objects if o.type == "MESH") or "none"
            raise ValueError(f"{name}: no such object in the file; its meshes: {names}")
        meshes.check(headsds, model, obj)
        return obj
    for obj in scene.objects:
        try:
            meshes.check(headsds, model, obj)
        except ValueError as error:
            if obj.type == "MESH":
                print(f"Passing over {error}", flush=True)
            continue
        print(f"Using {obj.name}", flush=True)
        return obj
    obj = meshes.add_head(model, scene.collection)
    materials.show_mean_texture(obj, model)
    print(f"Added {obj.name}", flush=True)
    return obj


def generate(obj, settings, gathered=None):
    """Runs to the end with progress on the terminal; the finished Session. Raises its error."""
    running = session.Session(obj, settings, live=False)
    terminal = Terminal()
    try:
        while not running.over:
            running.tick()
            if gathered is not None:
                gathered.look(running.run)
            terminal.show(running.run)
            time.sleep(TICK)
    finally:
        terminal.close()
        if not running.over:
            running.run.abandon()
    if running.error:
        raise RuntimeError(running.error)
    return running


class Terminal:
    """Progress: one line that is rewritten, or, into a file or pipe, a line now and then."""

    def __init__(self):
        self._rewrites = sys.stdout.isatty()
        self._next = 0.0
        self._last = ""
        self._stage = ""

    def show(self, running):
        """Called often; the first line of a stage and the last of all are never left out."""
        progress = running.progress
        if running.state == run.LOADING:
            self._line(running.text(), True)
        elif running.state in (run.RUNNING, run.DONE):
            self._line(f"{100 * progress.fraction:3.0f}%  {run.describe(progress)}",
                       progress.stage != self._stage or running.state == run.DONE)
            self._stage = progress.stage

    def _line(self, text, due):
        if text == self._last:
            return
        if self._rewrites:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif due or time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY
            print(text, flush=True)
        else:
            return                      # it may be the last one, which has to come yet
        self._last = text

    def close(self):
        if self._rewrites and self._last:
            print(flush=True)
