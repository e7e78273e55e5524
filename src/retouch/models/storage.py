"""How the numbers of a weight lie in its file: whole, halved, or in eight bits with a scale for every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from retouch.image.errors import OptionError, unknown
from retouch.models.card import Store

_SCALE = ".scale"
_LARGE = ".large"
_AT = ".at"
_APART = 2
"""Numbers of a row that are stored apart. Where a network began as the identity, or reads what is nearly constant, one
or two numbers of a row are many times the others, and one scale for all leaves the others few steps: with none apart
eight bits cost ``dncnn-blind`` .40 dB and ``srresnet-x4`` 8 dB, with one .013 and .001, with two .008 and .001."""

_FEWEST = 4096
_NARROW = 16
"""Tensors of fewer numbers than ``_FEWEST``, or of fewer inputs or outputs than ``_NARROW``, stay in float16: the first
and the last convolution of a network, and what modulates the others, which take little room and do harm. The two of
``unet-denoise`` cost .012 dB, all its others .001 together."""

_NOTHING = 1e-30
"""A row that holds nothing larger becomes zeros: a 127th of it might be no float32 any more."""


def packed(tensors: Mapping[str, Tensor], store: str) -> dict[str, Tensor]:
    """``tensors`` as a file holds them; those that are not floating point as they are.

    "int8": a tensor of at least 4096 numbers, 16 or more of them along each of its first two dimensions, becomes whole
    numbers from -127 to 127. Beside it lie, row by row (first dimension), what they are to be multiplied by
    (``name.scale``) and the two largest numbers of the row (``name.large``, float32) with their places in it
    (``name.at``, int32): the error of a number is at most 1/254 of the third largest of its row. The others, and all
    with "fp16", become float16. Raises ``OptionError`` for another ``store``.
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
        elif store == "int8" and value.ndim > 1 and value.numel() >= _FEWEST and min(value.shape[:2]) >= _NARROW:
            for suffix, part in _eighth(value.float()).items():
                found[name + suffix] = part
        else:
            found[name] = value.half().clone()
    return found


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that a file's stand for: ``packed`` undone, int8 as float32, others as they are stored.

    Files from before numbers were stored apart have no ``name.large``, and are read as well. What does not fit together
    is left as it is.
    """
    found, used = {}, set()
    for name, value in tensors.items():
        parts = {suffix: tensors[name + suffix] for suffix in (_SCALE, _LARGE, _AT) if name + suffix in tensors}
        if _fits(value, parts):
            found[name] = _whole(value, parts)
            used |= {name + suffix for suffix in parts}
        else:
            found[name] = value
    return {name: value for name, value in found.items() if name not in used}


def _fits(value: Tensor, parts: Mapping[str, Tensor]) -> bool:
    if value.dtype != torch.int8 or _SCALE not in parts or parts[_SCALE].shape != value.shape[:1]:
        return False
    large, at = parts.get(_LARGE), parts.get(_AT)
    if large is None or at is None:
        return large is at
    if large.ndim != 2 or large.shape != at.shape or len(at) != len(value) or at.is_floating_point():
        return False
    return not at.numel() or (int(at.min()) >= 0 and int(at.max()) < value[0].numel())


def _whole(value: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    rows = value.flatten(1).float() * parts[_SCALE].unsqueeze(1)
    if _LARGE in parts:
        rows.scatter_(1, parts[_AT].long(), parts[_LARGE].float())
    return rows.view(value.shape)


def _eighth(value: Tensor) -> dict[str, Tensor]:
    rows = value.flatten(1).clone()
    at = rows.abs().argsort(dim=1, descending=True, stable=True)[:, :_APART]
    large = rows.gather(1, at)
    rows.scatter_(1, at, 0.0)
    largest = rows.abs().amax(dim=1)
    scale = torch.where(largest > _NOTHING, largest / 127, 1.0)
    eighth = (rows / scale.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8).view(value.shape)
    return {"": eighth, _SCALE: scale, _LARGE: large, _AT: at.int()}
