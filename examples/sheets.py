"""What the scripts that draw a sheet of photographs for the documentation share: their options, damage, writing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from retouch.degradations.recipe import Recipe
from retouch.image import resize
from retouch.image.image import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDEST = 900
"""Pixels that a sheet has across in the documentation, whose pages show no more."""


def make_parser(description: str | None, side: int | None = None) -> argparse.ArgumentParser:
    """The sheet to write, ``--cell``, and ``--side`` where a part of a photograph is taken: its default is ``side``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the sheet, a JPEG or PNG file")
    if side is not None:
        parser.add_argument("--side", type=int, default=side, help="of the part of a photograph, in pixels")
    parser.add_argument("--cell", type=int, default=256, help="side that each picture is drawn with, in pixels")
    return parser


def cut(image: Image, top: int, left: int, side: int) -> Image:
    """The square of ``side`` pixels (or what there is of it) whose upper left corner is there, its colours alone."""
    return Image(image.pixels[:, top : top + side, left : left + side].contiguous())


def damaged(photo: Image, recipe: str | Recipe, seed: int) -> Image:
    """The photograph after a recipe or the one of that name, by its own seed if it has one, else by ``seed``."""
    recipe = Recipe.read(recipe) if isinstance(recipe, str) else recipe
    generator = torch.Generator().manual_seed(seed if recipe.seed is None else recipe.seed)
    return photo.with_pixels(recipe(photo.pixels[None], generator).clamp(0, 1))


def write(drawn: Image, output: Path) -> None:
    """Write the sheet; as a JPEG at most ``WIDEST`` pixels wide, small enough for the repository."""
    if output.suffix.lower() not in (".jpg", ".jpeg"):
        drawn.save(output)
        return
    if drawn.width > WIDEST:
        size = (round(drawn.height * WIDEST / drawn.width), WIDEST)
        drawn = drawn.with_pixels(resize.lanczos(drawn.pixels[None], size)[0].clamp(0, 1).contiguous())
    drawn.save(output, quality=70)


def write_figure(figure: Figure, output: Path) -> None:
    """Write a figure of matplotlib as any other sheet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    write(Image.from_array(np.asarray(canvas.buffer_rgba())[..., :3].copy()), output)
