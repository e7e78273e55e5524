"""The card of a weight: what it is, how it was made, and how good it is. It is the header of the weight's own file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from retouch.image.errors import RetouchError

COLOURS = {
    "y": "the network works on the BT.601 luma; the chroma is interpolated, or left as it is",
    "rgb": "the network works on the three channels together",
    "each": "the network works on each channel by itself",
    "grey": "the network works on the full-range grey of a picture",
}
"""How a picture's channels meet the network: the values of ``Card.colour``."""

Store = Literal["fp32", "fp16", "int8"]
"""How the numbers of a weight lie in its file: see ``storage.packed``."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of ``retouch evaluate``: means over the ``images`` pictures of ``dataset``.

    Exactly one of ``scale``, ``sigma``, ``quality`` and ``recipe`` (of a damage) is set. ``psnr`` in dB, and ``ssim``:
    None of weights that make no picture, as those that classify, whose ``recipe`` is "classification" and which have
    ``accuracy`` and ``class_accuracy``. ``input_psnr``
    and ``input_ssim``: of the damaged pictures themselves. ``lpips``, ``input_lpips``: perceptual distances, where they
    were asked for. ``chroma_error``, ``input_chroma_error`` (CIE ab), ``colourfulness``, ``original_colourfulness``:
    of weights that give colour, whose ``recipe`` is "grey". ``l1`` (of 0..1), and either ``accuracy``,
    ``class_accuracy`` and ``iou`` (of label maps) or ``frechet`` (of other pictures): of weights that translate, whose
    ``recipe`` is "translation". ``nats`` a picture, and their parts ``reconstruction`` and ``divergence``, and
    ``frechet`` (of samples): of generators, whose ``recipe`` is "generation" and which have no ``psnr`` and ``ssim``.
    ``style`` and ``content`` (see ``evaluation.painted``): of weights that paint in a style, whose ``recipe`` is
    "style". ``seconds_per_megapixel`` of output: on the machine that measured. ``protocol``: what the evaluation wrote.
    """

    dataset: str
    images: int
    psnr: float | None = None
    ssim: float | None = None
    scale: int | None = None
    sigma: float | None = None
    quality: int | None = None
    recipe: str | None = None
    input_psnr: float | None = None
    input_ssim: float | None = None
    lpips: float | None = None
    input_lpips: float | None = None
    chroma_error: float | None = None
    input_chroma_error: float | None = None
    colourfulness: float | None = None
    original_colourfulness: float | None = None
    l1: float | None = None
    accuracy: float | None = None
    class_accuracy: float | None = None
    iou: float | None = None
    frechet: float | None = None
    nats: float | None = None
    reconstruction: float | None = None
    divergence: float | None = None
    style: float | None = None
    content: float | None = None
    seconds_per_megapixel: float | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @property
    def condition(self) -> tuple[str, int | None, float | None, int | None, str | None]:
        """What two rows that measure the same have in common."""
        return self.dataset, self.scale, self.sigma, self.quality, self.recipe


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything about a weight.

    ``name``: of this weight (``fsrcnn-x3``); ``family``: the method it serves (``fsrcnn``). ``architecture`` and
    ``arguments``: of ``networks.build``. ``tasks``: verbs it does. ``scales``, ``sigma`` (lowest, highest, on 0..255)
    and ``quality`` (of JPEG): what it was trained for. ``colour``: a key of ``COLOURS``. ``recipe``: the resolved
    training recipe, as tables. ``data`` and ``data_licence``: what it learned from. ``steps``, ``seed``, ``trained_on``
    (device), ``hours``. ``parameters``: learned numbers. ``sha256``: of the tensors, see ``load.checksum``.
    ``published``: where the method was published. ``curves``: the training's log, thinned: columns by name, the same
    number of values each, "step" among them. ``classes``: what a classifier tells apart, in the order of its outputs.
    ``base``: feature weights (``models.features``) that hold, under the same names, all tensors the file leaves out.
    """

    name: str
    family: str
    architecture: str
    arguments: Mapping[str, Any]
    tasks: tuple[str, ...]
    colour: str
    summary: str
    published: str = ""
    scales: tuple[int, ...] = ()
    sigma: tuple[float, float] | None = None
    quality: tuple[int, int] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    data_licence: str = ""
    steps: int = 0
    seed: int = 0
    trained_on: str = ""
    hours: float = 0.0
    parameters: int = 0
    sha256: str = ""
    licence: str = "Apache-2.0"
    measured: tuple[Measured, ...] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    base: str = ""

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise RetouchError(f"card of {self.name}: colour is one of {', '.join(COLOURS)}, not {self.colour!r}")

    def with_measured(self, row: Measured) -> Card:
        """The card with ``row`` added, in the place of an older one of the same data set and condition."""
        others = tuple(known for known in self.measured if known.condition != row.condition)
        rows = sorted((*others, row), key=_order)
        return dataclasses.replace(self, measured=tuple(rows))

    def to_json(self) -> str:
        """The header text, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """The card in a header; ``where`` begins the message of the ``RetouchError`` for anything that is no card.

        Keys of a later version of Retouch are left out.
        """
        try:
            table = json.loads(text)
            known = {f.name for f in dataclasses.fields(cls)}
            values = {key: value for key, value in table.items() if key in known}
            for key in ("tasks", "scales", "data", "sigma", "quality", "classes"):
                if isinstance(values.get(key), list):
                    values[key] = tuple(values[key])
            columns = {f.name for f in dataclasses.fields(Measured)}
            values["measured"] = tuple(
                Measured(**{key: value for key, value in row.items() if key in columns})
                for row in values.get("measured", ())
            )
            card = cls(**values)
            _check_types(card)
            for row in card.measured:
                _check_types(row)
            return card
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RetouchError(f"{where}: the card in its header cannot be read: {error}") from error


def _order(row: Measured) -> tuple[str, int, float, int, str]:
    return row.dataset, row.scale or 0, row.sigma or 0, row.quality or 0, row.recipe or ""


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "str | None": (str, type(None)),
    "int": int,
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "Mapping[str, Any]": Mapping,
}
"""What a JSON value must be for a field of the annotation; sequences are checked by their items."""


def _check_types(made: Card | Measured) -> None:
    """JSON may hold anything under a known key; raises ``TypeError`` for what a reader of the card would trip over."""
    for field_ in dataclasses.fields(made):
        value, annotation = getattr(made, field_.name), str(field_.type)
        if annotation in _TYPES:
            sound = isinstance(value, _TYPES[annotation]) and not isinstance(value, bool)
        else:
            sound = isinstance(value, tuple) or (value is None and annotation.endswith("| None"))
            item = str if "str" in annotation else (int, float)
            if field_.name != "measured":
                sound = sound and all(isinstance(one, item) for one in value or ())
            if field_.name in ("sigma", "quality"):
                sound = sound and (value is None or len(value) == 2)
        if field_.name == "curves":
            sound = sound and all(_is_curve(one) for one in value.values())
        if not sound:
            raise TypeError(f"{field_.name} is {value!r}")


def _is_curve(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(n, int | float) and math.isfinite(n) for n in value)
