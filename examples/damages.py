"""A photograph and nine damages that come with Retouch, on one sheet: ``docs/damages.jpg``.

The photograph is chelsea the cat (Stéfan van der Walt, CC0), which comes with scikit-image.

    python examples/damages.py docs/damages.jpg
"""

from __future__ import annotations

import skimage.data
from sheets import damaged, make_parser, write

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
    arguments = make_parser(__doc__, side=288).parse_args()
    photo = Image.from_array(skimage.data.chelsea()[: arguments.side, 80 : 80 + arguments.side])
    pictures = [photo, *(damaged(photo, name, SEED) for name in RECIPES)]
    names = ["as it was", *RECIPES]
    drawn = sheet([pictures[:5], pictures[5:]], captions=[names[:5], names[5:]], cell=arguments.cell, gap=8)
    write(drawn, arguments.output)


if __name__ == "__main__":
    main()
