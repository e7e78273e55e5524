"""Geometry: crop, flip, rotate, zoom, shift, perspective; the augmentations of training.

Outputs are of the input's size, crops apart. Between pixels the picture is interpolated bilinearly; beyond its border
it goes on as its mirror image. Everything stays in [0, 1]. With fixed parameters all are linear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from retouch.degradations.base import (
    Degradation,
    check_choice,
    check_number,
    check_order,
    integer,
    per_picture,
    uniform,
)
from retouch.degradations.blur import mirror_index
from retouch.image.errors import OptionError

_AXES = ("horizontal", "vertical")


def _warp(x: Tensor, inverse: Tensor) -> Tensor:
    """``x`` resampled: ``inverse`` (3, 3) float64 takes an output pixel to the input, both from the centre, y down."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64)[None, :] - (width - 1) / 2
    u, v, w = (columns * inverse[i, 0] + rows * inverse[i, 1] + inverse[i, 2] for i in range(3))
    grid = torch.stack((u / w * (2 / width), v / w * (2 / height)), dim=-1).to(x)
    return functional.grid_sample(
        x, grid.expand(x.shape[0], -1, -1, -1), mode="bilinear", padding_mode="reflection", align_corners=False
    )


@dataclass(frozen=True)
class Crop(Degradation):
    """The ``height`` x ``width`` pixels whose first is at row ``top``, column ``left``.

    Raises ``OptionError`` where that is not all inside the picture. ``adjoint`` needs the ``size`` of x.
    """

    top: int = 0
    left: int = 0
    height: int = 64
    width: int = 64

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "top", 0, whole=True)
        check_number(self, "left", 0, whole=True)
        check_number(self, "height", 1, whole=True)
        check_number(self, "width", 1, whole=True)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        height, width = x.shape[-2:]
        if self.top + self.height > height or self.left + self.width > width:
            raise OptionError(f"{self!r} reaches beyond a picture of {width}x{height} pixels")
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        raise ValueError(f"{self!r}: the adjoint needs the size of the uncropped picture")


@dataclass(frozen=True)
class RandomCrop(Degradation):
    """A square of ``size`` pixels from anywhere in the picture; ``OptionError`` if the picture is smaller."""

    size: int = 64

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "size", 1, whole=True)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        height, width = x.shape[-2:]
        if self.size > min(height, width):
            raise OptionError(f"{self!r} is larger than a picture of {width}x{height} pixels")

        def crop(one: Tensor) -> Tensor:
            top, left = integer(generator, 0, height - self.size), integer(generator, 0, width - self.size)
            return Crop(top, left, self.size, self.size)(one)

        return per_picture(x, crop)


@dataclass(frozen=True)
class Flip(Degradation):
    """Mirrored: ``axis`` 'horizontal' exchanges left and right, 'vertical' top and bottom."""

    axis: str = "horizontal"

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_choice(self, "axis", _AXES)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return x.flip(-1 if self.axis == "horizontal" else -2)


@dataclass(frozen=True)
class RandomFlip(Degradation):
    """Each picture mirrored left to right with probability ``horizontal``, top to bottom with ``vertical``."""

    horizontal: float = 0.5
    vertical: float = 0.0

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "horizontal", 0, 1)
        check_number(self, "vertical", 0, 1)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        def flip(one: Tensor) -> Tensor:
            axes = [
                axis
                for axis, chance in ((-1, self.horizontal), (-2, self.vertical))
                if uniform(generator, 0, 1) < chance
            ]
            return one.flip(axes) if axes else one

        return per_picture(x, flip)


@dataclass(frozen=True)
class Rotate90(Degradation):
    """Turned counter-clockwise by ``turns`` right angles, exactly; an odd number exchanges height and width."""

    turns: int = 1

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "turns", -3, 3, whole=True)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return torch.rot90(x, self.turns, (-2, -1))

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if self.turns % 2 else size


@dataclass(frozen=True)
class Rotate(Degradation):
    """Turned by ``angle`` degrees counter-clockwise about the centre; exact where a turn takes pixels to pixels."""

    angle: float = 5.0

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "angle")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        turns, rest = divmod(self.angle % 360, 90)
        if rest == 0 and (turns % 2 == 0 or x.shape[-2] == x.shape[-1]):
            return torch.rot90(x, int(turns), (-2, -1))
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        return _warp(x, torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64))


@dataclass(frozen=True)
class RandomRotate(Degradation):
    """Each picture turned by an angle drawn uniformly from ``low`` to ``high`` degrees, counter-clockwise."""

    low: float = -10.0
    high: float = 10.0

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "low")
        check_number(self, "high")
        check_order(self, "low", "high")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return per_picture(x, lambda one: Rotate(uniform(generator, self.low, self.high))(one))


