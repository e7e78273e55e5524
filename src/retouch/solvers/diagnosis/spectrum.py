"""Blur and enlargement, read from how the power of a picture falls off with the frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_WINDOW = 64
_HOP = 32
_FAINT = 8.0  # mean power of a window, in units of 255^2 a pixel, below which it has no detail to judge
_ROUNDING = 0.03  # power that rounding to 8 bits leaves in the luma, which hides whatever is below
_SHARPEST = 0.25  # share of the windows that is looked at: a blurred background is no damage, a blurred subject is
_FEWEST = 4  # windows
_PLAINER = 0.15  # dB by which an enlargement, which has more ways to fit, must fit better than a blur
_LOW = 0.65  # radians a pixel, up to which the models are made to meet the picture
_BINS = slice(3, _WINDOW // 2 + 1)  # of a window's spectrum; below lie its slopes, not its detail

_SIGMAS = np.array([0.0, *np.arange(0.5, 1.6, 0.1), *np.arange(1.75, 4.1, 0.25)])
_FACTORS = np.array([1.75, 2.0, 2.5, 3.0, 4.0])
_SMALLER_SIGMAS = (0.0, 0.35, 0.5, 0.65)  # of the smaller picture, in its own pixels
_KERNELS = ("bilinear", "bicubic", "bicubic sharp", "lanczos3")
_SLOPES = np.arange(0.0, 3.41, 0.2)
_FLOORS = np.array(
    [_ROUNDING, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]
)  # variance a pixel, of 255^2


@dataclass(frozen=True)
class Softness:
    """What fits the spectrum best along one axis.

    ``sigma``: of a Gaussian blur in pixels, 0 where none fits better; ``factor``: of an enlargement, 1 where none does.
    ``gain``: by how many dB (root mean square over the frequencies) this fits better than an undamaged picture;
    ``misfit``: what remains, in dB.
    """

    sigma: float
    factor: float
    gain: float
    misfit: float


def softness(planes: list[Array], noise: float) -> tuple[Softness, Softness] | None:
    """What the spectra along the rows and along the columns look like; None where there is too little to tell.

    ``planes``: parts of the luma, ``(H, W)`` on the 0..255 scale. ``noise``: its standard deviation, on that scale.

    The power of photographs falls as ``w^-a`` along one axis, a about 2 (Field 1987). A Gaussian blur multiplies it by
    ``exp(-sigma^2 w^2)``; an enlargement by s repeats the spectrum of the smaller picture every ``2 pi / s`` under the
    squared response of its kernel; noise and rounding add a floor. Of a grid of such models the nearest in dB is taken.
    """
    across, down = _spectrum(planes), _spectrum([plane.T for plane in planes])
    if across is None or down is None:
        return None
    return _fit(across, noise), _fit(down, noise)


def _spectrum(planes: list[Array]) -> Array | None:
    """Power a frequency, ``(_WINDOW / 2 + 1,)``, of the windows with most detail; None where there are none."""
    weight = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
    weight /= np.sqrt((weight**2).sum())
    powers = []
    for plane in planes:
        if min(plane.shape) < _WINDOW:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(plane, (_WINDOW, _WINDOW))[::_HOP, ::_HOP]
        for row in windows:
            levels = row - row.mean(axis=2, keepdims=True)
            powers.append((np.abs(np.fft.rfft(levels * weight, axis=2)) ** 2).mean(axis=1))
    if not powers:
        return None
    power = np.concatenate(powers)
    power = power[power[:, _BINS].mean(axis=1) >= _FAINT]
    if len(power) < _FEWEST:
        return None
    detail = power[:, _WINDOW // 8 :].mean(axis=1)
    kept = np.argsort(detail)[-max(_FEWEST, round(_SHARPEST * len(detail))) :]
    # the geometric mean: each window counts by its shape, whatever its contrast
    total: Array = np.exp(np.log(power[kept] + _ROUNDING).mean(axis=0))
    return total


def _fit(power: Array, noise: float) -> Softness:
    frequency, shapes = _models()
    observed = np.log(power[_BINS])
    low = frequency < _LOW
    # level of each model at the low frequencies, where no floor matters
    level = (observed[low] - shapes[..., low]).mean(axis=-1, keepdims=True)
    signal = np.exp(shapes + level)
    floors = _FLOORS[max(0.1, 2 * noise**2) >= _FLOORS]
    errors = np.stack([np.sqrt(((np.log(signal + floor) - observed) ** 2).mean(axis=-1)) for floor in floors])
    errors = errors.min(axis=(0, 2)) * 10 / np.log(10)  # over floors and slopes: (hypotheses,)
    best = int(errors.argmin())
    blur = int(errors[: len(_SIGMAS)].argmin())
    if errors[blur] < errors[best] + _PLAINER:
        best = blur
    sigma, factor = _hypotheses()[best]
    return Softness(sigma, factor, float(errors[0] - errors[best]), float(errors[best]))


@lru_cache(maxsize=1)
def _hypotheses() -> list[tuple[float, float]]:
    return [(float(s), 1.0) for s in _SIGMAS] + [
        (0.0, float(f)) for f in _FACTORS for _ in range(len(_KERNELS) * len(_SMALLER_SIGMAS))
    ]


@lru_cache(maxsize=1)
def _models() -> tuple[Array, Array]:
    """Frequencies in radians a pixel, and the logarithm of the power: (hypotheses, slopes, frequencies)."""
    frequency = 2 * np.pi * np.arange(_WINDOW // 2 + 1)[_BINS] / _WINDOW
    slopes = _SLOPES[:, None]
    rows = [-slopes * np.log(frequency) - (s * frequency) ** 2 for s in _SIGMAS]
    for factor in _FACTORS:
        cycles = frequency * factor / (2 * np.pi)  # of the smaller picture, a pixel
        folded = np.maximum(np.abs(cycles - np.round(cycles)), 1 / 64)
        for kernel in _KERNELS:
            response = np.log(_response(kernel, cycles) ** 2 + 1e-7)
            rows += [-slopes * np.log(folded) - (2 * np.pi * s * folded) ** 2 + response for s in _SMALLER_SIGMAS]
    return frequency, np.stack(rows)


def _response(kernel: str, cycles: Array) -> Array:
    """Fourier transform of an interpolation kernel at ``cycles`` a sample."""
    t = (np.arange(-3 * 64, 3 * 64) + 0.5) / 64
    distance = np.abs(t)
    if kernel == "bilinear":
        values = np.maximum(0, 1 - distance)
    elif kernel == "lanczos3":
        values = np.sinc(t) * np.sinc(t / 3)
    else:
        a = -0.5 if kernel == "bicubic" else -0.75  # Keys's, and OpenCV's and the web browsers'
        near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
        far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        values = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    result: Array = (values[:, None] * np.cos(2 * np.pi * t[:, None] * cycles)).sum(axis=0) / 64
    return result
