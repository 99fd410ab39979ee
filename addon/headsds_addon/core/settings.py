# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is asked for, and the steps that the quality presets stand for."""

from dataclasses import dataclass

# name: (label, description, share of the recipe's steps)
PRESETS = {
    "DRAFT": ("Draft", "A first look, with fewer than half of Standard's steps", 0.4),
    "STANDARD": ("Standard", "As many steps as headsds takes unless told otherwise", 1.0),
    "FINE": ("Fine", "Twice Standard's steps", 2.0),
    "CUSTOM": ("Custom", "Numbers of your own; 0 leaves a stage out", 1.0),
}


@dataclass(frozen=True)
class Settings:
    """One run. Steps: None for the core's default, 0 to leave the stage out."""
    prompt: str
    seed: int = 0
    geometry_steps: int = None
    texture_steps: int = None
    model_path: str = ""
    prior_path: str = ""
    prior_config: str = ""
    prior_vae: str = ""
    loras: tuple = ()           # of (path, scale)
    embeddings: tuple = ()      # of paths or (path, token)
    recipe: str = ""            # "" for the default
    options: tuple = ()         # of ("STAGE.OPTION", value)
    device: str = "auto"
    dtype: str = "auto"
    report: str = ""            # a path, "" for none

    def check(self):
        """ValueError that says what to do about it."""
        if not self.prompt.strip():
            raise ValueError("the prompt is empty: write what the head should look like")
        for stage, steps in (("geometry", self.geometry_steps), ("texture", self.texture_steps)):
            if steps is not None and steps < 0:
                raise ValueError(f"{stage} steps: {steps}, expected 0 or more")
        if self.geometry_steps == 0 and self.texture_steps == 0:
            raise ValueError("both stages have 0 steps: give at least one of them some")

    def prior(self):
        """Arguments of engine.prior()."""
        return {"path": self.prior_path, "config": self.prior_config,
                "vae": self.prior_vae, "loras": self.loras, "embeddings": self.embeddings,
                "device": self.device, "dtype": self.dtype}

    def arguments(self, model, prior, start=None):
        """Keyword arguments of headsds.Job."""
        return {"prompt": self.prompt, "head_model": model, "prior": prior, "seed": self.seed,
                "start": start, "recipe": self.recipe or None, "options": dict(self.options),
                "geometry": _stage(self.geometry_steps), "texture": _stage(self.texture_steps),
                "report": self.report or None}


def preset_steps(preset, geometry_steps, texture_steps, recipe):
    """Steps of a preset for a recipe of headsds.recipes(); the two numbers are those of CUSTOM."""
    if preset == "CUSTOM":
        return geometry_steps, texture_steps
    if preset == "STANDARD":
        return None, None
    share = PRESETS[preset][2]
    return tuple(round(share * recipe[stage]["steps"]) for stage in ("geometry", "texture"))


def _stage(steps):
    if steps == 0:
        return None
    return {} if steps is None else {"steps": steps}
