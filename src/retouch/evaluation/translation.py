"""How near the pictures that a translating network gives come to those that they should be.

Each file holds a pair side by side: A at the left, B at the right. One half goes through the network, untiled, in the
direction and at the size that it was trained for, which its card says; what comes out, rounded to 8 bits, is held
against the other half.

Always PSNR, SSIM and L1. They reward blurred pictures; what else is measured goes by the target. Of label maps: the
share of pixels with the right label, and what Long et al. 2015 make of it (``labels.Confusion``), over all pixels of
all pictures. Of any others: the Fréchet distance (``metrics.frechet_distance``) between the results and the targets in
the activations of VGG16 after relu4_3. That is a distance of our own, not FID, and does not compare with published
ones: data sets of pairs have too few pictures for the covariance of one vector a picture, so that the activations at
each position of each picture count as a vector (32 x 32 a picture of 256 pixels). It measures texture and parts, and
not whether the parts are in their places.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from retouch.evaluation.labels import PALETTES, Confusion, colours_of, nearest_label
from retouch.evaluation.protocol import INPUT, files_of
from retouch.evaluation.report import finite, mean, write_report
from retouch.image.errors import OptionError, PictureError, RetouchError, unknown
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.metrics import Moments, frechet_distance, psnr, ssim
from retouch.models import catalogue
from retouch.models.card import Measured
from retouch.models.features import feature_path
from retouch.models.runner import Runner
from retouch.tasks.translate import trained_for
from retouch.training.pairs import prepared
from retouch.training.trainer import load_features

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.evaluation.options import EvaluateOptions

FEATURES, LAYER = "vgg16", "relu4_3"
"""Whose activations the Fréchet distance compares."""

_WIDTH, _SMALLEST = 512, 8  # channels of the layer, and the side of the smallest picture that it has a position for
_SSIM_SIDE = 11
_LEAST_LABELLED = 0.25  # the share of a label map's pixels that are near a label's colour


@dataclass(frozen=True)
class TranslationScore:
    """One picture, or the means: PSNR in dB, SSIM, L1 in 0..1, seconds.

    ``accuracy``: the share of pixels with the right label, None where the targets are no label maps.
    """

    name: str
    psnr: float
    ssim: float
    l1: float
    seconds: float
    accuracy: float | None = None

    def row(self, width: int, more: str = "") -> str:
        """One line of the table; ``more`` stands before the seconds."""
        label = f"  accuracy {self.accuracy:.4f}" if self.accuracy is not None else ""
        numbers = f"{self.psnr:6.2f} dB  {self.ssim:.4f}  L1 {self.l1:.4f}{label}{more}"
        return f"{self.name:<{width}}  {numbers}  {self.seconds:8.2f} s"


@dataclass
class TranslationReport:
    """The scores of a weight on a data set. ``total``: how many pictures there are to measure.

    ``confusion``: of label maps, over the pictures so far. ``frechet``: of others, once the last picture is done.
    """

    model: str
    dataset: str
    protocol: dict[str, Any]
    total: int
    parameters: int | None = None
    images: list[TranslationScore] = field(default_factory=list)
    confusion: Confusion | None = None
    frechet: float | None = None

    @property
    def mean(self) -> TranslationScore:
        """The means over the pictures, NaN before the first; the accuracy is that over all their pixels."""
        columns = {key: mean([getattr(s, key) for s in self.images]) for key in ("psnr", "ssim", "l1", "seconds")}
        return TranslationScore("mean", **columns, accuracy=self.confusion.accuracy if self.confusion else None)

    def row(self, name: str, width: int) -> str:
        """The means in one line."""
        more = f"  Fréchet {self.frechet:.2f}" if self.frechet is not None else ""
        if self.confusion is not None:
            more += f"  class {self.confusion.class_accuracy:.4f}  IoU {self.confusion.iou:.4f}"
        return replace(self.mean, name=name).row(width, more)

    def measured(self) -> Measured:
        """The means as a row of a card."""
        means, confusion = self.mean, self.confusion
        return Measured(
            dataset=self.dataset,
            psnr=round(means.psnr, 4),
            ssim=round(means.ssim, 5),
            images=len(self.images),
            recipe="translation",
            l1=round(means.l1, 5),
            accuracy=round(confusion.accuracy, 5) if confusion is not None else None,
            class_accuracy=round(confusion.class_accuracy, 5) if confusion is not None else None,
            iou=round(confusion.iou, 5) if confusion is not None else None,
            frechet=round(self.frechet, 4) if self.frechet is not None else None,
            protocol=self.protocol,
        )

    def to_json(self) -> str:
        """The report, means first, as ``--json`` writes it; what is not a finite number is null."""
        labels = {}
        if self.confusion is not None:
            names = ("accuracy", "class_accuracy", "iou")
            labels = {name: finite(getattr(self.confusion, name)) for name in names}
        data = {
            "model": self.model,
            "dataset": self.dataset,
            "parameters": self.parameters,
            **{name: finite(getattr(self.mean, name)) for name in ("psnr", "ssim", "l1")},
            **labels,
            **({"frechet": finite(self.frechet)} if self.frechet is not None else {}),
            "seconds": finite(self.mean.seconds),
            "images": [
                {"name": s.name, "psnr": finite(s.psnr), "ssim": finite(s.ssim), "l1": finite(s.l1)}
                | ({"accuracy": finite(s.accuracy)} if s.accuracy is not None else {})
                | {"seconds": round(s.seconds, 4)}
                for s in self.images
            ],
            "total": self.total,
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report as JSON; see ``report.write_report``."""
        write_report(path, self.to_json())


