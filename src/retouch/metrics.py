"""PSNR and SSIM, with the convention in the signature; LPIPS; colour; the Fréchet distance of two sets.

Tables of super-resolution papers are made by ``channel="y", quantize=True, shave=scale``; those of denoising papers by
the defaults, on values in [0, 1] without rounding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retouch.image.color import luma, rgb_to_lab
from retouch.image.image import Image

if TYPE_CHECKING:
    from retouch.losses.lpips import LPIPS

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03
_STRIP_PIXELS = 1 << 20  # worked on at once: a picture of 60 megapixels in float64 would take gigabytes


def psnr(
    a: Image | Tensor,
    b: Image | Tensor,
    *,
    shave: int = 0,
    channel: Literal["rgb", "y"] = "rgb",
    quantize: bool = False,
) -> float:
    """Peak signal-to-noise ratio in dB between two pictures of one size; infinite if they are equal.

    ``a``, ``b``: Images, or tensors ``(C, H, W)`` or ``(1, C, H, W)`` in [0, 1]. ``shave``: border left out, in pixels.
    ``channel``: 'rgb' takes all channels as they are; 'y' the BT.601 studio-range luma, grey being used raw.
    ``quantize``: round both to 8 bits first (before and after taking the luma), as code working on files does.

    Raises ``ValueError`` if sizes or channels differ, or nothing is left inside the border.
    """
    total, count = 0.0, 0
    for first, second in _strips(a, b, shave, channel, quantize, 1):
        total += float((first - second).square().sum())
        count += first.numel()
    return math.inf if total == 0 else 10 * math.log10(255**2 * count / total)


def ssim(
    a: Image | Tensor,
    b: Image | Tensor,
    *,
    shave: int = 0,
    channel: Literal["rgb", "y"] = "rgb",
    quantize: bool = False,
) -> float:
    """Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004), in [-1, 1].

    Gaussian window of 11x11, sigma 1.5, only where it fits ('valid'), K1 = .01, K2 = .03, range 0..255, the mean over
    positions and channels. Arguments as in ``psnr``; ``ValueError`` too if a side inside the border is under 11 pixels.
    """
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window /= window.sum()

    def blur(x: Tensor) -> Tensor:
        x = F.conv2d(x.unsqueeze(1), window.view(1, 1, -1, 1))
        return F.conv2d(x, window.view(1, 1, 1, -1)).squeeze(1)

    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    total, count = 0.0, 0
    for first, second in _strips(a, b, shave, channel, quantize, _WINDOW):
        mean_a, mean_b = blur(first), blur(second)
        var_a = blur(first.square()) - mean_a.square()
        var_b = blur(second.square()) - mean_b.square()
        covariance = blur(first * second) - mean_a * mean_b
        top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        bottom = (mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2)
        total += float((top / bottom).sum())
        count += top.numel()
    return total / count


def _strips(
    a: Image | Tensor, b: Image | Tensor, shave: int, channel: str, quantize: bool, window: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Strips of both as float64 ``(C, h, W)`` on 0..255 by the convention asked for.

    Neighbours share ``window - 1`` rows, so that each position of a window lies in exactly one of them.
    """
    if channel not in ("rgb", "y"):
        raise ValueError(f"channel is 'rgb' or 'y', not {channel!r}")
    if shave < 0:
        raise ValueError(f"the border to leave out is 0 pixels or more, not {shave}")
    planes = []
    for picture in (a, b):
        x = picture.pixels if isinstance(picture, Image) else picture
        if x.ndim == 4 and x.shape[0] == 1:
            x = x[0]
        if x.ndim != 3:
            raise ValueError(f"takes (C, H, W) or (1, C, H, W), got {tuple(x.shape)}")
        planes.append(x.detach())
    if planes[0].shape != planes[1].shape:
        raise ValueError(f"pictures differ in size: {tuple(planes[0].shape)} and {tuple(planes[1].shape)}")
    height, width = (side - 2 * shave for side in planes[0].shape[1:])
    if min(height, width) < 1:
        raise ValueError(f"nothing is left inside a border of {shave} pixels")
    if min(height, width) < window:
        raise ValueError(f"SSIM needs at least {window}x{window} pixels inside the border, got {height}x{width}")
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height - window + 1, rows):
        bottom = min(top + rows + window - 1, height)
        first, second = (
            _values(x[:, shave + top : shave + bottom, shave : shave + width], channel, quantize) for x in planes
        )
        yield first, second


def _values(x: Tensor, channel: str, quantize: bool) -> Tensor:
    x = x.cpu().double() * 255
    if quantize:
        x = x.clamp(0, 255).round()
    if channel == "y":
        x = luma(x / 255) * 255
        if quantize:
            x = x.round()
    return x


