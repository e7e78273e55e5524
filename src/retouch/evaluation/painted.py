"""How near the networks that paint in a style come to it, and how much of the photograph they leave.

Both are the losses of ``losses.style`` by features of VGG16, as Johnson, Alahi, Fei-Fei, ECCV 2016, figure 5,
compare styles.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from retouch.evaluation.protocol import files_of
from retouch.evaluation.report import finite, write_report
from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.image.resize import area
from retouch.losses.style import JOHNSON, StyleLoss, Target
from retouch.metrics import psnr, ssim
from retouch.models import catalogue
from retouch.models.card import Measured
from retouch.models.device import autocast, pick_device
from retouch.models.features import feature_network
from retouch.solvers.style import fitted
from retouch.tasks.stylize import stylize

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.evaluation.options import EvaluateOptions

FEATURES, CONTENT = "vgg16", "relu3_3"
"""The network that measures, and the layer of the content."""

_SIDE = 256  # short side of the painting, as in training; and the longer side of a photograph


@dataclass(frozen=True)
class PaintedScore:
    """One picture, or the means: PSNR in dB and SSIM to the photograph, and what is left of the distances.

    ``style``: distance to the style over that of the photograph itself: 1 is the photograph, 0 has the painting's Gram
    matrices. ``content``: mean squared distance of activations to the photograph's, over the mean square of those.
    """

    name: str
    psnr: float
    ssim: float
    style: float
    content: float
    seconds: float

    def row(self, width: int) -> str:
        """One line of the table."""
        numbers = f"style {self.style:.4f}  content {self.content:.4f}  {self.psnr:6.2f} dB  {self.ssim:.4f}"
        return f"{self.name:<{width}}  {numbers}  {self.seconds:8.2f} s"


@dataclass
class PaintedReport:
    """The scores of a weight on a data set. ``total``: how many pictures there are to measure."""

    model: str
    dataset: str
    protocol: dict[str, Any]
    total: int
    parameters: int
    images: list[PaintedScore] = field(default_factory=list)

    @property
    def mean(self) -> PaintedScore:
        """The means over the pictures."""
        names = ("psnr", "ssim", "style", "content", "seconds")
        return PaintedScore("mean", **{name: fmean([getattr(s, name) for s in self.images]) for name in names})

    def row(self, name: str, width: int) -> str:
        """The means in one line."""
        return self.mean.row(width).replace("mean", name, 1)

    def measured(self) -> Measured:
        """The means as a row of a card."""
        means = self.mean
        return Measured(
            dataset=self.dataset,
            psnr=round(means.psnr, 4),
            ssim=round(means.ssim, 5),
            images=len(self.images),
            recipe="style",
            style=round(means.style, 5),
            content=round(means.content, 5),
            protocol=self.protocol,
        )

    def to_json(self) -> str:
        """The report, means first, as ``--json`` writes it."""

        def values(score: PaintedScore) -> dict[str, float | None]:
            return {name: finite(getattr(score, name)) for name in ("style", "content", "psnr", "ssim", "seconds")}

        data = {
            "model": self.model,
            "dataset": self.dataset,
            "parameters": self.parameters,
            **values(self.mean),
            "images": [{"name": score.name} | values(score) for score in self.images],
            "total": self.total,
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report as JSON; see ``report.write_report``."""
        write_report(path, self.to_json())


@dataclass(frozen=True)
class PaintedOutcome:
    """One picture: the photograph, what was made of it (8 bits), and the score."""

    photograph: Image
    result: Image
    score: PaintedScore


def evaluate_painted(
    name: str, data: str | Path, painting: Path, options: EvaluateOptions
) -> Iterator[tuple[PaintedReport, PaintedOutcome]]:
    """Paint each picture of ``data`` by the weight ``name``; the report so far, and the picture just done.

    ``painting``: the picture whose style the weight has learned. Photographs are reduced to 256 pixels (the longer
    side). Of ``options`` count limit and device. Raises ``OptionError`` for a weight of another task, and for another
    picture than its card names; ``RetouchError`` for data or feature weights that cannot be read.
    """
    card = catalogue.load(name).card
    if "stylize" not in card.tasks:
        raise OptionError(f"evaluate {name}: a weight for {', '.join(card.tasks)}, not for stylize")
    digest = hashlib.sha256(painting.read_bytes()).hexdigest() if painting.is_file() else ""
    learned = card.recipe.get("objective", {}).get("arguments", {})
    if learned.get("sha256", digest) != digest:
        raise OptionError(f"--style {painting}: {card.name} learned from {learned.get('picture')}, another file")
    device = pick_device(options.device)
    losses = StyleLoss(feature_network(FEATURES), content=(CONTENT,), style=JOHNSON).to(device)
    pixels = open_image(painting).pixels.expand(3, -1, -1)
    height, width = pixels.shape[1:]
    scale = _SIDE / min(height, width)
    small = area(pixels[None], (max(1, round(height * scale)), max(1, round(width * scale))))
    targets = [Target(losses.grams(small.to(device)))]
    files = files_of(Path(data), options)
    report = PaintedReport(name, Path(data).resolve().name, _protocol(options, painting), len(files), card.parameters)
    for path in files:
        whole = open_image(path)
        photograph = Image(area(whole.pixels[None], fitted(whole.pixels, _SIDE))[0].clamp(0, 1))
        began = time.perf_counter()
        made = stylize(photograph, model=name, device=options.device)
        seconds = time.perf_counter() - began
        result = Image((made.pixels.clamp(0, 1) * 255).round() / 255)
        distances = [
            _distances(losses, x.pixels.to(device), photograph.pixels.to(device), targets) for x in (result, photograph)
        ]
        score = PaintedScore(
            path.name, psnr(result, photograph, quantize=True), ssim(result, photograph, quantize=True),
            distances[0][1] / max(distances[1][1], 1e-20), distances[0][0], seconds,
        )  # fmt: skip
        report.images.append(score)
        yield report, PaintedOutcome(photograph, result, score)


@torch.no_grad()
def _distances(losses: StyleLoss, x: Tensor, photograph: Tensor, targets: list[Target]) -> tuple[float, float]:
    """To the content, over its mean square, and to the style."""
    with autocast(x.device, "fp32"):
        wanted = losses.activations(photograph[None])
        parts = losses(x[None], wanted, targets)
    power = sum(float(activations.square().mean()) for activations in wanted.values())
    return float(parts["content"]) / max(power, 1e-20), float(parts["style"])


def _protocol(options: EvaluateOptions, painting: Path) -> dict[str, Any]:
    """Everything that decides on the numbers."""
    return {
        "task": "stylize",
        "painting": painting.name,
        "side": _SIDE,
        "resize": "area",
        "features": f"{FEATURES}, content {CONTENT}, style {' '.join(JOHNSON)}",
        "output": "clipped, rounded to 8 bits",
        "limit": options.limit,
    }
