"""What ``restore`` does to photographs that nothing is wrong with: it must not harm them.

    python benchmarks/whole_pictures.py --images DIR --output benchmarks/results

Says how many come back bit for bit, and the PSNR of the others against themselves: where ``restore`` is asked for
nothing, and where it is asked to look for text.
"""

from __future__ import annotations

import torch
from tables import Table, make_parser, pictures_of

import retouch
from retouch.image.files import open_image


def main() -> None:
    parser = make_parser(__doc__, "whole_pictures", 1000)
    parser.add_argument("--method", default="auto", help="of restore")
    arguments = parser.parse_args()
    files = pictures_of(arguments)
    table = Table(
        f"{len(files)} pictures of {arguments.images.name}",
        "",
        "| restore | bit for bit | at least 40 dB | the worst |",
        "|---|--:|--:|---|",
    )
    for only in (None, "text"):
        equal, near, worst = 0, 0, (float("inf"), "")
        for path in files:
            image = open_image(path)
            result = retouch.restore(image, only=only, method=arguments.method)
            if torch.equal(result.pixels, image.pixels):
                equal += 1
                near += 1
                continue
            psnr = retouch.psnr(result, image)
            near += psnr >= 40
            worst = min(worst, (psnr, path.name))
        told = f"{worst[0]:.1f} dB ({worst[1]})" if worst[1] else ""
        table.add(
            f"| {'' if only is None else f'--only {only}'} | {equal}/{len(files)} | {near}/{len(files)} | {told} |"
        )
    table.write(arguments.output, "whole_pictures")


if __name__ == "__main__":
    main()
