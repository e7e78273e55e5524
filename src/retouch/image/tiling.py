"""Running a picture-to-picture function tile by tile: bounded memory, no seams, smaller tiles when memory runs out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional as F

from retouch.image.errors import Cancelled, RetouchError

AUTO_TILE = 512
_SMALLEST = 32


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
        """Half-sine ramps, float32, for the output of the tile (``scale`` times its length)."""
        length = int((self.stop - self.start) * scale)
        weight = torch.ones(length, dtype=torch.float64)
        for (first, last), falling in ((self.rise, False), (self.fall, True)):
            low, high = int((first - self.start) * scale), int((last - self.start) * scale)
            phase = (torch.arange(high - low, dtype=torch.float64) + 0.5) / max(1, high - low)
            ramp = torch.sin(phase * math.pi / 2).square()  # sin^2 of one tile and cos^2 of the other sum to 1
            weight[low:high] = 1 - ramp if falling else ramp
            if falling:
                weight[high:] = 0
            else:
                weight[:low] = 0
        return weight.float()


def plan(length: int, tile: int, overlap: int) -> list[Span]:
    """Tiles of (nearly) equal length that cover ``length``; each reads ``overlap`` pixels beyond its cuts.

    From the tile size follows the count and from the count the size, so that no thin rest is left. Neighbours blend
    over the inner half of what they share: a function whose receptive radius is at most ``overlap - overlap // 2``
    gives the same result as on the whole. Raises ``ValueError`` for sizes below 1 or a negative overlap.
    """
    if length < 1 or tile < 1 or overlap < 0:
        raise ValueError(f"cannot cut {length} pixels into tiles of {tile} with an overlap of {overlap}")
    if tile >= length:
        return [Span(0, length, (0, 0), (length, length))]
    count = min(max(2, math.ceil(length / max(1, tile - 2 * overlap))), length)
    cuts = [round(i * length / count) for i in range(count + 1)]
    # a ramp must end before the next cut's begins
    half = min(overlap // 2, min(b - a for a, b in itertools.pairwise(cuts)) // 2)
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
    on_tile: Callable[[int, int], bool | None] | None = None,
) -> Tensor:
    """Apply ``function`` to ``x`` tile by tile; same result as at once if its receptive field fits the overlap.

    ``function``: ``(1, C, h, w)`` -> ``(1, C', h * scale, w * scale)``, called with sides that are multiples of
    ``multiple`` (padded by reflection, by the edge where a side is too short, and cropped again). ``x``: ``(C, H, W)``
    or ``(1, C, H, W)``; the result has as many dimensions and lies on the CPU. ``tile``: side in pixels, with the
    overlap; 'auto' starts at ``AUTO_TILE`` and halves when memory runs out; 'off' takes the
    picture whole, and halves likewise. ``on_tile``: called with (tiles done, tiles in all).

    Raises ``Cancelled`` if ``on_tile`` returns False, and ``RetouchError`` if memory runs out with a tile size that was
    given, or with the smallest one. Memory: input, output, and what ``function`` needs for one tile.
    """
    batched = x if x.ndim == 4 else x.unsqueeze(0)
    if tile not in ("auto", "off") and (isinstance(tile, str) or tile < 1):
        raise ValueError(f"tile is a number of pixels, 'auto' or 'off', not {tile!r}")
    limit = AUTO_TILE if tile == "auto" else max(batched.shape[2:]) if tile == "off" else int(tile)
    runner = _Runner(function, overlap, Fraction(scale), multiple, int(limit), not isinstance(tile, str), on_tile)
    result = runner.tiles(batched, runner.limit, on_tile)
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
        on_tile: Callable[[int, int], bool | None] | None,
    ) -> None:
        self.function, self.overlap, self.scale, self.multiple = function, overlap, scale, multiple
        self.limit, self.explicit, self.on_tile = limit, explicit, on_tile

    def tiles(self, x: Tensor, limit: int, on_tile: Callable[[int, int], bool | None] | None) -> Tensor:
        rows, columns = (plan(side, limit, self.overlap) for side in x.shape[2:])
        if len(rows) == len(columns) == 1:
            return self.whole(x)
        total, done = len(rows) * len(columns), 0
        out: Tensor | None = None
        for row in rows:
            for column in columns:
                part = self.tile(x[:, :, row.start : row.stop, column.start : column.stop])
                if out is None:
                    size = [int(side * self.scale) for side in x.shape[2:]]
                    out = torch.zeros((1, part.shape[1], *size), dtype=torch.float32)
                top, left = int(row.start * self.scale), int(column.start * self.scale)
                part = part * row.weights(self.scale).view(-1, 1) * column.weights(self.scale)
                out[:, :, top : top + part.shape[2], left : left + part.shape[3]] += part
                done += 1
                if on_tile is not None and on_tile(done, total) is False:
                    raise Cancelled("cancelled")
        assert out is not None
        return out

    def tile(self, x: Tensor) -> Tensor:
        """One tile, itself cut up if the size has shrunk since it was planned."""
        largest = self.limit + 2 * self.overlap
        return self.whole(x) if max(x.shape[2:]) <= largest else self.tiles(x, self.limit, None)

    def whole(self, x: Tensor) -> Tensor:
        try:
            return self.padded(x)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if self.explicit:
                raise RetouchError(
                    f"out of memory with tiles of {self.limit} pixels; give a smaller --tile, or --tile auto"
                ) from error
            smaller = min(self.limit, max(x.shape[2:])) // 2
            if smaller < _SMALLEST:
                raise RetouchError(f"out of memory even with tiles of {2 * smaller} pixels") from error
            self.limit = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self.tiles(x, self.limit, None)

    def padded(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        below, right = -height % self.multiple, -width % self.multiple
        if below or right:
            mode = "reflect" if below < height and right < width else "replicate"
            x = F.pad(x, (0, right, 0, below), mode=mode)
        y = self.function(x).to(device="cpu", dtype=torch.float32)
        return y[:, :, : int(height * self.scale), : int(width * self.scale)]


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text
