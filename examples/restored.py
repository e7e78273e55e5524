"""Photographs with one damage each, mended by one network, on one sheet: ``docs/restored.jpg``.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel
Michetti, CC0) and rocket (SpaceX, CC0). None of them was trained on.

    python examples/restored.py docs/restored.jpg
"""

from __future__ import annotations

import skimage.data
from sheets import damaged, make_parser, write

import retouch
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
    arguments = make_parser(__doc__, side=256).parse_args()
    columns, captions = [], []
    for name, photo, (top, left) in CASES:
        part = getattr(skimage.data, photo)()[top : top + arguments.side, left : left + arguments.side]
        original = Image.from_array(part)
        poor = Image.from_array(damaged(original, name, seed=0).to_array(8))  # as it would come from a file
        mended = retouch.restore(poor, only="text" if name in ("damage-text", "damage-holes") else None)
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
    write(drawn, arguments.output)


if __name__ == "__main__":
    main()
