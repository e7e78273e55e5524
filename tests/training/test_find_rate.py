"""The learning-rate finder."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from retouch.image.errors import RetouchError
from retouch.training.find_rate import Found, find_rate, suggest
from retouch.training.recipe import read_recipe

SMALL = [
    "network.arguments.width=4",
    "network.arguments.shrunk=2",
    "network.arguments.depth=0",
    "network.arguments.scale=2",
    "data.crop=16",
    "data.degradation.0.step.0.factor=2",
    "objective.arguments.border=0",
    "run.batch=2",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        smooth = np.cumsum(draw.normal(size=(24, 20, 3)), axis=0) * 20 + 128
        PIL.Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(images / f"{number}.png")
    return images


def test_suggests_the_rate_of_the_least_loss() -> None:
    rates = [10.0**e for e in np.linspace(-6, 0, 61)]
    # flat, then a logistic fall centred on 1e-3, then an explosion
    losses = [1 / (1 + math.exp(4 * (math.log10(r) + 3))) + (100 * r if r > 0.02 else 0) for r in rates]
    assert suggest(rates, losses) == pytest.approx(10**-1.7)
    # a loss that only rises has no fall: stay well below where it was least
    assert suggest(rates, [float(i) for i in range(61)]) == pytest.approx(1e-7)
    # the least of the first losses is noise
    assert suggest(rates, [9.0, 9.0, 9.0, 0.5, *[1.0] * 57]) == pytest.approx(rates[3] / 10)


def test_runs_writes_and_repeats(folder: Path, tmp_path: Path) -> None:
    recipe = read_recipe("fsrcnn-x4", SMALL)
    heard: list[int] = []
    found = find_rate(
        recipe,
        [folder],
        lowest=1e-5,
        highest=1e-2,
        steps=12,
        device="cpu",
        on_step=lambda step: heard.append(step.index),
    )
    assert heard == list(range(1, 13))
    assert found.rates[0] == pytest.approx(1e-5)
    assert found.rates[-1] == pytest.approx(1e-2)
    ratios = np.diff(np.log(found.rates))
    assert np.allclose(ratios, ratios[0])
    average = 0.0
    for index, (loss, smoothed) in enumerate(zip(found.losses, found.smoothed, strict=True), 1):
        average = 0.95 * average + 0.05 * loss
        assert smoothed == pytest.approx(average / (1 - 0.95**index))
    again = find_rate(recipe, [folder], lowest=1e-5, highest=1e-2, steps=12, device="cpu")
    assert again == found
    found.write(tmp_path / "plot.png")
    with PIL.Image.open(tmp_path / "plot.png") as plot:
        assert plot.size[0] > 300
    with (tmp_path / "plot.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["rate", "loss", "smoothed"]
    assert [float(row[0]) for row in rows[1:]] == list(found.rates)


def test_stops_where_the_loss_explodes(folder: Path) -> None:
    recipe = read_recipe("fsrcnn-x4", [*SMALL, "optimizer.name=sgd", "run.precision=fp32"])
    found = find_rate(recipe, [folder], lowest=1e-3, highest=1e6, steps=40, device="cpu")
    assert len(found.rates) < 40
    assert all(map(math.isfinite, found.losses))
    with pytest.raises(RetouchError, match="--lowest"):
        find_rate(recipe, [folder], lowest=1e11, highest=1e12, steps=10, device="cpu")


def test_unwritable(tmp_path: Path) -> None:
    found = Found((1.0, 2.0, 3.0), (3.0, 2.0, 1.0), (3.0, 2.0, 1.0), 1.0)
    with pytest.raises(RetouchError, match="cannot write"):
        found.write(tmp_path / "nowhere" / "plot.png")
