"""Losses that compare value by value."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.image.image import Image
from retouch.losses.pixel import L1, L2, Charbonnier, CrossEntropy, NegativePSNR, difference, full
from retouch.metrics import psnr

PREDICTION = torch.tensor([[0.0, 0.5], [1.0, 0.25]])
TARGET = torch.tensor([[0.5, 0.5], [0.0, 0.0]])  # differences -.5, 0, 1, .25

VALUES = st.lists(st.tuples(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32)), min_size=1, max_size=12)


def pair(values: list[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    both = torch.tensor(values, dtype=torch.float64)
    return both[:, 0], both[:, 1]


def test_by_hand() -> None:
    assert float(L1()(PREDICTION, TARGET)) == 1.75 / 4
    assert float(L2()(PREDICTION, TARGET)) == (0.25 + 1 + 0.0625) / 4
    expected = (math.sqrt(0.25 + 0.01) + 0.1 + math.sqrt(1.01) + math.sqrt(0.0625 + 0.01)) / 4
    assert float(Charbonnier(eps=0.1)(PREDICTION, TARGET)) == pytest.approx(expected, rel=1e-6)
    assert float(Charbonnier()(TARGET, TARGET)) == pytest.approx(1e-3, rel=1e-6)


def test_psnr_is_the_mean_of_the_pictures_by_the_metric_and_weighs_them_alike() -> None:
    torch.manual_seed(0)
    target = 0.4 + 0.2 * torch.rand(2, 3, 6, 5)
    prediction = (target + torch.tensor([0.01, 0.05])[:, None, None, None] * torch.randn(2, 3, 6, 5)).requires_grad_()
    loss = NegativePSNR(floor=1e-12)(prediction, target)
    expected = sum(psnr(Image(a), Image(b)) for a, b in zip(prediction.detach(), target, strict=True)) / 2
    assert float(loss.detach()) == pytest.approx(-expected, abs=1e-3)
    loss.backward()
    assert prediction.grad is not None
    relative = (prediction.grad * (prediction.detach() - target)).sum((1, 2, 3))
    assert relative.tolist() == pytest.approx([10 / math.log(10)] * 2, rel=1e-4)  # what a step in proportion brings
    assert float(NegativePSNR()(target, target)) == pytest.approx(-58.92, abs=0.01)
    assert float(NegativePSNR(1e-4)(target, target)) == pytest.approx(-40, abs=1e-4)


@given(VALUES)
def test_order_of_the_losses(values: list[tuple[float, float]]) -> None:
    """No distance to itself, the same both ways; Charbonnier lies between L1 and L1 + eps; L1^2 is at most L2."""
    a, b = pair(values)
    l1, l2, charbonnier = (float(loss(a, b)) for loss in (L1(), L2(), Charbonnier(0.1)))
    assert l1 <= charbonnier + 1e-12 <= l1 + 0.1 + 1e-9
    assert l1**2 <= l2 * (1 + 1e-9) + 1e-12
    for loss in (L1(), L2(), Charbonnier(0.1)):
        assert float(loss(a, b)) == pytest.approx(float(loss(b, a)), rel=1e-12)
    assert float(L1()(a, a)) == float(L2()(a, a)) == 0


@pytest.mark.parametrize("loss", [L1(), L2(), Charbonnier(), NegativePSNR(), CrossEntropy()])
def test_gradient_is_finite_even_where_nothing_differs(loss: nn.Module) -> None:
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss(prediction, prediction.detach().clone()).backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("loss", [L1(), L2(), Charbonnier(), NegativePSNR()])
def test_gradient_is_that_of_small_steps(loss: nn.Module) -> None:
    torch.manual_seed(0)
    prediction = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    target = prediction.detach() + 0.5
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (prediction,))


@pytest.mark.parametrize("loss", [L1(), L2(), Charbonnier(), NegativePSNR()])
def test_half_precision_comes_out_in_float32(loss: nn.Module) -> None:
    """A mean of many equal values, in bfloat16 and under autocast, is that value."""
    prediction, target = torch.full((1, 1, 64, 64), 1.5), torch.zeros(1, 1, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = loss(prediction.bfloat16(), target)
    assert made.dtype == torch.float32
    assert float(made) == pytest.approx(float(loss(prediction, target)), rel=1e-6)


def test_precision_is_never_lowered() -> None:
    assert full(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert full(torch.zeros(1, dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize("loss", [L1(), L2(), Charbonnier(), NegativePSNR(), CrossEntropy()])
def test_other_shapes_are_not_broadcast(loss: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\), but target \(1, 1, 4, 4\)"):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))


def test_difference_has_a_sign() -> None:
    assert difference(torch.tensor([1.0]), torch.tensor([3.0])).tolist() == [-2.0]


@pytest.mark.parametrize("eps", [0.0, -1.0, math.nan])
def test_eps_is_above_zero(eps: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        Charbonnier(eps)


def test_cross_entropy_by_hand() -> None:
    p, t = torch.tensor([0.25, 0.5, 0.9]), torch.tensor([0.0, 0.5, 1.0])
    expected = -(math.log(0.75) + math.log(0.5) + math.log(0.9)) / 3
    assert float(CrossEntropy(1e-6)(p, t)) == pytest.approx(expected, rel=1e-4)
    # where the network is sure and wrong: log of the edge
    assert float(CrossEntropy(1e-3)(torch.zeros(1), torch.ones(1))) == pytest.approx(-math.log(1e-3), rel=1e-5)


def test_cross_entropy_is_least_at_the_target_and_lets_nothing_go() -> None:
    loss, t = CrossEntropy(), torch.tensor([0.3], dtype=torch.float64)
    values = [float(loss(torch.tensor([p], dtype=torch.float64), t)) for p in (0.25, 0.3, 0.35)]
    assert values[1] == min(values)
    logit = torch.tensor([-9.0], requires_grad=True)
    for made, strong in ((CrossEntropy(), True), (L2(), False)):
        (gradient,) = torch.autograd.grad(made(logit.sigmoid(), torch.ones(1)), logit)
        assert (abs(float(gradient)) > 0.5) is strong


def test_cross_entropy_in_half_precision() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = CrossEntropy()(torch.full((1, 1, 8, 8), 0.5).bfloat16(), torch.ones(1, 1, 8, 8))
    assert made.dtype == torch.float32
    assert float(made) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("edge", [0.0, 0.5, -1.0, math.nan])
def test_edge_is_inside(edge: float) -> None:
    with pytest.raises(ValueError, match="edge"):
        CrossEntropy(edge)
