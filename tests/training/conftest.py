"""What the tests of training share: a folder of small pictures, and a recipe of a tiny network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from retouch.training.fit import Result, fit
from retouch.training.recipe import TrainingRecipe, read_table

RecipeMaker = Callable[..., TrainingRecipe]

TABLE: dict[str, Any] = {
    "name": "tiny",
    "help": "a tiny network",
    "network": {"name": "fsrcnn", "arguments": {"scale": 2, "width": 8, "shrunk": 4, "depth": 1}},
    "data": {"crop": 16, "channels": "y", "degradation": [{"step": [{"kind": "downsample", "factor": 2}]}]},
    "optimizer": {"rate": 1e-3},
    "schedule": {"name": "cosine"},
    "run": {
        "steps": 12, "batch": 4, "ema": 0.9, "precision": "fp32",
        "validate_every": 100, "save_every": 2, "log_every": 1,
    },
    "card": {"family": "tiny", "tasks": ["upscale"], "colour": "y", "summary": "tiny", "scales": [2]},
}  # fmt: skip


def put(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``table`` with values put in by dotted key; None takes the key out."""
    made = copy.deepcopy(table)
    for key, value in changes.items():
        *outer, last = key.split(".")
        place = made
        for part in outer:
            place = place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return made


@pytest.fixture(scope="session")
def tiny() -> RecipeMaker:
    """``tiny({"run.steps": 5})`` -> the tiny recipe with values put in."""
    return lambda changes=None: read_table(put(TABLE, changes or {}))


@pytest.fixture
def tiny_table() -> dict[str, Any]:
    """The tables of the tiny recipe, to be changed at will."""
    return copy.deepcopy(TABLE)


def write_pictures(folder: Path, number: int = 12, side: int = 64) -> Path:
    """Colour pictures with edges, ramps and noise, all different."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:side, :side]
    for index in range(number):
        angle = rng.uniform(0, np.pi)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.1, 0.8))
        edge = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) > rng.uniform(-10, 30)) * 60.0
        scene = 110 + 50 * wave + edge
        colour = scene[..., None] * rng.uniform(0.6, 1.1, 3) + rng.normal(0, 4, (side, side, 3))
        Pillow.fromarray(colour.clip(0, 255).astype(np.uint8)).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures of 64 x 64; not to be changed."""
    return write_pictures(tmp_path_factory.mktemp("photographs"))


@pytest.fixture
def train(photographs: Path, tmp_path: Path) -> Callable[..., Result]:
    """``fit`` on the CPU into ``tmp_path / name``."""

    def call(recipe: TrainingRecipe, name: str = "run", **more: Any) -> Result:
        return fit(recipe, [photographs], tmp_path / name, device="cpu", workers=0, **more)

    return call
