"""How near the colours that a method gives come to those that a picture had.

Each colour picture is reduced to its full-range BT.601 luma, rounded to 8 bits as a grey file holds it; what the method
makes of that, rounded too, is held against the original. There are many right colours for a grey picture: a low error
shows that they are likely ones; a pale result has a low error as well, so the colourfulness stands beside it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.evaluation.report import write_report
from retouch.image.errors import PictureError
from retouch.models.card import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.evaluation.options import EvaluateOptions
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener

PROTOCOL = {
    "task": "colorize",
    "input": "full-range BT.601 luma, rounded to 8 bits",
    "error": "mean Euclidean distance in the ab plane of CIE L*a*b* (D65), rounded to 8 bits",
    "colourfulness": "Hasler and Suesstrunk 2003",
}


@dataclass(frozen=True)
class ColourScore:
    """One picture. ``error``: of the result, ``grey_error``: of leaving it grey (``metrics.chroma_error``).

    ``colourful``: colourfulness of the result, ``original``: of the picture itself. ``psnr`` in dB and ``ssim`` of the
    result, ``grey_psnr`` and ``grey_ssim`` of the grey picture, over all channels.
    """

    name: str
    error: float
    grey_error: float
    colourful: float
    original: float
    seconds: float
    psnr: float
    ssim: float
    grey_psnr: float
    grey_ssim: float

    def row(self, width: int) -> str:
        """One line of the table."""
        return (
            f"{self.name:<{width}}  ab error {self.error:6.2f}  grey {self.grey_error:6.2f}  "
            f"colourful {self.colourful:6.2f} of {self.original:6.2f}  {self.seconds:8.2f} s"
        )


@dataclass
class ColourReport:
    """The scores of a method on a data set. ``total``: how many pictures there are to measure."""

    model: str
    dataset: str
    protocol: dict[str, Any]
    images: list[ColourScore] = field(default_factory=list)
    total: int = 0

    @property
    def mean(self) -> ColourScore:
        """The means over the pictures."""
        columns = [column.name for column in fields(ColourScore) if column.name != "name"]
        count = max(1, len(self.images))
        return ColourScore("mean", *(math.fsum(getattr(s, c) for s in self.images) / count for c in columns))

    def measured(self) -> Measured:
        """The means as a row of a card."""
        mean = self.mean
        return Measured(
            dataset=self.dataset,
            psnr=round(mean.psnr, 4),
            ssim=round(mean.ssim, 5),
            images=len(self.images),
            recipe="grey",
            input_psnr=round(mean.grey_psnr, 4),
            input_ssim=round(mean.grey_ssim, 5),
            chroma_error=round(mean.error, 4),
            input_chroma_error=round(mean.grey_error, 4),
            colourfulness=round(mean.colourful, 4),
            original_colourfulness=round(mean.original, 4),
            protocol=self.protocol,
        )

    def to_json(self) -> str:
        """The report, means first, as ``--json`` writes it."""
        means = {name: value for name, value in asdict(self.mean).items() if name != "name"}
        data = {
            "model": self.model,
            "dataset": self.dataset,
            **{name: round(value, 6) for name, value in means.items()},
            "images": [asdict(score) for score in self.images],
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report as JSON; see ``report.write_report``."""
        write_report(path, self.to_json())


@dataclass(frozen=True)
class ColourOutcome:
    """One picture: as the method got it, what it made of it, the original, and the score."""

    grey: Image
    result: Image
    original: Image
    score: ColourScore


def evaluate_colours(
    name: str, data: str | Path, options: EvaluateOptions, *, on_step: Listener | None = None
) -> Iterator[tuple[ColourReport, ColourOutcome]]:
    """Colourize every picture of the folder or file ``data``; the report so far, and the picture just done.

    ``name``: a weight of the catalogue or a path to one, a method, or 'auto'. Of ``options`` count crop, limit, effort,
    budget, device, seed and tile. Raises ``OptionError`` for an unknown name, ``PictureError`` for a picture without
    colours to compare with or smaller than the crop, and ``RetouchError`` for data that cannot be read.
    """
    from retouch.evaluation.protocol import files_of, middle
    from retouch.image.color import grey
    from retouch.image.files import open_image
    from retouch.metrics import chroma_error, colourfulness, psnr, ssim
    from retouch.models import catalogue
    from retouch.tasks import TASKS

    task = TASKS["colorize"]
    known = {entry.card.name for entry in catalogue.entries()}
    is_weight = name in known or name.endswith(catalogue.ENDING)
    shared = {key: getattr(options, key) for key in ("effort", "budget", "device", "seed", "tile")}
    made = task.make_options(**{"model" if is_weight else "method": name}, note=False, **shared)
    report = ColourReport(name, Path(data).resolve().name, PROTOCOL | {"crop": options.crop, "limit": options.limit})
    files = files_of(Path(data), options)
    report.total = len(files)
    for path in files:
        image = replace(open_image(path), alpha=None)
        if image.channels == 1:
            raise PictureError(f"{path}: is grey; a colour picture is needed, whose luma is then coloured")
        original = image if options.crop is None else middle(image, options.crop, path)
        plain = original.with_pixels(_rounded(grey(original.pixels)))
        began = time.perf_counter()
        result = task.run(plain, made, on_step)
        seconds = time.perf_counter() - began
        shown = _rounded(result.pixels)
        score = ColourScore(
            path.name,
            chroma_error(shown, original),
            chroma_error(plain, original),
            colourfulness(shown),
            colourfulness(original),
            seconds,
            psnr(shown, original.pixels),
            ssim(shown, original.pixels),
            psnr(plain.pixels.expand(3, -1, -1), original.pixels),
            ssim(plain.pixels.expand(3, -1, -1), original.pixels),
        )
        report.images.append(score)
        yield report, ColourOutcome(plain, result, original, score)


def _rounded(pixels: Tensor) -> Tensor:
    return (pixels * 255).round() / 255
