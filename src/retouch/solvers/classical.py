"""Classical methods from well-kept libraries: a baseline for every task, and quick answers for large pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from retouch.degradations.base import Degradation, Identity
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.image.resize import Kernel, resize
from retouch.solvers.noise_level import check_denoising, estimate_sigma
from retouch.solvers.steps import Listener, Solution
from retouch.solvers.windows import clip_in_place, map_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Enlarging by interpolation. ``kernel``: 'bicubic' (Keys 1981), 'lanczos3', 'lanczos2', 'bilinear' or 'box'."""

    kernel: Kernel = "bicubic"

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Bring ``measurement`` to the size it had before ``degradation``; the alpha is resized along."""
        height, width = (degradation or Identity()).input_size((measurement.height, measurement.width))
        if (height, width) == (measurement.height, measurement.width):
            return Solution(measurement, 0, "direct")
        pixels = clip_in_place(resize(measurement.pixels[None], (height, width), kernel=self.kernel)[0])
        alpha = measurement.alpha
        if alpha is not None:
            alpha = clip_in_place(resize(alpha[None], (height, width), kernel=self.kernel)[0])
        return Solution(replace(measurement, pixels=pixels, alpha=alpha), 1, "direct")


@dataclass(frozen=True, kw_only=True)
class _Denoiser(ABC):
    """A local filter whose strength follows the noise. ``sigma``: on the 0..255 scale, None to estimate it."""

    sigma: float | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None and not 0 <= self.sigma <= 255:
            raise OptionError(f"sigma must be in 0..255, not {self.sigma}")

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Denoise ``measurement``, window by window; a degradation that resizes or masks is refused.

        A picture without noise comes back as it was.
        """
        check_denoising(type(self).__name__, degradation or Identity())
        sigma = (estimate_sigma(measurement) if self.sigma is None else self.sigma) / 255
        if sigma < 1e-5:
            return Solution(measurement, 0, "direct")
        return _by_windows(
            measurement,
            measurement.pixels,
            lambda pixels: _tensor(self._filter(_array(pixels), sigma)),
            self._halo,
            on_step=on_step,
        )

    @property
    @abstractmethod
    def _halo(self) -> int: ...

    @abstractmethod
    def _filter(self, array: NDArray[np.float32], sigma: float) -> NDArray[Any]:
        """``(H, W)`` or ``(H, W, 3)`` with noise ``sigma`` on the scale of the values."""


@dataclass(frozen=True, kw_only=True)
class TotalVariation(_Denoiser):
    """Total variation: ``min_x ||x - y||^2 / 2 + weight TV(x)``, each channel by itself.

    ``strength``: weight as a multiple of sigma; the default is the best over training photographs with sigma 15 to 50.
    ``iterations`` of the dual projection, a fixed number, so that a value sees no further and windows leave no seams.

    Rudin, Osher, Fatemi, Physica D 1992; Chambolle, "An algorithm for total variation minimization", JMIV 2004.
    """

    strength: float = 0.75
    iterations: int = 60

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strength > 0 or self.iterations < 1:
            raise OptionError("strength must be above 0 and iterations at least 1")

    @property
    def _halo(self) -> int:
        return self.iterations + 1

    def _filter(self, array: NDArray[np.float32], sigma: float) -> NDArray[Any]:
        from skimage.restoration import denoise_tv_chambolle

        out: NDArray[Any] = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
            array,
            weight=self.strength * sigma,
            eps=0.0,
            max_num_iter=self.iterations,
            channel_axis=-1 if array.ndim == 3 else None,
        )
        return out


@dataclass(frozen=True, kw_only=True)
class Bilateral(_Denoiser):
    """Bilateral filter: a mean weighted by distance in space and in colour.

    ``strength``: deviation in colour as a multiple of sigma, None for 3 on grey and 4.5 on colour, where the
    differences of three channels add up. ``space``: deviation in pixels; the reach is twice that. The defaults are the
    best over training photographs with sigma 15 to 50.

    Tomasi, Manduchi, "Bilateral filtering for gray and color images", ICCV 1998.
    """

    strength: float | None = None
    space: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.strength is not None and not self.strength > 0) or not self.space > 0:
            raise OptionError("strength and space must be above 0")

    @property
    def _halo(self) -> int:
        return max(1, round(2 * self.space))

    def _filter(self, array: NDArray[np.float32], sigma: float) -> NDArray[Any]:
        import cv2

        strength = (3.0 if array.ndim == 2 else 4.5) if self.strength is None else self.strength
        out: NDArray[Any] = cv2.bilateralFilter(
            array, 2 * self._halo + 1, strength * sigma, self.space, borderType=cv2.BORDER_REFLECT
        )
        return out


