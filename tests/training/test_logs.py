"""Logs thinned to the curves of a card."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from retouch.training.logs import CsvLog, curves


def test_curves_are_means_over_equal_parts(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", 0)
    for step in range(1, 101):
        log.write({"step": step, "loss": 1 / step, "flat": 2.0})
    found = curves(tmp_path / "log.csv", points=4)
    assert found["step"] == [25, 50, 75, 100]
    assert found["flat"] == [2.0] * 4
    assert found["loss"][0] == pytest.approx(sum(1 / n for n in range(1, 26)) / 25, rel=1e-3)
    assert found["loss"] == sorted(found["loss"], reverse=True)


def test_few_rows_no_rows_and_what_is_not_finite(tmp_path: Path) -> None:
    assert curves(tmp_path / "none.csv") == {}
    log = CsvLog(tmp_path / "log.csv", 0)
    assert curves(tmp_path / "log.csv") == {}
    for step, loss in ((1, math.nan), (2, 3.0)):
        log.write({"step": step, "loss": loss})
    assert curves(tmp_path / "log.csv") == {"step": [1, 2], "loss": [0.0, 3.0]}
