"""What a person sees while the work goes on: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from types import TracebackType

    from retouch.solvers.steps import Step

_PLAIN_SECONDS = 30.0  # a log file wants a line now and then, not one a step


def duration(seconds: float) -> str:
    """Seconds in words: '0.4 s', '12 s', '3 min 20 s', '2 h 5 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Reporter:
    """Tells about ``total`` files, one after the other. Everything goes to standard error.

    Failures are told even when ``quiet``. Use it as a context manager: leaving it takes the bar away.
    """

    def __init__(self, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.total, self.quiet = total, quiet
        self.console = Console(file=stream if stream is not None else sys.stderr, soft_wrap=True, highlight=False)
        self.number = 0
        self.name = ""
        self._told = 0.0
        self._noted = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Reporter:
        if not self.quiet and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[state]}", markup=False),
                console=self.console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def say(self, text: str) -> None:
        """One line, unless quiet."""
        if not self.quiet:
            self._print(text)

    def fail(self, name: str, reason: str) -> None:
        """One line about an input that failed, quiet or not."""
        self._print(reason if reason.startswith(f"{name}: ") else f"{name}: {reason}")

    def start(self, name: str) -> None:
        """The next file begins."""
        self.number += 1
        self.name = name
        self._told = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(self.label, total=None, state="")

    @property
    def label(self) -> str:
        """The file at work, with its number if there are several."""
        return f"[{self.number}/{self.total}] {self.name}" if self.total > 1 else self.name

    def step(self, step: Step) -> None:
        """One step of the file at work."""
        if step.note and step.note != self._noted:  # ten thousand files with one weight need not say so each
            self._noted = step.note
            self.say(f"{self.label}: {step.note}")
        if step.index == 0:  # a note before the first step
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step.index, total=step.total, state=_state(step))
        elif time.monotonic() - self._told >= _PLAIN_SECONDS:
            self._told = time.monotonic()
            self.say(f"{self.label}: {_state(step)}")

    def listener(self, step: Step) -> None:
        """``step`` in the form that solvers call."""
        self.step(step)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False)


def _state(step: Step) -> str:
    words = [f"{step.stage}: {step.index} of {step.total}" if step.stage else f"{step.index} of {step.total}"]
    if step.loss is not None:
        words.append(f"loss {step.loss:.5f}")
    if step.speed is not None:
        words.append(f"{step.speed:.0f} images/s")
    if step.seconds_left is not None and step.index < step.total:
        words.append(f"{duration(step.seconds_left)} left")
    return ", ".join(words)
