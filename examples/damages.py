"""A photograph and nine damages that come with Retouch, on one sheet: ``docs/damages.jpg``.

The photograph is chelsea the cat (Stéfan van der Walt, CC0), which comes with scikit-image.

    python examples/damages.py docs/damages.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import skimage.data
import torch

from retouch.degradations.recipe import Recipe
from retouch.image.image import Image
from retouch.image.sheet import sheet

RECIPES = (
    "damage-text",
    "damage-holes",
    "damage-noise",
    "damage-jpeg",
    "damage-blur",
    "crappify",
    "crappify-lesson7",
    "old-photo",
    "watermark",
)
SEED = 106


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the sheet, a JPEG or PNG file")
    parser.add_argument("--side", type=int, default=288, help="of the part of the photograph, in pixels")
    parser.add_argument("--cell", type=int, default=256, help="side that each picture is drawn with, in pixels")
    arguments = parser.parse_args()
    photo = Image.from_array(skimage.data.chelsea()[: arguments.side, 80 : 80 + arguments.side])
    pictures = [photo, *(damaged(photo, name) for name in RECIPES)]
    names = ["as it was", *RECIPES]
    drawn = sheet([pictures[:5], pictures[5:]], captions=[names[:5], names[5:]], cell=arguments.cell, gap=8)
    options = {"quality": 82} if arguments.output.suffix.lower() in (".jpg", ".jpeg") else {}
    drawn.save(arguments.output, **options)


def damaged(photo: Image, name: str) -> Image:
    """The photograph after the recipe, by the recipe's own seed if it has one."""
    recipe = Recipe.read(name)
    generator = torch.Generator().manual_seed(SEED if recipe.seed is None else recipe.seed)
    return photo.with_pixels(recipe(photo.pixels[None], generator).clamp(0, 1))


if __name__ == "__main__":
    main()
