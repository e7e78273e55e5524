"""What an evaluation is asked for. No torch here, so that its help is quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, unknown
from retouch.tasks import TASKS
from retouch.tasks.base import Options, Task, fields_of, option

if TYPE_CHECKING:
    from retouch.models.card import Card


MENDING = ("restore", "denoise", "deblur", "dejpeg", "relight")
"""The tasks that mend a damaged picture by itself, without a mask, at its own size."""

_CONDITIONS = ("scale", "sigma", "quality", "recipe")
_CHOICE = "--scale, --sigma, --quality and --recipe"
_ONE = f"evaluate: give exactly one of {_CHOICE}"


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """What is measured, on what. One of ``scale``, ``sigma``, ``quality`` and ``recipe`` says which protocol.

    All four may be left out for a trained weight that was made for one condition only: see ``resolve``.
    """

    scale: int | None = option(None, "super-resolution by this factor", minimum=2, maximum=8, metavar="N")
    sigma: float | None = option(
        None, "denoising, noise of this sigma on the 0..255 scale", minimum=0, maximum=255, metavar="N"
    )
    quality: int | None = option(None, "undoing JPEG of this quality", minimum=1, maximum=100, metavar="N")
    recipe: str | None = option(
        None, "mending this damage: a recipe's name (damage-text, old-photo, ...) or its TOML file", metavar="NAME|FILE"
    )
    verb: str | None = option(
        None,
        f"with --recipe, the task that NAME is run in: {', '.join(MENDING)}; by default the first of these that it can",
        metavar="TASK",
    )
    only: str | None = option(
        None, "with --recipe, what restore may mend, as its own --only: text for damage-text", metavar="NAMES"
    )
    lpips: bool = option(False, "the perceptual distance LPIPS too; needs the feature weights of vgg16")
    crop: int | None = option(None, "only the N x N pixels in the middle of each picture", minimum=8, metavar="N")
    limit: int | None = option(None, "only the first N pictures", minimum=1, metavar="N")
    grey: bool = option(False, "turn colour pictures into their Y first")
    clip_noise: bool = option(False, "clip the noisy pictures to 0..1, as files would")
    blind: bool = option(False, "do not tell the method the noise level or the JPEG quality")
    ensemble: bool = option(False, "of a trained network, the mean over eight flips and rotations, at 8 times the time")
    effort: Literal["quick", "normal", "paper"] = option("normal", "for methods that iterate")
    budget: float = option(60.0, "seconds a picture, for 'auto'", minimum=0, unit="s", metavar="SECONDS")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "of the noise and of the method", minimum=0, maximum=2**32 - 1, metavar="N")
    tile: str = option("auto", "side of the tiles in pixels, 'auto' or 'off'", metavar="auto|N|off")

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(getattr(self, name) is not None for name in _CONDITIONS) > 1:
            raise OptionError(_ONE)
        if self.clip_noise and self.sigma is None:
            raise OptionError("--clip-noise belongs to --sigma")
        if self.only is not None and (self.recipe is None or self.verb not in (None, "restore")):
            raise OptionError("--only belongs to --recipe, and to the task restore")
        if self.verb is not None:
            if self.recipe is None:
                raise OptionError("--verb belongs to --recipe")
            if self.verb not in MENDING:
                raise OptionError(unknown("task", self.verb, MENDING, "of --verb"))
        if self.recipe is not None:
            from retouch.degradations.recipe import Recipe

            if Recipe.read(self.recipe).scale != 1:
                raise OptionError(f"--recipe {self.recipe}: changes the size of the picture; --scale measures that")

    @property
    def conditioned(self) -> bool:
        """Whether it is said what is measured."""
        return any(getattr(self, name) is not None for name in _CONDITIONS)

    @property
    def task(self) -> Task:
        """The task that is measured; ``OptionError`` while nothing says which."""
        if not self.conditioned:
            raise OptionError(_ONE)
        if self.recipe is not None:
            return TASKS[self.verb or MENDING[0]]
        if self.scale is not None:
            return TASKS["upscale"]
        return TASKS["denoise"] if self.sigma is not None else TASKS["dejpeg"]

    def task_options(self, subject: Subject) -> Options:
        """The options that ``subject`` is run with."""
        values: dict[str, Any] = {
            **({"method": subject.name} if subject.card is None else {"model": subject.name}),
            "effort": self.effort,
            "budget": self.budget,
            "device": self.device,
            "seed": self.seed,
            "tile": self.tile,
        }
        if self.ensemble:
            values["ensemble"] = True
        if self.scale is not None:
            values["scale"] = self.scale
        elif self.sigma is not None and not self.blind:
            values["sigma"] = self.sigma
        elif self.quality is not None and not self.blind:
            values["quality_of_input"] = self.quality
        if self.recipe is not None:
            values["only"] = self.only
            # not all of its tasks iterate, and only one has --only
            values = {name: value for name, value in values.items() if name in fields_of(self.task.options)}
        return self.task.make_options(**values)


@dataclass(frozen=True)
class Subject:
    """What is measured: a method, 'auto' or 'input' by ``name``; or a weight, by name or path, with its ``card``."""

    name: str
    card: Card | None = None

    def parameters(self, options: EvaluateOptions) -> int | None:
        """Learned numbers of the weight; of a family, those of its weight if only one does what ``options`` ask."""
        if self.card is not None:
            return self.card.parameters
        from retouch.models import catalogue

        cards = catalogue.for_task(options.task.name, self.name, options.scale)
        return cards[0].parameters if len(cards) == 1 else None


def resolve(name: str, options: EvaluateOptions) -> tuple[Subject, EvaluateOptions]:
    """What ``name`` stands for, and the options with the condition filled in that a weight's card leaves no choice of.

    A weight of the catalogue goes before a method of the same name, and both before a path. Raises ``OptionError`` for
    a name that is none of them, a weight whose condition must be given, one that does another task, and ``ensemble``
    for what is no trained network.
    """
    subject, options = _resolve(name, options)
    if options.ensemble:
        from retouch.models import catalogue

        if subject.card is None and not catalogue.for_task(options.task.name, subject.name, options.scale):
            raise OptionError(f"evaluate {name}: --ensemble is for trained networks, by weight or method")
    return subject, options


def _resolve(name: str, options: EvaluateOptions) -> tuple[Subject, EvaluateOptions]:
    from retouch.models import catalogue

    known = {entry.card.name: entry.card for entry in catalogue.entries()}
    if name in known or name.endswith(catalogue.ENDING):
        card = known[name] if name in known else catalogue.load(name).card
        options = _condition(card, options)
        if options.recipe is not None:
            options = _with_verb(options, name, lambda task: task.name in card.tasks)
        if options.task.name not in card.tasks:
            raise OptionError(f"evaluate {name}: a weight for {', '.join(card.tasks)}, not for {options.task.name}")
        return Subject(name, card), options
    if options.recipe is not None:
        options = _with_verb(options, name, lambda task: name in _names(task))
    if name not in ("auto", "input"):
        methods = _names(options.task)
        if name not in methods:
            if options.recipe is not None and options.verb is None:
                methods = list(dict.fromkeys(known for verb in MENDING for known in _names(TASKS[verb])))
            raise OptionError(unknown("method or weight", name, [*methods, *known, "auto", "input"]))
    return Subject(name), options


def _with_verb(options: EvaluateOptions, name: str, able: Callable[[Task], bool]) -> EvaluateOptions:
    """The options with the task chosen: the one asked for, or the first that is able to mend with ``name``."""
    if options.verb is not None or name in ("auto", "input"):
        return options
    verb = next((verb for verb in MENDING if able(TASKS[verb])), None)
    return replace(options, verb=verb) if verb is not None else options


def _names(task: Task) -> list[str]:
    return [method.name for method in task.methods]


def _condition(card: Card, options: EvaluateOptions) -> EvaluateOptions:
    if options.conditioned:
        return options
    only: dict[str, Any] = {}
    if len(card.tasks) == 1:
        if card.tasks[0] == "upscale" and len(card.scales) == 1:
            only = {"scale": card.scales[0]}
        elif card.tasks[0] == "denoise" and card.sigma is not None and card.sigma[0] == card.sigma[1]:
            only = {"sigma": card.sigma[0]}
        elif card.tasks[0] == "dejpeg" and card.quality is not None and card.quality[0] == card.quality[1]:
            only = {"quality": card.quality[0]}
    if not only:
        raise OptionError(f"evaluate {card.name}: give one of {_CHOICE}: it does several")
    return replace(options, **only)


def make_options(**values: Any) -> EvaluateOptions:
    """``EvaluateOptions`` from keywords; ``OptionError`` names an unknown one."""
    known = fields_of(EvaluateOptions)
    for name in values:
        if name not in known:
            raise OptionError(unknown("option", name, list(known), "of evaluate"))
    return EvaluateOptions(**values)
