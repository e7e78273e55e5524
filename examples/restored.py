"""Photographs with one damage each, mended by one network, on one sheet: ``docs/restored.jpg``.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel
Michetti, CC0) and rocket (SpaceX, CC0). None of them was trained on.

    python examples/restored.py docs/restored.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import skimage.data
import torch

import retouch
from retouch.degradations.recipe import Recipe
from retouch.image.image import Image
from retouch.image.sheet import sheet

CASES = (
    ("damage-text", "astronaut", (0, 96)),
    ("damage-holes", "coffee", (60, 180)),
    ("damage-jpeg", "chelsea", (20, 80)),
    ("damage-noise", "rocket", (80, 170)),
    ("damage-blur", "chelsea", (20, 80)),
)
"""The damage, the photograph, and the upper left corner of the part of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the sheet, a JPEG or PNG file")
    parser.add_argument("--side", type=int, default=256, help="of the part of a photograph, in pixels")
    parser.add_argument("--cell", type=int, default=256, help="side that each picture is drawn with, in pixels")
    arguments = parser.parse_args()
    columns, captions = [], []
    for name, photo, (top, left) in CASES:
        part = getattr(skimage.data, photo)()[top : top + arguments.side, left : left + arguments.side]
        original = Image.from_array(part)
        recipe = Recipe.read(name)
        generator = torch.Generator().manual_seed(recipe.seed or 0)
        pixels = recipe(original.pixels[None], generator).clamp(0, 1)[0]
        poor = Image.from_array((255 * pixels).round().byte().permute(1, 2, 0).numpy())
        mended = retouch.restore(poor, method="unet")
        columns.append([poor, mended, original])
        captions.append([f"{retouch.psnr(image, original):.1f} dB" for image in (poor, mended)] + [""])
    drawn = sheet(
        [list(row) for row in zip(*columns, strict=True)],
        column_titles=[name.removeprefix("damage-") for name, *_ in CASES],
        row_titles=["damaged", "restore", "original"],
        captions=[list(row) for row in zip(*captions, strict=True)],
        cell=arguments.cell,
        gap=8,
    )
    options = {"quality": 82} if arguments.output.suffix.lower() in (".jpg", ".jpeg") else {}
    drawn.save(arguments.output, **options)


if __name__ == "__main__":
    main()
