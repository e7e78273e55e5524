"""Eight by eight pixels of a face, their mean, and drawings of what it could have been: ``docs/drawn-faces.jpg``.

The astronaut (NASA; with scikit-image) is nobody that the network has seen.

    python examples/drawn_faces.py docs/drawn-faces.jpg
"""

from __future__ import annotations

import skimage.data
from sheets import make_parser, write

import retouch
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.image.sheet import sheet

SMALL, LARGE, DRAWINGS = 8, 32, 6


def main() -> None:
    parser = make_parser(__doc__)
    parser.set_defaults(cell=4 * LARGE)
    arguments = parser.parse_args()
    face = Image.from_array(skimage.data.astronaut()[70:166, 176:272])
    small, target = (Image(resize(face.pixels[None], (side, side))[0].clamp(0, 1)) for side in (SMALL, LARGE))
    row: list[Image | None] = [small, retouch.upscale(small, scale=LARGE // SMALL, method="bicubic")]
    row += [
        retouch.upscale(small, scale=LARGE // SMALL, model="pixel-recursive-faces", seed=seed)
        for seed in range(DRAWINGS)
    ]
    titles = ["given", "bicubic", *("drawn" if seed == 0 else "again" for seed in range(DRAWINGS)), "the truth"]
    write(sheet([[*row, target]], column_titles=titles, cell=arguments.cell, gap=6), arguments.output)


if __name__ == "__main__":
    main()
