"""Where to compute, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from retouch.image.errors import OptionError


def pick_device(name: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``OptionError`` if it is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: no CUDA device here, or a torch built without CUDA; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise OptionError("--device mps: no Metal device here; use --device cpu")
    return device


@cache
def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 there: AVX512-BF16 or AMX on a CPU, Ampere or later."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        checks = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        return any(bool(check()) for check in checks if check is not None)
    return False


def learning_layout(device: torch.device) -> torch.memory_format:
    """The memory layout in which convolutions of 3x3 learn a whole picture fastest.

    channels_last, but for CPUs with AVX2 and nothing wider, where the gradients of the weights are slow in it: a step
    of the published deep prior takes 1.5 to 1.9 times as long (``benchmarks/deep_prior.py``), of ZS-N2N 1.4 to 1.7.
    Not for networks of 1x1, nor for crops as small as those of most trainings, with which it is the other way round.
    """
    narrow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if narrow else torch.channels_last


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bfloat16 autocast for precision ``bf16``; nothing for ``fp32``; ``auto`` chooses by ``fast_bfloat16``."""
    if precision == "bf16" or (precision == "auto" and fast_bfloat16(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
