"""What the weights of the catalogue reach, beside what papers print, as a Markdown table."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from retouch.image.errors import RetouchError
from retouch.models.card import Card, Measured

BEGIN, END = "<!-- evaluated weights: begin -->", "<!-- evaluated weights: end -->"
"""What stands around the table in a document that it is put into."""

_HEAD = (
    "weight",
    "pictures",
    "",
    "measured: PSNR / SSIM",
    "published",
    "best today",
    "without a network",
    "s a megapixel",
    "parameters",
    "file",
)
_BEST = "best"  # the family of the rows of what is best today


@dataclass(frozen=True)
class Published:
    """A number of a paper: PSNR in dB, and SSIM where the paper's is comparable."""

    psnr: float
    ssim: float | None = None

    def __str__(self) -> str:
        return f"{self.psnr:.2f}" + (f" / {self.ssim:.4f}" if self.ssim is not None else "")


@dataclass(frozen=True)
class PublishedLabels:
    """Numbers of a paper for a translation into label maps: those of ``labels.Confusion``."""

    accuracy: float
    class_accuracy: float
    iou: float

    def __str__(self) -> str:
        return f"{self.accuracy:.2f} / {self.class_accuracy:.2f} / {self.iou:.2f}"


_PARTS = ("reconstruction", "divergence")  # of nats
_LABELS = "labels"  # the condition of such numbers


def condition_name(row: Measured) -> str:
    """'x3', 's25', 'q10', or a recipe's name with the side of the pictures, if it has one: 'damage-text (256 px)'."""
    if row.recipe is not None:
        side = row.protocol.get("crop") or row.protocol.get("side")
        return row.recipe + (f" ({side} px)" if side else "")
    if row.scale is not None:
        return f"x{row.scale}"
    return f"s{row.sigma:g}" if row.sigma is not None else f"q{row.quality}"


@cache
def _rows() -> dict[str, dict[str, Any]]:
    text = (Path(__file__).parent / "published.toml").read_text(encoding="utf-8")
    return {row["family"]: row for row in tomllib.loads(text)["row"]}


def published(family: str, dataset: str, condition: str) -> Published | PublishedLabels | None:
    """What the paper of ``family`` prints for a data set and condition, None where it prints nothing comparable.

    ``condition``: as of ``condition_name``, or 'labels'.
    """
    values = _rows().get(family, {}).get(dataset, {}).get(condition)
    if values is None:
        return None
    return PublishedLabels(*values) if condition == _LABELS else Published(*values)


def in_words(row: Measured) -> list[str]:
    """What counts most of a row that is not about PSNR; empty for others.

    Of a translation: 'accuracy 0.512', 'class 0.300', 'IoU 0.180', or Fréchet distance and L1; of a classifier the
    accuracies; of a generator: nats and their parts, and the Fréchet distance of its samples; of what is painted in a
    style, what is left of the distance to it, and the distance to the content.
    """
    if row.accuracy is not None and row.class_accuracy is not None and row.iou is not None:
        return [f"accuracy {row.accuracy:.3f}", f"class {row.class_accuracy:.3f}", f"IoU {row.iou:.3f}"]
    if row.accuracy is not None and row.class_accuracy is not None:
        return [f"accuracy {row.accuracy:.3f}", f"class {row.class_accuracy:.3f}"]
    if row.frechet is not None and row.l1 is not None:
        return [f"Fréchet {row.frechet:.1f}", f"L1 {row.l1:.3f}"]
    if row.style is not None and row.content is not None:
        return [f"style {row.style:.3f}", f"content {row.content:.3f}"]
    words = [f"{row.nats:.2f} nats"] if row.nats is not None else []
    words += [f"{name} {value:.2f}" for name in _PARTS if (value := getattr(row, name)) is not None]
    return words + ([f"Fréchet {row.frechet:.1f}"] if row.frechet is not None else [])


def sources(families: Sequence[str]) -> list[str]:
    """'family: source' of the published numbers, in the order given, for those that have any."""
    return [f"{family}: {_rows()[family]['source']}" for family in families if family in _rows()]


def table(weights: Sequence[tuple[Card, int]]) -> str:
    """One row for each measured number of each weight. ``weights``: cards, and the sizes of their files in bytes.

    "Without a network" is bicubic interpolation, BM3D for noise, and the damaged picture itself for JPEG and recipes;
    "best today" what networks of many million numbers reach by the same protocol; the seconds are of a megapixel of
    output on the machine that measured. Sources stand below. Empty where nothing was measured.
    """
    if not any(card.measured for card, _ in weights):
        return ""
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    for card, size in weights:
        for row in card.measured:
            condition = condition_name(row)
            cells = (
                f"`{card.name}`",
                row.dataset,
                condition,
                _reached(row),
                published(card.family, row.dataset, _LABELS if row.iou is not None else condition) or "",
                published(_BEST, row.dataset, condition) or "",
                _classical(row),
                f"{row.seconds_per_megapixel:.2f}" if row.seconds_per_megapixel is not None else "",
                f"{card.parameters:,}",
                f"{size / 1000:.0f} kB",
            )
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    families = list(dict.fromkeys(card.family for card, _ in weights))
    if any(row.sigma is not None for card, _ in weights for row in card.measured):
        families.append("bm3d")
    if any(published(_BEST, row.dataset, condition_name(row)) for card, _ in weights for row in card.measured):
        families.append(_BEST)
    notes = "; ".join(sources(families))
    return "\n".join(lines) + (f"\n\n*Published: {notes}.*" if notes else "") + "\n"


def _reached(row: Measured) -> str:
    if first := in_words(row):
        return " / ".join([f"**{first[0]}**", *first[1:]])
    if row.psnr is None:
        return ""
    structure = f" / {row.ssim:.4f}" if row.ssim is not None else ""
    return f"**{row.psnr:.2f}**{structure}{_perceptual(row.lpips)}{_colour(row.chroma_error)}"


def _perceptual(value: float | None) -> str:
    return f" / LPIPS {value:.3f}" if value is not None else ""


def _colour(value: float | None) -> str:
    return f" / ab error {value:.2f}" if value is not None else ""


def _classical(row: Measured) -> str:
    if row.recipe is not None:
        if row.input_psnr is None or row.input_ssim is None:
            return ""
        more = _perceptual(row.input_lpips) + _colour(row.input_chroma_error)
        return f"{row.input_psnr:.2f} / {row.input_ssim:.4f}{more} (input)"
    family, label = ("bicubic", "") if row.scale is not None else ("input", " (input)")
    if row.sigma is not None:
        family, label = "bm3d", " (BM3D)"
    found = published(family, row.dataset, condition_name(row))
    return f"{found}{label}" if found is not None else ""


def put_into(path: Path, text: str) -> None:
    """Write ``text`` between the marks of the document ``path``; a file without them, or none, becomes ``text`` alone.

    Raises ``RetouchError`` for a file that cannot be read or written, or that has one mark only.
    """
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if (BEGIN in old) != (END in old) or old.find(BEGIN) > old.find(END):
            raise RetouchError(f"{path}: the marks '{BEGIN}' and '{END}' must both be there, in this order")
        if BEGIN in old:
            before, _, rest = old.partition(BEGIN)
            text = f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RetouchError(f"{path}: cannot write the table: {error.strerror or error}") from error