@dataclass(frozen=True)
class TranslationOutcome:
    """One picture: what the network got, what it made of it (8 bits), what it should have made, and the score."""

    source: Image
    result: Image
    target: Image
    score: TranslationScore


def evaluate_translation(
    name: str, data: str | Path, options: EvaluateOptions, labels: Literal["facades"] | None = None
) -> Iterator[tuple[TranslationReport, TranslationOutcome]]:
    """Translate one half of each picture of the folder or file ``data``; the report so far, and the picture just done.

    ``name``: a weight of the catalogue or a path to one, or 'input' for the half as it is, A. ``labels``: the palette
    in which the targets are drawn, if they are label maps. Of ``options`` count limit, device and seed: dropout that
    never ends is drawn from (seed, number of the picture). Raises ``OptionError`` for an unknown name or palette and a
    weight that does not translate, ``PictureError`` for a picture that is no pair or a target that is no label map, and
    ``RetouchError`` for data that cannot be read and where the Fréchet distance lacks its features.
    """
    if labels is not None and labels not in PALETTES:
        raise OptionError(unknown("palette", labels, list(PALETTES), "of --labels"))
    card = runner = None
    if name != INPUT:
        model = catalogue.load(_weight(name))
        card = model.card
        if "translate" not in card.tasks:
            raise OptionError(f"evaluate {name}: a weight for {', '.join(card.tasks)}, not for translate")
        with _seeded(options.seed, 0, torch.device("cpu")):  # which precision will do is found by running the network
            runner = Runner(model, device=options.device, tile="off")
    swap, side = trained_for(card)
    files = files_of(Path(data), options)
    report = TranslationReport(
        name, dataset_name(Path(data)), _protocol(options, labels, swap, side), len(files),
        parameters=card.parameters if card is not None else None,
    )  # fmt: skip
    palette = colours_of(PALETTES[labels]) if labels is not None else None
    if palette is not None:
        report.confusion = Confusion(len(palette))
    features = _Features(options.device) if palette is None else None
    for index, path in enumerate(files):
        source, target = halves(path, swap, side)
        result, seconds = source, 0.0
        if runner is not None:
            began = time.perf_counter()
            with _seeded(options.seed, index, runner.device):
                result = runner.run(source)
            seconds = time.perf_counter() - began
        outcome = Image(source), Image(_rounded(result)), Image(_rounded(target))  # refuses NaN
        result, target = (image.pixels for image in outcome[1:])
        accuracy = None
        if palette is not None:
            assert report.confusion is not None
            truth, near = nearest_label(target, palette)
            if near < _LEAST_LABELLED:
                half = "left" if swap else "right"
                raise PictureError(f"{path}: its {half} half is no label map in the colours of --labels {labels}")
            accuracy = report.confusion.add(truth, nearest_label(result, palette)[0])
        if features is not None:
            features.add(result, target, path)
            if index == len(files) - 1:
                report.frechet = features.distance()
        structure = ssim(result, target, quantize=True) if min(target.shape[1:]) >= _SSIM_SIDE else float("nan")
        score = TranslationScore(
            path.name, psnr(result, target, quantize=True), structure, float((result - target).abs().mean()), seconds,
            accuracy,
        )  # fmt: skip
        report.images.append(score)
        yield report, TranslationOutcome(*outcome, score)


