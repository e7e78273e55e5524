"""The supervised objective: what is compared, and how much each picture counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
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


def test_balance_by_hand() -> None:
    """Of damages 0.01, 0.04 and 0.2 in the mean, with a balance of 0.02 the second counts half, the third a tenth."""
    target = torch.full((3, 3, 4, 4), 0.5)
    damage = torch.tensor([0.01, 0.04, 0.2]).view(3, 1, 1, 1)
    batch = {"input": target + damage, "target": target}
    assert _loss(_objective(), batch) == pytest.approx((0.01 + 0.04 + 0.2) / 3, rel=1e-5)
    assert _loss(_objective(balance=0.02), batch) == pytest.approx((0.01 + 0.02 + 0.02) / 3, rel=1e-5)
    assert _loss(_objective(balance=1.0), batch) == pytest.approx((0.01 + 0.04 + 0.2) / 3, rel=1e-5)


def test_balance_looks_at_the_input_not_at_the_prediction() -> None:
    target = torch.full((1, 1, 2, 2), 0.5)
    objective = _objective(balance=0.01)
    with torch.no_grad():
        objective.networks["network"].gain.fill_(0.0)  # type: ignore[union-attr, operator]
    assert _loss(objective, {"input": target + 0.1, "target": target}) == pytest.approx(0.5 * 0.1, rel=1e-5)
    assert _loss(objective, {"input": target, "target": target}) == pytest.approx(0.5, rel=1e-5)


def test_border_is_left_out() -> None:
    target = torch.zeros(1, 1, 5, 5)
    batch = {"input": torch.ones(1, 1, 5, 5), "target": target}
    batch["input"][..., 1:-1, 1:-1] = 0.25
    assert _loss(_objective(border=1), batch) == pytest.approx(0.25)


def test_refused() -> None:
    with pytest.raises(OptionError, match="balance must be above 0"):
        _objective(balance=0.0)
