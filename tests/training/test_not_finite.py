"""A run whose loss is NaN at some steps: back to the last checkpoint, with half the rate and other samples."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import RetouchError
from retouch.models.load import load_weights
from retouch.training.data import Samples
from retouch.training.fit import Result
from retouch.training.objectives.build import OBJECTIVES
from retouch.training.objectives.supervised import Supervised
from retouch.training.recipe import TrainingRecipe

RecipeMaker = Callable[..., TrainingRecipe]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def losses(run: Path) -> list[tuple[str, ...]]:
    """Everything in the log but the speed."""
    return [tuple(value for key, value in row.items() if key != "images_per_second") for row in rows(run / "log.csv")]


def _weights(network: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten().clone() for value in network.parameters()])


class _Bad(Supervised):
    """An objective whose loss is NaN in the calls ``bad`` (from 1)."""

    bad: ClassVar[set[int]] = set()
    calls: ClassVar[int] = 0

    def loss(self, turn: str, batch: Any, networks: Any) -> dict[str, Tensor]:
        parts = super().loss(turn, batch, networks)
        _Bad.calls += 1
        return parts | {"loss": parts["loss"] * math.nan} if _Bad.calls in _Bad.bad else parts


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> type[_Bad]:
    monkeypatch.setitem(OBJECTIVES, "supervised", _Bad)
    monkeypatch.setattr(_Bad, "calls", 0)
    return _Bad


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "one-cycle"])
def test_goes_back_to_the_last_checkpoint_with_half_the_rate(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, bad: type[_Bad], monkeypatch: pytest.MonkeyPatch,
    schedule: str,
) -> None:  # fmt: skip
    recipe = tiny(
        {"schedule.name": schedule, "run.save_every": 4, "schedule.warmup": 0 if schedule == "one-cycle" else 2}
    )
    monkeypatch.setattr(bad, "bad", set())
    train(recipe, "good")
    monkeypatch.setattr(bad, "bad", {7})
    monkeypatch.setattr(bad, "calls", 0)
    notes: list[str] = []
    result = train(recipe, on_step=lambda step: notes.append(step.note) if step.note else None)
    assert result.finished
    assert result.steps == 12
    assert "step 7: the loss is not finite; back to step 4 with half the learning rate" in notes
    good, found = rows(tmp_path / "good" / "log.csv"), rows(tmp_path / "run" / "log.csv")
    assert [int(row["step"]) for row in found] == list(range(1, 13))
    assert [row["loss"] for row in found[:4]] == [row["loss"] for row in good[:4]]
    assert all(a["loss"] != b["loss"] for a, b in zip(found[4:], good[4:], strict=True))
    rates = [float(a["rate"]) / float(b["rate"]) for a, b in zip(found[4:-1], good[4:-1], strict=True)]
    assert rates == pytest.approx([0.5] * 7, rel=1e-4)
    assert bool(_weights(load_weights(result.weight).network).isfinite().all())


def test_going_back_again_before_the_next_checkpoint_tries_something_else(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, bad: type[_Bad], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad, "bad", {6, 8})  # step 6, and again the second step after the return to step 4
    numbers: list[list[int]] = []
    true = Samples.__getitems__
    monkeypatch.setattr(Samples, "__getitems__", lambda self, asked: numbers.append(list(asked)) or true(self, asked))
    result = train(tiny({"schedule.name": "constant", "run.save_every": 4}))
    assert result.finished
    found = rows(tmp_path / "run" / "log.csv")
    assert [float(row["rate"]) for row in found] == pytest.approx([1e-3] * 4 + [2.5e-4] * 8)
    used = [number for asked in numbers for number in asked]
    assert len(used) == len(set(used))  # no sample twice: what led to the NaN is not met again


def test_gives_up_when_going_back_does_not_help(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, bad: type[_Bad], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad, "bad", set(range(6, 100)))
    notes: list[str] = []
    with pytest.raises(RetouchError, match="step 5: the loss is not finite, and going back 3 times did not help"):
        train(tiny({"run.save_every": 4}), on_step=lambda step: notes.append(step.note) if step.note else None)
    assert sum("back to step 4" in note for note in notes) == 3
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4
    assert all(bool(value.isfinite().all()) for value in state["networks"]["network"].values())


def test_a_run_killed_after_going_back_remembers_it(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, bad: type[_Bad], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny({"run.save_every": 4})
    monkeypatch.setattr(bad, "bad", {6})
    train(recipe, "whole")
    monkeypatch.setattr(bad, "calls", 0)
    assert not train(recipe, "parts", on_step=lambda step: step.index != 9).finished
    monkeypatch.setattr(bad, "bad", set())
    assert train(recipe, "parts").finished
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