def _weight(name: str) -> str:
    known = [entry.card.name for entry in catalogue.entries()]
    if name not in known and not name.endswith(catalogue.ENDING):
        raise OptionError(unknown("weight", name, [*known, INPUT]))
    return name


def dataset_name(data: Path) -> str:
    """The name of a data set: that of its folder, or of the folder around it where it is only called 'test'."""
    data = data.resolve()
    return data.parent.name if data.is_dir() and data.name == "test" else data.name


def halves(path: Path, swap: bool, side: int) -> tuple[Tensor, Tensor]:
    """What goes into the network and what should come out, ``(3, H, W)`` in [0, 1], resized as in training.

    Raises ``PictureError`` for an unusable file and one of odd width.
    """
    pixels = (open_image(path).pixels * 255).round().to(torch.uint8).numpy()
    width = pixels.shape[2]
    if width % 2:
        raise PictureError(f"{path}: {width} pixels wide, which are no two pictures side by side")
    a, b = (prepared(half, "rgb", side) for half in (pixels[:, :, : width // 2], pixels[:, :, width // 2 :]))
    return (b, a) if swap else (a, b)


class _Features:
    """The activations of results and of targets, as far as a Fréchet distance needs them."""

    def __init__(self, device: str) -> None:
        from retouch.models.device import pick_device

        if feature_path(FEATURES) is None:
            raise RetouchError(
                f"the Fréchet distance needs the feature weights of {FEATURES}: 'retouch models fetch {FEATURES}', or "
                "name their folder by RETOUCH_FEATURES; label maps (--labels) need none"
            )
        self.device = pick_device(device)
        self.network = load_features(FEATURES).to(self.device)
        self.results, self.targets = Moments(_WIDTH), Moments(_WIDTH)

    def add(self, result: Tensor, target: Tensor, path: Path) -> None:
        if min(target.shape[1:]) < _SMALLEST:
            raise PictureError(f"{path}: too small for the Fréchet distance, which needs {_SMALLEST} x {_SMALLEST}")
        for moments, picture in ((self.results, result), (self.targets, target)):
            with torch.inference_mode():
                activations = self.network(picture[None].to(self.device), [LAYER])[LAYER]
            moments.add(activations[0].flatten(1).T)

    def distance(self) -> float:
        """The distance, NaN where one position has no covariance."""
        results, targets = self.results, self.targets
        if results.count < 2:
            return float("nan")
        return frechet_distance(results.mean, results.covariance, targets.mean, targets.covariance)


@contextmanager
def _seeded(seed: int, index: int, device: torch.device) -> Iterator[None]:
    """Torch's generators begin at (seed, index), and afterwards are as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed((seed * 1_000_003 + index) % 2**63)
        yield


def _rounded(pixels: Tensor) -> Tensor:
    """As a file of 8 bits holds it."""
    return (pixels.clamp(0, 1) * 255).round() / 255


def _protocol(options: EvaluateOptions, labels: str | None, swap: bool, side: int) -> dict[str, Any]:
    """Everything that decides on the numbers."""
    return {
        "task": "translate",
        "direction": "B to A" if swap else "A to B",
        "side": side or None,
        "resize": "bicubic, antialiased" if side else None,
        "channels": "all",
        "output": "clipped, rounded to 8 bits",
        "labels": labels,
        "features": None if labels is not None else f"{FEATURES} {LAYER}, each position of each picture a vector",
        "limit": options.limit,
        "seed": options.seed,
    }
