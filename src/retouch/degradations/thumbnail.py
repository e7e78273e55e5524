"""How fastai's course damages pictures to train its super-resolution: small, stamped, JPEG, large again.

Howard, Gugger et al., fastai course v3 (2019), lesson 7, ``crappify``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from retouch.degradations.base import Degradation, check_flag, check_number, check_order, integer, per_picture
from retouch.degradations.jpeg import Jpeg
from retouch.image.resize import resize

_FONT = 10  # pixels: Pillow's, where no font is named


@dataclass(frozen=True)
class Thumbnail(Degradation):
    """Made small and saved as JPEG with a quality drawn uniformly from ``low`` to ``high``, then enlarged again.

    ``side``: of the shorter side of the small picture, in pixels; a picture that is no larger keeps its size. Both ways
    bilinear, the smaller one antialiased. ``stamp``: the quality is printed in white, 10 pixels high, at a random place
    of the small picture's top left quarter. The output has the input's size.
    """

    side: int = 96
    low: int = 10
    high: int = 70
    stamp: bool = True

    def __post_init__(self) -> None:
        check_number(self, "side", 1, whole=True)
        check_number(self, "low", 1, 100, whole=True)
        check_number(self, "high", 1, 100, whole=True)
        check_order(self, "low", "high")
        check_flag(self, "stamp")

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return per_picture(x, lambda one: self._make(one.detach(), generator))

    def _make(self, x: Tensor, generator: Generator | None) -> Tensor:
        height, width = int(x.shape[-2]), int(x.shape[-1])
        factor = min(1.0, self.side / min(height, width))
        rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
        small = resize(x, size=(rows, columns), kernel="bilinear") if factor < 1 else x
        quality = integer(generator, self.low, self.high)
        if self.stamp:
            top, left = integer(generator, 0, rows // 2), integer(generator, 0, columns // 2)
            ink = _number(quality, (rows, columns), top, left).to(x)
            small = small + ink * (1 - small)
        coded = Jpeg(quality)(small)
        return resize(coded, size=(height, width), kernel="bilinear").to(x.dtype) if factor < 1 else coded


def _number(number: int, size: tuple[int, int], top: int, left: int) -> Tensor:
    """The ink of a number printed with its corner at a pixel, ``(H, W)`` in [0, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (size[1], size[0]))
    ImageDraw.Draw(canvas).text((left, top), str(number), fill=255, font=ImageFont.load_default(_FONT))
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)