def lpips(a: Image | Tensor, b: Image | Tensor, measure: nn.Module | None = None) -> float:
    """Perceptual distance of two pictures (Zhang et al., CVPR 2018), 0 for equal ones: ``losses.lpips.LPIPS``.

    ``a``, ``b``: as of ``psnr``; clipped to [0, 1], and grey is repeated. ``measure``: an ``LPIPS``; by default VGG16
    with the weights of ``models.features``, on the CPU, kept for the next call. Raises ``ValueError`` if sizes differ,
    ``OptionError`` for a side under 16 pixels, ``RetouchError`` where VGG16's weights are not to be had.
    """
    planes = [_colour(picture).clamp(0, 1)[None] for picture in (a, b)]
    if planes[0].shape != planes[1].shape:
        raise ValueError(f"pictures differ in size: {tuple(planes[0].shape[2:])} and {tuple(planes[1].shape[2:])}")
    chosen = load_lpips() if measure is None else measure
    buffer = next(chosen.buffers())
    with torch.inference_mode():
        return float(chosen(*(plane.to(buffer.device) for plane in planes)))


@functools.cache
def load_lpips(device: str = "cpu") -> LPIPS:
    """LPIPS over VGG16 with its weights, made once for a device. Raises ``RetouchError`` as ``feature_weights``."""
    from retouch.losses.lpips import LPIPS
    from retouch.models.features import feature_weights
    from retouch.models.load import load_state
    from retouch.networks.vgg import VGGFeatures

    network = VGGFeatures(16)
    load_state(network, feature_weights("vgg16"), "weights of vgg16")
    return LPIPS(network).to(device)


def chroma_error(a: Image | Tensor, b: Image | Tensor) -> float:
    """The mean over the pixels of the Euclidean distance of two colour pictures in the a b plane of CIE L*a*b*.

    ``a``, ``b``: Images of sRGB, or tensors ``(C, H, W)`` or ``(1, C, H, W)`` in [0, 1]; C = 1 counts as grey. The
    error of leaving a picture grey is ``chroma_error(grey, picture)``. Raises ``ValueError`` if sizes differ.
    """
    planes = [_colour(picture) for picture in (a, b)]
    if planes[0].shape != planes[1].shape:
        raise ValueError(f"pictures differ in size: {tuple(planes[0].shape[1:])} and {tuple(planes[1].shape[1:])}")
    total = 0.0
    _, height, width = planes[0].shape
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        first, second = (rgb_to_lab(x[:, top : top + rows].double().clamp(0, 1))[1:] for x in planes)
        total += float((first - second).square().sum(0).sqrt().sum())
    return total / (height * width)


def colourfulness(a: Image | Tensor) -> float:
    """How colourful a picture looks: 0 for grey, about 15 slightly, 45 averagely, 82 highly, 109 extremely.

    ``sigma + .3 mu`` of the opponent planes ``R - G`` and ``(R + G) / 2 - B`` on the 0..255 scale, joined by the root
    of the sum of squares. ``a``: as in ``chroma_error``. Hasler, Suesstrunk, "Measuring Colourfulness in Natural
    Images", SPIE Human Vision and Electronic Imaging 2003, section 7.
    """
    x = _colour(a)
    _, height, width = x.shape
    count = height * width
    sums, squares = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        red, green, blue = x[:, top : top + rows].double() * 255
        opponents = torch.stack((red - green, (red + green) / 2 - blue)).flatten(1)
        sums += opponents.sum(1)
        squares += opponents.square().sum(1)
    mean = sums / count
    variance = (squares / count - mean.square()).clamp(min=0)
    return float(variance.sum().sqrt() + 0.3 * mean.square().sum().sqrt())


class Moments:
    """Mean and covariance of vectors that come in portions, in float64. ``size``: numbers in a vector."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self._sum = torch.zeros(size, dtype=torch.float64)
        self._products = torch.zeros(size, size, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Count in ``(N, size)``."""
        x = vectors.detach().cpu().double()
        self.count += len(x)
        self._sum += x.sum(0)
        self._products += x.T @ x

    @property
    def mean(self) -> Tensor:
        """``(size,)``; NaN before the first vector."""
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """``(size, size)``, divided by the count less one; not finite before the second vector."""
        return (self._products - self.count * torch.outer(self.mean, self.mean)) / (self.count - 1)


def frechet_distance(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> float:
    """How far two normal distributions are apart, squared: 0 for equal ones.

    ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` (Dowson, Landau, "The Fréchet Distance between Multivariate
    Normal Distributions", Journal of Multivariate Analysis 1982), by which Heusel et al., "GANs Trained by a Two
    Time-Scale Update Rule Converge to a Local Nash Equilibrium", NeurIPS 2017, compare the features of two sets of
    pictures. Such distances compare only where the network, its layer and the number of vectors are the same.

    Means ``(N,)``, covariances ``(N, N)``, as of ``Moments``; computed in float64. The trace of the root comes from the
    eigenvalues of the symmetric ``C_a^(1/2) C_b C_a^(1/2)``, which are real and not below 0, also where covariances are
    singular.
    """
    mean_a, covariance_a, mean_b, covariance_b = (x.double() for x in (mean_a, covariance_a, mean_b, covariance_b))
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ covariance_b @ root
    crossed = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    apart = (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * crossed
    return max(0.0, float(apart))


def _colour(picture: Image | Tensor) -> Tensor:
    """``(3, H, W)`` on the CPU; grey is repeated."""
    x = picture.pixels if isinstance(picture, Image) else picture
    if x.ndim == 4 and x.shape[0] == 1:
        x = x[0]
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise ValueError(f"takes (1, H, W) or (3, H, W), got {tuple(x.shape)}")
    return x.detach().cpu().expand(3, -1, -1)
