"""How often a classifier is right, and what it takes for what.

Each picture lies in a folder called after its class, or in a file of MNIST's form with one of labels beside it. The
network is shown what ``retouch classify`` shows it: the middle square. The accuracy is the share of pictures whose
likeliest class is theirs; the cross-entropy, in nats, also counts how sure the network was.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from retouch.evaluation.labels import Confusion
from retouch.evaluation.report import finite, mean, write_report
from retouch.image.errors import OptionError, PictureError, RetouchError, unknown
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.models import imagenet
from retouch.models.card import Measured
from retouch.models.classifier import IMAGENET, Classifier
from retouch.training.pictures import Pictures, find_pictures, is_idx, load_pictures

RECIPE = "classification"
"""The condition of a card's row of such numbers."""

MOST = 20  # classes that a table of all of them can be read with


@dataclass(frozen=True)
class ClassScore:
    """One picture: its true class and the one it was taken for, with the probability of that, and the cross-entropy."""

    name: str
    truth: str
    told: str
    probability: float
    loss: float
    seconds: float

    @property
    def right(self) -> bool:
        """Whether it was taken for what it is."""
        return self.truth == self.told

    def row(self, width: int) -> str:
        """One line about it."""
        words = self.truth if self.right else f"{self.truth}, taken for {self.told}"
        return f"{self.name:<{width}}  {self.probability:6.1%}  {words}"


