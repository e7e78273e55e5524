"""Running a picture-to-picture function tile by tile: bounded memory, no seams, smaller tiles when memory runs out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from retouch.image.errors import Cancelled, OptionError, RetouchError

AUTO_TILE = 512
_SMALLEST = 32

OnTile = Callable[[int, int], bool | None]


@dataclass(frozen=True)
class Span:
    """One tile along one axis: it reads ``start``..``stop``; its weight rises over ``rise`` and falls over ``fall``.

    ``rise`` and ``fall`` are (first, last + 1) positions of the ramps, empty at a border of the picture.
    """

    start: int
    stop: int
    rise: tuple[int, int]
    fall: tuple[int, int]

    def weights(self, scale: Fraction = Fraction(1)) -> Tensor:
        """Half-sine ramps, float32, for the output of the tile (``scale`` times its length, rounded up)."""
        weight = torch.ones(math.ceil((self.stop - self.start) * scale), dtype=torch.float64)
        for (first, last), falling in ((self.rise, False), (self.fall, True)):
            low, high = math.ceil((first - self.start) * scale), math.ceil((last - self.start) * scale)
            phase = (torch.arange(high - low, dtype=torch.float64) + 0.5) / max(1, high - low)
            ramp = torch.sin(phase * math.pi / 2).square()  # sin^2 of one tile and cos^2 of the other sum to 1
            weight[low:high] = 1 - ramp if falling else ramp
            if falling:
                weight[high:] = 0
            else:
                weight[:low] = 0
        return weight.float()


def plan(length: int, tile: int, overlap: int, align: int = 1) -> list[Span]:
    """Tiles of (nearly) equal length that cover ``length``; each reads ``overlap`` pixels beyond its cuts.

    From the tile size follows the count and from the count the size, so that no thin rest is left. Neighbours blend
    over the inner half of what they share: a function whose receptive radius is at most ``overlap - overlap // 2``
    gives the same result as on the whole. ``align``: tiles start at multiples of it (the overlap is rounded up), so
    that a function with strides meets the same grid as on the whole. A tile too small for its overlap still advances
    by ``align``. Raises ``ValueError`` for sizes below 1 or a negative overlap.
    """
    if length < 1 or tile < 1 or overlap < 0 or align < 1:
        raise ValueError(f"cannot cut {length} pixels into tiles of {tile} with an overlap of {overlap} on {align}")
    overlap = math.ceil(overlap / align) * align
    units = math.ceil(length / align)
    count = math.ceil(units / max(1, (tile - 2 * overlap) // align))
    if tile >= length or count < 2:
        return [Span(0, length, (0, 0), (length, length))]
    cuts = [i * units // count * align for i in range(count)] + [length]
    # a ramp must end before the next cut's begins
    half = min(overlap // 2, min(b - a for a, b in itertools.pairwise(cuts)) // 2) // align * align
    spans = []
    for low, high in itertools.pairwise(cuts):
        rise = (low - half, low + half) if low else (0, 0)
        fall = (high - half, high + half) if high < length else (length, length)
        spans.append(Span(max(0, low - overlap), min(length, high + overlap), rise, fall))
    return spans


def run_tiled(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    tile: int | str = "auto",
    overlap: int,
    scale: int | Fraction = 1,
    multiple: int = 1,
    on_tile: OnTile | None = None,
    auto: int | None = None,
) -> Tensor:
    """Apply ``function`` to ``x`` tile by tile; same result as at once if its receptive field fits the overlap.

    ``function``: ``(1, C, h, w)`` -> ``(1, C', h * scale, w * scale)``, called with sides that are multiples of
    ``multiple`` (padded by reflection, by the edge where a side is too short, and cropped again), cut out at multiples
    of it. ``x``: ``(C, H, W)`` or ``(1, C, H, W)``; the result has as many dimensions, is detached and lies on the CPU;
    its sides are ``scale`` times those of ``x``, rounded up. ``tile``: side in pixels, with the overlap; 'auto' starts
    at ``auto`` (None: ``AUTO_TILE``) and halves when memory runs out; 'off' takes the picture whole, and halves
    likewise. ``on_tile``: called with (tiles done, tiles in all).

    Raises ``Cancelled`` if ``on_tile`` returns False, ``OptionError`` for a tile that its overlap fills, and
    ``RetouchError`` if memory runs out with a tile size that was given, or with the smallest one. Memory: input,
    output, and what ``function`` needs for one tile.
    """
    batched = x if x.ndim == 4 else x.unsqueeze(0)
    if batched.ndim != 4 or batched.shape[0] != 1 or batched.numel() == 0:
        raise ValueError(f"run_tiled takes (C, H, W) or (1, C, H, W), got {tuple(x.shape)}")
    if tile not in ("auto", "off") and (isinstance(tile, str) or tile < 1):
        raise ValueError(f"tile is a number of pixels, 'auto' or 'off', not {tile!r}")
    longest = max(batched.shape[2:])
    limit = (auto or AUTO_TILE) if tile == "auto" else longest if tile == "off" else int(tile)
    runner = _Runner(function, overlap, Fraction(scale), multiple, limit, not isinstance(tile, str))
    if runner.explicit and limit < longest and limit <= 2 * runner.overlap:
        raise OptionError(f"--tile {limit} is too small: its overlap needs more than {2 * runner.overlap} pixels")
    result = runner.tiles(batched, on_tile)
    return result if x.ndim == 4 else result[0]


class _Runner:
    """Holds the tile size, which shrinks for all further tiles once memory has run out."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        overlap: int,
        scale: Fraction,
        multiple: int,
        limit: int,
        explicit: bool,
    ) -> None:
        self.function, self.scale, self.limit, self.explicit = function, scale, limit, explicit
        self.align = math.lcm(multiple, scale.denominator)
        self.overlap = math.ceil(overlap / self.align) * self.align
        # below three overlaps most of the work is done twice
        self.smallest = max(_SMALLEST, 3 * self.overlap)

    def tiles(self, x: Tensor, on_tile: OnTile | None) -> Tensor:
        rows, columns = (plan(side, self.limit, self.overlap, self.align) for side in x.shape[2:])
        if len(rows) == len(columns) == 1:
            return self.whole(x, on_tile)
        total, done = len(rows) * len(columns), 0
        out: Tensor | None = None
        for row in rows:
            for column in columns:
                part = self.tile(x[:, :, row.start : row.stop, column.start : column.stop])
                if out is None:
                    # numpy's come from the system as they are, and are cleared where they are first written to;
                    # torch's at once, which for 400 megapixels is seconds that the first tile seems to need
                    zeros = np.zeros((1, part.shape[1], *map(self.scaled, x.shape[2:])), np.float32)
                    out = torch.from_numpy(zeros)
                top, left = self.scaled(row.start), self.scaled(column.start)
                part = part * row.weights(self.scale).view(-1, 1) * column.weights(self.scale)
                out[:, :, top : top + part.shape[2], left : left + part.shape[3]] += part
                done += 1
                _tell(on_tile, done, total)
        assert out is not None
        return out

    def tile(self, x: Tensor) -> Tensor:
        """One tile, itself cut up if the size has shrunk since it was planned."""
        largest = self.limit + 2 * self.overlap
        return self.whole(x, None) if max(x.shape[2:]) <= largest else self.tiles(x, None)

    def whole(self, x: Tensor, on_tile: OnTile | None) -> Tensor:
        try:
            result = self.padded(x)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if self.explicit:
                raise RetouchError(
                    f"out of memory with tiles of {self.limit} pixels; give a smaller --tile, or --tile auto"
                ) from error
            tried = min(self.limit, max(x.shape[2:]))
            if tried // 2 < self.smallest:
                raise RetouchError(f"out of memory even with tiles of {tried} pixels") from error
            self.limit = tried // 2
        else:
            _tell(on_tile, 1, 1)
            return result
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self.tiles(x, on_tile)

    def padded(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        below, right = -height % self.align, -width % self.align
        if below or right:
            mode = "reflect" if below < height and right < width else "replicate"
            x = F.pad(x, (0, right, 0, below), mode=mode)
        y = self.function(x).detach().to(device="cpu", dtype=torch.float32)
        size = tuple(int(side * self.scale) for side in x.shape[2:])
        if y.ndim != 4 or tuple(y.shape[2:]) != size:
            raise ValueError(f"the function turned {tuple(x.shape)} into {tuple(y.shape)}, not into sides of {size}")
        return y[:, :, : self.scaled(height), : self.scaled(width)]

    def scaled(self, length: int) -> int:
        return math.ceil(length * self.scale)


def _tell(on_tile: OnTile | None, done: int, total: int) -> None:
    if on_tile is not None and on_tile(done, total) is False:
        raise Cancelled("cancelled")


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text
