"""Overlays, y = (1 - a) x + a c: words and symbols printed over a picture, and watermarks.

Drawn with the font that comes with Pillow. Sizes are shares of the picture's shorter side.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from retouch.degradations.base import Degradation, check_number, numpy_generator, per_picture
from retouch.image.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# fmt: off
WORDS = (
    "summer", "holiday", "copy", "proof", "draft", "sample", "album", "family", "garden", "harbour", "station",
    "wedding", "school", "village", "mountain", "river", "birthday", "winter", "journey", "museum", "concert", "market",
)
# fmt: on
_SYMBOLS = ("\u00a9", "\u2122", "@", "#", "&", "%", "\u00b0", "\u00ab\u00bb", "!?", "***", "+", "=")
_PLACES_TRIED = 12  # for one word, so that words seldom cover each other
SMALLEST_FONT = 6  # pixels; below that no letter can be told


@dataclass(frozen=True, eq=False)
class FixedOverlay(Degradation):
    """``y = (1 - alpha) x + alpha layer``.

    ``layer``: ``(3, H, W)`` in [0, 1], of which a grey picture gets the luma (BT.601). ``alpha``: ``(1, H, W)`` in
    [0, 1]. Raises ``OptionError`` on a picture of another size.
    """

    layer: Tensor
    alpha: Tensor

    differentiable = True

    def __post_init__(self) -> None:
        if self.layer.ndim != 3 or self.layer.shape[0] != 3 or self.alpha.shape != (1, *self.layer.shape[1:]):
            shapes = tuple(self.layer.shape), tuple(self.alpha.shape)
            raise OptionError(f"FixedOverlay: takes a layer (3, H, W) and an alpha (1, H, W), not {shapes}")

    @property
    def mask(self) -> Tensor:
        """Float32 ``(1, H, W)``: 1 where the picture is untouched, 0 wherever the overlay shows."""
        return (self.alpha == 0).to(torch.float32)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        if x.shape[-2:] != self.alpha.shape[-2:]:
            sizes = ["x".join(map(str, reversed(t.shape[-2:]))) for t in (self.alpha, x)]
            raise OptionError(f"the overlay is {sizes[0]} pixels, the picture {sizes[1]}; they must be of one size")
        layer, alpha = self.layer.to(x), self.alpha.to(x)
        if x.shape[1] == 1:
            layer = (layer * layer.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
        return x + alpha * (layer - x)

    def __repr__(self) -> str:
        return f"FixedOverlay({self.alpha.shape[-1]}x{self.alpha.shape[-2]}, {float(self.mask.mean()):.1%} kept)"


class RandomOverlay(Degradation):
    """An overlay drawn anew for each picture."""

    differentiable = True

    @abstractmethod
    def draw(self, size: tuple[int, int], generator: Generator | None = None) -> FixedOverlay:
        """The overlay for a picture of ``size`` (H, W), drawn once and for all; its ``mask`` says what it touches."""

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        size = int(x.shape[-2]), int(x.shape[-1])
        return per_picture(x, lambda one: self.draw(size, generator)(one))


@dataclass(frozen=True)
class TextOverlay(RandomOverlay):
    """``count`` words or symbols printed at random places.

    ``text``: what to print (may hold line breaks); empty for random words and symbols. ``size``: height of the font
    as a share of the picture's shorter side. ``colour``: a name or '#rrggbb', or 'random' for one per word.
    ``opacity``: 0..1. ``angle``: degrees, counter-clockwise.
    """

    text: str = ""
    size: float = 0.08
    colour: str = "random"
    opacity: float = 1.0
    angle: float = 0.0
    count: int = 12

    def __post_init__(self) -> None:
        check_text(self, self.text, self.colour)
        check_number(self, "size", 0, 2, above=True)
        check_number(self, "opacity", 0, 1)
        check_number(self, "angle")
        check_number(self, "count", 0, 10000, whole=True)

    def draw(self, size: tuple[int, int], generator: Generator | None = None) -> FixedOverlay:
        rng = numpy_generator(generator)
        layer = np.zeros((*size, 3), dtype=np.float32)
        alpha = np.zeros(size, dtype=np.float32)
        for _ in range(self.count):
            glyphs = _print(self.text or _random_text(rng), self.size * min(size), self.angle)
            colour = rng.uniform(0, 1, 3) if self.colour == "random" else rgb(self.colour)
            top, left = place(alpha, glyphs, rng)
            lay(layer, alpha, glyphs, top, left, colour)
        return make_overlay(layer, alpha, self.opacity)


@dataclass(frozen=True)
class Watermark(RandomOverlay):
    """One text repeated over the whole picture along slanting lines, half seen through; where the rows begin is random.

    ``size``: height of the font as a share of the picture's shorter side. ``opacity``: 0..1. ``angle``: degrees,
    counter-clockwise. ``colour``: a name or '#rrggbb', or 'random'.
    """

    text: str = "\u00a9 sample"
    opacity: float = 0.4
    size: float = 0.08
    angle: float = 30.0
    colour: str = "white"

    def __post_init__(self) -> None:
        check_text(self, self.text, self.colour)
        if not self.text.strip():
            raise OptionError("Watermark: text must not be empty")
        check_number(self, "opacity", 0, 1)
        check_number(self, "size", 0, 2, above=True)
        check_number(self, "angle")

    def draw(self, size: tuple[int, int], generator: Generator | None = None) -> FixedOverlay:
        rng = numpy_generator(generator)
        height, width = size
        layer = np.zeros((*size, 3), dtype=np.float32)
        alpha = np.zeros(size, dtype=np.float32)
        colour = rng.uniform(0, 1, 3) if self.colour == "random" else rgb(self.colour)
        stamp = _print(self.text, self.size * min(size), self.angle)
        upright = _print(self.text, self.size * min(size), 0)
        along, across = upright.shape[1] * 1.35, upright.shape[0] * 2.6
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        phase_u, phase_v = rng.uniform(0, 1, 2)
        reach = math.hypot(height, width) / 2 + max(stamp.shape)
        for j in range(-math.ceil(reach / across) - 1, math.ceil(reach / across) + 2):
            for i in range(-math.ceil(reach / along) - 1, math.ceil(reach / along) + 2):
                u, v = (i + phase_u + 0.5 * (j % 2)) * along, (j + phase_v) * across
                x, y = width / 2 + u * cos + v * sin, height / 2 - u * sin + v * cos
                lay(layer, alpha, stamp, round(y - stamp.shape[0] / 2), round(x - stamp.shape[1] / 2), colour)
        return make_overlay(layer, alpha, self.opacity)


def check_text(owner: Degradation, text: object, colour: object) -> None:
    """Hold ``text`` and ``colour`` to what ``owner`` can print; raises ``OptionError``."""
    for name, value in (("text", text), ("colour", colour)):
        if not isinstance(value, str):
            raise OptionError(f"{type(owner).__name__}: {name} must be a text, not {value!r}")
    if colour != "random":
        try:
            rgb(str(colour))
        except ValueError:
            message = f"colour must be a name, '#rrggbb' or 'random', not {colour!r}"
            raise OptionError(f"{type(owner).__name__}: {message}") from None


def rgb(name: str) -> NDArray[np.float64]:
    """A colour by name or '#rrggbb' -> ``(3,)`` in [0, 1]; ``ValueError`` for anything else."""
    from PIL import ImageColor

    return np.array(ImageColor.getrgb(name)[:3]) / 255


def _random_text(rng: np.random.Generator) -> str:
    word = str(rng.choice(WORDS))
    style = rng.integers(5)
    if style == 0:
        return str(rng.choice(_SYMBOLS))
    if style == 1:
        return f"{word} {rng.integers(1900, 2030)}"
    return (word, word.upper(), word.capitalize())[style - 2]


def _print(text: str, size: float, angle: float) -> NDArray[np.float32]:
    """Coverage of the text, (h, w) in [0, 1], turned and cut to what is inked; (1, 1) if nothing is."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(max(SMALLEST_FONT, size))
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    canvas = Image.new("L", (max(1, math.ceil(right) - math.floor(left)), max(1, math.ceil(bottom) - math.floor(top))))
    ImageDraw.Draw(canvas).multiline_text((-math.floor(left), -math.floor(top)), text, fill=255, font=font)
    if angle:
        canvas = canvas.rotate(angle, resample=Image.Resampling.BICUBIC, expand=True)
    return np.asarray(canvas, dtype=np.float32) / np.float32(255)


