"""The step loop that every iterative solver runs on: preview, running average, stop rule, cancel, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from retouch.image.atomic import replacing
from retouch.image.errors import RetouchError
from retouch.image.image import Image

_STATE_VERSION = 1


@dataclass(frozen=True)
class Step:
    """What a listener is told: one per step of an iterative method, one per tile of a tiled one.

    ``index``: steps done, from 1; ``total``: the most there will be (a stop rule may end it sooner).
    ``seconds_left``: estimate to ``total``, None before there is one. ``loss``: of this step, None where a method
    has none. ``preview``: the picture as it stands, on some steps only. ``note``: something to tell the person.
    ``speed``: pictures a second, where that is known. ``stage``: which part of a longer work it is, in words.
    """

    index: int
    total: int
    seconds_left: float | None = None
    loss: float | None = None
    preview: Image | None = None
    note: str | None = None
    speed: float | None = None
    stage: str | None = None


Listener = Callable[[Step], bool | None]
"""Hears every ``Step``. Returning False (not None) cancels the work cleanly: the best so far comes back."""


@dataclass(frozen=True)
class Solution:
    """What a solver returns.

    ``image``: the restored picture. ``steps``: steps made. ``stopped_because``: ``"steps"`` (all made),
    ``"stop rule"``, ``"cancelled"`` or ``"direct"`` (the method does not iterate). ``history``: one dict a step with
    ``"loss"``, and whatever else the solver recorded (``"variance"``, ``"seconds"``...).
    """

    image: Image
    steps: int
    stopped_because: str
    history: list[dict[str, float]] = field(default_factory=list)


class Process(Protocol):
    """One iterative method, as the loop sees it."""

    def step(self, index: int) -> tuple[float, Tensor]:
        """Make step ``index`` (from 0): the loss, and the current output ``(1, C, H, W)``, detached."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later ``load_state_dict`` needs to continue to the same numbers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""


