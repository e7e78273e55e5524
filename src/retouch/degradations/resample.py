"""Resampling: smaller, larger, and there and back.

``Downsample``, ``Upsample`` and ``ResizeBlur`` are ``image.resize`` (= MATLAB's imresize: antialiased, mirrored border,
pixel centres at half-integers). ``LanczosDownsample`` is the operator that Deep Image Prior has in its loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import torch
from torch import Generator, Tensor
from torch.nn import functional

from retouch.degradations.base import Degradation, check_choice, check_number, set_derived
from retouch.image.errors import OptionError
from retouch.image.resize import Kernel, resize

KERNELS: tuple[Kernel, ...] = get_args(Kernel)


@dataclass(frozen=True)
class Downsample(Degradation):
    """``factor`` times smaller, antialiased (the kernel widened by ``factor``); sizes that do not divide round up.

    ``kernel``: 'bicubic' (Keys, a = -0.5; the standard of super-resolution), 'lanczos2', 'lanczos3' (Pillow's, by
    which Deep Image Prior makes its inputs), 'bilinear' or 'box' (block means). The first three may overshoot [0, 1].
    """

    factor: int = 2
    kernel: Kernel = "bicubic"

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 1, 64, whole=True)
        check_choice(self, "kernel", KERNELS)
        set_derived(self, scale=Fraction(1, self.factor))

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return resize(x, scale=self.scale, kernel=self.kernel).to(x.dtype)


@dataclass(frozen=True)
class Upsample(Degradation):
    """``factor`` times larger by interpolation. ``kernel``: as of ``Downsample``; 'box' repeats pixels."""

    factor: int = 2
    kernel: Kernel = "bicubic"

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 1, 64, whole=True)
        check_choice(self, "kernel", KERNELS)
        set_derived(self, scale=Fraction(self.factor))

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return resize(x, scale=self.scale, kernel=self.kernel).to(x.dtype)


@dataclass(frozen=True)
class ResizeBlur(Degradation):
    """``factor`` times smaller and back to the same size: what is finer than the small picture is gone.

    ``factor``: from 1 (changes nothing), fractions allowed. ``kernel``: as of ``Downsample``, for both ways.
    """

    factor: float = 2.0
    kernel: Kernel = "bicubic"

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 1, 64)
        check_choice(self, "kernel", KERNELS)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        height, width = int(x.shape[-2]), int(x.shape[-1])
        small = math.ceil(height / self.factor), math.ceil(width / self.factor)
        reduced = resize(x, size=small, kernel=self.kernel)
        return resize(reduced, size=(height, width), kernel=self.kernel).to(x.dtype)


@dataclass(frozen=True)
class LanczosDownsample(Degradation):
    """``factor`` times smaller by one strided convolution with a Lanczos kernel, replicated border.

    The operator in the loss of Deep Image Prior (Ulyanov, Vedaldi, Lempitsky 2018; super-resolution, section 3 and the
    supplement). ``lobes``: 2 or 3 on each side. ``phase``: 0.5 samples at the centres of blocks of factor x factor
    pixels, as every resize does, which for an even factor is a kernel ``2 lobes factor`` wide; 0 samples at each
    block's first pixel, ``2 lobes factor + 1`` wide. The kernel sums to 1; sizes that do not divide round up.
    """

    factor: int = 4
    lobes: int = 2
    phase: float = 0.5

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 1, 64, whole=True)
        check_number(self, "lobes", 2, 3, whole=True)
        if self.phase not in (0, 0.5):
            raise OptionError(f"LanczosDownsample: phase must be 0 or 0.5, not {self.phase!r}")
        set_derived(self, scale=Fraction(1, self.factor))

    def line(self) -> tuple[Tensor, int]:
        """The kernel along one axis, float64, summing to 1, and the position of its first tap from a block's first."""
        centre = (self.factor - 1) / 2 if self.phase else 0.0
        reach = self.lobes * self.factor
        first, last = math.ceil(centre - reach), math.floor(centre + reach)
        t = (torch.arange(first, last + 1, dtype=torch.float64) - centre) / self.factor
        weights = torch.sinc(t) * torch.sinc(t / self.lobes)
        return weights / weights.sum(), first

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        channels, height, width = x.shape[1:]
        weights, first = self.line()
        weights = weights.to(x)
        before, taps = -first, weights.numel()
        rows, columns = math.ceil(height / self.factor), math.ceil(width / self.factor)
        below = (rows - 1) * self.factor + taps - before - height
        beside = (columns - 1) * self.factor + taps - before - width
        planes = functional.pad(x, (before, beside, before, below), mode="replicate")
        down, across = (weights.reshape(shape).expand(channels, 1, -1, -1) for shape in ((taps, 1), (1, taps)))
        planes = functional.conv2d(planes, down, stride=(self.factor, 1), groups=channels)
        return functional.conv2d(planes, across, stride=(1, self.factor), groups=channels)
