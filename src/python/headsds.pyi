# SPDX-License-Identifier: Apache-2.0
"""What editors and type checkers know of the extension module; help(headsds) says more."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, final

from typing_extensions import Buffer

__version__: str

class Error(Exception): ...
class FormatError(Error, ValueError): ...
class Cancelled(Error): ...

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Floats = Buffer | Sequence[float]
_Integers = Buffer | Sequence[int]
_Option = bool | int | float | str
_Stage = Mapping[str, _Option] | None

class HistoryEntry(NamedTuple):
    stage: str
    step: int
    timestep: float
    gradient_norm: float
    coefficient_norm: float
    residual: float

class Progress(NamedTuple):
    state: Literal["new", "loading", "preparing", "running", "done", "cancelled", "failed"]
    stage: str
    step: int
    step_count: int
    seconds: float
    seconds_left: float | None
    last: HistoryEntry
    prepared: int
    preparation_count: int

class Fit(NamedTuple):
    shape: memoryview
    expression: memoryview
    offsets: memoryview
    rotation: memoryview
    scale: float
    translation: memoryview
    rms: float

@final
class HeadModel:
    @classmethod
    def load(
        cls,
        path: _Path | None = None,
        *,
        shape_count: int = 0,
        expression_count: int = 0,
        uv_template: _Path | None = None,
        mean_texture: _Path | None = None,
        base_pose: Literal["average"] | _Floats | None = None,
    ) -> HeadModel: ...
    def save(self, path: _Path, /) -> None: ...
    def vertices(
        self,
        shape: _Floats | None = None,
        expression: _Floats | None = None,
        pose: _Floats | None = None,
    ) -> memoryview: ...
    def vertices_gradient(
        self,
        upstream: Buffer,
        shape: _Floats | None = None,
        expression: _Floats | None = None,
        pose: _Floats | None = None,
    ) -> tuple[memoryview, memoryview, memoryview]: ...
    def measure(self, shape: _Floats | None = None) -> dict[str, float]: ...
    def uv_mirror(self, size: int = 512) -> memoryview | None: ...
    def fit(self, vertices: Buffer, *, expression: bool = False) -> Fit: ...
    @property
    def name(self) -> str: ...
    @property
    def vertex_count(self) -> int: ...
    @property
    def face_count(self) -> int: ...
    @property
    def shape_count(self) -> int: ...
    @property
    def expression_count(self) -> int: ...
    @property
    def joint_count(self) -> int: ...
    @property
    def faces(self) -> memoryview: ...
    @property
    def uvs(self) -> memoryview | None: ...
    @property
    def uv_faces(self) -> memoryview | None: ...
    @property
    def expression_names(self) -> tuple[str, ...]: ...
    @property
    def joint_names(self) -> tuple[str, ...]: ...
    @property
    def base_pose(self) -> memoryview | None: ...
    @property
    def part_names(self) -> tuple[str, ...]: ...
    @property
    def face_parts(self) -> memoryview | None: ...
    @property
    def mean_texture(self) -> memoryview | None: ...

@final
class Prior:
    @classmethod
    def load(
        cls,
        path: _Path | None = None,
        *,
        config: _Path | None = None,
        vae: _Path | None = None,
        depth: _Path | None = None,
        texture: _Path | None = None,
        loras: Sequence[_Path | tuple[_Path, float]] = (),
        embeddings: Sequence[_Path | tuple[_Path, str]] = (),
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> Prior: ...
    def tokenize(self, texts: Sequence[str], /) -> memoryview: ...
    def encode_text(self, texts: Sequence[str], /) -> memoryview: ...
    def encode_tokens(self, ids: Buffer, /) -> memoryview: ...
    def encode_image(self, image: Buffer, /) -> memoryview: ...
    def decode_latents(self, latents: Buffer, /) -> memoryview: ...
    def predict_noise(
        self,
        latents: Buffer,
        timestep: float | _Floats,
        text: Buffer,
        depth: Buffer | None = None,
        depth_scale: float = 1.0,
        texture: Buffer | None = None,
        texture_scale: float = 1.0,
    ) -> memoryview: ...
    def attention_maps(
        self,
        latents: Buffer,
        timestep: float | _Floats,
        text: Buffer,
        *,
        tokens: Sequence[int] | None = None,
        heights: Sequence[int] | None = None,
        depth: Buffer | None = None,
        depth_scale: float = 1.0,
        texture: Buffer | None = None,
        texture_scale: float = 1.0,
    ) -> tuple[memoryview, dict[str, memoryview]]: ...
    def sample(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        scheduler: str | None = None,
        steps: int = 25,
        guidance_scale: float = 7.5,
        seed: int = 0,
        image: Buffer | None = None,
        strength: float = 0.8,
        image_guidance_scale: float = 1.5,
        noise: Buffer | None = None,
        height: int | None = None,
        width: int | None = None,
        depth: Buffer | None = None,
        depth_scale: float = 1.0,
        texture: Buffer | None = None,
        texture_scale: float = 1.0,
        on_progress: Callable[[int, int, memoryview], object] | None = None,
    ) -> memoryview: ...
    @property
    def path(self) -> str | None: ...
    @property
    def text_width(self) -> int: ...
    @property
    def latent_channels(self) -> int: ...
    @property
    def sample_size(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def notes(self) -> str | None: ...
    @property
    def edits(self) -> bool: ...
    @property
    def timestep_count(self) -> int: ...
    @property
    def alphas_cumprod(self) -> memoryview: ...

@final
class Clip:
    @classmethod
    def load(
        cls,
        path: _Path,
        *,
        device: str = "auto",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> Clip: ...
    def embed_images(self, images: Buffer, /) -> memoryview: ...
    def embed_texts(self, texts: Sequence[str], /) -> memoryview: ...
    def similarity(self, images: Buffer, texts: Sequence[str]) -> memoryview: ...
    def similarity_gradient(
        self, images: Buffer, texts: Sequence[str], upstream: Buffer
    ) -> memoryview: ...
    @property
    def path(self) -> str: ...
    @property
    def embedding_width(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def logit_scale(self) -> float: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> str: ...

@final
class Head:
    def __new__(
        cls,
        model: HeadModel | None = None,
        *,
        shape: _Floats | None = None,
        expression: _Floats | None = None,
        pose: _Floats | None = None,
        texture: Buffer | None = None,
        prompt: str = "",
        offsets: Buffer | None = None,
    ) -> Head: ...
    @classmethod
    def load(cls, path: _Path, model: HeadModel | None = None) -> Head: ...
    def save(self, path: _Path, /) -> None: ...
    def render(
        self,
        azimuth: float | _Floats = 0,
        elevation: float | _Floats = 0,
        size: int = 512,
        mode: Literal[
            "textured",
            "grey",
            "normals",
            "camera_normals",
            "control_normals",
            "depth",
            "parts",
        ] = "textured",
        *,
        distance: float | _Floats | None = None,
        fov: float | _Floats = 20,
        light: int | _Floats | None = None,
        background: _Floats | None = None,
    ) -> memoryview: ...
    def vertices(self) -> memoryview: ...
    def uv_map(
        self, kind: Literal["positions", "normals"], size: int = 512
    ) -> tuple[memoryview, memoryview]: ...
    def unwrap(
        self,
        pictures: Buffer,
        azimuth: float | _Floats = 0,
        elevation: float | _Floats = 0,
        size: int = 512,
        *,
        distance: float | _Floats | None = None,
        fov: float | _Floats = 20,
    ) -> tuple[memoryview, memoryview]: ...
    @property
    def model(self) -> HeadModel: ...
    @property
    def prompt(self) -> str: ...
    @property
    def shape(self) -> memoryview: ...
    @property
    def expression(self) -> memoryview: ...
    @property
    def pose(self) -> memoryview: ...
    @property
    def offsets(self) -> memoryview | None: ...
    @property
    def texture(self) -> memoryview | None: ...
    @property
    def history(self) -> tuple[HistoryEntry, ...]: ...
    @property
    def record(self) -> dict[str, Any] | None: ...

@final
class Job:
    def __new__(
        cls,
        prompt: str,
        head_model: HeadModel | None = None,
        prior: Prior | None = None,
        *,
        negative_prompt: str | None = None,
        seed: int = 0,
        geometry: _Stage = {},
        texture: _Stage = {},
        start: Head | None = None,
        on_progress: Callable[[Progress], Any] | None = None,
        checkpoint: _Path | None = None,
        resume: bool = False,
        recipe: str | None = None,
        options: Mapping[str, _Option] = {},
        report: _Path | None = None,
    ) -> Job: ...
    def start(self) -> None: ...
    def progress(self) -> Progress: ...
    def preview(self) -> Head | None: ...
    def cancel(self) -> None: ...
    def wait(self, timeout: float | None = None) -> Head | None: ...

def generate(
    prompt: str,
    head_model: HeadModel | None = None,
    prior: Prior | None = None,
    *,
    negative_prompt: str | None = None,
    seed: int = 0,
    geometry: _Stage = {},
    texture: _Stage = {},
    start: Head | None = None,
    on_progress: Callable[[Progress], Any] | None = None,
    checkpoint: _Path | None = None,
    resume: bool = False,
    recipe: str | None = None,
    options: Mapping[str, _Option] = {},
    report: _Path | None = None,
) -> Head: ...
def recipes() -> dict[str, dict[str, dict[str, _Option]]]: ...
def options() -> dict[str, dict[str, Any]]: ...
def cameras(name: str, count: int, seed: int = 0) -> dict[str, list[float]]: ...
def write_png(path: _Path, image: Buffer, /) -> None: ...
def match_topology(
    model: HeadModel,
    sizes: _Integers,
    corners: _Integers,
    vertex_count: int,
    positions: Buffer | None = None,
    /,
) -> memoryview: ...
