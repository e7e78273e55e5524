"""Give one picture the distribution of values that another one has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KNOTS = 1 << 16
"""Values at which the mapping is exact; between them it is linear."""

_STRIP = 1 << 20  # pixels mapped at a time: interpolation works in float64


def match_histogram(picture: Tensor, reference: Tensor) -> Tensor:
    """``picture`` with the histogram of ``reference``: channel by channel, by one rising function of the value.

    ``picture``: ``(C, H, W)``; ``reference``: ``(C, h, w)``; any range and size, finite, on the CPU. Returns a new
    float32 tensor ``(C, H, W)`` within the range of ``reference``. Each value goes to the one of the same rank there,
    its quantile (Gonzalez and Woods, "Digital Image Processing", 4th ed., section 3.3); equal values stay equal and
    take the middle of their ranks, so that a constant channel becomes the median. A channel of up to ``KNOTS``
    different values is mapped exactly, a larger one to 1 / ``KNOTS`` in the rank. Memory: 4 bytes a pixel beside the
    result, whatever the number of channels. Johnson, Alahi, Fei-Fei, ECCV 2016, section 4.2, end super-resolution so,
    with the small picture as reference; they name no colour space, Retouch takes red, green and blue.

    Raises ``ValueError`` for other numbers of channels or dimensions, and for a picture without pixels.
    """
    if picture.ndim != 3 or reference.ndim != 3 or picture.shape[0] != reference.shape[0]:
        raise ValueError(f"(C, H, W) and (C, h, w), not {tuple(picture.shape)} and {tuple(reference.shape)}")
    if not picture.numel() or not reference.numel():
        raise ValueError("a picture without pixels has no histogram")
    result = torch.empty(picture.shape, dtype=torch.float32)
    for index in range(picture.shape[0]):
        values = picture[index].detach().float().contiguous().numpy().reshape(-1)
        wanted = reference[index].detach().float().contiguous().numpy().reshape(-1)
        _match(values, wanted, result[index].numpy().reshape(-1))
    return result


def _match(values: NDArray[np.float32], wanted: NDArray[np.float32], result: NDArray[np.float32]) -> None:
    import numpy as np

    ordered = np.sort(values)
    taken = np.arange(len(ordered)) if len(ordered) <= KNOTS else np.linspace(0, len(ordered) - 1, KNOTS).astype(int)
    knots = np.unique(ordered[taken])
    first, last = (np.searchsorted(ordered, knots, side=side) for side in ("left", "right"))
    middle = (first + last) / (2 * len(ordered))
    del ordered
    ordered = np.sort(wanted)
    place = np.clip(middle * len(ordered) - 0.5, 0, len(ordered) - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    low, high = ordered[below].astype(np.float64), ordered[above].astype(np.float64)
    quantiles = low + (place - below) * (high - low)
    for start in range(0, len(values), _STRIP):
        part = slice(start, start + _STRIP)
        result[part] = np.interp(values[part], knots, quantiles)
