"""Filters of a known reach on pictures of any size: window by window, with the exact result of the whole picture."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from retouch.solvers.steps import Listener, Step


def map_windows(
    function: Callable[[Tensor], Tensor],
    pixels: Tensor,
    *,
    halo: int,
    side: int = 512,
    threads: int | None = None,
    on_step: Listener | None = None,
    in_place: bool = False,
) -> tuple[Tensor, int, bool]:
    """``function`` on windows of ``pixels`` that overlap by ``halo``; (result, windows done, whether cancelled).

    ``pixels``: ``(C, H, W)``. ``function``: ``(C, h, w)`` -> ``(C, h, w)``; its value at a pixel may depend on no pixel
    further than ``halo`` away, and then the result is that of ``function(pixels)``: nothing needs to be blended. It is
    called from ``threads`` threads at once (None: up to 4). ``on_step`` hears one ``Step`` a window; when it cancels,
    what is not done keeps its old values. ``in_place``: overwrite ``pixels`` and return it, which saves one picture of
    memory; otherwise memory is the result and a few rows of windows. ``side`` must be at least ``halo``.
    """
    if side < max(1, halo):
        raise ValueError(f"a window of {side} is smaller than its halo of {halo}")
    _, height, width = pixels.shape
    out = pixels if in_place else pixels.clone()
    rows, columns = range(0, height, side), range(0, width, side)
    total, done, began = len(rows) * len(columns), 0, time.monotonic()

    def window(top: int, left: int) -> Tensor:
        above, before = min(top, halo), min(left, halo)
        patch = pixels[:, top - above : top + side + halo, left - before : left + side + halo]
        return function(patch)[:, above : above + side, before : before + side]

    def write(top: int, results: list[Tensor]) -> None:
        for left, result in zip(columns, results, strict=False):
            out[:, top : top + result.shape[1], left : left + result.shape[2]] = result

    waiting: tuple[int, list[Tensor]] | None = None  # the last row is written late: the next one reads its old values
    cancelled = False
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        for top in rows:
            futures = [pool.submit(window, top, left) for left in columns]
            results: list[Tensor] = []
            for future in futures:
                results.append(future.result())
                done += 1
                left_over = (time.monotonic() - began) / done * (total - done)
                if on_step is not None and on_step(Step(done, total, left_over)) is False and done < total:
                    cancelled = True
                    break
            if cancelled:
                pool.shutdown(cancel_futures=True)  # waits for windows that still read
            if waiting is not None:
                write(*waiting)
            waiting = (top, results)
            if cancelled:
                break
    assert waiting is not None
    write(*waiting)
    return out, done, cancelled


def clip_in_place(pixels: Tensor) -> Tensor:
    """``pixels`` held to [0, 1] without a second copy; what is not a number becomes 0."""
    return torch.nan_to_num_(pixels, nan=0.0, posinf=1.0, neginf=0.0).clamp_(0, 1)
