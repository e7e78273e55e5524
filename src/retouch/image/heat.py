"""A heat map over a grey picture, with a scale of fixed units beneath it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from retouch.image.color import grey
from retouch.image.image import Image, Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

# from little to much: dark blue, violet, red, orange, pale yellow; lightness rises all the way
_ANCHORS = ((40, 20, 110), (125, 30, 130), (210, 50, 70), (245, 140, 30), (255, 245, 170))
_FULL = 0.25  # of the scale, from which on the colour hides the picture
_DIM = 0.55  # brightness of the picture underneath, so that the highest colours stand out
_NARROWEST = 320  # pixels that the words under the scale need
_STRIP_ROWS = 128


def heat_map(picture: Image, values: Tensor, *, top: float, title: str) -> Image:
    """``values`` in colour over ``picture`` in dimmed grey, and a scale from 0 to ``top`` below; RGB of 8 bits.

    ``values``: ``(1, H, W)`` of the picture's size, in 1/255 of the range; those of ``top`` and more look alike. The
    scale is fixed, so that maps can be compared. ``title``: what the values are, written beside the scale. A picture
    narrower than 320 pixels gets a margin on the right. Raises ``ValueError`` if sizes differ.
    """
    if values.shape != (1, picture.height, picture.width):
        raise ValueError(f"values are {tuple(values.shape)}, the picture {(1, picture.height, picture.width)}")
    line = min(max(14, picture.width // 60), 40)
    width = max(picture.width, _NARROWEST)
    canvas = np.full((picture.height + 4 * line, width, 3), 255, np.uint8)
    for first in range(0, picture.height, _STRIP_ROWS):
        rows = slice(first, min(first + _STRIP_ROWS, picture.height))
        under = grey(picture.pixels[:, rows])[0].clamp(0, 1).numpy()[..., None] * (255 * _DIM)
        share = (values[0, rows].numpy() / top)[..., None]
        cover = np.clip(share / _FULL, 0, 1)
        canvas[rows, : picture.width] = np.rint(under * (1 - cover) + _colours(share[..., 0]) * cover)
    _draw_scale(canvas[picture.height :], line, top, title)
    return Image.from_array(canvas, Metadata(format="PNG", bit_depth=8))


def _colours(share: NDArray[np.floating]) -> NDArray[np.float64]:
    """RGB on 0..255 for shares of the scale."""
    places = np.linspace(0, 1, len(_ANCHORS))
    return np.stack([np.interp(share, places, channel) for channel in zip(*_ANCHORS, strict=True)], axis=-1)


def _draw_scale(area: NDArray[np.uint8], line: int, top: float, title: str) -> None:
    """The title, a bar of all colours and the numbers at its quarters, drawn into ``area``."""
    import PIL.Image
    import PIL.ImageDraw
    from PIL import ImageFont

    height, width = area.shape[:2]
    margin = line
    length = width - 2 * margin
    panel = PIL.Image.new("RGB", (width, height), (255, 255, 255))
    pen = PIL.ImageDraw.Draw(panel)
    try:
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(size=round(line * 0.85))
    except ImportError:  # Pillow without FreeType has one small font
        font = ImageFont.load_default()
    pen.text((margin, line // 4), title, fill=(24, 24, 27), font=font)
    bar = np.rint(_colours(np.linspace(0, 1, length))).astype(np.uint8)
    panel.paste(PIL.Image.fromarray(np.repeat(bar[None], line, axis=0)), (margin, round(line * 1.4)))
    for quarter in range(5):
        text = f"{top * quarter / 4:g}" + ("+" if quarter == 4 else "")
        place = margin + length * quarter / 4
        left = place if quarter == 0 else place - pen.textlength(text, font=font) * (1 if quarter == 4 else 0.5)
        pen.text((left, round(line * 2.6)), text, fill=(24, 24, 27), font=font)
    area[:] = np.asarray(panel)
