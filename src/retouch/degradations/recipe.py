"""Recipes: random chains of degradations, written in TOML.

    name = "phone-night"
    help = "a hand-held telephone in the dark"

    [[step]]
    kind = "motion_blur"
    probability = 0.5
    length = [2, 7]                 # drawn uniformly; whole numbers where the parameter is one
    angle = [0, 180]

    [[step]]
    kind = "jpeg"
    quality = { choice = [60, 75, 90] }

A parameter that is left out keeps the default of its class.
"""

from __future__ import annotations

import inspect
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Generator, Tensor

from retouch.degradations.base import Chain, Degradation, Identity, integer, per_picture, uniform
from retouch.degradations.blur import DefocusBlur, GaussianBlur, KernelBlur, MotionBlur, RandomGaussianBlur
from retouch.degradations.geometry import (
    Crop,
    Flip,
    Perspective,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    Rotate,
    Rotate90,
    Shift,
    Zoom,
)
from retouch.degradations.jpeg import Jpeg, RandomJpeg
from retouch.degradations.light import Brightness, Contrast, Gamma, Grey
from retouch.degradations.mask import Holes, RandomPixels, Scratches
from retouch.degradations.noise import CorrelatedNoise, GaussianNoise, PoissonNoise, SaltAndPepper, Speckle
from retouch.degradations.overlay import TextOverlay, Watermark
from retouch.degradations.resample import Downsample, LanczosDownsample, ResizeBlur, Upsample
from retouch.degradations.thumbnail import Thumbnail
from retouch.degradations.words import RandomText
from retouch.image.errors import OptionError, unknown

KINDS: dict[str, type[Degradation]] = {
    "gaussian_noise": GaussianNoise,
    "correlated_noise": CorrelatedNoise,
    "poisson_noise": PoissonNoise,
    "salt_and_pepper": SaltAndPepper,
    "speckle": Speckle,
    "gaussian_blur": GaussianBlur,
    "random_gaussian_blur": RandomGaussianBlur,
    "motion_blur": MotionBlur,
    "defocus_blur": DefocusBlur,
    "kernel_blur": KernelBlur,
    "downsample": Downsample,
    "lanczos_downsample": LanczosDownsample,
    "upsample": Upsample,
    "resize_blur": ResizeBlur,
    "random_pixels": RandomPixels,
    "holes": Holes,
    "scratches": Scratches,
    "text_overlay": TextOverlay,
    "random_text": RandomText,
    "watermark": Watermark,
    "jpeg": Jpeg,
    "random_jpeg": RandomJpeg,
    "thumbnail": Thumbnail,
    "brightness": Brightness,
    "contrast": Contrast,
    "gamma": Gamma,
    "grey": Grey,
    "crop": Crop,
    "random_crop": RandomCrop,
    "flip": Flip,
    "random_flip": RandomFlip,
    "rotate": Rotate,
    "random_rotate": RandomRotate,
    "rotate90": Rotate90,
    "zoom": Zoom,
    "shift": Shift,
    "random_affine": RandomAffine,
    "perspective": Perspective,
}
"""The kinds a recipe may name. A degradation that is not here cannot be used in a recipe."""

FOLDER = Path(__file__).parent / "recipes"
"""Where the recipes that come with Retouch lie, one ``name.toml`` each."""


def recipe_names() -> list[str]:
    """The names of the recipes that come with Retouch, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a recipe's file, of a damage or of a training; ``OptionError`` names the file and the reason."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path}: cannot read the recipe: {error.strerror or error}") from error
    except ValueError as error:  # malformed TOML, and bytes that are not UTF-8
        raise OptionError(f"{path}: not a TOML file: {error}") from error


@dataclass(frozen=True)
class Range:
    """A number drawn uniformly from ``low`` to ``high``; a whole one, both ends included, if ``whole``."""

    low: float
    high: float
    whole: bool = False

    def draw(self, generator: Generator | None) -> float:
        if self.whole:
            return integer(generator, int(self.low), int(self.high))
        return uniform(generator, self.low, self.high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of ``values``, each as likely as the others."""

    values: tuple[Any, ...]

    def draw(self, generator: Generator | None) -> Any:
        return self.values[integer(generator, 0, len(self.values) - 1)]

    def __str__(self) -> str:
        return "|".join(map(str, self.values))


@dataclass(frozen=True)
class RecipeStep:
    """One degradation of a recipe: its kind, how likely it is, and its parameters, fixed, ``Range`` or ``Choice``."""

    kind: str
    probability: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def draw(self, generator: Generator | None) -> Degradation | None:
        """The degradation with its parameters drawn, or None where the probability left it out."""
        if self.probability < 1 and uniform(generator, 0, 1) >= self.probability:
            return None
        values = {
            name: value.draw(generator) if isinstance(value, Range | Choice) else value
            for name, value in self.parameters.items()
        }
        return KINDS[self.kind](**values)

    def describe(self) -> str:
        """One line for people."""
        words = [f"{name} {value}" for name, value in self.parameters.items()]
        if self.probability < 1:
            words.append(f"probability {self.probability:g}")
        return f"{self.kind} ({', '.join(words)})" if words else self.kind