@dataclass(frozen=True)
class Zoom(Degradation):
    """Enlarged ``factor`` times about the centre; below 1 the mirrored surroundings come in.

    Bilinear without antialiasing, which is why the factor stays above 0.5; ``Downsample`` is the way to go smaller.
    """

    factor: float = 1.2

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 0.5, 100)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return _warp(x, torch.diag(torch.tensor([1 / self.factor, 1 / self.factor, 1], dtype=torch.float64)))


@dataclass(frozen=True)
class Shift(Degradation):
    """Moved ``right`` and ``down`` by so many pixels, fractions and negative numbers allowed; exact for whole ones."""

    right: float = 1.0
    down: float = 0.0

    linear = True
    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "right", -1e6, 1e6)
        check_number(self, "down", -1e6, 1e6)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if float(self.right).is_integer() and float(self.down).is_integer():
            height, width = x.shape[-2:]
            right, down = int(self.right), int(self.down)
            rows = mirror_index(-down, height - down, height).to(x.device)
            columns = mirror_index(-right, width - right, width).to(x.device)
            return x.index_select(-2, rows).index_select(-1, columns)
        inverse = torch.eye(3, dtype=torch.float64)
        inverse[0, 2], inverse[1, 2] = -self.right, -self.down
        return _warp(x, inverse)


@dataclass(frozen=True)
class RandomAffine(Degradation):
    """Each picture turned, sheared, zoomed and moved at once, so that it is interpolated once only.

    Drawn uniformly: the turn within ``angle`` degrees to either side, the shear of the rows within ``shear`` (the
    tangent of its angle), width and height each enlarged by 1 - ``zoom`` to 1 + ``zoom``, and the way right and down
    within ``shift``, a share of the side. Keras's ``ImageDataGenerator`` draws alike, but zooms both sides by 1 / z.
    """

    angle: float = 10.0
    shift: float = 0.1
    shear: float = 0.1
    zoom: float = 0.1

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "angle", 0, 180)
        check_number(self, "shift", 0, 1)
        check_number(self, "shear", 0, 1)
        check_number(self, "zoom", 0, 0.5)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        def move(one: Tensor) -> Tensor:
            turn = math.radians(uniform(generator, -self.angle, self.angle))
            shear = uniform(generator, -self.shear, self.shear)
            wide, high = (1 / uniform(generator, 1 - self.zoom, 1 + self.zoom) for _ in range(2))
            right, down = (side * uniform(generator, -self.shift, self.shift) for side in (x.shape[-1], x.shape[-2]))
            cos, sin = math.cos(turn), math.sin(turn)
            inverse = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
            inverse = inverse @ torch.tensor([[1, shear, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
            inverse = inverse @ torch.diag(torch.tensor([wide, high, 1], dtype=torch.float64))
            back = torch.tensor([[1, 0, -right], [0, 1, -down], [0, 0, 1]], dtype=torch.float64)
            return _warp(one, inverse @ back)

        return per_picture(x, move)


@dataclass(frozen=True)
class Perspective(Degradation):
    """Seen from aslant: each corner of the view is drawn from inside the picture, so nothing outside comes in.

    ``strength``: up to that share of half a side does a corner move inwards, along each axis; 0 changes nothing. Up to
    0.6, so that the four corners always make a convex quadrilateral.
    """

    strength: float = 0.3

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "strength", 0, 0.6)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if self.strength == 0:
            return x
        return per_picture(x, lambda one: _warp(one, self._inverse(one, generator)))

    def _inverse(self, x: Tensor, generator: Generator | None) -> Tensor:
        """The homography that takes the picture's corners to the drawn ones, from their four pairs."""
        half = torch.tensor([x.shape[-1] / 2, x.shape[-2] / 2], dtype=torch.float64)
        corners = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64) * half
        shares = [uniform(generator, 0, self.strength) for _ in range(8)]
        seen = corners * (1 - torch.tensor(shares, dtype=torch.float64).reshape(4, 2))
        rows, targets = [], []
        for (x0, y0), (x1, y1) in zip(corners.tolist(), seen.tolist(), strict=True):
            rows.append([x0, y0, 1, 0, 0, 0, -x1 * x0, -x1 * y0])
            rows.append([0, 0, 0, x0, y0, 1, -y1 * x0, -y1 * y0])
            targets += [x1, y1]
        matrix = torch.tensor(rows, dtype=torch.float64)
        solved = torch.linalg.solve(matrix, torch.tensor(targets, dtype=torch.float64))
        return torch.cat((solved, solved.new_ones(1))).reshape(3, 3)
