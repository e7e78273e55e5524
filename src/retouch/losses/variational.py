"""The parts of the evidence lower bound, in nats a picture.

Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 10 and appendix B.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from retouch.losses.pixel import full


def bernoulli_nats(logits: Tensor, target: Tensor) -> Tensor:
    """``-log p(target)``, summed over the pixels: ``(B, C, H, W)`` both -> ``(B,)``.

    ``target`` in [0, 1]. Where it is grey it counts as the expectation over coins of that probability, as usual; then
    0 cannot be reached, and numbers do not compare with those of binarised pictures.
    """
    each = functional.binary_cross_entropy_with_logits(full(logits), full(target), reduction="none")
    return each.flatten(1).sum(1)


def gaussian_nats(mean: Tensor, target: Tensor, log_deviation: Tensor) -> Tensor:
    """``-log p(target)`` of a density over [0, 1] values, summed over the pixels: ``(B,)``; it may be negative.

    ``log_deviation``: the logarithm of the one deviation of all pixels, a scalar.
    """
    log_deviation = full(log_deviation)
    away = (full(target) - full(mean)).div(log_deviation.exp()).square()
    return (away / 2 + log_deviation + math.log(2 * math.pi) / 2).flatten(1).sum(1)


def divergence_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), summed: ``(B, latent)`` both -> ``(B,)``."""
    mean, log_variance = full(mean), full(log_variance)
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
