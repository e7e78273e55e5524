"""Losses of critic and generator."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from retouch.image.errors import OptionError
from retouch.losses.adversarial import ADVERSARIAL, adversarial_loss

LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8)

REAL, FAKE = torch.tensor([[2.0], [4.0]]), torch.tensor([[-1.0], [3.0]])


def test_by_hand() -> None:
    squares = adversarial_loss("least-squares")
    assert float(squares.critic(REAL, FAKE)) == ((1 + 9) / 2 + (1 + 9) / 2) / 2
    assert float(squares.generator(FAKE)) == ((4 + 4) / 2) / 2
    distance = adversarial_loss("wasserstein")
    assert float(distance.critic(REAL, FAKE)) == 1 - 3
    assert float(distance.generator(FAKE)) == -1
    standard = adversarial_loss()
    assert float(standard.critic(torch.zeros(1), torch.zeros(1))) == pytest.approx(2 * math.log(2))
    assert float(standard.generator(torch.zeros(1))) == pytest.approx(math.log(2))


@given(LOGITS, LOGITS)
def test_standard_is_torchs_cross_entropy(real: list[float], fake: list[float]) -> None:
    x, y = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    ones, zeros = torch.ones_like, torch.zeros_like
    cross = F.binary_cross_entropy_with_logits
    standard = adversarial_loss("standard")
    expected = float(cross(x, ones(x)) + cross(y, zeros(y)))
    assert float(standard.critic(x, y)) == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert float(standard.generator(y)) == pytest.approx(float(cross(y, ones(y))), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("kind", list(ADVERSARIAL))
def test_each_side_pulls_its_way(kind: str) -> None:
    """At even logits the critic parts real from fake, and the generator moves the fake up; both at a useful rate."""
    loss = adversarial_loss(kind)
    real, fake = torch.full((3, 1), 0.5, requires_grad=True), torch.full((3, 1), 0.5, requires_grad=True)
    to_real, to_fake = torch.autograd.grad(loss.critic(real, fake), (real, fake))
    assert (to_real < 0).all()
    assert (to_fake > 0).all()
    (up,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (up < 0).all()


@pytest.mark.parametrize("kind", list(ADVERSARIAL))
def test_a_sure_critic_still_teaches(kind: str) -> None:
    """The generator's gradient does not vanish, nor does anything overflow, where the critic is certain."""
    fake = torch.full((1, 1), -500.0, requires_grad=True)
    loss = adversarial_loss(kind).generator(fake)
    assert torch.isfinite(loss)
    (up,) = torch.autograd.grad(loss, fake)
    assert float(up) <= -0.99


@pytest.mark.parametrize("kind", list(ADVERSARIAL))
def test_half_precision_comes_out_in_float32(kind: str) -> None:
    loss = adversarial_loss(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        critic, generator = loss.critic(REAL.bfloat16(), FAKE.bfloat16()), loss.generator(FAKE.bfloat16())
    assert critic.dtype == generator.dtype == torch.float32
    assert torch.equal(critic, loss.critic(REAL, FAKE))
    assert torch.equal(generator, loss.generator(FAKE))


def test_unknown_kind() -> None:
    with pytest.raises(OptionError, match="did you mean 'wasserstein'"):
        adversarial_loss("waserstein")
