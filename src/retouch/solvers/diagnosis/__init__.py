"""What is wrong with a picture, judged from the picture alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from retouch.degradations.jpeg_tables import quality_of_table
from retouch.image.color import grey
from retouch.solvers.diagnosis.blocks import QUALITIES, Array, find_blocks
from retouch.solvers.diagnosis.spectrum import softness
from retouch.solvers.diagnosis.whiteness import whiteness
from retouch.solvers.noise_level import estimate_sigma

if TYPE_CHECKING:
    from retouch.image.image import Image

Kind = Literal["noise", "jpeg", "blur", "enlarged", "grey"]

_CROP = 192  # pixels of a side of the parts that are looked at, a multiple of 8
_WHOLE = 512  # sides up to this are looked at as a whole
_STRIP_ROWS = 256

_NOISE = 3.5  # sigma, of 255; photographs without noise come out below it
_SURE_NOISE = 25.0  # above this nothing but noise comes out
_EVERYWHERE = 0.4  # share of the noise that the quietest blocks have at least, clipped ones among them
_WHITE = 1.6  # amplitude at middle over that at high frequencies: texture comes out above it, see whiteness
_EVIDENCE = -0.15  # pictures that were never JPEG come out at -0.28
_COEFFICIENTS = 300
_MENDED_QUALITY = 80  # above this, what JPEG leaves is too little to be mended without harm
_GAIN = 3.0  # dB; undamaged photographs come out below 2.5
_GREY = 2.5 / 255


@dataclass(frozen=True)
class Finding:
    """One thing found in a picture.

    ``kind``: 'noise', 'jpeg', 'blur', 'enlarged' or 'grey'. ``value``: standard deviation of the noise (0..255 scale),
    libjpeg quality (1..100), standard deviation of a Gaussian as wide as the blur (pixels), factor of the enlargement;
    1 for grey. ``summary``: what was found, in words; ``evidence``: by what. ``mend``: whether it is a damage that is
    strong enough to be mended.
    """

    kind: Kind
    value: float
    summary: str
    evidence: str
    mend: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """What ``diagnose`` found. ``sigma``: the noise estimate (0..255 scale), whether or not it counts as noise."""

    findings: tuple[Finding, ...]
    sigma: float

    def find(self, kind: Kind) -> Finding | None:
        """The finding of this kind, None where there is none."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    @property
    def damages(self) -> tuple[Finding, ...]:
        """The findings that are worth mending."""
        return tuple(finding for finding in self.findings if finding.mend)

    def __str__(self) -> str:
        return "; ".join(f"{finding.summary} ({finding.evidence})" for finding in self.findings) or "nothing found"


def diagnose(image: Image) -> Diagnosis:
    """What is wrong with ``image``: noise, JPEG, blur, enlargement, no colour.

    Any size from 1x1; what a small or flat picture cannot show is not found. Noise: white, of sigma 3.5 or more. JPEG:
    the quality that the file's tables were made for, or, in a picture that was JPEG once, the one its coefficients
    fit, up to quality 95, wherever its grid lies; noise added later hides it. Blur: of a Gaussian of 0.7 pixels or more
    along both axes, in the sharpest parts of the picture. Enlargement: from about 1.75 times, by interpolation.
    Text, holes and scratches are not looked for: to know them takes a network.

    Cost: about a second for any size, as large pictures are judged by nine parts. Not thread-bound: NumPy only.
    """
    crops = _crops(image.pixels)
    luma = [grey(crop)[0].numpy() * 255 for crop in crops]
    sigma = estimate_sigma(image)
    findings = [
        _noise(sigma, [crop.numpy() * 255 for crop in crops]),
        _jpeg(image, crops, luma),
        _soft(luma, sigma),
        _colourless(image.pixels, crops),
    ]
    return Diagnosis(tuple(finding for finding in findings if finding is not None), sigma)


