"""What a run leaves to read: CSV files, and TensorBoard's events where it is installed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.image.atomic import replacing

if TYPE_CHECKING:
    from retouch.image.image import Image


class CsvLog:
    """One row a step, columns fixed by the first row. Rows after ``step`` of an earlier life of the run are removed."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows: list[dict[str, str]] = []
        if step and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _is_step(row, step)]
        self.columns: list[str] = list(rows[0]) if rows else []
        text = io.StringIO(newline="")
        if rows:
            writer = csv.DictWriter(text, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        with replacing(path) as beside:
            beside.write_text(text.getvalue(), encoding="utf-8", newline="")

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row; it must have the columns of the first."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            if not self.columns:
                self.columns = list(row)
                csv.DictWriter(file, self.columns).writeheader()
            csv.DictWriter(file, self.columns).writerow({key: f"{value:.8g}" for key, value in row.items()})


def curves(path: Path, points: int = 40) -> dict[str, list[float]]:
    """The columns of a log, each as the means over ``points`` equal parts of its rows at most, to four digits.

    "step" is the last step of each part. Empty where there is no log; what is not a finite number is left out of the
    mean, and a part of none is 0.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parts = [rows[i * len(rows) // points : (i + 1) * len(rows) // points] for i in range(points)]
    parts = [part for part in parts if part]
    made: dict[str, list[float]] = {}
    for column in rows[0] if rows else ():
        values = [[value for row in part if math.isfinite(value := float(row[column] or "nan"))] for part in parts]
        means = [(sum(some) / len(some) if column != "step" else some[-1]) if some else 0.0 for some in values]
        made[column] = [float(f"{mean:.4g}") if column != "step" else mean for mean in means]
    return made


def _is_step(row: Mapping[str, str], last: int) -> bool:
    try:
        return None not in row.values() and int(row["step"]) <= last
    except (KeyError, ValueError):  # a line that a kill cut short
        return False


class Board:
    """TensorBoard's events; silently nothing where the package is not installed (``here`` tells)."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=step or None)

    @property
    def here(self) -> bool:
        """Whether events are written."""
        return self._writer is not None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: Image) -> None:
        """A picture, kept with the step."""
        if self._writer is not None:
            self._writer.add_image(name, image.pixels.numpy(), step)

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
