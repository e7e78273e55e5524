"""Stopping by windowed variance: when to end an untrained prior without knowing the clean picture.

Wang, Li, Chen, Wang, Sun, "Early Stopping for Deep Image Prior", TMLR 2023. The outputs of a prior that learns from
one damaged picture vary little around the moment of best quality and more again when it starts to learn the damage, so
the output at the minimum of their moving variance is returned.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
from torch import Tensor


class _Patience:
    """Keeps the minimum of a statistic with the candidate seen there; stops after ``patience`` steps without one.

    ``delay``: take the candidate so many steps after the minimum. An average lags behind the outputs that the statistic
    is made of; a single output does not.
    """

    def __init__(self, patience: int, delay: int = 0) -> None:
        self.patience = patience
        self.delay = delay
        self.value = math.nan
        self._least = math.inf
        self._index = -1
        self._candidate: Tensor | None = None

    def _judge(self, index: int, value: float, candidate: Tensor) -> bool:
        self.value = value
        if value < self._least:
            self._least, self._index, self._candidate = value, index, candidate.clone()
        elif index - self._index <= self.delay:
            self._candidate = candidate.clone()
        return index - self._index >= self.patience

    def best(self) -> tuple[int, Tensor] | None:
        return None if self._candidate is None else (self._index, self._candidate)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "least": self._least, "index": self._index, "candidate": self._candidate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self._least = state["value"], state["least"]
        self._index, self._candidate = state["index"], state["candidate"]


class WindowedVariance(_Patience):
    """ES-WMV: ``v_t = mean over the last W outputs of mean((x_i - window mean)^2)``, from the first full window on.

    Stops when ``patience`` steps bring no new minimum. The outputs of the window are kept in half precision: 2 bytes a
    value, ``window`` times the picture.
    """

    def __init__(self, window: int = 100, patience: int = 1000, delay: int = 0) -> None:
        super().__init__(patience, delay)
        self.window = window
        self._outputs: deque[Tensor] = deque()
        self._squares: deque[float] = deque()
        self._sum: Tensor | None = None

    def update(self, index: int, output: Tensor, candidate: Tensor) -> bool:
        kept = output.to(torch.float16)
        exact = kept.double()  # float64, so that adding and subtracting thousands of outputs leaves no rest
        if self._sum is None:
            self._sum = torch.zeros_like(exact)
        self._sum += exact
        self._outputs.append(kept)
        self._squares.append(float(exact.square().mean()))
        if len(self._outputs) > self.window:
            self._sum -= self._outputs.popleft().double()
            self._squares.popleft()
        if len(self._outputs) < self.window:
            return False
        mean_square = sum(self._squares) / self.window
        square_mean = float((self._sum / self.window).square().mean())
        return self._judge(index, mean_square - square_mean, candidate)

    def state_dict(self) -> dict[str, Any]:
        outputs = torch.stack(list(self._outputs)) if self._outputs else None
        return super().state_dict() | {"outputs": outputs, "squares": list(self._squares), "sum": self._sum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._outputs = deque([] if state["outputs"] is None else state["outputs"].unbind(0))
        self._squares, self._sum = deque(state["squares"]), state["sum"]


class MovingVariance(_Patience):
    """ES-EMV: the exponential form, with two pictures of memory instead of a window of them.

    ``d = x_t - ema; ema <- ema + a d; var <- (1 - a)(var + a ||d||^2)``, the mean a value; the first ``ignore`` steps
    do not count.
    """

    def __init__(self, rate: float = 0.1, ignore: int = 100, patience: int = 1000, delay: int = 0) -> None:
        super().__init__(patience, delay)
        self.rate = rate
        self.ignore = ignore
        self._mean: Tensor | None = None
        self._variance = 0.0

    def update(self, index: int, output: Tensor, candidate: Tensor) -> bool:
        if self._mean is None:
            self._mean = output.float().clone()
        else:
            change = output - self._mean
            self._mean = (self._mean + self.rate * change).clamp_(0, 1)
            self._variance = (1 - self.rate) * (self._variance + self.rate * float(change.square().mean()))
        if index < self.ignore:
            return False
        return self._judge(index, self._variance, candidate)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"mean": self._mean, "variance": self._variance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._mean, self._variance = state["mean"], state["variance"]