class StopRule(Protocol):
    """Decides from the outputs alone when to stop, and which one to return."""

    value: float
    """The statistic after the last ``update`` (NaN before it is defined)."""

    def update(self, index: int, output: Tensor, candidate: Tensor) -> bool:
        """Take the ``output`` of step ``index`` and the ``candidate`` that would be returned now; True: stop."""

    def best(self) -> tuple[int, Tensor] | None:
        """Step index and candidate at the minimum of the statistic, None before there is one."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class RunningAverage:
    """Exponential average of the outputs whose memory grows with the run: ``a_t = w_t a_(t-1) + (1 - w_t) x_t``.

    ``weight``: where ``w_t = min(weight, (1 + t) / (5 + t))`` ends; Deep Image Prior's code uses .99 from the first
    output on (``exp_weight``), which then still makes up 5 % of the average after 300 steps. Here the average covers
    about the last quarter of the steps until it has reached its full length.
    """

    def __init__(self, weight: float = 0.99) -> None:
        if not 0 <= weight < 1:
            raise ValueError(f"weight lies in [0, 1), not {weight}")
        self.weight = weight
        self.value: Tensor | None = None
        self._count = 0

    def update(self, output: Tensor) -> Tensor:
        """Take one more output; returns the average so far."""
        if self.value is None:
            self.value = output.to(torch.float32, copy=True)
        else:
            keep = min(self.weight, (1 + self._count) / (5 + self._count))
            self.value = torch.lerp(output.float(), self.value, keep)
        self._count += 1
        return self.value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self._count = state["value"], state["count"]


@dataclass
class Loop:
    """Runs a ``Process`` for ``total`` steps and finds the output to return.

    ``average``: weight of the running average of outputs, 0 for none. ``stop``: a stop rule, or None.
    ``state_file``: where the whole state is written every ``save_seconds``, and read from if it is there: a run killed
    at any moment continues from it to the same result. It is removed when the run ends by itself.
    ``identity``: what the state must agree on to be continued (picture, options); another is refused.
    ``on_step``: the listener. ``preview``: turns an output into the Image shown, every ``preview_seconds``.
    ``inspect``: called with (index, output, average) each step; what it returns is added to the history.
    """

    total: int
    average: float = 0.99
    stop: StopRule | None = None
    state_file: Path | None = None
    save_seconds: float = 20.0
    identity: str = ""
    on_step: Listener | None = None
    preview: Callable[[Tensor], Image] | None = None
    preview_seconds: float = 2.0
    inspect: Callable[[int, Tensor, Tensor], dict[str, float]] | None = None

    def _save(self, process: Process, average: RunningAverage, history: list[dict[str, float]], index: int) -> None:
        assert self.state_file is not None
        state = {
            "version": _STATE_VERSION,
            "identity": self.identity,
            "index": index,
            "history": history,
            "process": process.state_dict(),
            "average": average.state_dict(),
            "stop": self.stop.state_dict() if self.stop is not None else None,
        }
        try:
            with replacing(self.state_file) as partial:
                torch.save(state, partial)
        except OSError as error:
            raise RetouchError(f"{self.state_file}: cannot write the state: {error.strerror or error}") from error

    def _resume(self, process: Process, average: RunningAverage, history: list[dict[str, float]]) -> int:
        """Restore everything from the state file, if there is one; the number of steps already made."""
        if self.state_file is None or not self.state_file.exists():
            return 0
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
            version, identity = state["version"], state["identity"]
        except Exception as error:  # whatever a damaged file makes the reader raise
            raise RetouchError(
                f"{self.state_file}: not a state file of a Retouch run; delete it to start anew"
            ) from error
        if version != _STATE_VERSION or identity != self.identity:
            raise RetouchError(
                f"{self.state_file}: belongs to another picture or other options; delete it to start anew, "
                "or repeat the call it was made by"
            )
        process.load_state_dict(state["process"])
        average.load_state_dict(state["average"])
        if self.stop is not None and state["stop"] is not None:
            self.stop.load_state_dict(state["stop"])
        history.extend(state["history"])
        return int(state["index"])

    def run(self, process: Process) -> tuple[Tensor, int, str, list[dict[str, float]]]:
        """Output ``(1, C, H, W)``, steps made, why it stopped, history; the fields of a ``Solution``.

        Raises ``RetouchError`` if the state file belongs to another run, or if the loss stops being finite.
        """
        average = RunningAverage(self.average)
        history: list[dict[str, float]] = []
        start = self._resume(process, average, history)
        spent = history[-1]["seconds"] if history else 0.0
        began = time.monotonic()
        shown = saved = began
        candidate: Tensor | None = average.value
        reason = "steps"
        index = start
        while index < self.total:
            loss, output = process.step(index)
            if not math.isfinite(loss):
                raise RetouchError(
                    f"the loss became {loss} at step {index + 1}; try a smaller learning rate or float32"
                )
            candidate = average.update(output) if self.average else output
            index += 1
            now = time.monotonic()
            record = {"loss": loss, "seconds": spent + now - began}
            stopping = False
            if self.stop is not None:
                stopping = self.stop.update(index - 1, output, candidate)
                record["variance"] = self.stop.value
            if self.inspect is not None:
                record |= self.inspect(index - 1, output, candidate)
            history.append(record)
            if self.on_step is not None:
                show = self.preview is not None and (now - shown >= self.preview_seconds or index == start + 1)
                if show:
                    shown = now
                left = (now - began) / (index - start) * (self.total - index)
                picture = self.preview(candidate) if show and self.preview is not None else None
                if self.on_step(Step(index, self.total, left, loss, picture)) is False:
                    reason = "cancelled"
                    break
            if stopping:
                reason = "stop rule"
                break
            if self.state_file is not None and now - saved >= self.save_seconds:
                self._save(process, average, history, index)
                saved = time.monotonic()
        if self.state_file is not None:
            if reason == "cancelled":
                self._save(process, average, history, index)
            else:
                self.state_file.unlink(missing_ok=True)
        best = self.stop.best() if self.stop is not None else None
        if best is not None:
            return best[1], index, reason, history
        assert candidate is not None
        return candidate, index, reason, history