def _crops(pixels: Tensor) -> list[Tensor]:
    """The parts that are looked at, ``(C, h, w)``, beginning at multiples of 8: the whole, or a grid of 3 by 3."""

    def spans(length: int) -> list[slice]:
        if length <= _WHOLE:
            return [slice(0, length)]
        starts = [int((length - _CROP) * place) // 8 * 8 for place in (0.1, 0.5, 0.9)]
        return [slice(start, start + _CROP) for start in starts]

    return [pixels[:, rows, columns] for rows in spans(pixels.shape[1]) for columns in spans(pixels.shape[2])]


def _noise(sigma: float, crops: list[Array]) -> Finding | None:
    if sigma < _NOISE:
        return None
    quietest = whiteness(crops)
    if quietest is None:
        if sigma < _SURE_NOISE:
            return None
    elif quietest[0] < _EVERYWHERE * sigma or (sigma < _SURE_NOISE and quietest[1] > _WHITE):
        return None  # not everywhere, or texture that fills the picture, which is coarser than noise
    return Finding(
        "noise", sigma, f"noise of sigma {sigma:.1f}", "alike at all frequencies where the picture has least structure"
    )


def _jpeg(image: Image, crops: list[Tensor], luma: list[Array]) -> Finding | None:
    settings = image.metadata.jpeg
    if settings is not None and 0 in settings.tables:
        quality = quality_of_table(settings.tables[0])
        return Finding("jpeg", quality, f"JPEG of quality {quality}", "the file's tables", quality <= _MENDED_QUALITY)
    clipped = [((crop == 0) | (crop == 1)).any(0).numpy() for crop in crops]
    planes = [np.where(lost, np.float32(np.nan), plane) for lost, plane in zip(clipped, luma, strict=True)]
    found = find_blocks(planes)
    if found is None or found.evidence < _EVIDENCE or found.coefficients < _COEFFICIENTS:
        return None
    if found.quality == QUALITIES[-1]:
        return None  # steps of a single unit, as rounding leaves in any picture
    row, column = found.offset
    where = "" if found.offset == (0, 0) else f", its blocks shifted by {column} and {row} pixels"
    return Finding(
        "jpeg",
        found.quality,
        f"JPEG of quality {found.quality}",
        f"its coefficients lie on the steps of the table{where}",
        found.quality <= _MENDED_QUALITY,
    )


def _soft(luma: list[Array], sigma: float) -> Finding | None:
    axes = softness(luma, sigma)
    if axes is None or (axes[0].gain + axes[1].gain) / 2 < _GAIN or min(axis.gain for axis in axes) < 1:
        return None
    stronger = max(axes, key=lambda axis: axis.gain)
    gain = (axes[0].gain + axes[1].gain) / 2
    if stronger.factor > 1:
        factor = float(np.mean([axis.factor for axis in axes if axis.factor > 1]))
        return Finding(
            "enlarged",
            factor,
            f"enlarged about {factor:.2g} times",
            f"its spectrum ends at {1 / factor:.0%} of what its size could hold; fits {gain:.0f} dB better than a "
            "sharp picture's",
        )
    blur = float(np.mean([axis.sigma for axis in axes if axis.factor == 1]))
    return Finding(
        "blur",
        blur,
        f"blur as of a Gaussian of sigma {blur:.1f} pixels",
        f"its spectrum falls off as under one; fits {gain:.0f} dB better than a sharp picture's",
    )


def _colourless(pixels: Tensor, crops: list[Tensor]) -> Finding | None:
    def differs(part: Tensor) -> bool:
        return bool(((part[0] - part[1]).abs() > _GREY).any() or ((part[1] - part[2]).abs() > _GREY).any())

    if pixels.shape[0] == 1:
        return Finding("grey", 1, "grey", "the file has no colour", mend=False)
    if any(map(differs, crops)) or any(map(differs, torch.split(pixels, _STRIP_ROWS, dim=1))):
        return None
    return Finding("grey", 1, "grey", "its three channels are alike", mend=False)
