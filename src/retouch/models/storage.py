"""How the numbers of a weight lie in its file: whole, halved, or in eight bits with a scale for every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from retouch.image.errors import OptionError, unknown
from retouch.models.card import Store

_SCALE = ".scale"
_FEWEST = 4096
"""Tensors of fewer numbers stay in float16, as they take little room and do harm: of them are the first and the last
convolution of a network, and what modulates the others. They cost ``unet-restore`` .013 dB, all the others .0001 dB."""

_NOTHING = 1e-30
"""A row that holds nothing larger becomes zeros: a 127th of it might be no float32 any more."""


def packed(tensors: Mapping[str, Tensor], store: str) -> dict[str, Tensor]:
    """``tensors`` as a file holds them; those that are not floating point as they are.

    "int8": a tensor of two dimensions or more and at least 4096 numbers becomes whole numbers from -127 to 127, and
    beside it, under ``name.scale``, what row by row (first dimension) they are to be multiplied by: an error of
    at most 1/254 of the row's largest number. The others, and all with "fp16", become float16. Raises
    ``OptionError`` for another ``store``.
    """
    if store not in get_args(Store):
        raise OptionError(unknown("store", store, get_args(Store)))
    found = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if not value.is_floating_point():
            found[name] = value.clone()
        elif store == "fp32":
            found[name] = value.float().clone()
        elif store == "int8" and value.ndim > 1 and value.numel() >= _FEWEST:
            found[name], found[name + _SCALE] = _eighth(value.float())
        else:
            found[name] = value.half().clone()
    return found


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that a file's stand for: ``packed`` undone, int8 as float32, others as they are stored."""
    found = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE) and _of_eight_bits(tensors.get(name.removesuffix(_SCALE))):
            continue
        scale = tensors.get(name + _SCALE)
        if _of_eight_bits(value) and scale is not None and scale.shape == value.shape[:1]:
            found[name] = value.float() * _along_rows(scale, value)
        else:
            found[name] = value
    return found


def _of_eight_bits(value: Tensor | None) -> bool:
    return value is not None and value.dtype == torch.int8


def _along_rows(scale: Tensor, value: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (value.ndim - 1))


def _eighth(value: Tensor) -> tuple[Tensor, Tensor]:
    largest = value.flatten(1).abs().amax(dim=1)
    scale = torch.where(largest > _NOTHING, largest / 127, 1.0)
    return (value / _along_rows(scale, value)).round().clamp(-127, 127).to(torch.int8), scale