@dataclass(frozen=True, kw_only=True)
class JpegReapplication:
    """Undo JPEG by doing it again: compress every shift of the picture by a block and average the results.

    The block edges fall elsewhere in each of the 64 shifts and vanish in the mean; quantising again with the tables of
    the file removes no more than the file had lost anyway. ``quality``: libjpeg's, 1..100, for the standard tables;
    None takes the tables and the subsampling of the file. The grid need not start at the corner: a cropped or turned
    JPEG works as well. Cost: about 1 s a megapixel and channel on two cores.

    Nosratinia, "Enhancement of JPEG-compressed images by re-application of JPEG", J. VLSI Signal Processing 2001.
    """

    quality: int | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise OptionError(f"quality must be in 1..100, not {self.quality}")

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Take out blocks and ringing. Raises ``OptionError`` if neither the file nor ``quality`` tells the tables."""
        check_denoising("re-application of JPEG", degradation or Identity())
        tables, halved = self.tables(measurement)
        luma, chroma = (torch.tensor(table, dtype=torch.float32).view(1, 64, 1, 1) / 255 for table in tables)

        def clean(pixels: Tensor) -> Tensor:
            if pixels.shape[0] == 1:
                return _reapply(pixels, luma)
            import cv2

            planes = _tensor(cv2.cvtColor(_array(pixels), cv2.COLOR_RGB2YCrCb))
            out = torch.cat([_reapply(planes[:1], luma), _reapply_chroma(planes[1:], chroma, halved)])
            return _tensor(cv2.cvtColor(_array(out), cv2.COLOR_YCrCb2RGB))

        # a halved chroma block spans 14 pixels, and bilinear halving and doubling some more
        return _by_windows(measurement, measurement.pixels, clean, 24, side=256, threads=1, on_step=on_step)

    def tables(self, measurement: Image) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], bool]:
        """The luma and chroma tables, row by row, and whether the chroma was halved both ways.

        Raises ``OptionError`` if neither the file nor ``quality`` tells them.
        """
        settings = measurement.metadata.jpeg
        if self.quality is not None:
            tables, subsampling = _standard_tables(self.quality), settings.subsampling if settings else 2
        elif settings is not None and 0 in settings.tables:
            tables, subsampling = settings.tables, settings.subsampling
        else:
            raise OptionError("the file says nothing about its JPEG compression; give the quality (1..100) it had")
        return (tables[0], tables.get(1, tables[0])), subsampling not in (0, 1)


def _standard_tables(quality: int) -> dict[int, tuple[int, ...]]:
    """What libjpeg uses, asked of libjpeg."""
    import io

    import PIL.Image

    with io.BytesIO() as buffer:
        PIL.Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
        buffer.seek(0)
        with PIL.Image.open(buffer) as picture:
            return {slot: tuple(table) for slot, table in picture.quantization.items()}  # type: ignore[attr-defined]


def _dct_basis() -> Tensor:
    """The 64 two-dimensional cosines of JPEG, orthonormal, ``(64, 1, 8, 8)``, row frequency first."""
    places = torch.arange(8, dtype=torch.float64)
    rows = torch.cos(torch.pi * (2 * places[None] + 1) * places[:, None] / 16) / 2
    rows[0] /= 2**0.5
    return torch.einsum("ui,vj->uvij", rows, rows).reshape(64, 1, 8, 8).float()


def _reapply(plane: Tensor, table: Tensor) -> Tensor:
    """``(1, H, W)`` quantised in the 8x8 block at every position at once; the mean of all blocks over each value."""
    from torch.nn.functional import conv2d, conv_transpose2d, pad

    basis = _dct_basis()
    padded = pad(plane[None] - 128 / 255, (7, 7, 7, 7), mode="replicate")
    coefficients = conv2d(padded, basis).div_(table).round_().mul_(table)
    return conv_transpose2d(coefficients, basis)[0, :, 7:-7, 7:-7] / 64 + 128 / 255


def _reapply_chroma(planes: Tensor, table: Tensor, halved: bool) -> Tensor:
    if not halved or min(planes.shape[1:]) < 2:
        return torch.cat([_reapply(plane[None], table) for plane in planes])
    from torch.nn.functional import avg_pool2d, interpolate

    small = avg_pool2d(planes[None], 2, ceil_mode=True, count_include_pad=False)[0]
    change = torch.cat([_reapply(plane[None], table) for plane in small]) - small
    larger = interpolate(change[None], scale_factor=2, mode="bilinear")[0]
    return planes + larger[:, : planes.shape[1], : planes.shape[2]]


@dataclass(frozen=True, kw_only=True)
class GuidedFilter:
    """Guided filter: in each window the result is an affine function of a second picture, the guide.

    ``radius`` of the windows in pixels; ``smoothness``: standard deviation on the 0..255 scale below which the guide is
    taken for flat (sqrt(eps) of the paper). The defaults are the paper's for flash / no-flash.

    He, Sun, Tang, "Guided Image Filtering", IEEE TPAMI 2013.
    """

    radius: int = 8
    smoothness: float = 5.1

    def __post_init__(self) -> None:
        if self.radius < 1 or not self.smoothness >= 0.5:
            raise OptionError("radius must be at least 1 and smoothness at least 0.5")

    def solve(
        self,
        measurement: Image,
        degradation: Degradation | None = None,
        *,
        guide: Image,
        on_step: Listener | None = None,
    ) -> Solution:
        """Smooth ``measurement`` along the edges of ``guide``. Raises ``OptionError`` if their sizes differ."""
        check_denoising("the guided filter", degradation or Identity())
        _check_size("guide", guide.pixels, measurement)
        import cv2

        channels = measurement.channels

        def smooth(both: Tensor) -> Tensor:
            # on the 0..255 scale: OpenCV takes a covariance of the guide with a determinant below 1e-6 for singular,
            # and on the 0..1 scale that is most of them
            source, reference = _array(255 * both[:channels]), _array(255 * both[channels:])
            return _tensor(cv2.ximgproc.guidedFilter(reference, source, self.radius, self.smoothness**2)) / 255

        stacked = torch.cat([measurement.pixels, guide.pixels])
        return _by_windows(measurement, stacked, smooth, 2 * self.radius + 1, on_step=on_step)


class _Inpainter(ABC):
    """Fills what ``degradation.mask`` (1 = kept) lacks. A value that is not wholly kept counts as lost."""

    def solve(self, measurement: Image, degradation: Degradation, *, on_step: Listener | None = None) -> Solution:
        """Fill the holes of ``measurement``; kept pixels stay bit for bit, and an empty mask leaves all of them.

        Raises ``OptionError`` if the degradation has no mask, one of another size, or one that keeps nothing.
        """
        mask = getattr(degradation, "mask", None)
        if not isinstance(mask, Tensor):
            raise OptionError(f"inpainting needs to know what to fill; {degradation!r} has no mask")
        _check_size("mask", mask, measurement)
        lost = (mask.detach().to("cpu") < 1).view(1, measurement.height, measurement.width)
        if not bool(lost.any()):
            return Solution(measurement, 0, "direct")
        if bool(lost.all()):
            raise OptionError("the mask keeps nothing, so there is nothing to fill from")
        channels = measurement.channels

        def fill(both: Tensor) -> Tensor:
            pixels, hole = both[:channels], both[channels] > 0
            if not bool(hole.any()) or bool(hole.all()):
                return pixels
            return torch.where(hole, _tensor(self._fill(_array(pixels), hole.numpy())), pixels)

        # far from the kept pixels nothing new is decided: four times the deepest place sees all that matters
        halo = max(32, 4 * _depth(lost[0].numpy()))
        stacked = torch.cat([measurement.pixels, lost.float()])
        return _by_windows(measurement, stacked, fill, halo, side=max(_SIDE, 2 * halo), threads=1, on_step=on_step)

    @abstractmethod
    def _fill(self, array: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[Any]:
        """``(H, W)`` or ``(H, W, 3)`` with the holes filled; some of it is kept and some is not."""


@dataclass(frozen=True, kw_only=True)
class Biharmonic(_Inpainter):
    """The smoothest surface through the borders of each hole. Cost: about 25 s for a million lost values.

    Damelin, Hoang, "On surface completion and image inpainting by biharmonic functions", 2018, in scikit-image.
    """

    def _fill(self, array: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[Any]:
        from skimage.restoration import inpaint_biharmonic

        out: NDArray[Any] = inpaint_biharmonic(
            array, hole, split_into_regions=True, channel_axis=-1 if array.ndim == 3 else None
        )
        return out


@dataclass(frozen=True, kw_only=True)
class Telea(_Inpainter):
    """Fast marching: carries the border inwards, each pixel the weighted mean of known ones within ``radius``.

    Telea, "An image inpainting technique based on the fast marching method", J. Graphics Tools 2004, in OpenCV.
    """

    radius: float = 3.0
    _method = "INPAINT_TELEA"

    def __post_init__(self) -> None:
        if not 0 < self.radius <= 100:
            raise OptionError(f"radius must be above 0 and at most 100, not {self.radius}")

    def _fill(self, array: NDArray[np.float32], hole: NDArray[np.bool_]) -> NDArray[Any]:
        import cv2

        # OpenCV fills 8-bit colour only; of more depth one channel. 16 bits and not float: Telea's there adds a term
        # of up to 1.4 units whatever the scale of the values
        planes = array.reshape(*array.shape[:2], -1)
        marked, method = hole.astype(np.uint8), getattr(cv2, self._method)
        out = np.empty_like(planes)
        for index in range(planes.shape[2]):
            plane = np.rint(planes[:, :, index] * 65535).astype(np.uint16)
            out[:, :, index] = cv2.inpaint(plane, marked, self.radius, method).astype(np.float32) / 65535
        return out.reshape(array.shape)


@dataclass(frozen=True, kw_only=True)
class NavierStokes(Telea):
    """Carries lines of equal brightness into the holes as a fluid flows.

    Bertalmio, Bertozzi, Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR 2001, in OpenCV.
    """

    _method = "INPAINT_NS"


def _by_windows(
    measurement: Image,
    stacked: Tensor,
    function: Any,
    halo: int,
    *,
    side: int | None = None,
    threads: int | None = None,
    on_step: Listener | None,
) -> Solution:
    """``function`` from ``stacked`` (the pixels, then whatever it needs besides) to the pixels of the solution."""
    channels = measurement.channels

    def padded(patch: Tensor) -> Tensor:
        # map_windows keeps the number of channels; the extra ones are passed through as they are
        return torch.cat([function(patch), patch[channels:]]) if patch.shape[0] > channels else function(patch)

    pixels, windows, cancelled = map_windows(
        padded, stacked, halo=halo, side=max(side or _SIDE, halo), threads=threads, on_step=on_step
    )
    image = replace(measurement, pixels=clip_in_place(pixels[:channels]))
    return Solution(image, windows, "cancelled" if cancelled else "direct")


def _check_size(name: str, tensor: Tensor, measurement: Image) -> None:
    if tuple(tensor.shape[-2:]) != (measurement.height, measurement.width):
        raise OptionError(
            f"the {name} is {tensor.shape[-1]}x{tensor.shape[-2]} pixels, the picture {measurement.width}x"
            f"{measurement.height}; they must be of one size"
        )


def _depth(hole: NDArray[np.bool_]) -> int:
    """How far the innermost lost pixel is from a kept one."""
    import cv2

    return int(np.ceil(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max()))


def _array(pixels: Tensor) -> NDArray[np.float32]:
    """``(C, H, W)`` -> contiguous ``(H, W)`` or ``(H, W, 3)``."""
    return np.ascontiguousarray((pixels[0] if pixels.shape[0] == 1 else pixels.permute(1, 2, 0)).numpy())


def _tensor(array: NDArray[Any]) -> Tensor:
    """The inverse of ``_array``, as float32."""
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return tensor.unsqueeze(0) if tensor.ndim == 2 else tensor.permute(2, 0, 1)
