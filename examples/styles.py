"""Photographs painted by the four styles that come with Retouch, on one sheet: ``docs/styles.jpg``.

Below, the first photograph fitted pixel by pixel to the painting that the first column's network has learned, then with
its own colours, and with the style in the sky alone. That takes minutes, and needs the painting and VGG16's features;
without ``--style`` these rows are left out. The photographs come with scikit-image: astronaut (NASA), chelsea the cat
(Stéfan van der Walt, CC0), coffee (Rachel Michetti, CC0).

    python examples/styles.py docs/styles.jpg --style starry_night.jpg
"""

from __future__ import annotations

from pathlib import Path

import skimage.data
import torch
from sheets import make_parser, write

import retouch
from retouch.image.image import Image
from retouch.image.resize import area
from retouch.image.sheet import sheet

NAMES = ("astronaut", "chelsea", "coffee")
STYLES = ("starry-night", "great-wave", "scream", "shipwreck")
_SIDE = 384


def photograph(name: str) -> Image:
    """The middle square, at the side that it is painted at."""
    pixels = getattr(skimage.data, name)()
    side = min(pixels.shape[:2])
    left = (pixels.shape[1] - side) // 2
    whole = Image.from_array(pixels[:side, left : left + side])
    return Image(area(whole.pixels[None], (_SIDE, _SIDE))[0].clamp(0, 1)) if side > _SIDE else whole


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--style", type=Path, help="the painting of the first style")
    parser.add_argument("--effort", default="normal", choices=("quick", "normal", "paper"))
    arguments = parser.parse_args()
    photographs = [photograph(name) for name in NAMES]
    rows: list[list[Image | None]] = [
        [photo, *(retouch.stylize(photo, model=f"style-{style}") for style in STYLES)] for photo in photographs
    ]
    titles = ["photograph", *STYLES]
    captions = [[""] * len(titles) for _ in rows]
    if arguments.style is not None:
        first = photographs[0]
        mask = torch.zeros(1, first.height, first.width)
        mask[..., : first.width // 2] = 1
        options = {"effort": arguments.effort, "seed": 0}
        rows.append([
            retouch.open(arguments.style),
            retouch.stylize(first, arguments.style, **options),
            retouch.stylize(first, arguments.style, preserve_color="luminance", **options),
            retouch.stylize(first, model=f"style-{STYLES[0]}", preserve_color="luminance"),
            retouch.stylize(first, arguments.style, mask=mask, **options),
        ])  # fmt: skip
        captions.append(["the painting", "optimised", "its colours kept", "the network, colours kept", "the left half"])
    write(sheet(rows, column_titles=titles, captions=captions, cell=arguments.cell, gap=8), arguments.output)


if __name__ == "__main__":
    main()
