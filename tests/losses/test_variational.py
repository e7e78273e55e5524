"""Nats a picture, against torch's own distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from retouch.losses.variational import bernoulli_nats, divergence_nats, gaussian_nats


def test_coins() -> None:
    logits, target = torch.randn(3, 1, 4, 5), torch.rand(3, 1, 4, 5)
    p = logits.double().sigmoid()
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).sum((1, 2, 3))
    assert torch.allclose(bernoulli_nats(logits, target).double(), expected, rtol=1e-5)
    assert bernoulli_nats(torch.zeros(1, 1, 28, 28), target[:1, :, :1, :1].expand(1, 1, 28, 28)).item() == (
        pytest.approx(784 * math.log(2), rel=1e-5)
    )


def test_a_normal_density() -> None:
    mean, target, deviation = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.tensor(0.2)
    expected = -Normal(mean, deviation).log_prob(target).sum((1, 2, 3))
    assert torch.allclose(gaussian_nats(mean, target, deviation.log()), expected, rtol=1e-5)
    assert gaussian_nats(target, target, torch.tensor(-5.0)).max() < 0, "a density may exceed 1"


def test_divergence() -> None:
    mean, log_variance = torch.randn(4, 6), torch.randn(4, 6)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(divergence_nats(mean, log_variance), expected, rtol=1e-5)
    assert divergence_nats(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_half_precision_is_summed_in_full() -> None:
    logits, target = torch.randn(2, 1, 28, 28), torch.rand(2, 1, 28, 28)
    nats = bernoulli_nats(logits.bfloat16(), target)
    assert nats.dtype == torch.float32
    assert torch.allclose(nats, bernoulli_nats(logits.bfloat16().float(), target))
