"""The whole catalogue: every weight on every standard data set that its protocol belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouch.evaluation.classes import ClassReport, evaluate_classes
from retouch.evaluation.colour import ColourReport, evaluate_colours
from retouch.evaluation.options import EvaluateOptions
from retouch.evaluation.own import OwnReport
from retouch.evaluation.painted import PaintedReport
from retouch.evaluation.protocol import run_evaluation
from retouch.evaluation.report import Report
from retouch.evaluation.translation import FEATURES, TranslationReport, evaluate_translation
from retouch.image.errors import OptionError, RetouchError
from retouch.models import catalogue
from retouch.models.card import Card, Measured
from retouch.models.features import feature_path
from retouch.models.header import read_card
from retouch.solvers.steps import Listener
from retouch.tasks.translate import trained_for

_SIGMAS, _QUALITIES = (15.0, 25.0, 50.0), (10, 20, 30, 40)
_DAMAGES = {
    "damage-text": "text",
    "damage-holes": "text",
    "damage-jpeg": None,
    "damage-noise": None,
    "damage-blur": None,
}
"""The damages that restore is measured by, and what of them it has to be asked for."""
_DAMAGE_CROP = 256

_FACADES = "facades"
"""The data set of pairs that weights are measured on whose name, or recipe's name, says that they learned from it."""

_CLASSES = {"classify-cats-dogs": "cats-dogs/test", "classify-digits": "mnist/t10k-images-idx3-ubyte.gz"}
"""The test pictures of the classifiers that come with Retouch: those of others are their owners'."""

AnyReport = Report | ColourReport | TranslationReport | ClassReport | OwnReport | PaintedReport

_DEPARTURES = {
    "crop": "whole pictures",
    "limit": "whole data sets",
    "grey": "the pictures as they are",
    "clip_noise": "noise that is not clipped",
    "blind": "the level known",
    "ensemble": "one view",
}
"""What no published protocol has. A recipe's protocol is ours, and may crop."""


@dataclass(frozen=True)
class Round:
    """One evaluation to be made: a weight, a data set's name, and the condition."""

    card: Card
    path: Path
    dataset: str
    condition: dict[str, Any]


def rounds(names: list[str] | None = None) -> list[Round]:
    """What there is to measure for the weights of the catalogue, or for the named ones, by task and range of the card.

    Super-resolution on Set5 and Set14; grey noise on BSD68 and Set12, colour noise on CBSD68; JPEG on classic5;
    the damages of the test recipes on the middle 256 pixels of CBSD68; the colours of CBSD68; translation of facades,
    whose label maps are at the right; the classes of cats and dogs, and of MNIST's test digits. Generators and networks
    that mend digits are measured one by one (``own``).
    """
    made = []
    for entry in catalogue.entries():
        if names is not None and entry.card.name not in names:
            continue
        card = entry.card
        conditions: list[tuple[str, dict[str, Any]]] = []
        if "upscale" in card.tasks:
            conditions += [(name, {"scale": s}) for s in card.scales if s > 1 for name in ("set5", "set14")]
        if "denoise" in card.tasks and card.sigma is not None:
            sets = ("cbsd68",) if card.colour == "rgb" else ("bsd68", "set12")
            low, high = card.sigma
            conditions += [(name, {"sigma": s}) for s in _SIGMAS if low <= s <= high for name in sets]
        if "dejpeg" in card.tasks and card.quality is not None:
            least, most = card.quality
            conditions += [("classic5", {"quality": q}) for q in _QUALITIES if least <= q <= most]
        if "restore" in card.tasks:
            for damage, only in _DAMAGES.items():
                asked = {} if only is None else {"only": only}
                conditions.append(("cbsd68", {"recipe": damage, "crop": _DAMAGE_CROP, **asked}))
        if "colorize" in card.tasks:
            conditions.append(("cbsd68", {"colorize": True}))
        if "translate" in card.tasks and _FACADES in f"{card.name} {card.recipe.get('name')}":
            backwards, _ = trained_for(card)
            conditions.append((f"{_FACADES}/test", {"labels": None if backwards else _FACADES}))
        if card.name in _CLASSES and "classify" in card.tasks:
            conditions.append((_CLASSES[card.name], {"classes": True}))
        made += [Round(card, entry.path, name, condition) for name, condition in conditions]
    return made


