"""Words strewn over a picture, each with its own font, size, colour, angle, opacity and ink.

Drawn with the fonts that come with Pillow and OpenCV, never with those of the machine. Glyphs are kept between calls:
a crop of 128 x 128 pixels takes about two milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from torch import Generator

from retouch.degradations.base import check_choice, check_number, check_order, numpy_generator
from retouch.degradations.overlay import (
    SMALLEST_FONT,
    WORDS,
    FixedOverlay,
    RandomOverlay,
    check_text,
    lay,
    make_overlay,
    place,
    rgb,
)
from retouch.image.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Coverage = NDArray[np.float32]
    """Share of each pixel that ink covers, ``(h, w)`` in [0, 1]."""

PILLOW_FONTS = ("plain", "bold", "slanted", "narrow", "wide", "pixel")
FONTS = (*PILLOW_FONTS, "opencv")
INKS = ("plain", "outlined", "shadowed", "hollow")

_MOST_WORDS = 5000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SYMBOLS = "@#&%+=*!?$<>/()[]{}|~^_:;\u00a9\u00ae\u2122\u00b0\u00a7\u00b6\u20ac\u00a3\u00ab\u00bb"
_SLANT = 0.22  # sideways for one pixel up: 12 degrees, as italic type has it
_OPENCV_FACES = 8
_BITMAP_HEIGHT = 11  # of a line of Pillow's bitmap font, in pixels


@dataclass(frozen=True)
class RandomText(RandomOverlay):
    """Words, numbers and symbols at random places, everything about each of them drawn anew.

    ``count``: how many; ``share``: where above 0, as many as it takes until that share of the pixels shows ink
    instead. ``smallest``, ``largest``: height of the font as a share of the picture's shorter side, drawn so that
    every doubling is as likely as the next. ``low_angle``, ``high_angle``: degrees, counter-clockwise; ``straight``:
    the share of words that stay level. ``low_opacity``, ``high_opacity``: 0..1; ``solid``: the share of words that are
    fully opaque. ``font``: 'plain', 'bold', 'slanted', 'narrow', 'wide' (Pillow's own font and what is made of it),
    'pixel' (Pillow's bitmap font enlarged), 'opencv' (one of ``cv2.putText``'s; OpenCV 4 has the Hershey fonts, 5
    others), 'pillow' for any of the first six, 'random' for any. ``ink``: 'plain', 'outlined', 'shadowed', 'hollow'
    (the outline only) or 'random'. ``colour``: a name, '#rrggbb', or 'random', where a third is black or white.
    The outline or shadow of a word is black or white, whichever is farther, and where colours are random often another.
    """

    count: int = 8
    share: float = 0.0
    smallest: float = 0.05
    largest: float = 0.25
    low_angle: float = -40.0
    high_angle: float = 40.0
    straight: float = 0.3
    low_opacity: float = 0.4
    high_opacity: float = 1.0
    solid: float = 0.5
    font: str = "random"
    ink: str = "random"
    colour: str = "random"

    def __post_init__(self) -> None:
        check_number(self, "count", 0, _MOST_WORDS, whole=True)
        check_number(self, "share", 0, 0.9)
        for low, high, least, most in (
            ("smallest", "largest", 0.001, 2),
            ("low_angle", "high_angle", -360, 360),
            ("low_opacity", "high_opacity", 0, 1),
        ):
            check_number(self, low, least, most)
            check_number(self, high, least, most)
            check_order(self, low, high)
        check_number(self, "straight", 0, 1)
        check_number(self, "solid", 0, 1)
        if self.share and not (self.solid or self.high_opacity):
            raise OptionError("RandomText: share needs ink that shows: high_opacity or solid above 0")
        check_choice(self, "font", (*FONTS, "pillow", "random"))
        check_choice(self, "ink", (*INKS, "random"))
        check_text(self, "", self.colour)

    def draw(self, size: tuple[int, int], generator: Generator | None = None) -> FixedOverlay:
        rng = numpy_generator(generator)
        layer = np.zeros((*size, 3), dtype=np.float32)
        alpha = np.zeros(size, dtype=np.float32)
        for number in range(_MOST_WORDS):
            if np.count_nonzero(alpha) >= self.share * alpha.size if self.share else number >= self.count:
                break
            ink, colours = self._word(min(size), rng)
            opacity = 1.0 if rng.random() < self.solid else rng.uniform(self.low_opacity, self.high_opacity)
            top, left = place(alpha, ink, rng)
            lay(layer, alpha, ink * np.float32(opacity), top, left, colours)
        return make_overlay(layer, alpha, 1.0)

    def _word(self, side: int, rng: np.random.Generator) -> tuple[Coverage, NDArray[np.float64]]:
        """The ink of one word and its colour, ``(3,)``, or ``(h, w, 3)`` where it has two."""
        fonts = {"random": FONTS, "pillow": PILLOW_FONTS}.get(self.font, (self.font,))
        font = fonts[rng.integers(len(fonts))]
        height = self.smallest * (self.largest / self.smallest) ** rng.random() * side
        pixels = max(SMALLEST_FONT, round(height))
        face = int(rng.integers(_OPENCV_FACES))
        angle = 0.0 if rng.random() < self.straight else rng.uniform(self.low_angle, self.high_angle)
        glyphs = _turn(_glyphs(_text(rng), pixels, font, face), angle)
        inks = INKS if self.ink == "random" else (self.ink,)
        ink = inks[rng.integers(len(inks))]
        first = _colour(rng) if self.colour == "random" else rgb(self.colour)
        second = (
            np.full(3, float(first.mean() < 0.5)) if rng.random() < 0.5 or self.colour != "random" else _colour(rng)
        )
        if ink == "plain":
            return glyphs, first
        edge = max(1, round(pixels / 14))
        glyphs = np.pad(glyphs, 2 * edge)
        if ink == "hollow":
            return _grown(glyphs, edge) - glyphs, first
        shifted = ink == "shadowed"
        beneath = np.roll(glyphs, (edge, edge), (0, 1)) * np.float32(0.8) if shifted else _grown(glyphs, edge)
        beneath = beneath * (1 - glyphs)
        total = glyphs + beneath
        return total, second + (glyphs / np.maximum(total, 1e-6))[..., None] * (first - second)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    kind = rng.integers(6)
    return np.full(3, float(kind)) if kind < 2 else rng.uniform(0, 1, 3)


def _text(rng: np.random.Generator) -> str:
    """A word or two, a number as people write them, letters that mean nothing, or symbols."""
    kind = rng.integers(8)
    if kind < 4:
        words = [WORDS[rng.integers(len(WORDS))] for _ in range(1 if kind < 3 else 2)]
        written = (str.lower, str.upper, str.capitalize)[rng.integers(3)]
        return " ".join(map(written, words))
    if kind == 4:
        number = int(rng.integers(0, 100000))
        day, month, year = number % 28 + 1, number % 12 + 1, 1900 + number % 130
        shapes = (f"{number}", f"{day}.{month}.{year}", f"{year}", f"{number / 100:.2f} $", f"#{number % 1000}")
        return shapes[rng.integers(len(shapes))]
    stock = _SYMBOLS if kind == 5 else _LETTERS
    return "".join(stock[i] for i in rng.integers(0, len(stock), rng.integers(1, 4 if kind == 5 else 9)))


@lru_cache(maxsize=2048)
def _glyphs(text: str, pixels: int, font: str, face: int) -> Coverage:
    """The upright text, ``(h, w)`` cut to the ink; not to be written to. ``pixels``: height of the font."""
    from PIL import Image

    if font == "opencv":
        return _by_opencv(text, pixels, face)
    stroke = max(1, round(pixels / 18)) if font == "bold" else 0
    if font == "pixel":
        enlarged = pixels / _BITMAP_HEIGHT
        drawn = _by_pillow(text.encode("latin-1", "replace").decode("latin-1"), _font(0), 0)
        drawn = drawn.resize((max(1, round(drawn.width * enlarged)), max(1, round(drawn.height * enlarged))))
    else:
        drawn = _by_pillow(text, _font(pixels), stroke)
    if font in ("narrow", "wide"):
        drawn = drawn.resize((max(1, round(drawn.width * (0.65 if font == "narrow" else 1.45))), drawn.height))
    elif font == "slanted":
        lean = _SLANT * drawn.height
        drawn = drawn.transform(
            (math.ceil(drawn.width + lean), drawn.height),
            Image.Transform.AFFINE,
            (1, _SLANT, -lean, 0, 1, 0),
            resample=Image.Resampling.BICUBIC,
        )
    return _coverage(drawn)


def _by_pillow(text: str, font: Font, stroke: int) -> Image.Image:
    from PIL import Image, ImageDraw

    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = probe.textbbox((0, 0), text, font=font, stroke_width=stroke)
    left, top = math.floor(left), math.floor(top)
    canvas = Image.new("L", (max(1, math.ceil(right) - left), max(1, math.ceil(bottom) - top)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font, stroke_width=stroke)
    return canvas


def _by_opencv(text: str, pixels: int, face: int) -> Coverage:
    """``cv2.putText``, cut to the ink; the stroke's width follows from size and text, so that it varies."""
    import cv2

    text = text.encode("ascii", "replace").decode("ascii")
    thickness = max(1, round(pixels * (0.04 + 0.03 * (len(text) % 3))))
    scale = pixels / 28  # at which a letter of the plain face with its descender is about ``pixels`` high
    (width, height), below = cv2.getTextSize(text, face, scale, thickness)
    margin = below + 2 * thickness + 4
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), dtype=np.uint8)
    cv2.putText(canvas, text, (margin, margin + height), face, scale, 255, thickness, cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(canvas)
    inked = canvas[top : top + height, left : left + width] if width and height else canvas[:1, :1]
    return inked.astype(np.float32) / np.float32(255)


@lru_cache(maxsize=64)
def _font(pixels: int) -> Font:
    """Pillow's font at a height in pixels; 0 for its bitmap font."""
    from PIL import ImageFont

    return ImageFont.load_default(pixels) if pixels else ImageFont.load_default_imagefont()


def _turn(glyphs: Coverage, angle: float) -> Coverage:
    from PIL import Image

    if not angle:
        return glyphs
    picture = Image.fromarray((glyphs * 255).astype(np.uint8))
    return _coverage(picture.rotate(angle, resample=Image.Resampling.BILINEAR, expand=True))


def _grown(glyphs: Coverage, edge: int) -> Coverage:
    """The ink and what lies within ``edge`` pixels of it."""
    import cv2

    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1))
    return np.asarray(cv2.dilate(glyphs, pen), dtype=np.float32)


def _coverage(picture: Image.Image) -> Coverage:
    return np.asarray(picture, dtype=np.float32) / np.float32(255)