@dataclass(frozen=True)
class Recipe(Degradation):
    """A random chain of degradations, drawn anew for each picture of a batch.

    ``seed``: of a call without a generator, which then always gives the same; None leaves that to torch's global one.
    """

    name: str
    steps: tuple[RecipeStep, ...]
    seed: int | None = None
    help: str = ""

    def __post_init__(self) -> None:
        scale = Fraction(1)
        for step in self.steps:
            drawn = RecipeStep(step.kind, 1.0, step.parameters).draw(Generator())
            assert drawn is not None
            scale *= drawn.scale
        object.__setattr__(self, "scale", scale)

    @classmethod
    def read(cls, source: str | Path) -> Recipe:
        """A recipe from a TOML file, or by name one of those that come with Retouch (``recipe_names()``).

        Raises ``OptionError`` in one line that names the file, the step and the reason.
        """
        path = Path(source)
        if isinstance(source, str) and path.suffix != ".toml" and path.name == source and not path.exists():
            if source not in recipe_names():
                raise OptionError(unknown("recipe", source, recipe_names()))
            path = FOLDER / f"{source}.toml"
        return cls.from_table({"name": path.stem} | read_toml(path), str(path))

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """A recipe from what ``tomllib`` gives: ``name``, ``help``, ``seed`` and a list of tables ``step``.

        ``where``: begins the messages. Raises ``OptionError`` for an unknown key or kind, or a value out of range.
        """
        _check_keys(table, ("name", "help", "seed", "step"), "key", where)
        name, text, seed = table.get("name", ""), table.get("help", ""), table.get("seed")
        if not isinstance(name, str) or not isinstance(text, str):
            raise OptionError(f"{where}: name and help must be texts")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
            raise OptionError(f"{where}: seed must be a whole number of at least 0, not {seed!r}")
        steps = table.get("step", [])
        if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps) or not steps:
            raise OptionError(f"{where}: needs at least one [[step]]")
        read = tuple(_read_step(step, f"{where}: step {number}") for number, step in enumerate(steps, 1))
        return cls(name, read, seed, text)

    def draw(self, generator: Generator | None = None) -> Degradation:
        """A chain with every parameter drawn; what is random inside a link (noise) is drawn when it is called."""
        links = [link for link in (step.draw(generator) for step in self.steps) if link is not None]
        return Chain(*links) if len(links) > 1 else links[0] if links else Identity()

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if generator is None and self.seed is not None:
            generator = Generator().manual_seed(self.seed)
        return per_picture(x, lambda one: self.draw(generator)(one, generator))

    def describe(self) -> str:
        return ", then ".join(step.describe() for step in self.steps)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], what: str, where: str) -> None:
    for key in table:
        if key not in known:
            raise OptionError(f"{where}: {unknown(what, key, known)}")


def _read_step(table: Mapping[str, Any], where: str) -> RecipeStep:
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise OptionError(f"{where}: needs a kind (known: {', '.join(KINDS)})")
    if kind not in KINDS:
        raise OptionError(f"{where}: {unknown('kind', kind, list(KINDS))}")
    where = f"{where} ({kind})"
    probability = table.get("probability", 1.0)
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise OptionError(f"{where}: probability must be in 0..1, not {probability!r}")
    # the annotations are strings, so that a parameter is whole exactly if it says so
    types = {name: p.annotation for name, p in inspect.signature(KINDS[kind]).parameters.items()}
    given = {key: value for key, value in table.items() if key not in ("kind", "probability")}
    _check_keys(given, tuple(types), "parameter", where)
    parameters = {key: _read_value(value, types[key], f"{where}: {key}") for key, value in given.items()}
    step = RecipeStep(kind, float(probability), parameters)
    for corner in _corners(parameters):
        try:
            drawn = KINDS[kind](**corner)
        except OptionError as error:
            raise OptionError(f"{where}: {error}") from error
        if drawn.scale != 1 and (probability != 1 or any(isinstance(v, Range | Choice) for v in parameters.values())):
            raise OptionError(
                f"{where}: changes the size of the picture, so its parameters must be fixed and its probability 1 "
                "(resize_blur keeps the size)"
            )
    return step


def _read_value(value: Any, annotation: str, where: str) -> Any:
    if isinstance(value, Mapping):
        _check_keys(value, ("choice",), "key", where)
        values = value.get("choice")
        if not isinstance(values, list) or not values:
            raise OptionError(f"{where}: choice must be a list of at least one value")
        return Choice(tuple(values))
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if not numbers:
        return value
    whole = annotation == "int"
    if not whole and "float" not in annotation.split(" | "):
        raise OptionError(f"{where}: takes no range")
    if len(value) != 2 or not all(map(math.isfinite, value)) or value[0] > value[1]:
        raise OptionError(f"{where}: a range is [low, high] with low <= high, not {value}")
    if whole and not all(isinstance(v, int) for v in value):
        raise OptionError(f"{where}: must be whole numbers, not {value}")
    return Range(value[0], value[1], whole)


def _corners(parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Parameters with each range at its ends and each choice at each value, the others at their first."""
    options: dict[str, tuple[Any, ...]] = {}
    for name, value in parameters.items():
        if isinstance(value, Range):
            options[name] = (value.low, value.high)
        else:
            options[name] = value.values if isinstance(value, Choice) else (value,)
    first = {name: values[0] for name, values in options.items()}
    yield first
    for name, values in options.items():
        for other in values[1:]:
            yield first | {name: other}
