"""What the networks of image translation share: their range, their normalisations, how their weights begin."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["batch", "instance", "none"]
"""``batch``: over the batch at hand, in training and afterwards alike; ``instance``: over each picture."""

NORMS = ("batch", "instance", "none")


def check_norm(norm: str) -> None:
    """``ValueError`` for a word that is not of ``NORMS``."""
    if norm not in NORMS:
        raise ValueError(f"norm is one of {', '.join(NORMS)}, not {norm!r}")


def make_norm(norm: Norm, width: int) -> nn.Module:
    """The normalisation of ``width`` channels.

    pix2pix and its kin are run as they were trained: with the statistics of what is at hand, never with running ones.
    Batch normalisation that kept those would give other pictures after ``eval()``; this one has none to change to.
    """
    if norm == "batch":
        return nn.BatchNorm2d(width, track_running_stats=False)
    return nn.InstanceNorm2d(width) if norm == "instance" else nn.Identity()


class Dropout(nn.Module):
    """Dropout that stays on after ``eval()``: the only noise pix2pix's generator has (Isola et al. 2017, section 3.2).

    ``share``: of the values that are put to zero; what is left is divided by the rest, so that the mean stays. With
    ``always=False`` it is on in training only. Drawn from torch's global generator.
    """

    def __init__(self, share: float = 0.5, always: bool = True) -> None:
        super().__init__()
        self.share, self.always = share, always

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.share, training=self.training or self.always)


def start_normal(network: nn.Module, deviation: float = 0.02) -> None:
    """Weights from N(0, ``deviation``), those of normalisations from N(1, ``deviation``), biases 0: as in DCGAN,
    pix2pix and CycleGAN."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=deviation)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def mirrored(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """``(B, C, H, W)`` lengthened at its lower and right ends by reflection to multiples of ``multiple``, of at least
    ``least`` pixels; a picture smaller than what is added is reflected again and again."""
    for axis in (-2, -1):
        length = x.shape[axis]
        wanted = max(least, length + -length % multiple)
        if wanted == length:
            continue
        period = max(1, 2 * length - 2)
        place = torch.arange(wanted, device=x.device) % period
        x = x.index_select(axis, torch.minimum(place, period - place) if length > 1 else place * 0)
    return x
