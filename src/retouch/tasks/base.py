"""How a task is declared: options as a dataclass, methods as a table, one function that runs it.

The command line, the HTTP endpoint, the web form and the documentation are all made from these declarations, so this
file imports neither torch nor anything heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, unknown

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str | None = None,
) -> Any:
    """A dataclass field with its help, its inclusive range and its unit, from which every interface is made."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "unit": unit}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every task takes. Subclasses add their own fields; all are checked when the object is made.

    Raises ``OptionError`` for a value out of its range or an unknown choice.
    """

    method: str = option("auto", "how to do it; 'auto' picks by task, size, device and --budget")
    effort: Literal["quick", "normal", "paper"] = option(
        "normal", "for methods that iterate: quick, normal, or paper (the published network and number of steps)"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "repeats every random choice", minimum=0)
    tile: str = option("auto", "tile side in pixels, 'auto' (by memory) or 'off'")
    budget: float = option(60.0, "seconds a picture that 'auto' may spend", minimum=0, unit="s")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_range(field, getattr(self, field.name))


def check_range(field: dataclasses.Field[Any], value: Any) -> None:
    """Hold ``value`` to the range that ``option`` gave the field; raises ``OptionError``."""
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    if value is None or isinstance(value, (str, bool, Path)) or (low is None and high is None):
        return
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        limits = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"in {low:g}..{high:g}"
        raise OptionError(f"--{field.name.replace('_', '-')} must be {limits}, not {value}")


@dataclass(frozen=True)
class Method:
    """One way to do a task.

    ``summary``: what it is, with its source. ``cost`` and ``prefer``: what it costs and when to choose it, for people.
    ``seconds``: estimate from (megapixels, device type, options), which ``auto`` and progress use.
    ``rank``: among the methods that fit the budget, ``auto`` takes the highest.
    ``run``: ``(image, options, on_step) -> Image``.
    """

    name: str
    summary: str
    cost: str
    prefer: str
    seconds: Callable[[float, str, Any], float]
    rank: int
    run: Callable[[Image, Any, Listener | None], Image]
    iterative: bool = False


@dataclass(frozen=True)
class Task:
    """One verb: its options, its methods, and how to run it."""

    name: str
    help: str
    options: type[Options]
    methods: tuple[Method, ...]

    def method(self, name: str) -> Method:
        """The method called ``name``; ``OptionError`` names the nearest known one otherwise."""
        for method in self.methods:
            if method.name == name:
                return method
        raise OptionError(unknown("method", name, [m.name for m in self.methods] + ["auto"], f"for {self.name}"))

    def choose(self, image: Image, options: Options) -> Method:
        """The method that ``options.method`` names, or for 'auto' the best one within the budget.

        If none fits the budget, the fastest.
        """
        if options.method != "auto":
            return self.method(options.method)
        from retouch.solvers.device import pick_device

        device = pick_device(options.device).type
        costs = {m.name: m.seconds(image.megapixels, device, options) for m in self.methods}
        fitting = [m for m in self.methods if costs[m.name] <= options.budget]
        if fitting:
            return max(fitting, key=lambda m: m.rank)
        return min(self.methods, key=lambda m: costs[m.name])

    def run(self, image: Image, options: Options, on_step: Listener | None = None) -> Image:
        """Do the task on one picture."""
        return self.choose(image, options).run(image, options, on_step)
