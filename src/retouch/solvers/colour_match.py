"""Give one picture the colours of another: mean and covariance, or of the luma alone.

Gatys, Bethge, Hertzmann, Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016, sections 3 and 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-5  # variance of the noise that keeps a picture of one colour from being divided by nothing


def match_colours(picture: Tensor, reference: Tensor) -> Tensor:
    """``picture`` with the mean and covariance of the colours of ``reference``, ``(3, h, w)``, by one linear map.

    ``(3, H, W)`` -> the same, clipped to [0, 1]. The map is symmetric, ``C_r^(1/2) C_p^(-1/2)`` (the paper's "image
    analogies" form): of all maps that do it, one that turns the colours little.
    """
    flat, wanted = (x.double().flatten(1) for x in (picture, reference))
    centre, mean = flat.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
    mapping = _power(_covariance(wanted - mean), 0.5) @ _power(_covariance(flat - centre), -0.5)
    made = mapping @ (flat - centre) + mean
    return made.reshape(picture.shape).to(picture.dtype).clamp(0, 1)


def match_luma(picture: Tensor, reference: Tensor) -> Tensor:
    """``picture`` ``(1, H, W)`` with the mean and the standard deviation of ``reference``, clipped to [0, 1]."""
    deviation = picture.std(correction=0)
    gain = reference.std(correction=0) / deviation if float(deviation) > _LEAST else torch.zeros(())
    return ((picture - picture.mean()) * gain + reference.mean()).clamp(0, 1)


def _covariance(centred: Tensor) -> Tensor:
    return centred @ centred.T / centred.shape[1] + _LEAST * torch.eye(3, dtype=centred.dtype)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp(min=_LEAST) ** exponent) @ vectors.T
    return power
