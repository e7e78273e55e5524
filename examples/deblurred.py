"""Photographs blurred in four ways, sharpened without being told the blur, on one sheet: ``docs/deblurred.jpg``.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel
Michetti, CC0) and rocket (SpaceX, CC0). None of them was trained on.

    python examples/deblurred.py docs/deblurred.jpg
"""

from __future__ import annotations

import skimage.data
import torch
from sheets import make_parser, write

import retouch
from retouch.degradations.base import Degradation
from retouch.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from retouch.degradations.noise import GaussianNoise
from retouch.image.image import Image
from retouch.image.sheet import sheet

CASES: tuple[tuple[str, Degradation, str, tuple[int, int]], ...] = (
    ("Gaussian, sigma 1.6", GaussianBlur(1.6), "chelsea", (20, 80)),
    ("15 pixels at 30 degrees", MotionBlur(15, 30), "coffee", (60, 180)),
    ("out of focus by 3 pixels", DefocusBlur(3), "astronaut", (0, 96)),
    ("12 pixels, and noise", MotionBlur(12, 100) >> GaussianNoise(3, True), "rocket", (80, 170)),
)
"""What was done, the photograph, and the upper left corner of the part of it."""


def main() -> None:
    arguments = make_parser(__doc__, side=256).parse_args()
    columns, captions = [], []
    for _, blur, photo, (top, left) in CASES:
        part = getattr(skimage.data, photo)()[top : top + arguments.side, left : left + arguments.side]
        original = Image.from_array(part)
        seen = blur(original.pixels[None], torch.Generator().manual_seed(0)).clamp(0, 1)
        poor = Image.from_array(original.with_pixels(seen).to_array(8))  # as it would come from a file
        pictures = [poor, retouch.deblur(poor, method="wiener"), retouch.deblur(poor)]
        columns.append([*pictures, original])
        captions.append([f"{retouch.psnr(image, original):.1f} dB" for image in pictures] + [""])
    drawn = sheet(
        [list(row) for row in zip(*columns, strict=True)],
        column_titles=[name for name, *_ in CASES],
        row_titles=["blurred", "wiener", "deblur", "original"],
        captions=[list(row) for row in zip(*captions, strict=True)],
        cell=arguments.cell,
        gap=8,
    )
    write(drawn, arguments.output)


if __name__ == "__main__":
    main()
