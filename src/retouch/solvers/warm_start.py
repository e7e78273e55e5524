"""A first estimate of the picture for the lean deep priors to start from.

The published network is given noise and has to build the whole picture from it; given a smooth classical estimate as
well, it needs a tenth of the steps for the same quality (``benchmarks/deep_prior.py``). The estimate is an input of the
network, never a target: what is fitted stays the measurement alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.degradations.blur import KernelBlur
from retouch.degradations.mask import FixedMask
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.solvers.classical import Biharmonic, Telea, TotalVariation
from retouch.solvers.deconvolution import Wiener

_BIHARMONIC_PIXELS = 200_000  # beyond so many missing pixels its linear systems take minutes


def warm_start(measurement: Image, degradation: Degradation, *, noisy: bool, sigma: float | None = None) -> Tensor:
    """The estimate, ``(1, C, H, W)`` in [0, 1], of the size of the restored picture.

    Holes are filled by biharmonic interpolation (by fast marching if they are very many), a known blur is undone by
    Wiener's filter, small pictures are enlarged by bicubic interpolation, noise is taken out by total variation
    (``noisy``; ``sigma`` on 0..255, estimated if None), and a JPEG is taken as it is.
    """
    if isinstance(degradation, FixedMask):
        missing = int((degradation.mask < 0.5).sum())
        filling = Biharmonic() if missing <= _BIHARMONIC_PIXELS else Telea()
        return filling.solve(measurement, degradation).image.pixels.unsqueeze(0)
    if isinstance(degradation, KernelBlur):
        return Wiener(kernel=torch.as_tensor(degradation.kernel)).solve(measurement).image.pixels.unsqueeze(0)
    if degradation.scale != 1:
        return resize(measurement.pixels.unsqueeze(0), scale=1 / degradation.scale).clamp(0, 1)
    if noisy:
        return TotalVariation(sigma=sigma).solve(measurement).image.pixels.unsqueeze(0)
    return measurement.pixels.unsqueeze(0)
