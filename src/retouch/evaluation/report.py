"""What an evaluation found: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retouch.image.atomic import replacing
from retouch.image.errors import RetouchError


@dataclass(frozen=True)
class Score:
    """One picture: PSNR in dB (infinite where nothing differs), SSIM, and the seconds that the method took.

    ``input_psnr``, ``input_ssim``, ``input_lpips``: of the damaged picture; None where the protocol has no such number,
    as ``lpips`` where it was not asked for. ``megapixels``: of the picture that the method made; None where an older
    report did not say.
    """

    name: str
    psnr: float
    ssim: float
    seconds: float
    input_psnr: float | None = None
    input_ssim: float | None = None
    lpips: float | None = None
    input_lpips: float | None = None
    megapixels: float | None = None

    @property
    def gain(self) -> float | None:
        """By how many dB the picture is better than it was; NaN where it was, and is, without a fault."""
        return self.psnr - self.input_psnr if self.input_psnr is not None else None


@dataclass
class Report:
    """The scores of a method on a data set.

    ``protocol``: everything that another evaluation must agree on to be compared with this one. ``total``: pictures the
    data set has; fewer scores than that is an evaluation that was stopped. ``parameters``: learned numbers of the
    weight, None where no weight is used, or it is not known which.
    """

    model: str
    dataset: str
    scale: int | None
    sigma: float | None
    quality: int | None
    protocol: dict[str, Any]
    total: int
    images: list[Score] = field(default_factory=list)
    parameters: int | None = None
    recipe: str | None = None

    @property
    def psnr(self) -> float:
        """Mean PSNR over the pictures, NaN before the first."""
        return mean([score.psnr for score in self.images])

    @property
    def ssim(self) -> float:
        """Mean SSIM over the pictures, NaN before the first."""
        return mean([score.ssim for score in self.images])

    @property
    def seconds(self) -> float:
        """Mean seconds a picture."""
        return mean([score.seconds for score in self.images])

    @property
    def seconds_per_megapixel(self) -> float | None:
        """Median over the pictures, of what the method made; None before the first, or where it is not known."""
        rates = [score.seconds / score.megapixels for score in self.images if score.megapixels]
        return statistics.median(rates) if rates else None

    @property
    def input_psnr(self) -> float | None:
        """Mean PSNR of the damaged pictures, None where the protocol has none; as ``input_ssim`` and the LPIPS."""
        return _mean_of_some([score.input_psnr for score in self.images])

    @property
    def input_ssim(self) -> float | None:
        return _mean_of_some([score.input_ssim for score in self.images])

    @property
    def lpips(self) -> float | None:
        return _mean_of_some([score.lpips for score in self.images])

    @property
    def input_lpips(self) -> float | None:
        return _mean_of_some([score.input_lpips for score in self.images])

    @property
    def gain(self) -> float | None:
        """By how many dB the mean is better than that of the damaged pictures."""
        return self.psnr - self.input_psnr if self.input_psnr is not None else None

    def to_json(self) -> str:
        """The report as JSON; what is not a finite number is null."""
        data = {
            "model": self.model,
            "dataset": self.dataset,
            "scale": self.scale,
            "sigma": self.sigma,
            "quality": self.quality,
            "recipe": self.recipe,
            "parameters": self.parameters,
            "psnr": finite(self.psnr),
            "ssim": finite(self.ssim),
            "seconds": finite(self.seconds),
            **_given(self, (*_MORE, "seconds_per_megapixel")),
            "images": [
                {"name": s.name, "psnr": finite(s.psnr), "ssim": finite(s.ssim), **_given(s, (*_MORE, "megapixels"))}
                | {"seconds": round(s.seconds, 4)}
                for s in self.images
            ],
            "total": self.total,
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the JSON; see ``write_report``."""
        write_report(path, self.to_json())

    def take_over(self, path: Path) -> None:
        """Take the scores from an earlier report of the same evaluation; nothing happens if there is no such file.

        Raises ``RetouchError`` for a file that is no report, or one of another method, data set or protocol.
        """
        if not path.exists():
            return
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            same = {name: data[name] for name in _IDENTITY}
            scores = [_score(entry) for entry in data["images"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RetouchError(f"{path}: not a report of retouch evaluate; delete it to start anew") from error
        mine = json.loads(self.to_json())
        other = [name for name, value in same.items() if mine[name] != value]
        if other:
            raise RetouchError(f"{path}: belongs to another evaluation ({other[0]} differs); delete it to start anew")
        self.images = scores

    def table(self) -> str:
        """One line a picture and the means below."""
        width = max([len(s.name) for s in self.images] + [len("mean")])
        lines = [row(s.name, s, width) for s in self.images]
        lines.append(row("mean", self, width))
        return "\n".join(lines)


_IDENTITY = ("model", "dataset", "scale", "sigma", "quality", "recipe", "protocol", "total")
_MORE = ("input_psnr", "input_ssim", "gain", "lpips", "input_lpips")


def write_report(path: Path, text: str) -> None:
    """Write a report; the file is the old one or the new one, never half of one. Raises ``RetouchError``."""
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RetouchError(f"{path}: cannot write the report: {error.strerror or error}") from error


def row(name: str, numbers: Score | Report, width: int) -> str:
    """One line of the table: PSNR, SSIM, what was gained over the damaged picture, LPIPS (and that of the damaged)."""
    words = [f"{name:<{width}}", f"{numbers.psnr:6.2f} dB", f"{numbers.ssim:.4f}"]
    if numbers.gain is not None:
        words.append(f"gain {numbers.gain:+6.2f} dB")
    if numbers.lpips is not None:
        before = f" (from {numbers.input_lpips:.4f})" if numbers.input_lpips is not None else ""
        words.append(f"LPIPS {numbers.lpips:.4f}{before}")
    return "  ".join([*words, f"{numbers.seconds:8.2f} s"])


def _given(numbers: Score | Report, names: Sequence[str]) -> dict[str, float | None]:
    """Those of the numbers that there are; null where one is not finite."""
    values = {name: getattr(numbers, name) for name in names}
    return {name: finite(value) for name, value in values.items() if value is not None}


def mean(values: list[float]) -> float:
    """The mean, NaN of none."""
    return math.fsum(values) / len(values) if values else math.nan


def _mean_of_some(values: list[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return mean(given) if given else None


def finite(value: float) -> float | None:
    """As JSON holds it: six places, None for what is not finite."""
    return round(value, 6) if math.isfinite(value) else None


def _score(entry: Mapping[str, Any]) -> Score:
    psnr = math.inf if entry["psnr"] is None else float(entry["psnr"])
    ssim = math.nan if entry["ssim"] is None else float(entry["ssim"])
    score = Score(str(entry["name"]), psnr, ssim, float(entry["seconds"]))
    if "input_psnr" in entry:
        before = math.inf if entry["input_psnr"] is None else float(entry["input_psnr"])
        score = replace(score, input_psnr=before, input_ssim=_number(entry["input_ssim"]))
    if "lpips" in entry:
        score = replace(score, lpips=_number(entry["lpips"]))
    if "input_lpips" in entry:
        score = replace(score, input_lpips=_number(entry["input_lpips"]))
    if "megapixels" in entry:
        score = replace(score, megapixels=_number(entry["megapixels"]))
    return score


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
