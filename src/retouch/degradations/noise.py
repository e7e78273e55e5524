"""Noise: Gaussian, that of a camera after its processing, Poisson, salt and pepper, speckle.

Nothing is clipped unless ``clip=True``. The papers differ: DnCNN, FFDNet, SwinIR and Restormer measure on unclipped
noise, Deep Image Prior, Zero-Shot Noise2Noise and the Deep Decoder clip to [0, 1]. On BSD68 at sigma 25 the noisy
picture itself is 20.18 dB unclipped and 20.48 dB clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from retouch.degradations.base import Degradation, check_flag, check_number, normal_like, uniform_like
from retouch.degradations.blur import convolve, gaussian_line


@dataclass(frozen=True)
class GaussianNoise(Degradation):
    """``y = x + n``, n ~ N(0, sigma^2), independent in every channel of every pixel.

    ``sigma``: on the 0..255 scale. ``clip``: whether y is clipped to [0, 1].
    """

    sigma: float = 25.0
    clip: bool = False

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0)
        check_flag(self, "clip")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        y = x + normal_like(x, generator) * (self.sigma / 255)
        return y.clamp(0, 1) if self.clip else y


@dataclass(frozen=True)
class CorrelatedNoise(Degradation):
    """Gaussian noise whose neighbours resemble each other, as demosaicing, resizing and filters of a camera leave it.

    ``sigma``: of every value, on the 0..255 scale, whatever the rest. ``width``: white noise is smoothed by a Gaussian
    of this standard deviation in pixels; 0 leaves it white. ``shared``: the part of the variance, 0..1, that is the
    same in all channels: 0 for independent channels, 1 for noise without colour. ``clip``: whether y is clipped to
    [0, 1].
    """

    sigma: float = 25.0
    width: float = 0.7
    shared: float = 0.0
    clip: bool = False

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0)
        check_number(self, "width", 0, 100)
        check_number(self, "shared", 0, 1)
        check_flag(self, "clip")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        noise = math.sqrt(1 - self.shared) * normal_like(x, generator)
        noise = noise + math.sqrt(self.shared) * normal_like(x[:, :1], generator)
        if self.width:
            line = gaussian_line(self.width)
            line = line / line.square().sum().sqrt()  # the sum of the squares is what it does to a variance
            noise = convolve(convolve(noise, line[:, None]), line[None, :])
        y = x + noise * (self.sigma / 255)
        return y.clamp(0, 1) if self.clip else y


@dataclass(frozen=True)
class PoissonNoise(Degradation):
    """``y = Poisson(peak x) / peak``: the shot noise of a camera that counts ``peak`` photons at white.

    Where x is negative it counts as 0. Bright pixels may exceed 1 unless ``clip``. Not differentiable.
    """

    peak: float = 30.0
    clip: bool = False

    def __post_init__(self) -> None:
        check_number(self, "peak", 0, 1e6, above=True)
        check_flag(self, "clip")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        device = generator.device if generator is not None else torch.device("cpu")
        rate = x.detach().to(device=device, dtype=torch.float32).clamp(min=0) * self.peak
        y = (torch.poisson(rate, generator=generator) / self.peak).to(x)
        return y.clamp(0, 1) if self.clip else y


@dataclass(frozen=True)
class SaltAndPepper(Degradation):
    """A share ``amount`` of the pixels turned white or black, all channels of a pixel together.

    ``salt_share``: how much of that is white. Stays in [0, 1].
    """

    amount: float = 0.05
    salt_share: float = 0.5

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "amount", 0, 1)
        check_number(self, "salt_share", 0, 1)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        draw = uniform_like(x, (x.shape[0], 1, *x.shape[2:]), generator)
        white = draw < self.amount * self.salt_share
        struck = draw < self.amount
        return torch.where(struck, white.to(x.dtype), x)


@dataclass(frozen=True)
class Speckle(Degradation):
    """``y = x + x n``, n ~ N(0, (sigma/255)^2): noise that grows with the brightness, as in radar and ultrasound.

    ``sigma``: on the 0..255 scale, reached at white. ``clip``: whether y is clipped to [0, 1].
    """

    sigma: float = 25.0
    clip: bool = False

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0)
        check_flag(self, "clip")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        y = x + x * normal_like(x, generator) * (self.sigma / 255)
        return y.clamp(0, 1) if self.clip else y
