"""Non-local means: each pixel becomes the mean of those whose surroundings look alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from retouch.degradations.base import Degradation, Identity
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.solvers.noise_level import check_denoising, estimate_sigma
from retouch.solvers.steps import Listener, Solution
from retouch.solvers.windows import clip_in_place, map_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CALIBRATION_SIDE = 256
_STRENGTH = {1: 0.65, 3: 0.55}  # by channels: more values make the distance between patches surer
_GRID: dict[str, tuple[float, ...]] = {"strength": (0.4, 0.55, 0.7, 0.9), "patch": (3, 5, 7), "distance": (6, 9)}


@dataclass(frozen=True, kw_only=True)
class NonLocalMeans:
    """Non-local means with the noise variance taken off the patch distances.

    ``sigma``: noise on the 0..255 scale, None to estimate it from the picture. ``patch``: side of the compared patches,
    odd. ``distance``: how far to search, in pixels. ``strength``: decay of the weights as a multiple of sigma, more is
    smoother; None: .65 for grey, .55 for colour, whose patches are compared in all channels at once. ``second``: patch
    and distance of another estimate that is averaged with the first: large patches err on detail and small ones leave
    noise, so the mean of both is up to .2 dB better; None leaves it out. ``calibrate``: choose ``strength``, ``patch``
    and ``distance`` for this very picture, without a clean one: see ``calibrated``. ``tile``: side of the windows in
    which the picture is worked through; the result does not depend on it.

    The defaults are the best in mean PSNR over training photographs with sigma 15 to 50. Cost: 1 s a megapixel and
    channel on one core, in proportion to the square of ``distance``; memory: the result.
    Raises ``OptionError`` for values out of range.

    Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005; the fast form of Darbon et al., ISBI
    2008, as implemented by scikit-image.
    """

    sigma: float | None = None
    patch: int = 5
    distance: int = 6
    strength: float | None = None
    second: tuple[int, int] | None = (7, 4)
    calibrate: bool = False
    tile: int = 512

    def __post_init__(self) -> None:
        if self.sigma is not None and not 0 <= self.sigma <= 255:
            raise OptionError(f"sigma must be in 0..255, not {self.sigma}")
        if any(patch < 1 or patch % 2 == 0 or distance < 1 for patch, distance in self._estimates):
            raise OptionError("patches must be odd and positive, distances at least 1")
        if self.strength is not None and not self.strength > 0:
            raise OptionError(f"strength must be above 0, not {self.strength}")
        if self.tile < 1:
            raise OptionError(f"tile must be at least 1, not {self.tile}")

    @property
    def halo(self) -> int:
        """How far a value can see."""
        return max(patch // 2 + distance for patch, distance in self._estimates)

    @property
    def _estimates(self) -> list[tuple[int, int]]:
        first = (self.patch, self.distance)
        return [first] if self.second is None else [first, self.second]

    def solve(
        self,
        measurement: Image,
        degradation: Degradation | None = None,
        *,
        on_step: Listener | None = None,
        in_place: bool = False,
    ) -> Solution:
        """Denoise ``measurement``; the noise itself needs no ``degradation``, and one that resizes or masks is refused.

        ``in_place`` overwrites the pixels of ``measurement``, so that a 60-megapixel picture needs its own memory once.
        A picture without noise (sigma 0, one colour) comes back as it was.
        """
        check_denoising("non-local means", degradation or Identity())
        sigma = estimate_sigma(measurement) if self.sigma is None else self.sigma
        if sigma < 1e-3:  # a thousandth of an 8-bit level: nothing to remove, and no scale to compare patches on
            return Solution(measurement, 0, "direct")
        chosen = self.calibrated(measurement) if self.calibrate else self
        chosen = replace(chosen, sigma=sigma)
        pixels, windows, cancelled = map_windows(
            chosen.filter,
            measurement.pixels,
            halo=chosen.halo,
            side=max(chosen.tile, chosen.halo),
            on_step=on_step,
            in_place=in_place,
        )
        image = replace(measurement, pixels=clip_in_place(pixels))
        return Solution(image, windows, "cancelled" if cancelled else "direct")

    def filter(self, pixels: Tensor) -> Tensor:
        """The filter on one window, ``(C, H, W)``, unclipped. Needs ``sigma``; raises ``OptionError`` without."""
        from skimage.restoration import denoise_nl_means

        if self.sigma is None:
            raise OptionError("filter needs sigma; solve estimates it")
        grey = pixels.shape[0] == 1
        strength = _STRENGTH[pixels.shape[0]] if self.strength is None else self.strength
        array = pixels[0].numpy() if grey else pixels.permute(1, 2, 0).numpy()
        estimates = [
            denoise_nl_means(
                array,
                patch_size=patch,
                patch_distance=distance,
                h=strength * self.sigma / 255,
                sigma=self.sigma / 255,
                fast_mode=True,
                channel_axis=None if grey else -1,
            )
            for patch, distance in self._estimates
        ]
        tensor = torch.from_numpy(np.ascontiguousarray(np.mean(estimates, axis=0), dtype=np.float32))
        tensor = tensor.reshape(array.shape)  # scikit-image drops sides of one pixel
        return tensor.unsqueeze(0) if grey else tensor.permute(2, 0, 1)

    def calibrated(self, measurement: Image) -> NonLocalMeans:
        """The same solver with ``strength``, ``patch`` and ``distance`` chosen for ``measurement``, sigma filled in.

        Each combination of a small grid predicts pixels from their neighbours alone, so its squared error against the
        noisy values ranks it like the error against the clean ones (J-invariance: Batson, Royer, "Noise2Self", ICML
        2019). Works on the centre, at most 256x256: some seconds. A picture under 16 pixels is left at these values.
        """
        from skimage.restoration import calibrate_denoiser

        sigma = estimate_sigma(measurement) if self.sigma is None else self.sigma
        height, width = (min(side, _CALIBRATION_SIDE) for side in (measurement.height, measurement.width))
        if min(height, width) < 16 or sigma < 1e-3:
            return replace(self, sigma=sigma, calibrate=False)
        top, left = (measurement.height - height) // 2, (measurement.width - width) // 2
        crop = measurement.pixels[:, top : top + height, left : left + width].permute(1, 2, 0).numpy()

        def denoise(image: NDArray[Any], **options: float) -> NDArray[np.float32]:
            solver = NonLocalMeans(
                sigma=sigma,
                strength=options["strength"],
                patch=int(options["patch"]),
                distance=int(options["distance"]),
                second=self.second,
            )
            pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)
            out: NDArray[np.float32] = solver.filter(pixels).permute(1, 2, 0).numpy()
            return out

        # scikit-image finds out from the name of this option that the last axis holds the channels
        grid: dict[str, Any] = {**_GRID, "channel_axis": (-1,)}
        _, (tested, losses) = calibrate_denoiser(  # type: ignore[no-untyped-call]
            np.ascontiguousarray(crop), denoise, grid, approximate_loss=True, extra_output=True
        )
        best = tested[int(np.argmin(losses))]
        return replace(
            self,
            sigma=sigma,
            strength=float(best["strength"]),
            patch=int(best["patch"]),
            distance=int(best["distance"]),
            calibrate=False,
        )
