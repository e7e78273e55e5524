"""Label maps of facades, drawn here, and what each method makes of them, on one sheet: ``docs/facades.jpg``.

The last column goes on from there: the labels that pix2pix finds in its own photograph.

    python examples/facades.py docs/facades.jpg
"""

from __future__ import annotations

import torch
from sheets import make_parser, write
from torch import Tensor

import retouch
from retouch.evaluation.labels import FACADES
from retouch.image.image import Image
from retouch.image.sheet import sheet

METHODS = ("pix2pix", "cyclegan", "dualgan")


class House:
    """A label map of 256 pixels to draw boxes on: ``(top, left, bottom, right)``."""

    def __init__(self, top: int) -> None:
        self.pixels = torch.zeros(3, 256, 256)
        self.box("background", 0, 0, 256, 256)
        self.box("facade", top, 0, 256, 256)

    def box(self, label: str, top: int, left: int, bottom: int, right: int) -> None:
        colour = torch.tensor(FACADES[label], dtype=torch.float32) / 255
        self.pixels[:, max(0, top) : bottom, max(0, left) : right] = colour[:, None, None]


def plain() -> Tensor:
    """Four rows of windows with sills, a door."""
    house = House(18)
    house.box("cornice", 18, 0, 30, 256)
    for row, top in enumerate(range(44, 210, 54)):
        for left in range(18, 240, 48):
            if row == 3 and left > 90 and left < 130:
                house.box("door", top, left, 256, left + 28)
                continue
            house.box("window", top, left, top + 34, left + 26)
            house.box("sill", top + 34, left - 3, top + 38, left + 29)
    return house.pixels


def grand() -> Tensor:
    """Windows under gables, a balcony, mouldings between the floors, shops below."""
    house = House(0)
    house.box("molding", 0, 0, 16, 256)
    house.box("molding", 92, 0, 102, 256)
    house.box("molding", 180, 0, 192, 256)
    for top in (34, 118):
        for left in range(14, 240, 40):
            house.box("cornice", top - 8, left - 3, top - 2, left + 27)
            house.box("window", top, left, top + 46, left + 24)
            house.box("sill", top + 46, left - 3, top + 51, left + 27)
    house.box("balcony", 148, 88, 178, 166)
    for left in range(8, 250, 62):
        house.box("shop", 204, left, 250, left + 46)
    return house.pixels


def shutters() -> Tensor:
    """Windows between their blinds, pillars at the corners."""
    house = House(30)
    house.box("cornice", 30, 0, 44, 256)
    house.box("pillar", 44, 4, 256, 16)
    house.box("pillar", 44, 240, 256, 252)
    for top in (62, 128, 194):
        for left in (42, 112, 182):
            house.box("blind", top, left - 12, top + 42, left + 44)
            house.box("window", top, left, top + 42, left + 32)
            house.box("deco", top - 10, left - 4, top - 4, left + 36)
    return house.pixels


def main() -> None:
    arguments = make_parser(__doc__).parse_args()
    rows: list[list[Image | None]] = []
    for draw in (plain, grand, shutters):
        labels = Image(draw())
        made = [retouch.translate(labels, f"{method}-facades", direction="back") for method in METHODS]
        rows.append([labels, *made, retouch.translate(made[0], "pix2pix-facades")])
    titles = ["labels", *METHODS, "pix2pix, back again"]
    write(sheet(rows, column_titles=titles, cell=arguments.cell, gap=8), arguments.output)


if __name__ == "__main__":
    main()
