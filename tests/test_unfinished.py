"""Weights that are not shipped: sound, measured, and a beginning that their recipe takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from retouch.models.catalogue import entries
from retouch.models.load import load_weights
from retouch.models.verify import problems
from retouch.training.recipe import read_recipe
from retouch.training.trainer import make_network

FOLDER = Path(__file__).parents[1] / "unfinished"
WEIGHTS = sorted(FOLDER.glob("*.safetensors"))


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_an_unfinished_weight_is_sound_and_its_training_can_go_on(path: Path) -> None:
    assert problems(path) == []
    model = load_weights(path)
    assert model.card.measured
    assert path.stem not in {entry.card.name for entry in entries()}
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(row.psnr is not None and f"{row.psnr:.2f}" in told for row in model.card.measured)
    begun = make_network(read_recipe(path.stem, [f"network.start={path}"]).stages()[0].network)
    values = model.network.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in begun.state_dict().items())
