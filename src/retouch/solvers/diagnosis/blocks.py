"""The JPEG that a picture once was, read from its pixels: where its blocks lie, and how coarsely they were rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouch.degradations.jpeg_tables import luma_table

Array = NDArray[np.floating[Any]]

_SEARCHED = 512  # blocks a position of the grid is judged by
_FITTED = 4096  # blocks the quality is judged by
_ROUNDING = 0.45  # deviation of a coefficient after the picture was rounded to 8 bits in RGB and made luma again
_STRAY = 0.02  # density of coefficients that fit no step: of clipped blocks, and of what was drawn in afterwards
_STEP = 8.0  # of 255: what the lines of the grid are looked for in
_CANDIDATES = 3  # positions of the grid that the quality is fitted at
_FREQUENCIES = tuple(8 * v + u for v in range(8) for u in range(8) if 0 < u + v <= 5)
QUALITIES = np.arange(5, 97)


@dataclass(frozen=True)
class Blocks:
    """A JPEG found in pixels.

    ``quality``: the libjpeg quality that fits best, 5..96. ``offset``: row and column, 0..7, where the first whole
    block begins. ``evidence``: the mean log likelihood ratio of a coefficient, in nats, against a picture that was
    never rounded; ``coefficients``: how many spoke for it or against it.
    """

    quality: int
    offset: tuple[int, int]
    evidence: float
    coefficients: int


def find_blocks(planes: Sequence[Array]) -> Blocks | None:
    """The most likely JPEG history, however weak its evidence; None for pictures too small or too flat to have one.

    ``planes``: parts of the luma, ``(H, W)`` on the 0..255 scale, cut out at multiples of 8, NaN where a channel of the
    picture is 0 or 255: where clipping has undone the steps. Blocks with such pixels are left out.

    Of the 64 positions of the grid those are taken where most coefficients of the cosine transform vanish, and those
    where most of the small steps from pixel to pixel lie on its lines. There, the
    coefficients of a JPEG lie at multiples of the steps of its table (Fan and de Queiroz 2003): a coefficient c has the
    density ``q f(c) N(d; 0, s^2)``, d its distance to the nearest multiple of the step q, where it would have ``f(c)``
    without rounding. Coefficients below half a step speak only against it, as smooth pictures have many of them.
    """
    positions = [(row, column) for row in range(8) for column in range(8)]
    vanishing = [_vanishing(coefficients(planes, offset, _SEARCHED)) for offset in positions]
    likely = {*np.argsort(vanishing)[::-1][:_CANDIDATES].tolist(), 8 * _lines(planes) + _lines([p.T for p in planes])}
    best: Blocks | None = None
    for index in sorted(likely):
        found = _fit(coefficients(planes, positions[index], _FITTED), positions[index])
        if found is not None and (best is None or found.evidence > best.evidence):
            best = found
    return best


def _lines(planes: Sequence[Array]) -> int:
    """The row, 0..7, in which the blocks begin: where the steps from row to row stand out from those beside them."""
    sums, counts = np.zeros(8), np.zeros(8)
    for plane in planes:
        steps = np.abs(np.diff(plane, axis=0))
        beyond = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
        if not beyond.size:
            continue
        # an edge of the picture is a large step, wherever the grid is
        kept = np.isfinite(beyond)
        rows = np.where(kept, np.clip(beyond, -_STEP, _STEP), 0).sum(axis=1)
        phase = (np.arange(len(rows)) + 2) % 8
        sums += np.bincount(phase, rows, 8)
        counts += np.bincount(phase, kept.sum(axis=1), 8)
    return int((sums / np.maximum(counts, 1)).argmax())


def coefficients(planes: Sequence[Array], offset: tuple[int, int], most: int) -> Array:
    """The cosine transforms ``(n, 64)`` of up to ``most`` blocks, spread evenly, of the grid from ``offset`` on."""
    blocks = []
    for plane in planes:
        part = plane[offset[0] :, offset[1] :]
        rows, columns = part.shape[0] // 8, part.shape[1] // 8
        if rows and columns:
            cut = part[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
            blocks.append(cut.transpose(0, 2, 1, 3).reshape(-1, 8, 8))
    if not blocks:
        return np.zeros((0, 64), dtype=np.float32)
    joined = np.concatenate(blocks)
    joined = joined[np.isfinite(joined).all(axis=(1, 2))]
    if not len(joined):
        return np.zeros((0, 64), dtype=np.float32)
    joined = joined[:: -(-len(joined) // most)]
    basis = _basis()
    result: Array = (basis @ joined @ basis.T).reshape(-1, 64)
    return result


@lru_cache(maxsize=1)
def _basis() -> Array:
    """The orthonormal cosine transform (DCT-II) of 8 values, as JPEG has it."""
    k, n = np.arange(8)[:, None], np.arange(8)[None]
    basis = np.cos(np.pi * (2 * n + 1) * k / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)
    return basis.astype(np.float32)


def _vanishing(coefficients: Array) -> float:
    """Share of the coefficients that are nothing but rounding."""
    return float((np.abs(coefficients[:, 1:]) < 1).mean()) if len(coefficients) else 0.0


def _fit(coefficients: Array, offset: tuple[int, int]) -> Blocks | None:
    if not len(coefficients):
        return None
    total = np.zeros(len(QUALITIES))
    count = np.zeros(len(QUALITIES))
    for frequency in _FREQUENCIES:
        values = np.abs(coefficients[:, frequency])
        values = values[values > 3 * _ROUNDING]
        if not len(values):
            continue
        steps, back = np.unique([luma_table(int(quality))[frequency] for quality in QUALITIES], return_inverse=True)
        step = steps[:, None].astype(np.float32)
        nearest = np.round(values / step)
        off = (values - nearest * step) / _ROUNDING
        likelihood = step * np.exp(-0.5 * off**2) / (_ROUNDING * np.sqrt(2 * np.pi))
        ratio = np.log(likelihood + _STRAY)
        ratio = np.where(nearest == 0, np.minimum(ratio, 0), ratio)
        total += ratio.sum(axis=1)[back]
        count += len(values)
    if not count.any():
        return None
    best = int(total.argmax())
    return Blocks(int(QUALITIES[best]), offset, float(total[best] / count[best]), int(count[best]))
