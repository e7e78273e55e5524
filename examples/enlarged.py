"""Photographs made four times smaller and larger again, method beside method, on one sheet: ``docs/upscale.jpg``.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0) and coffee (Rachel
Michetti, CC0). None of them was trained on. They are made smaller whole, as the papers do; shown is a part of each.

    python examples/enlarged.py docs/upscale.jpg
"""

from __future__ import annotations

import skimage.data
from sheets import cut, damaged, make_parser, write

import retouch
from retouch.degradations.recipe import Recipe
from retouch.image.image import Image
from retouch.image.sheet import sheet

SCALE = 4
SMALLER = Recipe.from_table({"name": "smaller", "step": [{"kind": "downsample", "factor": SCALE}]})
METHODS = ("bicubic", "fsrcnn", "srresnet", "srgan", "residual")
CASES = (("astronaut", (76, 176)), ("coffee", (48, 160)), ("chelsea", (64, 112)))
"""The photograph, and the upper left corner of the part of it."""


def main() -> None:
    arguments = make_parser(__doc__, side=128).parse_args()
    rows, captions = [], []
    for name, (top, left) in CASES:
        whole = getattr(skimage.data, name)()
        height, width = (length // SCALE * SCALE for length in whole.shape[:2])
        original = Image.from_array(whole[:height, :width])
        small = Image.from_array(damaged(original, SMALLER, seed=0).to_array(8))  # as it would come from a file
        made = [retouch.upscale(small, scale=SCALE, method=method) for method in METHODS]
        side = arguments.side
        shown = [cut(small, top // SCALE, left // SCALE, side // SCALE)]
        rows.append(shown + [cut(image, top, left, side) for image in (*made, original)])
        values = [f"{retouch.psnr(image, original, shave=SCALE, channel='y'):.2f} dB" for image in made]
        captions.append(["", *values, ""])
    titles = ["small", *METHODS, "original"]
    write(sheet(rows, column_titles=titles, captions=captions, cell=arguments.cell, gap=8), arguments.output)


if __name__ == "__main__":
    main()
