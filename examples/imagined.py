"""Pictures of nothing, on one sheet: ``docs/imagined.jpg``.

Samples of each generator that comes with Retouch; ways from one sample to another; and what lies between four.

    python examples/imagined.py docs/imagined.jpg
"""

from __future__ import annotations

from sheets import make_parser, write

import retouch
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.models import catalogue
from retouch.networks.latent import LatentNetwork
from retouch.tasks.generate import VERB, sheet_of

COUNT = 100
WAYS, STEPS = 10, 10


def rows_of(name: str) -> list[Image | None]:
    """Samples, and, of a network with numbers within, ways and a square between four of them."""
    made: list[Image | None] = [sheet_of(retouch.generate(name, count=COUNT), 10, 1)]
    if isinstance(catalogue.load(name).network, LatentNetwork):
        made.append(sheet_of(retouch.generate(name, count=WAYS, interpolate=STEPS, seed=1), STEPS, 1))
        made.append(sheet_of(retouch.generate(name, count=COUNT, manifold=True, seed=2), 10, 1))
    return made


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", help="weights to ask; by default all that come with Retouch")
    arguments = parser.parse_args()
    names = arguments.models or [card.name for card in catalogue.for_task(VERB)]
    titles = ["samples", "from one to another", "between four"]
    # a sheet of small pictures is as wide as they are, so that none is smoothed
    rows = [rows_of(name) for name in names]
    cell = max(image.width for row in rows for image in row if image is not None)
    drawn = sheet(rows, column_titles=titles, row_titles=names, cell=max(arguments.cell, cell), gap=16)
    write(drawn, arguments.output)


if __name__ == "__main__":
    main()
