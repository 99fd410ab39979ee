# SPDX-License-Identifier: Apache-2.0
"""Cases that the reference packages wrote (tests/peer/write.py): a case names a model's folder and files,
what is computed, and the reference's numbers. Here is what headsds computes of it.

A case: {"name", "group", "load": arguments of Prior.load with paths relative to the cases' folder, "check":
what is computed, "expected": its numbers, "tolerance"}. In "load", {"base": folder, "parts": {"scheduler":
folder, ...}} is a model whose parts come from several folders; {"clip": folder} is a Clip."""

import json
import os
import pathlib
import warnings

import numpy as np

import headsds
from inputs import draw, pictures


def read(root):
    return json.loads((pathlib.Path(root) / "cases.json").read_text(encoding="utf-8"))


def assemble(root, place, base, parts):
    """A model's folder, of links to parts of others."""
    place.mkdir(parents=True)
    for part in (root / base).iterdir():
        if part.name not in parts:
            (place / part.name).symlink_to(part)
    for part, folder in parts.items():
        (place / part).symlink_to(root / folder)
    return place


def load(case, root, place):
    """place: a folder that is not there yet, for links."""
    root = pathlib.Path(os.path.abspath(root))
    given = dict(case["load"])
    if "clip" in given:
        return headsds.Clip.load(root / given["clip"])
    if "base" in given:
        path = assemble(root, pathlib.Path(place), given.pop("base"), given.pop("parts"))
    else:
        path = root / given.pop("path")
    for name in ("config", "vae", "depth", "texture"):
        if name in given:
            given[name] = root / given[name]
    for name in ("loras", "embeddings"):
        if name in given:
            given[name] = [(root / file, extra) for file, extra in given[name]]
    return headsds.Prior.load(path, dtype="float32", **given)


def compute(model, check):
    """The numbers of a case, float64, of any shape."""
    return np.asarray(KINDS[check["what"]](model, check), "f8")


def alphas(prior, check):
    return np.asarray(prior.alphas_cumprod)[::check["every"]]


def tokens(prior, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # of the words that are left out
        return prior.tokenize(check["prompts"])


def states(prior, check):
    return prior.encode_text(check["prompts"])


def noise(prior, check):
    text = prior.encode_text(check["prompts"])
    latents = draw(1, len(check["prompts"]), 4, *check["size"])
    more = {}
    if "depth_scale" in check:
        more = {"depth": pictures(2, len(latents), *(8 * n for n in check["size"]), 3),
                "depth_scale": check["depth_scale"]}
    return [np.asarray(prior.predict_noise(latents, t, text, **more)) for t in check["timesteps"]]


def encode(prior, check):
    return prior.encode_image(pictures(3, 2, *(8 * n for n in check["size"]), 3))


def decode(prior, check):
    return prior.decode_latents(draw(4, 2, 4, *check["size"]))


def run(prior, check, seen=None, seed=0):
    """sample() without the arguments that the reference does not have."""
    height, width = (8 * n for n in check["size"])
    more = {name: check[name] for name in ("negative_prompt", "image_guidance_scale", "strength") if name in check}
    if check.get("image"):
        more["image"] = pictures(5, height, width, 3)
    return prior.sample(check["prompts"][0], steps=check["steps"], seed=seed, height=height, width=width,
                        noise=draw(6, 1, 4, *check["size"]), guidance_scale=check["guidance_scale"], on_progress=seen,
                        **more)


def walk(prior, check):
    """Latents before the first evaluation and after each."""
    latents = []
    run(prior, check, lambda done, count, x: latents.append(np.array(x)))
    return latents


def picture(prior, check):
    return run(prior, check)


def similarity(clip, check):
    size = clip.image_size
    return np.concatenate([np.asarray(part).ravel() for part in (
        clip.embed_images(pictures(7, 2, size, size, 3)), clip.embed_texts(check["prompts"]),
        clip.similarity(pictures(7, 2, size, size, 3), check["prompts"]))])


KINDS = {kind.__name__: kind for kind in (alphas, tokens, states, noise, encode, decode, walk, picture, similarity)}