@dataclass
class ClassReport:
    """The scores of a classifier on a data set. ``total``: how many pictures there are to measure."""

    model: str
    dataset: str
    classes: tuple[str, ...]
    protocol: dict[str, Any]
    total: int
    parameters: int | None = None
    images: list[ClassScore] = field(default_factory=list)
    confusion: Confusion = field(init=False)

    def __post_init__(self) -> None:
        self.confusion = Confusion(len(self.classes))

    @property
    def accuracy(self) -> float:
        """The share of pictures that are right; NaN before the first."""
        return self.confusion.accuracy

    @property
    def class_accuracy(self) -> float:
        """The mean over the classes of the share of theirs that is right."""
        return self.confusion.class_accuracy

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return mean([score.loss for score in self.images])

    def row(self, name: str, width: int) -> str:
        """The means in one line."""
        seconds = mean([score.seconds for score in self.images])
        right = sum(score.right for score in self.images)
        return (
            f"{name:<{width}}  accuracy {self.accuracy:.4f} ({right} of {len(self.images)})  "
            f"class {self.class_accuracy:.4f}  cross-entropy {self.loss:.4f}  {seconds:8.2f} s"
        )

    def measured(self) -> Measured:
        """The means as a row of a card."""
        return Measured(
            dataset=self.dataset,
            images=len(self.images),
            recipe=RECIPE,
            accuracy=round(self.accuracy, 5),
            class_accuracy=round(self.class_accuracy, 5),
            protocol=self.protocol | {"cross_entropy": round(self.loss, 5)},
        )

    def table(self) -> list[str]:
        """The confusion table, line by line: a row for each true class, a column for each that was told.

        Of more than ``MOST`` classes the pairs that are confused most instead.
        """
        counts = self.confusion.counts
        if len(self.classes) > MOST:
            wrong = counts - torch.diag(counts.diag())
            found = wrong.flatten().topk(min(MOST, wrong.numel()))
            pairs = [(int(n), *divmod(int(at), len(counts))) for n, at in zip(*found, strict=True) if n > 0]
            return [f"{count:5d}  {self.classes[true]}, taken for {self.classes[told]}" for count, true, told in pairs]
        left = max(map(len, self.classes))
        widths = [max(len(name), len(str(int(counts.max())))) for name in self.classes]
        heads = "  ".join(f"{name:>{width}}" for name, width in zip(self.classes, widths, strict=True))
        lines = [f"{'':<{left}}  {heads}  right"]
        for name, row in zip(self.classes, counts.tolist(), strict=True):
            cells = "  ".join(f"{count:>{width}}" for count, width in zip(row, widths, strict=True))
            share = f"{row[self.classes.index(name)] / sum(row):.1%}" if sum(row) else "-"
            lines.append(f"{name:<{left}}  {cells}  {share:>5}")
        return lines

    def picture(self) -> Image:
        """The confusion table as a picture: what is right in blue, what is wrong in orange.

        The stronger a colour, the larger the share of the true class, by its cube root, so that few mistakes are seen
        too. Raises ``OptionError`` for more than ``MOST`` classes.
        """
        if len(self.classes) > MOST:
            raise OptionError(f"a picture of {len(self.classes)} x {len(self.classes)} classes cannot be read")
        rows, captions = [], []
        for true, row in enumerate(self.confusion.counts.tolist()):
            shares = [count / max(1, sum(row)) for count in row]
            rows.append([_tile(share, told == true) for told, share in enumerate(shares)])
            captions.append([f"{n} ({s:.1%})" if n else "" for n, s in zip(row, shares, strict=True)])
        return sheet(
            rows,
            column_titles=[f"told {name}" for name in self.classes],
            row_titles=self.classes,
            captions=captions,
            title=f"{Path(self.model).stem} on {self.dataset}: {self.accuracy:.1%} right",
            cell=64 if len(self.classes) > 3 else 128,
            gap=6,
        )

    def to_json(self) -> str:
        """The report, means first, as ``--json`` writes it; what is not a finite number is null."""
        data = {
            "model": self.model,
            "dataset": self.dataset,
            "parameters": self.parameters,
            "accuracy": finite(self.accuracy),
            "class_accuracy": finite(self.class_accuracy),
            "cross_entropy": finite(self.loss),
            "seconds": finite(mean([score.seconds for score in self.images])),
            "classes": list(self.classes),
            "confusion": self.confusion.counts.tolist(),
            "images": [
                {
                    "name": s.name,
                    "truth": s.truth,
                    "told": s.told,
                    "probability": finite(s.probability),
                    "cross_entropy": finite(s.loss),
                    "seconds": round(s.seconds, 4),
                }
                for s in self.images
            ],
            "total": self.total,
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report as JSON; see ``report.write_report``."""
        write_report(path, self.to_json())


def _tile(share: float, right: bool) -> Image:
    """A square from nearly white to a deep blue or orange."""
    light, deep = torch.tensor([0.95, 0.96, 0.98]), torch.tensor([0.05, 0.25, 0.55] if right else [0.85, 0.33, 0.0])
    return Image((light + (deep - light) * share ** (1 / 3)).view(3, 1, 1).expand(3, 32, 32).contiguous())


def evaluate_classes(
    name: str, data: str | Path, *, limit: int | None = None, device: str = "auto"
) -> Iterator[tuple[ClassReport, ClassScore]]:
    """Classify every picture of the folders in ``data``; the report so far, and the picture just done.

    ``name``: as of ``Classifier``. ``limit``: only so many pictures, evenly from all of them. Raises ``OptionError``
    for an unknown name, ``PictureError`` for a picture that cannot be read, and ``RetouchError`` for one of a class
    that the network does not know, and data that cannot be read.
    """
    data = Path(data)
    samples = list(_samples(data))
    if limit is not None:
        count = min(limit, len(samples))
        samples = [samples[number * len(samples) // count] for number in range(count)]
    classifier = Classifier(name, device=device)
    labels = {label: _number(label, classifier, path) for label, path in {s.label: s.path for s in samples}.items()}
    report = ClassReport(
        name,
        dataset_name(data),
        tuple(classifier.classes),
        {"task": RECIPE, "input": f"the middle square, {classifier.side} pixels a side", "limit": limit},
        len(samples),
        parameters=classifier.card.parameters if classifier.card is not None else None,
    )
    for sample in samples:
        image = sample.open()
        began = time.perf_counter()
        logits = classifier.logits(classifier.input_of(image))
        seconds = time.perf_counter() - began
        truth = torch.tensor([labels[sample.label]])
        probability, told = logits.softmax(1)[0].max(0)
        report.confusion.add(truth, told[None])
        score = ClassScore(
            sample.name,
            classifier.classes[int(truth)],
            classifier.classes[int(told)],
            float(probability),
            _entropy(logits, truth),
            seconds,
        )
        report.images.append(score)
        yield report, score


def _entropy(logits: Tensor, truth: Tensor) -> float:
    found = float(functional.cross_entropy(logits, truth))
    return found if math.isfinite(found) else math.inf


@dataclass(frozen=True)
class _Sample:
    """A picture: of a file of its own, or the one of number ``place`` among ``many``."""

    path: Path
    label: str
    name: str
    place: int = 0
    many: Pictures | None = None

    def open(self) -> Image:
        if self.many is None:
            return open_image(self.path)
        return Image(torch.from_numpy(self.many[self.place].copy()).float() / 255)


def _samples(data: Path) -> Iterator[_Sample]:
    for path in find_pictures([data]):
        if not is_idx(path):
            yield _Sample(path, path.parent.name, path.name)
            continue
        many = load_pictures([path], None, on_skip=_refuse)
        for place, entry in enumerate(many.entries):
            yield _Sample(path, entry.label, entry.name, place, many)


def _refuse(reason: str) -> None:
    raise PictureError(reason.removesuffix("; left out"))


def _number(label: str, classifier: Classifier, path: Path) -> int:
    if classifier.name == IMAGENET:
        try:
            return imagenet.find_class(label)
        except OptionError as error:
            raise RetouchError(f"{path}: lies in the folder of no class: {error}") from error
    if label not in classifier.classes:
        raise RetouchError(f"{path}: {unknown('class', label, classifier.classes)}")
    return classifier.classes.index(label)


def dataset_name(data: Path) -> str:
    """The name of a data set: its folder's, or that of the folder around one called 'test' and around a file."""
    data = data.resolve()
    return data.parent.name if data.is_file() or data.name == "test" else data.name
