"""What a JPEG file proves about the picture it was made of: an interval for each coefficient of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from retouch.image.color import grey
from retouch.solvers.chroma import chroma_of

_ROUNDING = 1.0  # of the decoded file and of a result, both of 8 bits, in a coefficient
_STRIP_PIXELS = 1 << 20


def beyond_interval(
    before: Tensor, after: Tensor, luma_table: Sequence[int], chroma_table: Sequence[int], halved: bool
) -> Tensor:
    """How far ``after`` lies outside what a JPEG file that decodes to ``before`` could have been, in the pixels.

    ``before``, ``after``: ``(C, H, W)`` in [0, 1]. The tables: 64 steps each; ``halved``: whether the colour was stored
    at half the size. A coefficient may have been anything within half a step of the file's; what a result goes beyond
    that is turned back into pixels: ``(1, H, W)``, 0..255, the largest over luma and colour differences, 0 for a result
    that the file allows. The blocks are taken to begin at the upper left corner. As the file may have been turned on
    opening, a step is the larger of the two that a quarter turn swaps. ITU-T T.81, annex A.3.
    """
    height, width = before.shape[1:]
    out = torch.zeros((1, height, width), dtype=torch.float32)
    rows = max(1, _STRIP_PIXELS // (16 * width)) * 16
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        change = 255 * (after[:, strip] - before[:, strip])
        worst = _beyond(grey(change), luma_table)
        if change.shape[0] == 3:
            for plane in chroma_of(change)[:, None]:
                worst = torch.maximum(
                    worst, _beyond_halved(plane, chroma_table) if halved else _beyond(plane, chroma_table)
                )
        out[:, strip] = worst
    return out


def _beyond_halved(plane: Tensor, table: Sequence[int]) -> Tensor:
    small = F.avg_pool2d(plane[None], 2, ceil_mode=True, count_include_pad=False)[0]
    large = F.interpolate(_beyond(small, table)[None], scale_factor=2, mode="nearest")[0]
    return large[:, : plane.shape[1], : plane.shape[2]]


def _beyond(plane: Tensor, table: Sequence[int]) -> Tensor:
    """``(1, h, w)``: the part of a change that no rounding of the file explains, its absolute value."""
    _, height, width = plane.shape
    padded = F.pad(plane[None], (0, -width % 8, 0, -height % 8), mode="replicate")[0, 0]
    down, across = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.view(down, 8, across, 8).permute(0, 2, 1, 3)
    basis = _basis()
    steps = torch.tensor(table, dtype=torch.float32).view(8, 8)
    room = torch.maximum(steps, steps.T) / 2 + _ROUNDING
    coefficients = basis @ blocks @ basis.T
    beyond = coefficients - coefficients.clamp(-room, room)
    pixels = (basis.T @ beyond @ basis).permute(0, 2, 1, 3).reshape(1, *padded.shape)
    return pixels[:, :height, :width].abs()


def _basis() -> Tensor:
    """The cosines of eight places, orthonormal, ``(8, 8)``, frequency first."""
    places = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(torch.pi * (2 * places[None] + 1) * places[:, None] / 16) / 2
    basis[0] /= 2**0.5
    return basis.float()
