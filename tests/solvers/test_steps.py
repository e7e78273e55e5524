"""The step loop: averages, events, cancelling, and a run that is killed and continued."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retouch.image.errors import RetouchError
from retouch.image.image import Image
from retouch.solvers.steps import Loop, RunningAverage, Step
from retouch.solvers.stopping import MovingVariance


class Walk:
    """A random walk: cheap, and different if anything of its state is lost."""

    def __init__(self, fail_at: int = -1, nan_at: int = -1) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.position = torch.full((1, 1, 2, 3), 0.5)
        self.fail_at, self.nan_at = fail_at, nan_at

    def step(self, index: int) -> tuple[float, Tensor]:
        if index == self.fail_at:
            raise KeyboardInterrupt
        self.position = self.position + 0.01 * torch.randn(self.position.shape, generator=self.generator)
        return (math.nan if index == self.nan_at else 1 / (index + 1)), self.position.clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.position = state["position"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 0.99))
def test_running_average_follows_its_recursion(values: list[float], weight: float) -> None:
    average = RunningAverage(weight)
    expected = values[0]
    for count, value in enumerate(values):
        result = average.update(torch.tensor([value]))
        keep = min(weight, (1 + count) / (5 + count)) if count else 0.0
        expected = keep * expected + (1 - keep) * value
    assert float(result) == pytest.approx(expected, abs=1e-5)


def test_running_average_forgets_the_start_and_then_has_its_full_length() -> None:
    average = RunningAverage(0.99)
    for count in range(400):
        result = average.update(torch.tensor([1.0 if count < 50 else 0.0]))
        if count == 200:
            assert float(result) < 0.01
    average.update(torch.tensor([1.0]))
    assert float(average.value or 0) == pytest.approx(0.01, abs=0.002)


def test_average_of_a_constant_is_the_constant_from_the_first_step() -> None:
    average = RunningAverage(0.99)
    assert float(average.update(torch.tensor([0.7]))) == pytest.approx(0.7)


def test_runs_to_the_end_and_tells_every_step() -> None:
    heard: list[Step] = []
    output, steps, reason, history = Loop(total=5, on_step=heard.append).run(Walk())
    assert (steps, reason, len(history)) == (5, "steps", 5)
    assert [step.index for step in heard] == [1, 2, 3, 4, 5]
    assert all(step.total == 5 and step.loss == 1 / step.index for step in heard)
    assert heard[-1].seconds_left == 0
    assert output.shape == (1, 1, 2, 3)


def test_cancelling_returns_the_average_so_far() -> None:
    output, steps, reason, _ = Loop(total=50, on_step=lambda step: step.index < 4).run(Walk())
    expected, *_ = Loop(total=4).run(Walk())
    assert (steps, reason) == (4, "cancelled")
    assert torch.equal(output, expected)


def test_preview_is_an_image_at_intervals() -> None:
    heard: list[Step] = []
    loop = Loop(total=4, on_step=heard.append, preview=lambda x: Image(x[0]), preview_seconds=1e9)
    loop.run(Walk())
    assert isinstance(heard[0].preview, Image)
    assert [step.preview is not None for step in heard] == [True, False, False, False]


def test_a_killed_run_continues_to_the_same_result(tmp_path: Path) -> None:
    def loop() -> Loop:
        return Loop(
            total=40,
            stop=MovingVariance(ignore=5, patience=100),
            state_file=tmp_path / "run.state",
            save_seconds=0,
            identity="same",
        )

    whole, _, _, history = Loop(total=40, stop=MovingVariance(ignore=5, patience=100)).run(Walk())
    with pytest.raises(KeyboardInterrupt):
        loop().run(Walk(fail_at=17))
    assert (tmp_path / "run.state").exists()
    heard: list[Step] = []
    resumed = loop()
    resumed.on_step = heard.append
    output, steps, _, again = resumed.run(Walk())
    assert heard[0].index == 18
    assert steps == 40
    assert torch.equal(output, whole)
    assert [record["variance"] for record in again[5:]] == [record["variance"] for record in history[5:]]
    assert list(tmp_path.iterdir()) == []  # neither the state nor a partial one is left


def test_a_cancelled_run_keeps_its_state(tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    Loop(total=9, state_file=state, on_step=lambda step: step.index < 3).run(Walk())
    _, steps, reason, history = Loop(total=9, state_file=state).run(Walk())
    assert (steps, reason, len(history)) == (9, "steps", 9)


def test_the_state_of_another_run_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "run.state"
    Loop(total=9, state_file=state, identity="one", on_step=lambda step: False).run(Walk())
    with pytest.raises(RetouchError, match="another picture or other options"):
        Loop(total=9, state_file=state, identity="two").run(Walk())


@pytest.mark.parametrize("content", [b"", b"not a state", b"PK\x03\x04 cut"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "run.state"
    state.write_bytes(content)
    with pytest.raises(RetouchError, match="not a state file"):
        Loop(total=2, state_file=state).run(Walk())


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(RetouchError, match="step 3"):
        Loop(total=5).run(Walk(nan_at=2))
