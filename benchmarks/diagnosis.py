"""How often the diagnosis of ``restore`` finds a damage that was done, and one that was not.

    python benchmarks/diagnosis.py --images DIR --limit 60 --output benchmarks/results

Each picture is damaged, rounded to 8 bits, and diagnosed from its pixels alone (as a PNG, without JPEG's tables).
"Found" is the right kind; "others" are damages of other kinds that restore would mend.
"""

from __future__ import annotations

import statistics

import torch
from tables import Table, make_parser, pictures_of

from retouch.degradations.base import Degradation, Identity
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.resample import ResizeBlur
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.solvers.diagnosis import diagnose

CASES: list[tuple[str, str, Degradation]] = [
    ("nothing", "", Identity()),
    *((f"noise of sigma {sigma}", "noise", GaussianNoise(sigma)) for sigma in (5, 10, 25, 50)),
    *((f"JPEG of quality {quality}", "jpeg", Jpeg(quality)) for quality in (10, 30, 50, 70)),
    *((f"blur of sigma {sigma:g}", "blur", GaussianBlur(sigma)) for sigma in (1.0, 2.0, 3.0)),
    *((f"enlarged {factor} times", "enlarged", ResizeBlur(factor)) for factor in (2, 3)),
]


def main() -> None:
    arguments = make_parser(__doc__, "diagnosis", 60).parse_args()
    files = pictures_of(arguments)
    table = Table(
        f"{len(files)} pictures of {arguments.images.name}",
        "",
        "| damage | found | median value | others |",
        "|---|--:|--:|---|",
    )
    for name, kind, degradation in CASES:
        values: list[float] = []
        others: dict[str, int] = {}
        for number, path in enumerate(files):
            pixels = open_image(path).pixels
            made = degradation(pixels[None], torch.Generator().manual_seed(number))[0]
            for finding in diagnose(Image((made.clamp(0, 1) * 255).round() / 255)).damages:
                if finding.kind == kind:
                    values.append(finding.value)
                else:
                    others[finding.kind] = others.get(finding.kind, 0) + 1
        found = f"{len(values)}/{len(files)}" if kind else ""
        median = f"{statistics.median(values):.1f}" if values else ""
        told = ", ".join(f"{other} {count}" for other, count in sorted(others.items()))
        table.add(f"| {name} | {found} | {median} | {told} |")
    table.write(arguments.output, "diagnosis")


if __name__ == "__main__":
    main()
