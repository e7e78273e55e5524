"""Learning probabilities: the loss by hand, levels by rounding, numbers in nats, and the recipes that learn them."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from retouch.image.errors import OptionError
from retouch.networks.build import build
from retouch.networks.pixel_recursive import PixelRecursive
from retouch.networks.pixelcnn import PixelCNN
from retouch.training.data import Batch, Samples
from retouch.training.fit import Result, fit
from retouch.training.objectives.likelihood import Likelihood
from retouch.training.pictures import find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_recipe
from retouch.training.validation import degraded_cases

Train = Callable[..., Result]
RecipeMaker = Callable[..., TrainingRecipe]
SMALL: dict[str, Any] = {"size": 6, "levels": 4, "width": 6, "layers": 1, "kernel": 3, "first": 3, "head": 6}


def both(levels: int = 4) -> PixelRecursive:
    torch.manual_seed(0)
    made = build("pixel-recursive", {"scale": 2, "size": 6, "levels": levels, "width": 4, "blocks": 1,
                                     "prior_width": 6, "layers": 1, "kernel": 3, "first": 3, "head": 6})  # fmt: skip
    assert isinstance(made, PixelRecursive)
    return made.eval()


def batch_of(channels: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return {
        "input": torch.rand(2, channels, 3, 3, generator=generator),
        "target": torch.rand(2, channels, 6, 6, generator=generator),
    }


def test_the_loss_is_the_sum_of_both_cross_entropies() -> None:
    network, batch = both(), batch_of()
    objective = Likelihood(network)
    with torch.no_grad():
        parts = objective.loss("network", batch, objective.networks)
        measured = objective.measure(network, batch)
    levels = (batch["target"] * 3).round()
    logits, alone = network(batch["input"], levels / 3)
    by_hand = []
    for made in (logits, alone):
        total = 0.0
        for n, c, y, x in np.ndindex(2, 3, 6, 6):
            column = made[n, :, c, y, x]
            total -= float((column[int(levels[n, c, y, x])] - column.logsumexp(0)).detach())
        by_hand.append(total / 2)
    assert float(parts["nats"]) == pytest.approx(by_hand[0], rel=1e-5)
    assert float(parts["alone"]) == pytest.approx(by_hand[1], rel=1e-5)
    assert float(parts["loss"]) == pytest.approx(sum(by_hand) / 108, rel=1e-5)
    assert float(measured["nats"].mean()) == pytest.approx(by_hand[0], rel=1e-5)
    assert torch.allclose(measured["bits"], measured["nats"] / 108 / math.log(2))
    assert torch.equal(measured["score"], -measured["nats"])


def test_a_network_that_knows_nothing_costs_what_that_costs() -> None:
    network = build("pixelcnn", SMALL)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    objective = Likelihood(network)
    measured = objective.measure(network, batch_of(1))
    assert torch.allclose(measured["nats"], torch.full((2,), 36 * math.log(4)))
    assert torch.allclose(measured["bits"], torch.full((2,), 2.0))


def test_digits_become_black_and_white_by_the_draw_of_their_grey() -> None:
    objective = Likelihood(build("pixelcnn", SMALL | {"levels": 2}), rounding="stochastic")
    grey = torch.tensor([0.0, 0.25, 1.0]).repeat(20000)[None, None, None]
    torch.manual_seed(0)
    drawn = objective._rounded(grey)
    assert drawn.dtype == torch.int64
    means = drawn.float().reshape(-1, 3).mean(0)
    assert float(means[0]) == 0
    assert float(means[2]) == 1
    assert float(means[1]) == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(objective._rounded(grey), drawn), "drawn anew each time"
    objective = Likelihood(build("pixelcnn", SMALL), rounding="stochastic")
    several = objective._rounded(torch.full((1, 1, 200, 200), 0.5))
    assert set(several.unique().tolist()) == {1, 2}
    assert float(several.float().mean()) == pytest.approx(1.5, abs=0.02)


def test_validation_draws_the_same_for_the_same_pictures() -> None:
    torch.manual_seed(0)
    network = build("pixelcnn", SMALL | {"levels": 2})
    objective = Likelihood(network, rounding="stochastic")
    batch = batch_of(1)
    first = objective.measure(network, batch)["nats"]
    torch.manual_seed(5)
    assert torch.equal(objective.measure(network, batch)["nats"], first)
    alone = {key: value[1:] for key, value in batch.items()}
    assert torch.allclose(objective.measure(network, alone)["nats"], first[1:]), "whatever is measured beside it"
    other = {"target": batch["target"].flip(3) * 0.9, "input": batch["input"]}
    assert not torch.equal(objective.measure(network, other)["nats"], first)
    assert torch.equal(objective.predict(network, batch), objective.predict(network, batch))


def test_what_it_cannot_learn(tiny: RecipeMaker, train: Train) -> None:
    with pytest.raises(OptionError, match="for the networks pixelcnn and pixel-recursive"):
        train(tiny({"objective.name": "likelihood"}))
    with pytest.raises(OptionError, match="rounding is nearest or stochastic, not down"):
        Likelihood(both(), rounding="down")  # type: ignore[arg-type]


def test_pictures_that_are_all_made_smaller_are_validated_so(photographs: Path, tiny: RecipeMaker) -> None:
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    changes = {"data.crop": 16, "data.shrink": [0.25], "data.flips": False, "data.rotations": False}
    recipe = tiny(changes)
    cases = degraded_cases(pictures, recipe)
    assert cases[0][1]["target"].shape == (1, 1, 16, 16)
    assert cases[0][1]["input"].shape == (1, 1, 8, 8)
    samples = Samples(pictures, recipe)  # a square of 64 pixels: there is but one way to cut it
    targets = [samples[number]["target"] for number in range(len(pictures))]
    assert any(torch.allclose(target, cases[0][1]["target"], atol=1e-6) for target in targets)
    several = tiny(changes | {"data.shrink": [0.25, 0.5]})
    assert degraded_cases(pictures, several)[0][1]["target"].shape == (1, 1, 64, 64)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    y, x = np.mgrid[:28, :28]
    blobs = [255 * np.exp(-((x - 9 - n % 10) ** 2 + (y - 14) ** 2) / 20) for n in range(40)]
    data = np.stack(blobs).astype(np.uint8)
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in data.shape)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + data.tobytes()))
    return folder


def test_the_recipe_of_digits_learns(digits: Path, tmp_path: Path) -> None:
    changes = ["network.arguments.width=8", "network.arguments.layers=2", "network.arguments.head=8", "run.batch=8"]
    changes += ["run.steps=30", "run.validate_every=15", "data.held_out=6", "run.log_every=1", "run.ema=0.5"]
    recipe = read_recipe("pixelcnn-digits", changes)
    run = tmp_path / "run"
    result = fit(recipe, [digits], run, device="cpu", workers=0)
    assert result.validation["nats"] < 0.8 * 784 * math.log(2)
    assert (run / "validation.csv").read_text().startswith("step,nats,bits\n")
    assert (run / "log.csv").read_text().startswith("step,nats,loss,")
    from retouch.models.load import load_weights

    network = load_weights(result.weight).network
    assert isinstance(network, PixelCNN)
    drawn = network.sample(2, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 1, 28, 28)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_the_recipe_of_faces_learns(photographs: Path, tmp_path: Path) -> None:
    changes = ["network.arguments.width=4", "network.arguments.blocks=1", "network.arguments.prior_width=6"]
    changes += ["network.arguments.layers=1", "network.arguments.head=6", "network.arguments.levels=4", "run.batch=2"]
    changes += ["run.steps=4", "run.validate_every=4", "data.held_out=2", "data.shrink=[0.5]", "run.log_every=1"]
    recipe = read_recipe("pixel-recursive-faces", changes)
    result = fit(recipe, [photographs], tmp_path / "run", device="cpu", workers=0)
    assert 0 < result.validation["nats"] < 2 * 3072 * math.log(4)
    assert (tmp_path / "run" / "sheet.jpg").exists()
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,nats,alone,loss,")
