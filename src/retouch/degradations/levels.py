"""How strong each damage of a picture is, as numbers that a network is told."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

from torch import Tensor

from retouch.degradations.base import Chain, Degradation
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.mask import Holes, Scratches
from retouch.degradations.noise import CorrelatedNoise, GaussianNoise
from retouch.degradations.overlay import TextOverlay, Watermark
from retouch.degradations.resample import ResizeBlur
from retouch.degradations.words import RandomText

_OVERLAYS = (RandomText, TextOverlay, Watermark, Holes, Scratches)


@dataclass(frozen=True)
class Levels:
    """Each from 0, the damage is not there, to 1, as strong as networks have seen it.

    ``noise``: its standard deviation of 50 on the 0..255 scale. ``jpeg``: what is missing to quality 100, of 100.
    ``enlarged``: the factor less one, of 2. ``blur``: the standard deviation of a Gaussian, of 2 pixels. ``overlay``:
    whether text, symbols or holes are to be looked for; 1 does not say that there are any.
    """

    noise: float = 0.0
    jpeg: float = 0.0
    enlarged: float = 0.0
    blur: float = 0.0
    overlay: float = 0.0

    @classmethod
    def of(
        cls,
        *,
        sigma: float = 0.0,
        quality: float = 100.0,
        factor: float = 1.0,
        blur: float = 0.0,
        overlay: bool = False,
    ) -> Levels:
        """From the figures that people use: noise ``sigma`` (0..255 scale), libjpeg ``quality`` (1..100, 100 for none),
        ``factor`` of an enlargement, ``blur`` as the standard deviation of a Gaussian in pixels; what is stronger than
        a level can say is told as 1."""
        values = sigma / 50, (100 - quality) / 100, (factor - 1) / 2, blur / 2, float(overlay)
        return cls(*(min(1.0, value) for value in values))

    @classmethod
    def caused_by(cls, degradation: Degradation) -> Levels:
        """What ``degradation``, with all its parameters drawn, does to a picture; the strongest of each kind.

        Degradations that have no level here (contrast, flips...) count for nothing.
        """
        if isinstance(degradation, Chain):
            parts = [astuple(cls.caused_by(link)) for link in degradation.links]
            return cls(*(max(values) for values in zip(*parts, strict=True)))
        if isinstance(degradation, GaussianNoise | CorrelatedNoise):
            return cls.of(sigma=degradation.sigma)
        if isinstance(degradation, Jpeg):
            return cls.of(quality=degradation.quality)
        if isinstance(degradation, ResizeBlur):
            return cls.of(factor=degradation.factor)
        if isinstance(degradation, GaussianBlur):
            return cls.of(blur=degradation.sigma)
        return cls.of(overlay=isinstance(degradation, _OVERLAYS))

    def planes(self, x: Tensor) -> Tensor:
        """``(B, 5, H, W)`` for pictures ``x`` ``(B, C, H, W)``, to be put behind their channels."""
        values = x.new_tensor(astuple(self))
        return values[None, :, None, None].expand(x.shape[0], -1, *x.shape[2:])


COUNT = len(fields(Levels))
"""How many levels there are: what a network that is told of them has as ``spec.levels``."""
