"""How a task is declared: options as a dataclass, methods as a table, one function that runs it.

The command line, the HTTP endpoint, the web form and the documentation are all made from these declarations, so this
file imports neither torch nor anything heavy.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from retouch.image.errors import OptionError, unknown

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

    from retouch.image.image import Image
    from retouch.solvers.steps import Listener

    Source: TypeAlias = Image | str | Path | NDArray[Any] | PIL.Image.Image

Kind = Literal["value", "picture", "mask", "state", "weight", "recipe"]
"""What an option holds: a plain value; a second picture or a mask, which every interface opens before the task sees
it, so that a task reads no file; the file that keeps the state of a long run; a weight of the task or a recipe, by its
name or its file (an interface that takes no files from those who call it offers the names only)."""


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str | None = None,
    metavar: str | None = None,
    kind: Kind = "value",
    names: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its help, inclusive range and unit, from which every interface is made.

    ``metavar``: how its value is called in help texts. ``kind``: see ``Kind``. ``names``: the words that a text may be
    where its type does not say them; the task refuses others itself. Without a default it is required.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "unit": unit,
        "metavar": metavar,
        "kind": kind,
        "names": names,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OptionField:
    """One option as an interface sees it: ``type`` is resolved, with ``Path`` where the task gets an Image."""

    name: str
    type: Any
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    metavar: str | None = None
    kind: Kind = "value"
    names: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is dataclasses.MISSING

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be, empty where it is not a choice."""
        return tuple(typing.get_args(self.type)) if typing.get_origin(self.type) is Literal else ()

    @property
    def limits(self) -> str:
        """Its range in words, '' without one."""
        if self.minimum is None and self.maximum is None:
            return ""
        if self.maximum is None:
            return f"at least {_plain(self.minimum)}"
        most = _plain(self.maximum)
        return f"at most {most}" if self.minimum is None else f"in {_plain(self.minimum)}..{most}"

    def check(self, value: Any) -> None:
        """Hold ``value`` to the range or the choices; raises ``OptionError``."""
        flag = f"--{self.name.rstrip('_').replace('_', '-')}"
        if self.choices and value not in self.choices:
            raise OptionError(unknown(f"value of {flag}", str(value), self.choices))
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return
        low = value >= self.minimum if self.minimum is not None else value == value
        if not low or (self.maximum is not None and not value <= self.maximum):
            raise OptionError(f"{flag} must be {self.limits or 'a number'}, not {value}")


def _plain(number: float | None) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def fields_of(options: type[Options]) -> dict[str, OptionField]:
    """The options of a dataclass made with ``option()``, by name, in the order of their declaration."""
    known = _FIELDS.get(options)
    if known is None:
        types = typing.get_type_hints(options, localns={"Image": Path, "Tensor": Path})
        known = _FIELDS[options] = {
            field.name: OptionField(field.name, types[field.name], field.default, **field.metadata)
            for field in dataclasses.fields(options)
        }
    return known


