"""Blur: Gaussian, motion, out of focus, any kernel.

Beyond its border a picture is taken to go on as its mirror image, ``d c b a | a b c d`` (half-sample symmetric; scipy
calls it 'reflect', numpy 'symmetric'), at any picture size, so a flat picture stays flat up to the edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.nn import functional

from retouch.degradations.base import (
    Degradation,
    check_number,
    check_order,
    per_picture,
    set_derived,
    uniform,
)
from retouch.image.errors import OptionError


def mirror_index(start: int, stop: int, length: int) -> Tensor:
    """Where positions start..stop-1 fall on a line of ``length`` pixels that goes on as its mirror image."""
    index = torch.arange(start, stop) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)


def _mirror_pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    height, width = x.shape[-2:]
    if top or bottom:
        x = x.index_select(-2, mirror_index(-top, height + bottom, height).to(x.device))
    if left or right:
        x = x.index_select(-1, mirror_index(-left, width + right, width).to(x.device))
    return x


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """``(B, C, H, W)`` convolved with ``(h, w)``, mirrored border, same size.

    True convolution (the kernel is flipped); the origin of an even side is its pixel ``side // 2``.
    """
    rows, columns = kernel.shape
    channels = x.shape[1]
    weight = kernel.flip(0, 1).to(x).expand(channels, 1, -1, -1)
    top, left = (rows - 1) // 2, (columns - 1) // 2
    padded = _mirror_pad(x, left, columns - 1 - left, top, rows - 1 - top)
    return functional.conv2d(padded, weight, groups=channels)


def gaussian_line(sigma: float) -> Tensor:
    """Float64 samples of a Gaussian out to four sigmas, summing to 1."""
    radius = int(4 * sigma + 0.5)
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-0.5 * (t / sigma) ** 2) if sigma else torch.ones(1, dtype=torch.float64)
    return line / line.sum()


def motion_kernel(length: float, angle: float) -> Tensor:
    """Float64 kernel of a straight movement over ``length`` pixels, summing to 1.

    A pixel weighs 1 minus its distance to the segment between the centres of the first and last pixel passed, so that
    a movement over n whole pixels along an axis is n equal taps. ``angle``: degrees counter-clockwise from the x axis.
    """
    half = (length - 1) / 2
    direction = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
    reach_x, reach_y = (math.ceil(half * abs(d) + 1 - 1e-9) - 1 for d in direction)  # the last nearer than one pixel
    x = torch.arange(-reach_x, reach_x + 1, dtype=torch.float64)[None, :]
    y = torch.arange(-reach_y, reach_y + 1, dtype=torch.float64)[:, None]
    along = (x * direction[0] + y * direction[1]).clamp(-half, half)
    distance = torch.hypot(x - along * direction[0], y - along * direction[1])
    kernel = (1 - distance).clamp(min=0)
    kernel[kernel < 1e-9] = 0  # a tap of one rounding error
    return kernel / kernel.sum()


def gaussian_kernel(sigma: float) -> Tensor:
    """Float64 kernel ``(h, w)`` of a Gaussian of ``sigma`` pixels, cut at four of them, summing to 1."""
    line = gaussian_line(sigma)
    return torch.outer(line, line)


_FINE = 9  # samples to each side of a pixel


def defocus_kernel(radius: float) -> Tensor:
    """Float64 kernel of a lens out of focus: a disk of ``radius`` pixels, summing to 1.

    A pixel weighs as much of its area as lies in the disk, by 9 x 9 samples; 0 is one tap.
    """
    reach = math.ceil(radius - 0.5) if radius > 0.5 else 0
    side = 2 * reach + 1
    t = (torch.arange(side * _FINE, dtype=torch.float64) + 0.5) / _FINE - side / 2
    inside = (t[:, None].square() + t[None, :].square() <= radius**2).double()
    kernel = inside.reshape(side, _FINE, side, _FINE).sum((1, 3))
    return kernel / kernel.sum() if bool(kernel.any()) else torch.ones(1, 1, dtype=torch.float64)


@dataclass(frozen=True)
class GaussianBlur(Degradation):
    """Convolution with a Gaussian of ``sigma`` pixels (0 changes nothing), cut at four sigmas."""

    sigma: float = 2.0

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "sigma", 0, 1000)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        line = gaussian_line(self.sigma)
        return convolve(convolve(x, line[None, :]), line[:, None])


@dataclass(frozen=True)
class RandomGaussianBlur(Degradation):
    """Gaussian blur with a sigma drawn for each picture uniformly from ``low`` to ``high`` pixels."""

    low: float = 0.5
    high: float = 3.0

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "low", 0, 1000)
        check_number(self, "high", 0, 1000)
        check_order(self, "low", "high")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return per_picture(x, lambda one: GaussianBlur(uniform(generator, self.low, self.high))(one))


@dataclass(frozen=True)
class MotionBlur(Degradation):
    """The camera moved in a straight line over ``length`` pixels while the shutter was open.

    ``length``: at least 1, which changes nothing. ``angle``: degrees, counter-clockwise from the x axis.
    """

    length: float = 9.0
    angle: float = 0.0

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "length", 1, 1000)
        check_number(self, "angle")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return convolve(x, motion_kernel(self.length, self.angle))


@dataclass(frozen=True)
class DefocusBlur(Degradation):
    """The lens was out of focus: a point became a disk of ``radius`` pixels. Up to 0.5 changes nothing."""

    radius: float = 3.0

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "radius", 0, 500)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return convolve(x, defocus_kernel(self.radius))


@dataclass(frozen=True, eq=False)
class KernelBlur(Degradation):
    """Convolution with any ``kernel``, used as it is: one that does not sum to 1 changes the brightness.

    ``kernel``: ``(h, w)`` tensor or nested lists; the origin of an even side is its pixel ``side // 2``.
    """

    kernel: Tensor | Sequence[Sequence[float]] = field(default_factory=lambda: torch.ones(3, 3) / 9)

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        try:
            kernel = torch.as_tensor(self.kernel, dtype=torch.float64).clone()
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(f"KernelBlur: kernel must be rows of numbers, all of one length: {error}") from error
        if kernel.ndim != 2 or kernel.numel() == 0:
            raise OptionError(f"KernelBlur: kernel must be (h, w), not {tuple(kernel.shape)}")
        if not bool(torch.isfinite(kernel).all()):
            raise OptionError("KernelBlur: kernel must be finite")
        set_derived(self, kernel=kernel)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        assert isinstance(self.kernel, Tensor)
        return convolve(x, self.kernel)
