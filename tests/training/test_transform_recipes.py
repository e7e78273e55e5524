"""The recipes of the transformation network: the paper's numbers, and fifty steps of a tiny one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from retouch.networks.vgg import VGGFeatures
from retouch.training.data import Samples
from retouch.training.pictures import find_pictures, load_pictures
from retouch.training.recipe import read_recipe
from retouch.training.trainer import Trainer


def _features(name: str) -> nn.Module:
    """VGG16 as it begins: random features also tell pictures apart."""
    assert name == "vgg16"
    torch.manual_seed(0)
    return VGGFeatures(16)


@pytest.mark.parametrize("scale", [4, 8])
def test_numbers_are_the_papers(scale: int) -> None:
    recipe = read_recipe(f"transform-x{scale}")
    assert (recipe.data.crop, recipe.run.batch, recipe.run.steps) == (288, 4, 200_000)
    assert (recipe.optimizer.name, recipe.optimizer.rate, recipe.optimizer.weight_decay) == ("adam", 1e-3, 0)
    (degradation,) = recipe.degradations()
    assert [step.kind for step in degradation.steps] == ["gaussian_blur", "downsample"]
    assert degradation.steps[0].parameters == {"sigma": 1.0}
    assert degradation.steps[1].parameters == {"factor": scale}


@pytest.mark.parametrize("scale", [4, 8])
def test_loss_falls(scale: int, photographs: Path) -> None:
    changes = ["data.crop=32", "network.arguments.width=8", "network.arguments.blocks=1", "run.steps=50", "run.batch=2",
               "run.precision=fp32"]  # fmt: skip
    recipe = read_recipe(f"transform-x{scale}", [*changes, "optimizer.rate=5e-3"])
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    trainer = Trainer(recipe, Samples(pictures, recipe), features=_features)
    found = [float(trainer.run_step()["loss"]) for _ in range(50)]
    assert sum(found[-10:]) < 0.7 * sum(found[:10])


def test_loss_is_the_papers(photographs: Path) -> None:
    """Squared distance of relu2_2 over C H W, and nothing else (equation 2)."""
    recipe = read_recipe("transform-x4", ["data.crop=32", "network.arguments.width=4", "run.batch=1"])
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    trainer = Trainer(recipe, Samples(pictures, recipe), features=_features)
    made, target = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12)
    parts = trainer.objective.losses(made, target)  # type: ignore[attr-defined]
    assert set(parts) == {"content", "loss"}
    network = _features("vgg16")
    with torch.no_grad():
        one, other = (network(x, ["relu2_2"])["relu2_2"] for x in (made, target))
    assert one.shape == (1, 128, 6, 6)
    assert torch.allclose(parts["loss"], (one - other).square().sum() / (128 * 6 * 6))
