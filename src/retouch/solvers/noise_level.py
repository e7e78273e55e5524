"""How noisy a picture is, judged from the picture alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.image.errors import OptionError
from retouch.image.image import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PATCHES = (8, 4, 2)
_SAMPLES = 32768
_LEAST_SAMPLES = 16  # patches per value of a patch, below which the covariance says little
_SMOOTH = 0.25  # share of the patches that is looked at: those with the least structure
_CLIPPED = 0.05  # share of a patch that may be 0 or 1, above which it is left out


def estimate_sigma(image: Image | Tensor) -> float:
    """Standard deviation of white Gaussian noise in a picture, on the 0..255 scale; the mean over the channels.

    ``image``: an Image, or floating point ``(C, H, W)`` or ``(1, C, H, W)`` in [0, 1], of any size from 1x1. The result
    is finite and not negative; 0 for a picture of one colour. Patches with much at 0 or 1, where noise was clipped, are
    left out as long as enough others remain. Noise that is correlated between neighbouring pixels (JPEG, demosaicing,
    enlarged pictures) is underestimated. Cost: .3 s a channel at most, on a regular sample of patches.
    Raises ``ValueError`` for another shape or type.

    Method: patches are split by a Haar step into 2x2 means and detail; of those whose means vary least, which says
    nothing about the noise in their detail, the covariance of the detail is taken. Its eigenvalues fall into some large
    ones, which carry the picture, and the rest, whose mean is the noise variance; the split is where their mean meets
    their median (Chen, Zhu, Heng, "An Efficient Statistical Method for Image Noise Level Estimation", ICCV 2015,
    algorithm 1). Pictures too small for that use the median absolute difference of neighbouring pixels.
    """
    pixels = image.pixels if isinstance(image, Image) else image
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.numel() == 0 or not pixels.is_floating_point():
        raise ValueError(f"takes an Image or floating point (C, H, W), not {pixels.dtype} {tuple(pixels.shape)}")
    planes = pixels.detach().to("cpu")
    return 255 * float(np.mean([_of_plane(plane) for plane in planes]))


def check_denoising(solver: str, degradation: Degradation) -> None:
    """Refuse degradations that a pure denoiser would silently ignore: resizing and masks. Raises ``OptionError``."""
    if degradation.scale != 1 or hasattr(degradation, "mask"):
        raise OptionError(f"{solver} only removes noise; it cannot undo {degradation!r}")


def _of_plane(plane: Tensor) -> float:
    """Noise of one ``(H, W)`` plane on the scale of its values."""
    for patch in _PATCHES:
        rows, columns = plane.shape[0] - patch + 1, plane.shape[1] - patch + 1
        if min(rows, columns) >= 1 and rows * columns >= _LEAST_SAMPLES * patch**2:
            return _of_patches(plane, patch)
    steps = [difference.reshape(-1).abs() for difference in (plane.diff(dim=0), plane.diff(dim=1))]
    joined = torch.cat(steps)
    # the median of |N(0, s)| is .6745 s, and the difference of two noisy values has a deviation of sqrt(2) s
    return float(joined.median()) / (0.6745 * 2**0.5) if joined.numel() else 0.0


def _of_patches(plane: Tensor, patch: int) -> float:
    windows = plane.unfold(0, patch, 1).unfold(1, patch, 1)
    # an odd stride meets every phase of the 8x8 blocks of a JPEG alike
    stride = int((windows.shape[0] * windows.shape[1] / _SAMPLES) ** 0.5) | 1
    samples = windows[::stride, ::stride].reshape(-1, patch, patch).numpy()
    least = _LEAST_SAMPLES * patch**2
    if samples.min() >= 0 and samples.max() <= 1:
        clipped = ((samples == 0) | (samples == 1)).mean(axis=(1, 2))
        if (clipped <= _CLIPPED).sum() >= least:
            samples = samples[clipped <= _CLIPPED]
    half = patch // 2
    blocks = samples.astype(np.float64).reshape(-1, half, 2, half, 2)
    a, b, c, d = blocks[:, :, 0, :, 0], blocks[:, :, 0, :, 1], blocks[:, :, 1, :, 0], blocks[:, :, 1, :, 1]
    coarse = (a + b + c + d).reshape(-1, half * half) / 2
    fine = np.stack([a - b + c - d, a + b - c - d, a - b - c + d], axis=1).reshape(len(coarse), -1) / 2
    structure = coarse.var(axis=1)
    smooth = max(least, int(_SMOOTH * len(structure)))
    if smooth < len(structure):
        fine = fine[np.argpartition(structure, smooth)[:smooth]]
    return float(np.sqrt(max(0.0, _noise_variance(fine))))


def _noise_variance(samples: NDArray[Any]) -> float:
    """Where, leaving out the largest eigenvalues one after the other, mean and median of the rest meet."""
    eigenvalues = np.linalg.eigvalsh(np.cov(samples, rowvar=False))
    for kept in range(len(eigenvalues), 1, -1):
        rest = eigenvalues[:kept]  # ascending
        if rest.mean() <= np.median(rest):
            return float(rest.mean())
    return float(eigenvalues[0])
