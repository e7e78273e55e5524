"""What the benchmarks of speed share: clocks, the fastest matrix product, and counted operations."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from retouch.models.device import fast_bfloat16
from retouch.networks.spec import Spec

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def matrix_peaks(device: torch.device, clock: Callable[[], float], side: int) -> dict[str, float]:
    """GFLOP/s of the fastest matrix product, of every type a network may run in; both layouts, two sizes."""
    types = {"float32": torch.float32}
    if device.type == "cuda":
        types["float16"] = torch.float16
    elif fast_bfloat16(device):
        types["bfloat16"] = torch.bfloat16
    peaks = {}
    for called, dtype in types.items():
        best = 0.0
        for length in (side, side // 2):
            left, right = (torch.randn(length, length, device=device).to(dtype) for _ in range(2))
            for factor in (right, right.t()):
                for _ in range(8):
                    seconds = seconds_of(functools.partial(torch.matmul, left, factor), device, clock)
                    best = max(best, 2 * length**3 / seconds / 1e9)
        peaks[called] = best
    return peaks


def seconds_of(run: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    """How long ``run`` takes by ``clock``, until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(clock() - began, 1e-9)


def operations_of(network: nn.Module, height: int, width: int) -> int:
    """Of the convolutions and linear layers for one picture, two for each product; counted without computing."""
    spec = network.spec
    assert isinstance(spec, Spec)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).to("meta")(torch.empty(1, spec.inputs, height, width))
    return int(counter.get_total_flops())
