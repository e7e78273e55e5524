"""Colour spaces as the papers use them. Tensors are ``(..., 3, H, W)`` in [0, 1]; everything is differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

# BT.601 with studio range, as MATLAB's rgb2ycbcr: Y in 16..235, Cb and Cr in 16..240 of 255
_TO_YCBCR = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
_OFFSET = (16.0, 128.0, 128.0)
# sRGB primaries, white D65 (IEC 61966-2-1)
_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON, _KAPPA = 0.008856, 7.787


def _mix(x: Tensor, matrix: Tensor) -> Tensor:
    mixed: Tensor = torch.einsum("ij,...jhw->...ihw", matrix, x)
    return mixed


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)


def _matrix(values: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _inverse(values: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    exact: Tensor = torch.linalg.inv(torch.tensor(values, dtype=torch.float64))
    return exact.to(like.dtype).to(like.device)


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """BT.601 Y'CbCr in studio range: Y in [16, 235] / 255, Cb and Cr in [16, 240] / 255 (MATLAB's ``rgb2ycbcr``)."""
    return (_mix(x, _matrix(_TO_YCBCR, x)) + _column(_OFFSET, x)) / 255


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """The inverse of ``rgb_to_ycbcr``; not clipped."""
    return _mix(x * 255 - _column(_OFFSET, x), _inverse(_TO_YCBCR, x))


def luma(x: Tensor) -> Tensor:
    """Studio-range Y of ``(..., 3, H, W)`` as ``(..., 1, H, W)``; a single channel is returned as it is.

    That is the protocol of the super-resolution tables: the one grey picture of Set14 is used raw.
    """
    if x.shape[-3] == 1:
        return x
    return (_mix(x, _matrix(_TO_YCBCR[:1], x)) + _OFFSET[0]) / 255


def grey(x: Tensor) -> Tensor:
    """Full-range BT.601 luma, ``(..., 1, H, W)`` in [0, 1]: what a person sees as the grey of a colour."""
    if x.shape[-3] == 1:
        return x
    return _mix(x, _matrix(((0.299, 0.587, 0.114),), x))


def rgb_to_lab(x: Tensor) -> Tensor:
    """CIE L*a*b* for white D65: L in [0, 100], a and b about -128..127. CIE 15, IEC 61966-2-1."""
    linear = torch.where(x > 0.04045, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, x / 12.92)
    ratio = _mix(linear, _matrix(_TO_XYZ, x)) / _column(_WHITE, x)
    f = torch.where(ratio > _EPSILON, ratio.clamp(min=_EPSILON) ** (1 / 3), _KAPPA * ratio + 16 / 116)
    fx, fy, fz = f.unbind(-3)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)
