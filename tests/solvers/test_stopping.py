"""Stop rules against their definitions computed the long way."""

from __future__ import annotations

import io
import math

import pytest
import torch

from retouch.solvers.stopping import MovingVariance, WindowedVariance


def _outputs(count: int, seed: int = 0) -> list[torch.Tensor]:
    """Outputs whose spread shrinks to step 30 and grows afterwards."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(1, 3, 6, 5, generator=generator) * 0.2 + 0.4
    spread = [0.01 + 0.1 * abs(i - 30) / 30 for i in range(count)]
    return [(base + s * (torch.rand(base.shape, generator=generator) - 0.5)).half().float() for s in spread]


def test_windowed_variance_is_its_definition() -> None:
    outputs = _outputs(40)
    rule = WindowedVariance(window=8, patience=1000)
    for index, output in enumerate(outputs):
        rule.update(index, output, output)
        if index < 7:
            assert math.isnan(rule.value)
            assert rule.best() is None
            continue
        window = torch.stack(outputs[index - 7 : index + 1]).double()
        assert rule.value == pytest.approx(float((window - window.mean(0)).square().mean()), rel=1e-9)


def test_moving_variance_is_its_definition() -> None:
    outputs = _outputs(40)
    rule = MovingVariance(rate=0.1, ignore=5, patience=1000)
    mean, variance = outputs[0], 0.0
    for index, output in enumerate(outputs):
        rule.update(index, output, output)
        if index:
            change = output - mean
            mean = (mean + 0.1 * change).clamp(0, 1)
            variance = 0.9 * (variance + 0.1 * float(change.square().mean()))
        assert (rule.best() is None) == (index < 5)
        if index >= 5:
            assert rule.value == pytest.approx(variance)


@pytest.mark.parametrize("rule", [WindowedVariance(window=5, patience=12), MovingVariance(ignore=5, patience=12)])
def test_stops_after_patience_and_returns_the_candidate_of_the_minimum(rule: WindowedVariance | MovingVariance) -> None:
    values, stopped = {}, None
    for index, output in enumerate(_outputs(100)):
        done = rule.update(index, output, torch.full((1,), float(index)))
        values[index] = rule.value
        if done:
            stopped = index
            break
    best = min((i for i in values if not math.isnan(values[i]) and rule.best()), key=lambda i: values[i])
    found = rule.best()
    assert found is not None
    index, candidate = found
    assert stopped == index + 12
    assert 25 <= index <= 45
    assert float(candidate) == index
    assert values[index] <= values[best] or index >= 5


def test_the_candidate_may_be_taken_some_steps_after_the_minimum() -> None:
    rules = [WindowedVariance(window=5, patience=12, delay=delay) for delay in (0, 7)]
    for index, output in enumerate(_outputs(100)):
        stops = [rule.update(index, output, torch.full((1,), float(index))) for rule in rules]
        if any(stops):
            break
    (least, at_once), (same, later) = (rule.best() or (0, torch.zeros(1)) for rule in rules)
    assert (same, float(at_once), float(later)) == (least, least, least + 7)


@pytest.mark.parametrize("kind", [WindowedVariance, MovingVariance])
def test_state_continues_to_the_same_numbers(kind: type[WindowedVariance] | type[MovingVariance]) -> None:
    outputs = _outputs(60)
    whole, first, second = kind(), kind(), kind()
    for rule in (whole, first, second):
        if isinstance(rule, WindowedVariance):
            rule.window = 10
        else:
            rule.ignore = 10
    for index, output in enumerate(outputs[:35]):
        whole.update(index, output, output)
        first.update(index, output, output)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    for index, output in enumerate(outputs[35:], start=35):
        whole.update(index, output, output)
        second.update(index, output, output)
        assert second.value == whole.value
    assert second.best()[0] == whole.best()[0]  # type: ignore[index]
