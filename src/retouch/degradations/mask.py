"""Masks, y = m x: pixels lost at random, in holes, along scratches, or where a given mask says.

A mask is 1 where the picture is kept and 0 where it is lost. Sizes are shares of the picture's shorter side, so that
the same numbers mean the same damage on every picture.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from retouch.degradations.base import (
    Degradation,
    check_choice,
    check_number,
    check_order,
    integer,
    numpy_generator,
    per_picture,
    set_derived,
    uniform_like,
)
from retouch.image.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHAPES = ("ellipse", "rectangle", "blob", "stroke")
FILLS = ("black", "white", "colour", "mean", "noise", "random")
"""What lost pixels may show, beside a number; see ``paint``."""


def paint(fill: float | str, x: Tensor, mask: Tensor, generator: Generator | None) -> Tensor:
    """What the lost pixels of one picture show: broadcastable to ``x``, ``(1, C, H, W)``. ``mask``: ``(1, H, W)``.

    ``fill``: a number in [0, 1], 'black', 'white', 'colour' (one, drawn), 'mean' (of the pixels that are kept; mid-grey
    if none is), 'noise' (every value drawn uniformly), or 'random': one of these five, drawn.
    """
    if fill == "random":
        fill = FILLS[integer(generator, 0, 4)]
    if not isinstance(fill, str):
        return x.new_tensor(fill)
    if fill == "mean":
        kept = mask.sum()
        return (x * mask).sum((2, 3), keepdim=True) / kept if kept else x.new_tensor(0.5)
    if fill == "colour":
        return uniform_like(x, (1, x.shape[1], 1, 1), generator).to(x)
    return uniform_like(x, tuple(x.shape), generator).to(x) if fill == "noise" else x.new_tensor(float(fill == "white"))


def _check_fill(owner: FixedMask | RandomMask) -> None:
    if isinstance(owner.fill, str):
        check_choice(owner, "fill", FILLS)
    else:
        check_number(owner, "fill", 0, 1)


@dataclass(frozen=True, eq=False)
class FixedMask(Degradation):
    """``y = m x + (1 - m) fill``; linear while ``fill`` is 0.

    ``mask``: ``(1, H, W)`` or ``(H, W)``, boolean or in [0, 1]: 1 = kept. ``fill``: what lost pixels show, a number in
    [0, 1] or a word, see ``paint``.
    Raises ``OptionError`` for a mask of another shape or range, and on a picture of another size.
    """

    mask: Tensor
    fill: float | str = 0.0

    differentiable = True

    def __post_init__(self) -> None:
        mask = self.mask
        if not isinstance(mask, Tensor):
            raise OptionError(f"FixedMask: mask must be a tensor, not {type(mask).__name__}")
        if mask.ndim == 2:
            mask = mask[None]
        if mask.ndim != 3 or mask.shape[0] != 1 or mask.numel() == 0:
            raise OptionError(f"FixedMask: mask must be (1, H, W) or (H, W), not {tuple(self.mask.shape)}")
        if not mask.is_floating_point():
            mask = mask.to(torch.float32)
        if not (float(mask.min()) >= 0 and float(mask.max()) <= 1):
            raise OptionError("FixedMask: mask must lie in [0, 1], 1 where the picture is kept")
        _check_fill(self)
        set_derived(self, mask=mask, linear=self.fill == 0)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if x.shape[-2:] != self.mask.shape[-2:]:
            sizes = ["x".join(map(str, reversed(t.shape[-2:]))) for t in (self.mask, x)]
            raise OptionError(f"the mask is {sizes[0]} pixels, the picture {sizes[1]}; they must be of one size")
        mask = self.mask.to(x)
        if self.fill == 0:
            return x * mask
        if not isinstance(self.fill, str):
            return x * mask + (1 - mask) * self.fill
        return per_picture(x, lambda one: one * mask + (1 - mask) * paint(self.fill, one, mask, generator))

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        return self(y) if self.linear else super().adjoint(y, size)

    def __repr__(self) -> str:
        return f"FixedMask({self.mask.shape[-1]}x{self.mask.shape[-2]}, {float(self.mask.mean()):.1%} kept)"


class RandomMask(Degradation):
    """A mask drawn anew for each picture. ``fill``: what lost pixels show, a number in [0, 1] or a word: ``paint``."""

    differentiable = True
    fill: float | str

    @abstractmethod
    def mask(self, size: tuple[int, int], generator: Generator | None = None) -> Tensor:
        """A mask for a picture of ``size`` (H, W): float32 ``(1, H, W)`` on the CPU, 1 = kept, 0 = lost."""

    def draw(self, size: tuple[int, int], generator: Generator | None = None) -> FixedMask:
        """The degradation with the mask drawn once and for all."""
        return FixedMask(self.mask(size, generator), self.fill)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        size = int(x.shape[-2]), int(x.shape[-1])
        return per_picture(x, lambda one: self.draw(size, generator)(one, generator))


@dataclass(frozen=True)
class RandomPixels(RandomMask):
    """Each pixel is lost with probability ``missing``, all channels together."""

    missing: float = 0.5
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        check_number(self, "missing", 0, 1)
        _check_fill(self)

    def mask(self, size: tuple[int, int], generator: Generator | None = None) -> Tensor:
        draw = uniform_like(torch.empty(0), (1, *size), generator)
        return (draw >= self.missing).to(torch.float32)


@dataclass(frozen=True)
class Holes(RandomMask):
    """``count`` holes at random places, of random proportions and angles.

    ``smallest``, ``largest``: the mean diameter is drawn between them, as shares of the picture's shorter side.
    ``shape``: 'ellipse', 'rectangle', 'blob' (an uneven outline, as of a stain or a tear) or 'stroke' (a scribble of a
    thick pen, of the area of a square of that diameter).
    """

    count: int = 4
    smallest: float = 0.05
    largest: float = 0.2
    shape: str = "blob"
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        check_number(self, "count", 0, 10000, whole=True)
        check_number(self, "smallest", 0, 2, above=True)
        check_number(self, "largest", 0, 2, above=True)
        check_order(self, "smallest", "largest")
        check_choice(self, "shape", _SHAPES)
        _check_fill(self)

    def mask(self, size: tuple[int, int], generator: Generator | None = None) -> Tensor:
        rng = numpy_generator(generator)
        kept = np.ones(size, dtype=np.float32)
        for _ in range(self.count):
            self._punch(kept, rng)
        return torch.from_numpy(kept)[None]

    def _punch(self, kept: NDArray[np.float32], rng: np.random.Generator) -> None:
        height, width = kept.shape
        centre_y, centre_x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(self.smallest, self.largest) * min(height, width) / 2
        if self.shape == "stroke":
            _scribble(kept, centre_x, centre_y, 2 * radius, rng)
            return
        stretch = math.exp(rng.uniform(-0.5, 0.5))  # up to 1:2.7, the area kept
        angle = rng.uniform(0, math.pi)
        waves = rng.normal(size=4) * (0.22, 0.14, 0.1, 0.07) if self.shape == "blob" else np.zeros(4)
        phases = rng.uniform(0, 2 * math.pi, size=4)
        reach = radius * max(stretch, 1 / stretch) * (math.sqrt(2) + float(np.abs(waves).sum())) + 1
        top, bottom = max(0, int(centre_y - reach)), min(height, int(centre_y + reach) + 1)
        left, right = max(0, int(centre_x - reach)), min(width, int(centre_x + reach) + 1)
        y = np.arange(top, bottom)[:, None] + 0.5 - centre_y
        x = np.arange(left, right)[None, :] + 0.5 - centre_x
        u = (x * math.cos(angle) + y * math.sin(angle)) / stretch
        v = (y * math.cos(angle) - x * math.sin(angle)) * stretch
        if self.shape == "rectangle":
            inside = np.maximum(np.abs(u), np.abs(v)) <= radius
        else:
            around = np.arctan2(v, u)
            outline = 1 + sum(w * np.cos(k * around + p) for k, w, p in zip(range(2, 6), waves, phases, strict=True))
            inside = np.hypot(u, v) <= radius * outline
        kept[top:bottom, left:right][inside] = 0
        kept[int(centre_y), int(centre_x)] = 0  # a hole smaller than a pixel is a lost pixel


def _scribble(
    kept: NDArray[np.float32], centre_x: float, centre_y: float, diameter: float, rng: np.random.Generator
) -> None:
    """A pen's line through the point, 4 diameters long and a quarter wide, that turns to and fro."""
    import cv2

    points = 24
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.45, points))
    along = np.stack((np.cos(heading), np.sin(heading)), axis=1).cumsum(axis=0) * (4 * diameter / points)
    along += (centre_x, centre_y) - along[points // 2]
    # OpenCV counts from the middle of a pixel; four fractional bits
    at = np.round((along - 0.5) * 16).clip(-(2**24), 2**24).astype(np.int32)
    cv2.polylines(kept, [at[:, None]], False, 0.0, max(1, round(diameter / 4)), cv2.LINE_8, 4)
    kept[int(centre_y), int(centre_x)] = 0


@dataclass(frozen=True)
class Scratches(RandomMask):
    """``count`` scratches: long, thin, slightly bent, of uneven width and here and there interrupted.

    ``width``: of the widest place, ``length``: of the longest; both shares of the picture's shorter side. A scratch is
    at least one pixel wide. ``fill``: 1 for the white of a scratched print, 0 for the black of a scratched negative.
    """

    count: int = 8
    width: float = 0.008
    length: float = 0.8
    fill: float | str = 0.0

    def __post_init__(self) -> None:
        check_number(self, "count", 0, 10000, whole=True)
        check_number(self, "width", 0, 1, above=True)
        check_number(self, "length", 0, 10, above=True)
        _check_fill(self)

    def mask(self, size: tuple[int, int], generator: Generator | None = None) -> Tensor:
        rng = numpy_generator(generator)
        kept = np.ones(size, dtype=np.float32)
        for _ in range(self.count):
            self._scratch(kept, rng)
        return torch.from_numpy(kept)[None]

    def _scratch(self, kept: NDArray[np.float32], rng: np.random.Generator) -> None:
        height, width = kept.shape
        side = min(height, width)
        length = self.length * side * rng.uniform(0.3, 1)
        points = max(2, math.ceil(2 * length))  # two a pixel, so that no gap opens between them
        t = np.linspace(0, 1, points)
        # the direction turns slowly: a steady bend, and a slight tremble of a few periods
        heading = rng.uniform(0, 2 * math.pi) + rng.normal(0, 0.25) * t
        heading += rng.normal(0, 0.06) * np.sin(2 * math.pi * (rng.uniform(1, 4) * t + rng.uniform()))
        y, x = np.cumsum(np.sin(heading)), np.cumsum(np.cos(heading))
        step = length / points
        middle = points // 2
        y = (y - y[middle]) * step + rng.uniform(0, height)
        x = (x - x[middle]) * step + rng.uniform(0, width)
        # pressed harder in the middle than at the ends, unevenly, and lifted off where the pressure falls below 0
        pressure = np.sin(math.pi * t) ** 0.3 * rng.uniform(0.5, 1)
        for periods in (3, 7, 17):
            turns = periods * rng.uniform(0.7, 1.3) * t + rng.uniform()
            pressure += rng.normal(0, 0.13) * np.sin(2 * math.pi * turns)
        radius = np.minimum(pressure, 1) * self.width * side / 2
        drawn = pressure > 0.15
        y, x, radius = y[drawn], x[drawn], radius[drawn]
        reach = math.ceil(self.width * side / 2)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                row, column = np.floor(y).astype(int) + down, np.floor(x).astype(int) + right
                hit = np.hypot(row + 0.5 - y, column + 0.5 - x) <= radius
                if down == right == 0:
                    hit = np.ones_like(hit)  # thinner than a pixel still marks the pixel it runs through
                hit &= (row >= 0) & (row < height) & (column >= 0) & (column < width)
                kept[row[hit], column[hit]] = 0
