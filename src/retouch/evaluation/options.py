"""What an evaluation is asked for. No torch here, so that its help is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, unknown
from retouch.tasks import TASKS
from retouch.tasks.base import Options, Task, fields_of, option

if TYPE_CHECKING:
    from retouch.models.card import Card


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """What is measured, on what. One of ``scale``, ``sigma`` and ``quality`` says which protocol.

    All three may be left out for a trained weight that was made for one condition only: see ``resolve``.
    """

    scale: int | None = option(None, "super-resolution by this factor", minimum=2, maximum=8, metavar="N")
    sigma: float | None = option(
        None, "denoising, noise of this sigma on the 0..255 scale", minimum=0, maximum=255, metavar="N"
    )
    quality: int | None = option(None, "undoing JPEG of this quality", minimum=1, maximum=100, metavar="N")
    crop: int | None = option(None, "only the N x N pixels in the middle of each picture", minimum=8, metavar="N")
    limit: int | None = option(None, "only the first N pictures", minimum=1, metavar="N")
    grey: bool = option(False, "turn colour pictures into their Y first")
    clip_noise: bool = option(False, "clip the noisy pictures to 0..1, as files would")
    blind: bool = option(False, "do not tell the method the noise level or the JPEG quality")
    effort: Literal["quick", "normal", "paper"] = option("normal", "for methods that iterate")
    budget: float = option(60.0, "seconds a picture, for 'auto'", minimum=0, unit="s", metavar="SECONDS")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "of the noise and of the method", minimum=0, maximum=2**32 - 1, metavar="N")
    tile: str = option("auto", "side of the tiles in pixels, 'auto' or 'off'", metavar="auto|N|off")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("scale", "sigma", "quality") if getattr(self, name) is not None]
        if len(given) > 1:
            raise OptionError("evaluate: give exactly one of --scale, --sigma and --quality")
        if self.clip_noise and self.sigma is None:
            raise OptionError("--clip-noise belongs to --sigma")

    @property
    def task(self) -> Task:
        """The task that is measured; ``OptionError`` while nothing says which."""
        if self.scale is None and self.sigma is None and self.quality is None:
            raise OptionError("evaluate: give exactly one of --scale, --sigma and --quality")
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
        if self.scale is not None:
            values["scale"] = self.scale
        elif self.sigma is not None and not self.blind:
            values["sigma"] = self.sigma
        elif self.quality is not None and not self.blind:
            values["quality_of_input"] = self.quality
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
    a name that is none of them, a weight whose condition must be given, or one that does another task.
    """
    from retouch.models import catalogue

    known = {entry.card.name: entry.card for entry in catalogue.entries()}
    if name in known or name.endswith(catalogue.ENDING):
        card = known[name] if name in known else catalogue.load(name).card
        options = _condition(card, options)
        if options.task.name not in card.tasks:
            raise OptionError(f"evaluate {name}: a weight for {', '.join(card.tasks)}, not for {options.task.name}")
        return Subject(name, card), options
    if name not in ("auto", "input"):
        methods = [method.name for method in options.task.methods]
        if name not in methods:
            raise OptionError(unknown("method or weight", name, [*methods, *known, "auto", "input"]))
    return Subject(name), options


def _condition(card: Card, options: EvaluateOptions) -> EvaluateOptions:
    if options.scale is not None or options.sigma is not None or options.quality is not None:
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
        raise OptionError(f"evaluate {card.name}: give one of --scale, --sigma and --quality: it does several")
    return replace(options, **only)


def make_options(**values: Any) -> EvaluateOptions:
    """``EvaluateOptions`` from keywords; ``OptionError`` names an unknown one."""
    known = fields_of(EvaluateOptions)
    for name in values:
        if name not in known:
            raise OptionError(unknown("option", name, list(known), "of evaluate"))
    return EvaluateOptions(**values)