_FIELDS: dict[type, dict[str, OptionField]] = {}  # resolving the types takes a millisecond, and every check needs them


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a task; each task subclasses it.

    All are checked when the object is made: raises ``OptionError`` for a value out of its range or an unknown choice.
    """

    def __post_init__(self) -> None:
        for name, field in fields_of(type(self)).items():
            field.check(getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class TaskOptions(Options):
    """What every task takes."""

    note: bool = option(
        True, "note in the metadata (XMP) what was done, by which method and weights; --no-note leaves it out"
    )


@dataclass(frozen=True, kw_only=True)
class MethodOptions(TaskOptions):
    """What every task with more than one way to do it takes."""

    method: str = option("auto", "how to do it; 'auto' picks by task, size, device and --budget", metavar="NAME")
    effort: Literal["quick", "normal", "paper"] = option(
        "normal", "for methods that iterate: quick, normal, or paper (the published network and number of steps)"
    )
    budget: float = option(60.0, "seconds that 'auto' may spend on a picture", minimum=0, unit="s", metavar="SECONDS")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "repeats every random choice", minimum=0, maximum=2**32 - 1, metavar="N")
    tile: str = option("auto", "side of the tiles in pixels, 'auto' (by memory) or 'off'", metavar="auto|N|off")
    state: Path | None = option(
        None,
        "for methods that iterate: keep the state of the run here; the same call again goes on from it",
        metavar="FILE",
        kind="state",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_tile(self.tile)


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """``--tile``: a side in pixels, 'auto', or None for 'off'; ``OptionError`` for anything else."""
    if text == "auto":
        return "auto"
    if text == "off":
        return None
    if not text.isdecimal() or int(text) < 16:
        raise OptionError(f"--tile must be 'auto', 'off' or a side of at least 16 pixels, not '{text}'")
    return int(text)


@dataclass(frozen=True)
class Method:
    """One way to do a task.

    ``summary``: what it is, with its source. ``cost`` and ``prefer``: what it costs and when to choose it, for people.
    ``seconds``: estimate from (megapixels, device type, options), which ``auto`` and the tables use.
    ``rank``: among the methods that fit the budget, ``auto`` takes the highest.
    ``run``: ``(image, options, on_step) -> Image``. ``iterative``: whether it heeds effort and state, previews, and
    returns the best so far when cancelled. ``available``: None where it can be used with these options here, else why
    not, in one line. ``learned``: whether it runs trained weights, and so takes any ``--model`` of its task.
    ``spare``: seconds up to which "auto" takes the mean of 2, 4 or 8 views by it (``learned.views_within``).
    """

    name: str
    summary: str
    cost: str
    prefer: str
    seconds: Callable[[float, str, Any], float]
    rank: int
    run: Callable[[Image, Any, Listener | None], Image]
    iterative: bool = False
    available: Callable[[Any], str | None] = lambda options: None
    learned: bool = False
    spare: float = 0


@dataclass(frozen=True)
class Task:
    """One verb: its options and its methods. ``changes_size``: whether the output may be of another size."""

    name: str
    help: str
    options: type[Options]
    methods: tuple[Method, ...]
    changes_size: bool = False

    @property
    def iterative(self) -> bool:
        """Whether any of its methods iterates."""
        return any(method.iterative for method in self.methods)

    def make_options(self, **values: Any) -> Options:
        """The options from keywords; ``OptionError`` for an unknown, a missing or a wrong one."""
        known = fields_of(self.options)
        for name in values:
            if name not in known:
                raise OptionError(unknown("option", name, list(known), f"of {self.name}"))
        for name, field in known.items():
            if field.required and name not in values:
                raise OptionError(f"{self.name}: needs {name}: {field.help}")
        return self.options(**values)

    def method(self, name: str) -> Method:
        """The method called ``name``; ``OptionError`` names the nearest known one otherwise."""
        for method in self.methods:
            if method.name == name:
                return method
        raise OptionError(unknown("method", name, [m.name for m in self.methods] + ["auto"], f"for {self.name}"))

    def named(self, options: MethodOptions) -> Method | None:
        """The method that ``--method`` or ``--model`` names, None for 'auto'.

        Raises ``OptionError`` for an unknown one, for one that cannot be used here with these options, and for 'auto'
        where none can.
        """
        if getattr(options, "model", None) is not None:
            from retouch.tasks.learned import method_of_model

            return method_of_model(self, options)
        if options.method == "auto":
            reasons = [method.available(options) for method in self.methods]
            if None not in reasons:
                raise OptionError(f"{self.name}: {reasons[0]}")
            return None
        method = self.method(options.method)
        reason = method.available(options)
        if reason is not None:
            raise OptionError(f"--method {method.name}: {reason}")
        return method

    def choose(self, megapixels: float, options: Options) -> Method:
        """The method that ``options`` name, or for 'auto' the best one that can be used, within the budget.

        ``megapixels``: of the picture as it comes in. If none fits the budget, the fastest. Raises as ``named``.
        """
        if not isinstance(options, MethodOptions):
            return self.methods[0]
        chosen = self.named(options)
        if chosen is not None:
            return chosen
        from retouch.models.device import pick_device

        device = pick_device(options.device).type
        usable = [m for m in self.methods if m.available(options) is None]
        costs = {m.name: m.seconds(megapixels, device, options) for m in usable}
        fitting = [m for m in usable if costs[m.name] <= options.budget]
        if fitting:
            return max(fitting, key=lambda m: m.rank)
        return min(usable, key=lambda m: costs[m.name])

    def run(self, image: Image, options: Options, on_step: Listener | None = None) -> Image:
        """Do the task on one picture, by the method that ``choose`` picks; see ``perform``."""
        return self.perform(self.choose(image.megapixels, options), image, options, on_step)

    def perform(self, method: Method, image: Image, options: Options, on_step: Listener | None = None) -> Image:
        """Do the task by ``method``; what was done is noted in the metadata, if the options ask for it.

        A picture that comes back as it is gets no note.
        """
        from retouch.tasks.provenance import models_used, noted

        with models_used() as models:
            result = method.run(image, options, on_step)
        if result.pixels is image.pixels or not (isinstance(options, TaskOptions) and options.note):
            return result
        return noted(result, self, method, options, models)


def as_image(source: Source) -> Image:
    """An Image from an Image, the path of a file, an array ``(H, W[, C])`` (see ``Image.from_array``), or Pillow's.

    Raises ``PictureError`` for an unusable file and ``TypeError`` for anything else.
    """
    from retouch.image.image import Image

    if isinstance(source, Image):
        return source
    if isinstance(source, (str, Path)):
        from retouch.image.files import open_image

        return open_image(source)
    import numpy as np

    if isinstance(source, np.ndarray):
        return Image.from_array(source)
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        has_alpha = source.has_transparency_data
        grey = source.mode in ("1", "L", "LA", "I;16")
        if source.mode != "I;16":
            source = source.convert(("LA" if grey else "RGBA") if has_alpha else ("L" if grey else "RGB"))
        return Image.from_array(np.asarray(source))
    raise TypeError(f"a picture is an Image, a path, an array or a Pillow image, not {type(source).__name__}")
