"""Photographs made grey and given colour again, on one sheet: ``docs/colours.jpg``.

The photographs come with scikit-image: coffee (Rachel Michetti, CC0), astronaut (NASA), rocket (SpaceX, CC0) and
chelsea the cat (Stéfan van der Walt, CC0). None of them was trained on.

    python examples/colours.py docs/colours.jpg
"""

from __future__ import annotations

import skimage.data
from sheets import make_parser, write

import retouch
from retouch.image.color import grey
from retouch.image.image import Image
from retouch.image.sheet import sheet

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def main() -> None:
    arguments = make_parser(__doc__).parse_args()
    columns = []
    for name in NAMES:
        pixels = getattr(skimage.data, name)()
        side = min(pixels.shape[:2])
        left = (pixels.shape[1] - side) // 2
        original = Image.from_array(pixels[:side, left : left + side])
        plain = original.with_pixels(grey(original.pixels))
        columns.append([plain, retouch.colorize(plain), original])
    rows = [list(row) for row in zip(*columns, strict=True)]
    drawn = sheet(rows, row_titles=["grey", "colorize", "original"], cell=arguments.cell, gap=8)
    write(drawn, arguments.output)


if __name__ == "__main__":
    main()
