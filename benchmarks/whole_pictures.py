"""What the tasks do, by default, to photographs that nothing is wrong with: they must not harm them.

    python benchmarks/whole_pictures.py --images DIR --output benchmarks/results

Says how many come back bit for bit, how many at 40 dB or more against themselves, and the worst. ``restore`` is asked
for nothing, and to look for text; ``denoise``, ``dejpeg`` and ``deblur`` are told nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from tables import Table, make_parser, pictures_of

import retouch
from retouch.image.files import open_image
from retouch.image.image import Image

CALLS: dict[str, Callable[[Image], Image]] = {
    "restore": retouch.restore,
    "restore --only text": lambda image: retouch.restore(image, only="text"),
    "denoise": retouch.denoise,
    "dejpeg": retouch.dejpeg,
    "deblur": retouch.deblur,
}


def main() -> None:
    parser = make_parser(__doc__, "whole_pictures", 1000)
    parser.add_argument("--calls", default=",".join(CALLS), help="which of them, by commas")
    arguments = parser.parse_args()
    files = pictures_of(arguments)
    table = Table(
        f"{len(files)} pictures of {arguments.images.name}",
        "",
        "| call | pictures | bit for bit | at least 40 dB | the worst |",
        "|---|--:|--:|--:|---|",
    )
    for name in arguments.calls.split(","):
        equal, near, worst = 0, 0, (float("inf"), "")
        for path in files:
            image = open_image(path)
            image = Image(image.pixels)  # without what the file tells, as a PNG of it would be
            result = CALLS[name](image)
            if torch.equal(result.pixels, image.pixels):
                equal, near = equal + 1, near + 1
                continue
            psnr = retouch.psnr(result, image)
            near += psnr >= 40
            worst = min(worst, (psnr, path.name))
        told = f"{worst[0]:.1f} dB ({worst[1]})" if worst[1] else ""
        table.add(f"| {name} | {len(files)} | {equal} | {near} | {told} |")
    table.write(arguments.output, "whole_pictures")


if __name__ == "__main__":
    main()