def evaluate_all(
    data: Path,
    options: EvaluateOptions,
    *,
    on_round: Callable[[Round], None] | None = None,
    on_missing: Callable[[str], None] | None = None,
    on_step: Listener | None = None,
) -> Iterator[tuple[Round, AnyReport]]:
    """Measure every weight on the data sets found in ``data``, or in a folder there; the reports as they are done.

    ``options``: device, seed, tile and lpips are taken from it. ``on_missing`` hears each data set that is not there,
    once, and each weight whose measure lacks its features. Raises ``RetouchError`` where there is nothing to measure,
    ``OptionError`` as ``check_as_published``.
    """
    check_as_published(dataclasses.asdict(options))
    missing: set[str] = set()
    done = 0
    for one in rounds():
        places = (data / one.dataset, *sorted(data.glob(f"*/{one.dataset}")))
        folder = next((place for place in places if place.exists()), None)
        if folder is None:
            if on_missing is not None and one.dataset not in missing:
                on_missing(f"{places[0]}: not here, left out")
            missing.add(one.dataset)
            continue
        if "labels" in one.condition and one.condition["labels"] is None and feature_path(FEATURES) is None:
            if on_missing is not None:
                on_missing(f"{one.card.name}: left out, needs feature weights: retouch models fetch {FEATURES}")
            continue
        if on_round is not None:
            on_round(one)
        *_, report = _reports(one, folder, options, on_step)  # one object, which grows
        done += 1
        yield one, report
    if not done:
        raise RetouchError(f"{data}: nothing to measure: no weight in the catalogue, or none of its data sets here")


def _reports(one: Round, folder: Path, options: EvaluateOptions, on_step: Listener | None) -> Iterator[AnyReport]:
    if one.condition.get("colorize"):
        yield from (report for report, _ in evaluate_colours(one.card.name, folder, options, on_step=on_step))
        return
    if one.condition.get("classes"):
        yield from (made for made, _ in evaluate_classes(one.card.name, folder, device=options.device))
        return
    if "labels" in one.condition:
        found = evaluate_translation(one.card.name, folder, options, one.condition["labels"])
        yield from (report for report, _ in found)
        return
    chosen = dataclasses.replace(options, **one.condition)
    yield from (report for report, _ in run_evaluation(one.card.name, folder, chosen, on_step=on_step))


def record(path: Path, report: AnyReport) -> Card:
    """Write the means of a report into the card of the weight ``path``; the card as it is now.

    Raises ``OptionError`` for a report that is not by the protocol as published, ``RetouchError`` for one of a part.
    """
    from retouch.models.load import rewrite_card

    card = with_report(read_card(path), report)
    rewrite_card(path, card)
    return card


def check_as_published(values: Mapping[str, Any]) -> None:
    """Refuse what makes numbers that must not stand beside published ones; ``OptionError`` names the option.

    ``values``: an evaluation's options, or the protocol of its report.
    """
    for name, instead in _DEPARTURES.items():
        if values.get(name) and not (name == "crop" and values.get("recipe") is not None):
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(f"{flag}: a card and the table hold numbers by the published protocol only: {instead}")


def with_report(card: Card, report: AnyReport) -> Card:
    """The card with the means of a report on it; raises as ``record``."""
    protocol = report.protocol
    check_as_published(protocol)
    if len(report.images) != report.total:
        done = f"{len(report.images)} of {report.total}"
        raise RetouchError(f"{card.name}: only whole data sets are put on a card, not {done} pictures")
    if not isinstance(report, Report):
        return card.with_measured(report.measured())
    return card.with_measured(
        Measured(
            dataset=report.dataset,
            psnr=round(report.psnr, 4),
            ssim=round(report.ssim, 5),
            images=len(report.images),
            scale=report.scale,
            sigma=report.sigma,
            quality=report.quality,
            recipe=report.recipe,
            input_psnr=_rounded(report.input_psnr, 4),
            input_ssim=_rounded(report.input_ssim, 5),
            lpips=_rounded(report.lpips, 5),
            input_lpips=_rounded(report.input_lpips, 5),
            seconds_per_megapixel=_rounded(report.seconds_per_megapixel, 3),
            protocol=protocol,
        )
    )


def _rounded(value: float | None, places: int) -> float | None:
    return round(value, places) if value is not None else None
