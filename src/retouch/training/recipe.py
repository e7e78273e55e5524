"""Training recipes: everything that decides on a weight, in one TOML file.

The recipes that come with Retouch lie in ``recipes/``, one a published weight. Any value can be replaced by
``key=value`` on the command line, with dots into the tables: ``run.steps=1000 data.crop=96``. Lists go by number, from
0: ``stage.0.run.steps=50``. See ``stages`` for recipes of several stages, ``damages`` for lists of damages by name.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from retouch.degradations.recipe import Recipe, read_toml
from retouch.image.errors import OptionError, unknown
from retouch.models.card import COLOURS, Store
from retouch.training import damages, stages, tables

_RESIZING = ("crop", "random_crop", "downsample", "lanczos_downsample", "upsample")  # not of an augmentation

FOLDER = Path(__file__).parent / "recipes"
"""Where the recipes that come with Retouch lie, one ``name.toml`` each."""


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """A network of ``networks.build``, its arguments, and the weight it starts from (name or file), if any.

    ``encoder``: feature weights (``models.features``) that the network's ``encoder`` begins with, before ``start``.
    ``partly``: tensors that do not fit (another scale's deconvolution) keep their fresh values instead of an error.
    ``deeper``: this is a plain chain (DnCNN, VDSR) and ``start`` one of as many layers or fewer, of either kind; layers
    and batch normalisations that it lacks change nothing as they begin (``networks.plain.deepen_chain``).
    ``frozen``: beginnings of the names of parameters that stay as they are; a star stands for anything, as in
    "trunk.*.norm.". ``frozen_statistics``: the batch normalisations under those names, or under names of its own, keep
    their running statistics, and normalise by them (where a step has few crops of many damages, its own statistics fit
    none); by default they go on learning them, as fastai's ``train_bn`` does. ``base``: feature weights that the whole
    network begins with, before ``start``, wherever names and sizes fit; what stays as it is there is
    left out of the weight's file.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    encoder: str | None = None
    base: str | None = None
    start: str | None = None
    partly: bool = False
    deeper: bool = False
    frozen: tuple[str, ...] = ()
    frozen_statistics: bool | tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """How pictures become pairs (input, target).

    ``source``: "degraded", the input is the target after a degradation; "plain", the input is the target; "paired",
    pictures of two kinds that belong together; "unpaired", pictures of two kinds. Of two kinds the first, or the left
    half of each picture, is the input; with ``swap`` the second. ``load``: pictures of two kinds are resized to squares
    of this side before they are cut, 0 leaves them.

    ``crop``: side of the target in pixels. ``channels``: "y" (studio-range BT.601 luma), "grey" (full range) or "rgb".
    ``degradation``: tables of ``degradations.recipe``, of which one is drawn for each target, all equally likely.
    ``flips`` and ``rotations`` (by quarter turns) are random. ``shrink``: the target is cut from the picture made
    smaller by one of these factors. ``augment``: steps as those of a degradation (``kind``, ``probability``, ...) that
    change the target itself, before it is damaged: perspective, zoom, contrast. ``held_out``: pictures kept for
    validation where no folder of them is given. ``small``: what a picture smaller than the crop is, an error or
    skipped. ``levels``: what the network is told goes with the picture, as planes that say how strong each damage is
    (``degradations.levels``), a little wrong and sometimes left out, as a diagnosis is. ``classes``: names of what the
    pictures show, those of the folders they lie in, or digits: the number of its class goes with each. ``cache``:
    decoded pictures are kept in one memory-mapped file; without it each crop decodes its picture anew. ``view``: what
    of a plain picture the target is. "cut": a square from anywhere, as it is. "middle": the largest square in its
    middle, resized to the crop; "area": a part of a share of its area in ``area`` and of proportions from 3 : 4 to
    4 : 3, resized (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6). The last two take pictures
    of any size, and are validated on the middle.
    """

    crop: int
    degradation: tuple[dict[str, Any], ...] = ()
    source: Literal["degraded", "plain", "paired", "unpaired"] = "degraded"
    swap: bool = False
    load: int = 0
    channels: Literal["y", "grey", "rgb"] = "rgb"
    flips: bool = True
    rotations: bool = True
    shrink: tuple[float, ...] = (1.0,)
    augment: tuple[dict[str, Any], ...] = ()
    held_out: int = 8
    small: Literal["error", "skip"] = "error"
    levels: bool = False
    classes: tuple[str, ...] = ()
    cache: bool = True
    view: Literal["cut", "middle", "area"] = "cut"
    area: tuple[float, float] = (0.25, 1.0)


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecipe:
    """What is minimised: an objective of ``objectives`` and its arguments."""

    name: str = "supervised"
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GroupRecipe:
    """Parameters whose names begin with ``match``, or one of several, learn ``factor`` times as fast as the others.

    Discriminative rates (Howard and Ruder 2018, ULMFiT, section 3.2): fastai's ``slice(lo, hi)`` over n groups, from
    the input's end on, are ``rate = hi`` and the factors ``(lo / hi) ** ((n - 1 - k) / (n - 1))``, k = 0 .. n - 1. A
    group that is wholly frozen is left out.
    """

    match: str | tuple[str, ...]
    factor: float


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """An optimiser. ``rate``: learning rate. ``clip``: see ``ClipRecipe``. ``turn``: other values for one turn."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: float = 0.99
    group: tuple[GroupRecipe, ...] = ()
    clip_value: float | None = None
    clip_norm: float | None = None
    clip_adjustable: float | None = None
    turn: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, turn: str) -> OptimizerRecipe:
        """The values for ``turn``; ``OptionError`` for an unknown key."""
        base = {key: value for key, value in tables.write(self).items() if key != "turn"}
        return tables.read(OptimizerRecipe, base | self.turn.get(turn, {}), f"optimizer.turn.{turn}")


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """The learning rate over the run.

    ``step``: times ``factor`` at each fraction of the run in ``at``. ``cosine``: down to ``end`` times the rate.
    ``linear``: the rate until the first fraction of ``at``, then on a straight line down to ``end`` times it.
    ``one-cycle``: up for the fraction ``rise`` of the run, then down (Smith 2018), with ``momentum`` (Adam's first
    beta) from its first value down to its second at the highest rate and back, fastai's [0.95, 0.85]; without it the
    momentum stays. ``constant``. ``warmup``: steps of linear rise before any but ``one-cycle``.
    """

    name: Literal["constant", "step", "linear", "cosine", "one-cycle"] = "cosine"
    at: tuple[float, ...] = (0.5,)
    factor: float = 0.1
    end: float = 0.001
    rise: float = 0.3
    momentum: tuple[float, float] | None = None
    warmup: int = 0


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """How long, how many, how exact.

    ``batch``: pictures a step over all devices; ``accumulate``: portions it is worked off in. ``precision``: "auto"
    (bfloat16 where the device has it, float16 with a scaler on older GPUs, else float32). ``ema``: weight of the
    exponential average of the weights, 0 for none. ``validate_every``, ``save_every`` and ``log_every``: steps.
    ``keep``: which weights are the result, those of the best validation PSNR or the last ones. ``store``: how the
    weight's file holds them, see ``models.storage.packed``.
    """

    steps: int
    batch: int = 16
    accumulate: int = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema: float = 0.999
    seed: int = 0
    validate_every: int = 1000
    save_every: int = 1000
    log_every: int = 50
    keep: Literal["best", "last"] = "best"
    store: Store = "fp16"


@dataclass(frozen=True, kw_only=True)
class CardRecipe:
    """What the weight's card will say: the fields of ``models.card.Card`` that training cannot know.

    ``back``: the summary of the weight that goes the other way, of objectives that have one.
    """

    family: str
    tasks: tuple[str, ...]
    colour: str
    summary: str
    back: str = ""
    published: str = ""
    scales: tuple[int, ...] = ()
    sigma: tuple[float, float] | None = None
    quality: tuple[int, int] | None = None
    data_licence: str = ""
    licence: str = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """A recipe, checked. ``network``: the one that ships; ``critic``: of adversarial objectives.

    ``stage``: the tables that each stage puts over the others, see ``stages``.
    """

    name: str
    help: str
    network: NetworkRecipe
    data: DataRecipe
    run: RunRecipe
    card: CardRecipe
    critic: NetworkRecipe | None = None
    objective: ObjectiveRecipe = ObjectiveRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    stage: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        run, data = self.run, self.data
        _check(run.steps >= 1 and run.batch >= 1 and run.accumulate >= 1, "run: steps, batch, accumulate: at least 1")
        _check(run.batch % run.accumulate == 0, f"run: a batch of {run.batch} is not {run.accumulate} equal portions")
        _check(0 <= run.ema < 1, f"run: ema must be in 0..1, without 1, not {run.ema}")
        _check(0 <= run.seed < 2**63, "run: seed must be at least 0")
        _check(min(run.validate_every, run.save_every, run.log_every) >= 1, "run: the ..._every are at least 1")
        _check(data.crop >= 1, f"data: crop must be at least 1, not {data.crop}")
        degraded, alone = data.source == "degraded", data.source in ("degraded", "plain")
        _check(bool(data.degradation) or not degraded, "data: needs at least one [[data.degradation]]")
        _check(degraded or not (data.degradation or data.levels), f"data: {data.source} has no damage")
        _check(alone or not (data.augment or data.classes), f"data: {data.source} has no augment and no classes")
        _check(data.source == "plain" or data.view == "cut", f"data: {data.source} has no view")
        _check(data.view == "cut" or data.shrink == (1.0,), "data: shrink is for the view cut; the others resize")
        _check(0 < data.area[0] <= data.area[1] <= 1, "data: area holds two shares in 0..1, the lower first")
        _check(data.load == 0 or data.load >= data.crop, f"data: load must be at least the crop, {data.crop}, or 0")
        _check(alone or data.shrink == (1.0,), "data: shrink is not for pictures of two kinds; load resizes them")
        _check(data.held_out >= 0, "data: held_out must be at least 0")
        _check(bool(data.shrink) and all(0 < s <= 1 for s in data.shrink), "data: shrink holds factors in 0..1")
        _check(self.optimizer.rate > 0, "optimizer: rate must be above 0")
        _check(all(0 < at < 1 for at in self.schedule.at), "schedule: at holds fractions between 0 and 1")
        _check(0 < self.schedule.rise < 1, "schedule: rise must be between 0 and 1")
        if self.schedule.momentum is not None:
            high, low = self.schedule.momentum
            _check(self.schedule.name == "one-cycle", "schedule: momentum is of one-cycle only")
            _check(0 <= low <= high < 1, "schedule: momentum holds two numbers in 0..1, without 1, the higher first")
        _check(self.card.colour in COLOURS, f"card: colour is one of {', '.join(COLOURS)}")
        augmentation = self.augmentation()
        steps = augmentation.steps if augmentation is not None else ()
        resized = [step.kind for step in steps if step.kind in _RESIZING]
        _check(not resized, f"data: augment must not change the size, as {', '.join(resized)} does")
        scales = {recipe.scale for recipe in self.degradations()} or {Fraction(1)}
        _check(len(scales) == 1, "data: all degradations must change the size alike")
        side = next(iter(scales)) * data.crop
        _check(side.denominator == 1, f"data: a crop of {data.crop} pixels does not divide by the degradation's scale")
        self.stages()

    def stages(self) -> tuple[TrainingRecipe, ...]:
        """The recipe of each stage, in order, itself without stages; this one alone where it has none.

        A stage stores its weight in float32, whatever ``run.store`` says: the next one begins with the very same.
        """
        if not self.stage:
            return (self,)
        resolved = stages.resolve(self.table())
        parts = [read_table(table, f"stage {number}") for number, table in enumerate(resolved, 1)]
        return tuple(replace(part, run=replace(part.run, store="fp32")) for part in parts)

    def degradations(self) -> tuple[Recipe, ...]:
        """The degradations as callables."""
        named = ({"name": f"{self.name}-{n}"} | dict(table) for n, table in enumerate(self.data.degradation, 1))
        return tuple(Recipe.from_table(table, f"{self.name}: data.degradation") for table in named)

    def augmentation(self) -> Recipe | None:
        """What changes the target itself, as a callable; None where nothing does."""
        if not self.data.augment:
            return None
        table = {"name": f"{self.name}-augment", "step": list(self.data.augment)}
        return Recipe.from_table(table, f"{self.name}: data.augment")

    def table(self) -> dict[str, Any]:
        """The resolved recipe as tables, which ``read_table`` gives back equal."""
        made: dict[str, Any] = tables.write(self)
        if not self.stage:
            del made["stage"]
        return made


def _check(right: bool, message: str) -> None:
    if not right:
        raise OptionError(f"recipe: {message}")


def recipe_names() -> list[str]:
    """The names of the training recipes that come with Retouch, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(source: str | Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """A recipe by name or from a TOML file, with ``overrides`` such as ``run.steps=1000`` put in.

    Raises ``OptionError`` in one line that names the file, the key and the reason.
    """
    path = Path(source)
    if path.suffix != ".toml":
        if str(source) not in recipe_names():
            raise OptionError(unknown("training recipe", str(source), recipe_names()))
        path = FOLDER / f"{source}.toml"
    table = read_toml(path)
    try:
        table = damages.resolved(table)
    except OptionError as error:
        raise OptionError(f"{path.stem}: {error}") from error
    for text in overrides:
        stages.refuse_hidden(table, text.partition("=")[0])
        _override(table, text)
    return read_table({"name": path.stem} | table, path.stem)


def read_table(table: Mapping[str, Any], where: str = "recipe") -> TrainingRecipe:
    """A recipe from tables; ``where`` begins the messages of ``OptionError``."""
    try:
        return tables.read(TrainingRecipe, stages.completed(table), where)
    except OptionError as error:
        text = str(error)
        raise OptionError(text if text.startswith(where) else f"{where}: {text}") from error


def _override(table: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise OptionError(f"'{text}': a recipe's value is replaced by key=value, as in run.steps=1000")
    try:
        read: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        read = value  # a word without quotes is a text
    *outer, last = key.split(".")
    place: Any = table
    for part in outer:
        place = _inside(place, part, key)
    if isinstance(place, list):
        _inside(place, last, key)
        place[int(last)] = read
    elif isinstance(place, dict):
        place[last] = copy.deepcopy(read)
    else:
        raise OptionError(f"{key}: '{outer[-1]}' is no table")


def _inside(place: Any, part: str, key: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(part, {})
    if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
        return place[int(part)]
    raise OptionError(f"{key}: there is no '{part}'")