def place(alpha: NDArray[np.float32], glyphs: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int]:
    """A random place inside the picture (across it, if it is smaller): of several, the one with least ink beneath."""
    (height, width), (rows, columns) = alpha.shape, glyphs.shape
    best = (0, 0)
    least = math.inf
    for _ in range(_PLACES_TRIED):
        top = math.floor(rng.uniform(min(0, height - rows), max(0, height - rows) + 1))
        left = math.floor(rng.uniform(min(0, width - columns), max(0, width - columns) + 1))
        beneath = float(alpha[max(0, top) : top + rows, max(0, left) : left + columns].sum())
        if beneath < least:
            least, best = beneath, (top, left)
        if least == 0:
            break
    return best


def lay(
    layer: NDArray[np.float32],
    alpha: NDArray[np.float32],
    glyphs: NDArray[np.float32],
    top: int,
    left: int,
    colour: NDArray[np.float64],
) -> None:
    """Lay ink over what is there, in place: Porter and Duff's 'over' with straight alpha (1984).

    ``layer`` ``(H, W, 3)`` and ``alpha`` ``(H, W)`` are the picture's, ``glyphs`` the ink ``(h, w)``, whose first pixel
    comes to row ``top``, column ``left``; what is outside is cut off. ``colour``: ``(3,)``, or ``(h, w, 3)``.
    """
    rows = slice(max(0, top), min(alpha.shape[0], top + glyphs.shape[0]))
    columns = slice(max(0, left), min(alpha.shape[1], left + glyphs.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return  # outside the picture
    part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    ink = glyphs[part]
    hue = (colour if colour.ndim == 1 else colour[part]).astype(np.float32)
    under = alpha[rows, columns] * (1 - ink)
    total = ink + under
    blend = ink[..., None] * hue + under[..., None] * layer[rows, columns]
    layer[rows, columns] = blend / np.maximum(total, 1e-6)[..., None]
    alpha[rows, columns] = total


def make_overlay(layer: NDArray[np.float32], alpha: NDArray[np.float32], opacity: float) -> FixedOverlay:
    """The overlay of a ``layer`` ``(H, W, 3)`` and an ``alpha`` ``(H, W)``, the latter times ``opacity``."""
    colours = torch.from_numpy(np.ascontiguousarray(layer.transpose(2, 0, 1))).clamp(0, 1)
    return FixedOverlay(colours, (torch.from_numpy(alpha) * opacity).clamp(0, 1)[None])
