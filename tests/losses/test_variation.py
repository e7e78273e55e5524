"""Total variation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retouch.losses.variation import TotalVariation


def test_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]]])
    # down: 2, 1, 1, over three steps; across: 1, 2, 0, 0, over four
    assert float(TotalVariation()(x)) == pytest.approx(4 / 3 + 3 / 4)


def test_the_target_is_left_aside() -> None:
    x = torch.rand(2, 3, 4, 5)
    assert torch.equal(TotalVariation()(x), TotalVariation()(x, torch.rand(2, 3, 9, 9)))


@given(height=st.integers(1, 5), width=st.integers(1, 5), value=st.floats(-5, 5), slope=st.floats(0, 2))
def test_flat_and_sloping_pictures(height: int, width: int, value: float, slope: float) -> None:
    """A flat picture has none, of any size down to one pixel; a ramp has its slope."""
    flat = torch.full((1, 1, height, width), value, dtype=torch.float64)
    assert float(TotalVariation()(flat)) == 0
    ramp = flat + slope * torch.arange(width, dtype=torch.float64)
    assert float(TotalVariation()(ramp)) == pytest.approx(slope if width > 1 else 0, abs=1e-9)
    assert float(TotalVariation()(ramp.mT)) == pytest.approx(slope if width > 1 else 0, abs=1e-9)


def test_gradient_is_that_of_small_steps() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TotalVariation(), (x,))


def test_half_precision_comes_out_in_float32() -> None:
    x = torch.arange(64.0).expand(1, 1, 64, 64)
    assert TotalVariation()(x.bfloat16()).dtype == torch.float32
    assert float(TotalVariation()(x.bfloat16())) == 1
