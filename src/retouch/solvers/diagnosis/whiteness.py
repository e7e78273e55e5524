"""Whether what remains in the quietest parts of a picture is noise: alike at all frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retouch.solvers.diagnosis.blocks import Array, coefficients

_BLOCKS = 4096
_QUIET = 0.25  # share of the blocks that is looked at: those with the least structure
_FEWEST = 8
_PLACE = np.add.outer(np.arange(8), np.arange(8)).ravel()
_MIDDLE = (_PLACE >= 2) & (_PLACE <= 6)
_FINE = _PLACE >= 9


def whiteness(crops: Sequence[Array]) -> tuple[float, float] | None:
    """The deviation at high frequencies in the quietest 8x8 blocks, and its ratio at middle to that at high ones.

    ``crops``: ``(C, H, W)``; the deviation is on their scale. Means over the channels; None for too few blocks.
    The ratio is 0.8 to 1.3 for white noise, and above for texture, whose power falls with the frequency.
    """
    deviations, ratios = [], []
    for planes in zip(*crops, strict=True):
        power = coefficients(planes, (0, 0), _BLOCKS) ** 2
        middle = power[:, _MIDDLE].mean(axis=1)
        kept = np.argsort(middle)[: round(_QUIET * len(power))]
        if len(kept) < _FEWEST:
            return None
        fine = float(power[kept][:, _FINE].mean())
        deviations.append(np.sqrt(fine))
        ratios.append(np.sqrt(middle[kept].mean() / max(fine, 1e-9)))
    return float(np.mean(deviations)), float(np.mean(ratios))
