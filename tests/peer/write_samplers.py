# SPDX-License-Identifier: Apache-2.0
"""Every scheduler class of diffusers: its folder, its schedule, a run's latents."""

import inspect
import json

import diffusers

import recorder
from recorder import PROMPTS, SCHEDULE, SIZE

D, E, U, P = ("DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler", "PNDMScheduler")
ZERO = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "steps_offset": 0}
THRESHOLD = {"thresholding": True, "sample_max_value": 3.0, "dynamic_thresholding_ratio": .9}
VELOCITY = {"prediction_type": "v_prediction"}
RUN = 1e-4

# class, settings
RUNS = [
    ("DDIMScheduler", {"clip_sample": False}), ("DDIMScheduler", {}), ("DDIMScheduler", {"clip_sample_range": 2.0}),
    ("DDIMScheduler", THRESHOLD), ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "linspace"}),
    ("DDIMScheduler", {"clip_sample": False, **ZERO, **VELOCITY}),
    ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False, **VELOCITY}),
    ("DDIMParallelScheduler", {"clip_sample": False}),
    (P, {}), (P, {"skip_prk_steps": True}), (P, {"set_alpha_to_one": True}), (P, {"timestep_spacing": "linspace"}),
    (P, {"timestep_spacing": "trailing", "steps_offset": 0}), (P, {"skip_prk_steps": True, **VELOCITY}),
    (E, {}), (E, {"use_karras_sigmas": True}), (E, {"use_exponential_sigmas": True}), (E, ZERO), (E, VELOCITY),
    (E, {"timestep_spacing": "leading"}), (E, {"timestep_spacing": "trailing"}), (E, {"final_sigmas_type": "sigma_min"}),
    (U, {}), (U, {"solver_order": 1}), (U, {"thresholding": True}), (U, {"use_karras_sigmas": True}), (U, VELOCITY),
    (U, {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}), (U, {"timestep_spacing": "trailing"}),
    (U, {"use_exponential_sigmas": True}),
    (D, {}), (D, {"solver_order": 1}), (D, {"solver_type": "heun"}), (D, {"thresholding": True}), (D, VELOCITY),
    (D, {"euler_at_final": True, "final_sigmas_type": "sigma_min"}), (D, {"use_karras_sigmas": True}), (D, ZERO),
    (D, {"final_sigmas_type": "sigma_min", "lower_order_final": False}), (D, {"use_exponential_sigmas": True}),
    (D, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}), (D, {"timestep_spacing": "leading"}),
]
# These draw noise, each package its own: no run of theirs can be compared.
STOCHASTIC = ("DDPMScheduler", "DDPMParallelScheduler", "EulerAncestralDiscreteScheduler")


def schedulers():
    """Classes that can be made with the settings of Stable Diffusion, and are for such models."""
    for name, cls in sorted(inspect.getmembers(diffusers.schedulers, inspect.isclass)):
        if hasattr(diffusers, name) and issubclass(cls, diffusers.SchedulerMixin) and cls is not diffusers.SchedulerMixin:
            yield name


def settings_of(name):
    wanted = inspect.signature(getattr(diffusers, name).__init__).parameters
    return {key: value for key, value in SCHEDULE.items() if key in wanted}


def alphas(r, scheduler, label, folder):
    r.add("noise schedules", label, {"base": "sd", "parts": {"scheduler": folder}}, {"what": "alphas", "every": 1},
          scheduler.alphas_cumprod.numpy(), 2e-6)


def write(r, pipe):
    for schedule in ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"):
        for zero in (False, True):
            scheduler = diffusers.DDPMScheduler(**{**SCHEDULE, "beta_schedule": schedule}, rescale_betas_zero_snr=zero)
            folder = f"schedulers/{schedule}" + "-zero" * zero
            scheduler.save_pretrained(r.root / folder)
            alphas(r, scheduler, schedule + ", rescaled" * zero, folder)
    before = pipe.scheduler
    for number, (name, settings) in enumerate(RUNS):
        scheduler = getattr(diffusers, name)(**{**settings_of(name), **settings})
        folder = f"schedulers/run-{number}"
        scheduler.save_pretrained(r.root / folder)
        pipe.scheduler = scheduler
        for steps in (4, 9):
            check = {"what": "walk", "prompts": PROMPTS[:1], "steps": steps, "guidance_scale": 1.0, "size": SIZE}
            label = f"{name}, {json.dumps(settings)}, {steps} steps"
            load = {"base": "sd", "parts": {"scheduler": folder}}
            if settings.get("use_exponential_sigmas") and name != E:
                # 998.99... there: diffusers drops the fraction and begins at 998; ours begins at the schedule's last step
                check["first"] = SCHEDULE["num_train_timesteps"] - 1
            group = "samplers, exponential sigmas begun at 999" if "first" in check else "samplers"
            r.add(group, label, load, check, recorder.walk(pipe, check), RUN)
    pipe.scheduler = before
    done = {*STOCHASTIC, *(name for name, _ in RUNS)}
    for name in schedulers():
        if name in done:
            continue
        try:
            scheduler = getattr(diffusers, name)(**settings_of(name))
        except (ImportError, TypeError, ValueError, NotImplementedError):
            continue            # asks for another package, or is a stand-in for one
        folder = f"schedulers/{name}"
        scheduler.save_pretrained(r.root / folder)
        r.add("schedulers that are refused", name, {"base": "sd", "parts": {"scheduler": folder}},
              {"what": "refused", "prompts": PROMPTS[:1], "steps": 4, "guidance_scale": 1.0, "size": SIZE}, [], 0)
