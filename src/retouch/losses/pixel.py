"""Losses that compare pictures value by value. Each is computed in float32 at least, whatever the network ran in."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def full(x: Tensor) -> Tensor:
    """``x`` in float32, if it came in half the precision: means over a batch lose too much there."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def difference(prediction: Tensor, target: Tensor) -> Tensor:
    """``prediction - target`` in float32 at least.

    Raises ``ValueError`` for different shapes: broadcasting one to the other would be a wrong loss.
    """
    _check_shapes(prediction, target)
    return full(prediction) - full(target)


def _check_shapes(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise ValueError(f"prediction is {tuple(prediction.shape)}, but target {tuple(target.shape)}")


class L1(nn.Module):
    """Mean absolute difference of two tensors of one shape -> scalar."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return difference(prediction, target).abs().mean()


class L2(nn.Module):
    """Mean squared difference of two tensors of one shape -> scalar."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return difference(prediction, target).square().mean()


class Charbonnier(nn.Module):
    """Mean of ``sqrt(d^2 + eps^2)`` over the differences d of two tensors of one shape -> scalar.

    L1 with a smooth bottom. ``eps``: in the unit of the values, above 0 (else ``ValueError``). Lai, Huang, Ahuja, Yang,
    "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", CVPR 2017, section 3.2.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps is above 0, not {eps}")
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (difference(prediction, target).square() + self.eps**2).sqrt().mean()


class NegativePSNR(nn.Module):
    """Mean over the pictures of a batch of ``10 log10(MSE + floor)``, ``(B, ...)`` twice -> scalar, in -dB.

    A tenth off the error of a picture counts the same whether much was wrong with it or little; by L2 the most damaged
    pictures of a batch rule. ``floor``: what counts as no error, above 0 (else ``ValueError``); that of rounding to 8
    bits unless told. Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022, section 5 (PSNR loss,
    after Chen et al., HINet, CVPRW 2021).
    """

    def __init__(self, floor: float = 1 / (12 * 255**2)) -> None:
        super().__init__()
        if not floor > 0:
            raise ValueError(f"floor is above 0, not {floor}")
        self.floor = floor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        errors = difference(prediction, target).square().flatten(1).mean(1)
        return 10 * (errors + self.floor).log10().mean()


class CrossEntropy(nn.Module):
    """Mean over two tensors of one shape in [0, 1] of ``-t log p - (1 - t) log(1 - p)``, in nats -> scalar.

    For a network that ends in a sigmoid: where it is nearly sure and wrong its gradient stays, while that of L1 and L2
    vanishes, and so a picture that is mostly black does not turn all black. Its minimum is at ``p = t``, but not zero.
    ``edge``: ``p`` is kept so far from 0 and 1 (in (0, 0.5), else ``ValueError``).
    """

    def __init__(self, edge: float = 1e-4) -> None:
        super().__init__()
        if not 0 < edge < 0.5:
            raise ValueError(f"edge is in (0, 0.5), not {edge}")
        self.edge = edge

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        _check_shapes(prediction, target)
        p, t = full(prediction), full(target)
        p = self.edge + (1 - 2 * self.edge) * p  # not cut off: beyond a cut there would be no way back
        return -(t * p.log() + (1 - t) * (-p).log1p()).mean()
