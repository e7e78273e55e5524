"""The supervised objective: what is compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from retouch.training.objectives.supervised import Supervised


class Same(nn.Module):
    """Gives back its input, times a number that it could learn."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


def _objective(**options: object) -> Supervised:
    return Supervised(Same(), features=lambda name: nn.Identity(), losses=[{"name": "l1"}], **options)  # type: ignore[arg-type]


def _loss(objective: Supervised, batch: dict[str, Tensor]) -> float:
    return float(objective.loss("network", batch, objective.networks)["loss"].detach())


def test_border_is_left_out() -> None:
    target = torch.zeros(1, 1, 5, 5)
    batch = {"input": torch.ones(1, 1, 5, 5), "target": target}
    batch["input"][..., 1:-1, 1:-1] = 0.25
    assert _loss(_objective(border=1), batch) == pytest.approx(0.25)
