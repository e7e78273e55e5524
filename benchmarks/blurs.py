"""How often ``deblur`` finds the blur that was done to a photograph, how nearly, and one that was not done.

    python benchmarks/blurs.py --images DIR --limit 50 --output benchmarks/results

Each picture is blurred (movements in a direction of its own), given noise where it says so, rounded to 8 bits, and
looked at. "Found" is the right kind; the errors are medians over those.
"""

from __future__ import annotations

import statistics

import torch
from tables import Table, make_parser, pictures_of

from retouch.degradations.base import Degradation, Identity
from retouch.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from retouch.degradations.noise import GaussianNoise
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.solvers.blur_estimate import estimate_blur

CASES: list[tuple[str, str, float, float]] = [
    ("nothing", "none", 0, 0),
    *((f"Gaussian of sigma {sigma:g}", "gaussian", sigma, 0) for sigma in (1.0, 1.6, 2.5)),
    *((f"movement over {length} pixels", "motion", length, 0) for length in (7, 15, 25)),
    ("movement over 15 pixels, noise of sigma 3", "motion", 15, 3),
    *((f"out of focus by {radius} pixels", "defocus", radius, 0) for radius in (2, 4)),
]
"""In words, the kind, its size, and the sigma of the noise."""


def blur(kind: str, size: float, angle: float) -> Degradation:
    if kind == "gaussian":
        return GaussianBlur(size)
    if kind == "motion":
        return MotionBlur(size, angle)
    return DefocusBlur(size) if kind == "defocus" else Identity()


def main() -> None:
    arguments = make_parser(__doc__, "blurs", 50).parse_args()
    files = pictures_of(arguments)
    table = Table(
        f"{len(files)} pictures of {arguments.images.name}",
        "",
        "| blur | found | size off by | direction off by | else |",
        "|---|--:|--:|--:|---|",
    )
    for words, kind, size, sigma in CASES:
        sizes, turns, others = [], [], dict[str, int]()
        for number, path in enumerate(files):
            generator = torch.Generator().manual_seed(number)
            angle = float(torch.rand((), generator=generator)) * 180
            made = blur(kind, size, angle)(open_image(path).pixels[None])
            if sigma:
                made = GaussianNoise(sigma)(made, generator)
            found = estimate_blur(Image((made[0].clamp(0, 1) * 255).round() / 255))
            if found.kind == kind:
                sizes.append(abs(found.size - size))
                turns.append(abs((found.angle - angle + 90) % 180 - 90))
            else:
                others[found.kind] = others.get(found.kind, 0) + 1
        off = f"{statistics.median(sizes):.2f} px" if sizes and kind != "none" else ""
        turned = f"{statistics.median(turns):.1f} degrees" if turns and kind == "motion" else ""
        told = ", ".join(f"{other} {count}" for other, count in sorted(others.items()))
        table.add(f"| {words} | {len(sizes)}/{len(files)} | {off} | {turned} | {told} |")
    table.write(arguments.output, "blurs")


if __name__ == "__main__":
    main()
