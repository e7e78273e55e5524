"""Many small pictures of one size on one: a contact sheet without words."""

from __future__ import annotations

import torch
from torch import Tensor

from retouch.image.image import Image, Metadata

_WIDE = 640  # pixels that a sheet of small pictures is at least to have


def grid(pictures: Tensor, columns: int, *, gap: int = 2, enlarge: int | None = None) -> Image:
    """``(N, C, H, W)`` in rows of ``columns``, the last filled up with white.

    ``gap``: white pixels between them. ``enlarge``: each pixel becomes so many squared, nothing is smoothed; None takes
    as many as make the sheet at least 640 pixels wide, 4 at most. Values outside [0, 1] are clipped. Raises
    ``ValueError`` for no picture, no column, a negative gap or a factor below 1.
    """
    if not len(pictures) or columns < 1 or gap < 0 or (enlarge is not None and enlarge < 1):
        raise ValueError(f"no grid of {len(pictures)} pictures in {columns} columns, {gap} apart, {enlarge} times")
    count, channels, height, width = pictures.shape
    factor = enlarge if enlarge is not None else max(1, min(4, -(-_WIDE // (columns * width))))
    tall, wide = height * factor, width * factor
    rows = -(-count // columns)
    made = torch.ones(channels, rows * (tall + gap) - gap, columns * (wide + gap) - gap)
    large = pictures.detach().cpu().float().clamp(0, 1).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    for number, picture in enumerate(large):
        row, column = divmod(number, columns)
        top, left = row * (tall + gap), column * (wide + gap)
        made[:, top : top + tall, left : left + wide] = picture
    return Image(made, metadata=Metadata(format="PNG", bit_depth=8))
