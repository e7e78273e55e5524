"""Losses against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.losses.adversarial import ADVERSARIAL, adversarial_loss
from retouch.losses.build import LOSSES, build_loss
from retouch.losses.perceptual import Content, Perceptual, gram


class Doubled(nn.Module):
    """Features that can be worked out by hand: the picture times a learned 2, and its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: x * self.weight if name == "twice" else -x for name in names}


def test_pixel_losses_by_hand() -> None:
    prediction = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
    target = torch.tensor([[[[0.5, 0.5], [0.0, 0.25]]]])
    assert float(build_loss("l1")(prediction, target)) == pytest.approx(1.5 / 4)
    assert float(build_loss("l2")(prediction, target)) == pytest.approx((0.25 + 1) / 4)
    expected = (math.sqrt(0.25 + 0.01) + 2 * 0.1 + math.sqrt(1 + 0.01)) / 4
    assert float(build_loss("charbonnier", eps=0.1)(prediction, target)) == pytest.approx(expected)
    across, down = (0.5 + 0.75) / 2, (1.0 + 0.25) / 2
    assert float(build_loss("total-variation")(prediction, target)) == pytest.approx(across + down)
    column = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1)
    assert float(build_loss("total-variation")(column, column)) == 1.0
    assert float(build_loss("total-variation")(column[:, :, :1], column)) == 0.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), name=st.sampled_from(["l1", "l2", "charbonnier"]))
def test_pixel_losses_are_symmetric_and_least_at_the_target(seed: int, name: str) -> None:
    a, b = torch.rand(2, 1, 3, 5, 4, generator=torch.Generator().manual_seed(seed))
    loss = build_loss(name)
    assert float(loss(a, b)) == pytest.approx(float(loss(b, a)))
    assert float(loss(a, b)) >= float(loss(a, a))
    half = loss(a.bfloat16(), b.bfloat16())
    assert half.dtype == torch.float32


def test_perceptual_by_hand() -> None:
    """One channel, two pixels: a Gram matrix is then (sum of squares) / (C H W)."""
    prediction, target = torch.tensor([[[[0.5, 1.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    features = Doubled()
    # grey is repeated to three equal channels: every entry of the Gram matrix is (sum of squares) / (3 * 2)
    grams = abs((1.0 + 4.0) / 6 - 4.0 / 6)
    loss = Perceptual(features, {"twice": 3.0}, pixel=2.0, style=10.0)
    expected = 2.0 * 0.25 + 3.0 * 0.5 + 3.0**2 * 10.0 * grams
    assert float(loss(prediction, target)) == pytest.approx(expected)
    without = Perceptual(features, {"twice": 3.0, "minus": 1.0}, pixel=0.0, style=0.0)
    assert float(without(prediction, target)) == pytest.approx(3.0 * 0.5 + 0.25)
    assert torch.allclose(gram(torch.ones(1, 2, 2, 2)), torch.full((1, 2, 2), 4 / 8))


def test_content_by_hand() -> None:
    prediction, target = torch.full((1, 3, 2, 2), 0.75), torch.full((1, 3, 2, 2), 0.25)
    loss = Content(Doubled(), layer="twice")
    assert float(loss(prediction, target)) == pytest.approx((1.0 / 12.75) ** 2)


@pytest.mark.parametrize("make", [lambda f: Perceptual(f, {"twice": 1.0}), lambda f: Content(f, "twice")])
def test_feature_networks_do_not_learn(make: object) -> None:
    features = Doubled()
    loss = make(features)  # type: ignore[operator]
    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss(x, torch.rand(1, 3, 4, 4)).backward()
    assert features.weight.grad is None
    assert x.grad is not None
    loss.train()
    assert not features.training


def test_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [1.0]])

    def soft(x: float) -> float:
        return math.log1p(math.exp(x))

    standard = adversarial_loss("standard")
    assert float(standard.critic(real, fake)) == pytest.approx((soft(-2) + soft(0)) / 2 + (soft(-1) + soft(1)) / 2)
    assert float(standard.generator(fake)) == pytest.approx((soft(1) + soft(-1)) / 2)
    squares = adversarial_loss("least-squares")
    assert float(squares.critic(real, fake)) == pytest.approx(((1 + 1) / 2 + (1 + 1) / 2) / 2)
    assert float(squares.generator(fake)) == pytest.approx((4 + 0) / 2)
    earth = adversarial_loss("wasserstein")
    assert float(earth.critic(real, fake)) == pytest.approx(0.0 - 1.0)
    assert float(earth.generator(fake)) == pytest.approx(0.0)


@pytest.mark.parametrize("name", sorted(ADVERSARIAL))
def test_the_two_sides_pull_apart(name: str) -> None:
    loss = adversarial_loss(name)
    fake = torch.tensor([[0.3]], requires_grad=True)
    (critic,) = torch.autograd.grad(loss.critic(torch.tensor([[0.4]]), fake), fake)
    (generator,) = torch.autograd.grad(loss.generator(fake), fake)
    assert float(critic) > 0 > float(generator)


def test_standard_stays_finite_far_out() -> None:
    far = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    loss = adversarial_loss("standard").critic(far, far) + adversarial_loss("standard").generator(far)
    loss.backward()
    assert math.isfinite(float(loss))
    assert far.grad is not None
    assert bool(torch.isfinite(far.grad).all())


def test_losses_by_name() -> None:
    for name in LOSSES:
        arguments = {"layers": {"twice": 1.0}} if name == "perceptual" else {}
        loss = build_loss(name, features=Doubled, **arguments)
        assert isinstance(loss, LOSSES[name])
    asked: list[int] = []

    def features() -> nn.Module:
        asked.append(1)
        return Doubled()

    build_loss("l1", features=features)
    assert not asked
    for name, arguments, said in (
        ("charbonier", {}, "did you mean"),
        ("charbonnier", {"epsilon": 1.0}, "did you mean 'eps'"),
        ("charbonnier", {"eps": 0.0}, "above 0"),
        ("content", {}, "feature network"),
        ("perceptual", {}, "feature network"),
    ):
        with pytest.raises(OptionError, match=said):
            build_loss(name, **arguments)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="did you mean"):
        adversarial_loss("least-square")
