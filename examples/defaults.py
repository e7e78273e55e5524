"""What each task does when it is told nothing: ``docs/defaults.jpg``; or a sheet of photographs of one's own.

The photographs come with scikit-image: astronaut (NASA), chelsea the cat (Stéfan van der Walt, CC0), coffee (Rachel
Michetti, CC0) and rocket (SpaceX, CC0). None of them was trained on.

    python examples/defaults.py docs/defaults.jpg
    python examples/defaults.py sheet.png --photos FILE FILE...

With ``--photos`` nothing is damaged first: the middle of each photograph as it is, and what each task makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import skimage.data
from sheets import cut, damaged, make_parser, write

import retouch
from retouch.degradations.recipe import Recipe
from retouch.image.image import Image
from retouch.image.sheet import sheet

Call = Callable[[Image], Image]


@dataclass(frozen=True)
class Case:
    """A damage by its steps, the photograph, the upper left corner of the part of it, the task, how much larger."""

    name: str
    steps: list[dict[str, object]]
    photo: str
    corner: tuple[int, int]
    call: Call
    scale: int = 1


_HALF = {"kind": "downsample", "factor": 2}
_SOFT = {"kind": "gaussian_blur", "sigma": 0.8}
_NOISE = {"kind": "correlated_noise", "sigma": 8, "width": 0.5, "shared": 0.5, "clip": True}
_JPEG = {"kind": "jpeg", "quality": 70}

CASES = (
    Case("denoise", [{"kind": "gaussian_noise", "sigma": 25, "clip": True}], "chelsea", (20, 80), retouch.denoise),
    Case("denoise, a phone at night", [{"kind": "poisson_noise", "peak": 60}, _NOISE, _JPEG], "astronaut", (0, 96),
         retouch.denoise),
    Case("dejpeg", [{"kind": "jpeg", "quality": 12}], "coffee", (60, 180), retouch.dejpeg),
    Case("deblur", [{"kind": "defocus_blur", "radius": 2.5}], "rocket", (80, 170), retouch.deblur),
    Case("upscale", [_HALF], "coffee", (60, 180), retouch.upscale, 2),
    Case("upscale --real", [_SOFT, _HALF, _NOISE, _JPEG], "astronaut", (0, 96),
         lambda image: retouch.upscale(image, real=True), 2),
)  # fmt: skip

ON_PHOTOS: dict[str, tuple[Call, int]] = {
    "denoise": (retouch.denoise, 1),
    "dejpeg": (retouch.dejpeg, 1),
    "deblur": (retouch.deblur, 1),
    "upscale": (retouch.upscale, 2),
    "upscale --real": (lambda image: retouch.upscale(image, real=True), 2),
}


def main() -> None:
    parser = make_parser(__doc__, side=192)
    parser.add_argument("--photos", type=Path, nargs="+", help="photographs instead of those of scikit-image")
    arguments = parser.parse_args()
    draw = _damaged if arguments.photos is None else lambda side, cell: _as_they_are(arguments.photos, side, cell)
    write(draw(arguments.side, arguments.cell), arguments.output)


def _damaged(side: int, cell: int) -> Image:
    columns, captions = [], []
    for case in CASES:
        top, left = case.corner
        part = getattr(skimage.data, case.photo)()[top : top + side, left : left + side]
        original = Image.from_array(part)
        recipe = Recipe.from_table({"name": case.name, "step": case.steps}, case.name)
        before = Image.from_array(damaged(original, recipe, seed=0).to_array(8))  # as it would come from a file
        after = case.call(before)
        shown = before if case.scale == 1 else retouch.upscale(before, scale=case.scale, method="bicubic")
        columns.append([shown, after, original])
        captions.append([f"{retouch.psnr(image, original):.1f} dB" for image in (shown, after)] + [""])
    return sheet(
        [list(row) for row in zip(*columns, strict=True)],
        column_titles=[case.name for case in CASES],
        row_titles=["damaged", "default", "original"],
        captions=[list(row) for row in zip(*captions, strict=True)],
        cell=cell,
        gap=8,
    )


def _as_they_are(photos: list[Path], side: int, cell: int) -> Image:
    rows = []
    for path in photos:
        image = retouch.open(path)
        row = [_middle(image, side)]
        for call, scale in ON_PHOTOS.values():
            row.append(_middle(call(image), side * scale))
        rows.append(row)
    return sheet(
        rows, column_titles=["as it is", *ON_PHOTOS], row_titles=[path.stem for path in photos], cell=cell, gap=8
    )


def _middle(image: Image, side: int) -> Image:
    top, left = max(0, image.height - side) // 2, max(0, image.width - side) // 2
    return cut(image, top, left, side)


if __name__ == "__main__":
    main()
