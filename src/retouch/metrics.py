"""PSNR and SSIM, with the convention in the signature.

Tables of super-resolution papers are made by ``channel="y", quantize=True, shave=scale``; those of denoising papers by
the defaults, on values in [0, 1] without rounding.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from retouch.image.color import luma
from retouch.image.image import Image

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


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
    first, second = _prepare(a, b, shave, channel, quantize)
    error = float((first - second).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


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
    first, second = _prepare(a, b, shave, channel, quantize)
    if min(first.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"SSIM needs at least {_WINDOW}x{_WINDOW} pixels inside the border, got {tuple(first.shape[-2:])}"
        )
    offsets = torch.arange(_WINDOW, dtype=first.dtype) - _WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window /= window.sum()

    def blur(x: Tensor) -> Tensor:
        x = F.conv2d(x.unsqueeze(1), window.view(1, 1, -1, 1))
        return F.conv2d(x, window.view(1, 1, 1, -1)).squeeze(1)

    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    mean_a, mean_b = blur(first), blur(second)
    var_a = blur(first.square()) - mean_a.square()
    var_b = blur(second.square()) - mean_b.square()
    covariance = blur(first * second) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    bottom = (mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2)
    return float((top / bottom).mean())


def _prepare(a: Image | Tensor, b: Image | Tensor, shave: int, channel: str, quantize: bool) -> tuple[Tensor, Tensor]:
    """Both as float64 ``(C, H, W)`` on 0..255 by the convention asked for."""
    if channel not in ("rgb", "y"):
        raise ValueError(f"channel is 'rgb' or 'y', not {channel!r}")
    planes = []
    for picture in (a, b):
        x = picture.pixels if isinstance(picture, Image) else picture
        if x.ndim == 4 and x.shape[0] == 1:
            x = x[0]
        if x.ndim != 3:
            raise ValueError(f"takes (C, H, W) or (1, C, H, W), got {tuple(x.shape)}")
        x = x.detach().cpu().double() * 255
        if quantize:
            x = x.clamp(0, 255).round()
        if channel == "y":
            x = luma(x / 255) * 255
            if quantize:
                x = x.round()
        planes.append(x)
    if planes[0].shape != planes[1].shape:
        raise ValueError(f"pictures differ in size: {tuple(planes[0].shape)} and {tuple(planes[1].shape)}")
    if shave:
        planes = [x[:, shave:-shave, shave:-shave] for x in planes]
    if planes[0].numel() == 0:
        raise ValueError(f"nothing is left inside a border of {shave} pixels")
    return planes[0], planes[1]
