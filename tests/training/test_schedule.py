"""Learning rates by hand, groups, clipping, the average of the weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import Parameter
from torch.optim.swa_utils import AveragedModel

from retouch.image.errors import OptionError
from retouch.training.recipe import GroupRecipe, OptimizerRecipe, ScheduleRecipe
from retouch.training.schedule import Clipper, growing_average, make_optimizer, make_schedule


def _rates(steps: int, group: float | None = None, **values: Any) -> list[list[float]]:
    """The rates of each step and one more, base 1.0; of each group."""
    named = [("a", Parameter(torch.zeros(1))), ("b", Parameter(torch.zeros(1)))]
    groups = () if group is None else (GroupRecipe(match="b", factor=group),)
    optimizer = make_optimizer(OptimizerRecipe(name="sgd", rate=1.0, group=groups), named)
    schedule = make_schedule(ScheduleRecipe(**values), optimizer, steps)
    found = []
    for _ in range(steps + 1):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def _first(rates: list[list[float]]) -> list[float]:
    return [row[0] for row in rates]


def test_constant() -> None:
    assert _first(_rates(20, name="constant")) == pytest.approx([1.0] * 21)
    assert _first(_rates(20, name="constant", warmup=3)) == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 18)


def test_step() -> None:
    found = _first(_rates(10, name="step", at=(0.5, 0.8), factor=0.1))
    assert found == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.01] * 3)
    found = _first(_rates(10, name="step", at=(0.5, 0.8), factor=0.1, warmup=2))
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_linear_decay_after_half_as_cyclegan() -> None:
    found = _first(_rates(8, name="linear", at=(0.5,), end=0.0))
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_cosine() -> None:
    found = _first(_rates(8, name="cosine", end=0.2))
    assert found == pytest.approx([0.2 + 0.8 * (1 + math.cos(math.pi * s / 8)) / 2 for s in range(9)])
    assert found[4] == pytest.approx(0.6)
    assert found[8] == pytest.approx(0.2)
    found = _first(_rates(10, name="cosine", end=0.0, warmup=2))
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert found[6] == pytest.approx(0.5)
    assert found[10] == pytest.approx(0, abs=1e-9)


def test_one_cycle() -> None:
    found = _first(_rates(10, name="one-cycle", rise=0.4))
    top = found.index(max(found))
    assert found[top] == pytest.approx(1.0, abs=0.05)
    assert 3 <= top <= 4
    assert found[0] == pytest.approx(1 / 25)  # Smith's division, torch's default
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[9] > 0
    assert found[10] < 1e-5


@pytest.mark.parametrize(("name", "key"), [("adam", "betas"), ("adamw", "betas"), ("sgd", "momentum")])
def test_one_cycle_of_the_momentum(name: Any, key: str) -> None:
    def cycle(momentum: tuple[float, float] | None) -> list[tuple[float, float]]:
        named = [("a", Parameter(torch.zeros(1))), ("b", Parameter(torch.zeros(1)))]
        groups = (GroupRecipe(match="b", factor=0.1),)
        optimizer = make_optimizer(OptimizerRecipe(name=name, rate=1.0, group=groups, momentum=0.7), named)
        schedule = make_schedule(ScheduleRecipe(name="one-cycle", rise=0.4, momentum=momentum), optimizer, 10)
        found = []
        for _ in range(11):
            first, second = (group[key] for group in optimizer.param_groups)
            assert first == second
            found.append((optimizer.param_groups[0]["lr"], first[0] if key == "betas" else first))
            optimizer.step()
            schedule.step()
        return found

    steady = cycle(None)
    assert {momentum for _, momentum in steady} == {0.9 if key == "betas" else 0.7}
    found = cycle((0.95, 0.85))
    assert [rate for rate, _ in found] == [rate for rate, _ in steady]
    momenta = [momentum for _, momentum in found]
    assert momenta[0] == momenta[-1] == pytest.approx(0.95)
    top = max(range(11), key=lambda step: found[step][0])
    assert min(momenta) == momenta[top] == pytest.approx(0.85, abs=0.01)
    assert momenta[: top + 1] == sorted(momenta[: top + 1], reverse=True)
    assert momenta[top:] == sorted(momenta[top:])


@pytest.mark.parametrize(
    "values",
    [
        {"name": "cosine", "warmup": 3},
        {"name": "linear", "at": (0.25,), "end": 0.1},
        {"name": "step"},
        {"name": "one-cycle"},
        {"name": "constant"},
        {"name": "cosine"},
    ],
)
def test_groups_keep_their_ratio(values: dict[str, Any]) -> None:
    for one, other in _rates(12, group=0.1, **values):
        assert other == pytest.approx(0.1 * one)


def test_groups_frozen_and_what_is_missing() -> None:
    named = [(name, Parameter(torch.zeros(1))) for name in ("head.weight", "head.bias", "tail.weight", "body")]
    named[3][1].requires_grad_(False)
    made = make_optimizer(OptimizerRecipe(rate=0.5, group=(GroupRecipe(match="tail.", factor=0.1),)), named)
    names = {id(parameter): name for name, parameter in named}
    groups = [([names[id(p)] for p in group["params"]], group["lr"]) for group in made.param_groups]
    assert groups == [(["head.weight", "head.bias"], 0.5), (["tail.weight"], 0.05)]
    with pytest.raises(OptionError, match="no parameter begins with 'tial'"):
        make_optimizer(OptimizerRecipe(group=(GroupRecipe(match="tial", factor=1),)), named)
    with pytest.raises(OptionError, match="nothing to learn"):
        make_optimizer(OptimizerRecipe(), named[3:])
    several = OptimizerRecipe(
        group=(GroupRecipe(match=("head.w", "tail."), factor=2), GroupRecipe(match="b", factor=9))
    )
    made = make_optimizer(several, named)  # what the second one matches is frozen, all of it
    groups = [([names[id(p)] for p in group["params"]], group["lr"]) for group in made.param_groups]
    assert groups == [(["head.bias"], 1e-3), (["head.weight", "tail.weight"], 2e-3)]
    with pytest.raises(OptionError, match="no parameter begins with 'tial'"):
        make_optimizer(OptimizerRecipe(group=(GroupRecipe(match=("tail", "tial"), factor=1),)), named)
    twice = OptimizerRecipe(group=(GroupRecipe(match="tail", factor=2), GroupRecipe(match="tail.", factor=3)))
    with pytest.raises(OptionError, match=r"the groups before it hold all that begins with tail\."):
        make_optimizer(twice, named)
    everything = OptimizerRecipe(group=(GroupRecipe(match="head", factor=2), GroupRecipe(match="t", factor=3)))
    assert [group["lr"] for group in make_optimizer(everything, named).param_groups] == pytest.approx([2e-3, 3e-3])


@pytest.mark.parametrize(
    ("name", "kind", "key", "value"),
    [
        ("adam", torch.optim.Adam, "betas", (0.5, 0.9)),
        ("adamw", torch.optim.AdamW, "weight_decay", 0.1),
        ("sgd", torch.optim.SGD, "momentum", 0.7),
        ("rmsprop", torch.optim.RMSprop, "alpha", 0.8),
    ],
)
def test_optimizers(name: Any, kind: type, key: str, value: Any) -> None:
    recipe = OptimizerRecipe(name=name, betas=(0.5, 0.9), weight_decay=0.1, momentum=0.7, decay=0.8)
    made = make_optimizer(recipe, [("a", Parameter(torch.zeros(1)))])
    assert type(made) is kind
    assert made.param_groups[0][key] == value
    assert made.param_groups[0]["weight_decay"] == 0.1


# -- clipping


def _clipped(gradients: list[list[float]], rate: float = 0.1, **values: float) -> list[list[float]]:
    parameters = [Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    parameters.append(Parameter(torch.zeros(2)))  # one that got no gradient
    recipe = OptimizerRecipe(name="sgd", rate=rate, momentum=0.0, **values)
    optimizer = make_optimizer(recipe, [(str(i), parameter) for i, parameter in enumerate(parameters)])
    Clipper(recipe)(optimizer)
    return [parameter.grad.tolist() for parameter in parameters[:-1] if parameter.grad is not None]


def test_clip_nothing_by_value_and_by_norm() -> None:
    gradients = [[3.0, -0.1], [-4.0]]
    assert _clipped(gradients)[0] == pytest.approx([3.0, -0.1])
    assert _clipped(gradients, clip_value=0.5) == [pytest.approx([0.5, -0.1]), pytest.approx([-0.5])]
    assert _clipped([[3.0, 0.0], [-4.0]], clip_norm=1.0) == [pytest.approx([0.6, 0.0]), pytest.approx([-0.8])]
    assert _clipped([[0.3, 0.0], [-0.4]], clip_norm=1.0) == [pytest.approx([0.3, 0.0]), pytest.approx([-0.4])]


@pytest.mark.parametrize("rate", [0.1, 1e-3, 1e-5])
def test_clip_adjustable_bounds_the_step_whatever_the_rate(rate: float) -> None:
    theta = 0.01
    found = _clipped([[1e6, -0.5 * theta / rate], [-1e6]], rate=rate, clip_adjustable=theta)
    assert found[0] == pytest.approx([theta / rate, -0.5 * theta / rate])
    assert found[1] == pytest.approx([-theta / rate])
    assert abs(found[1][0]) * rate == pytest.approx(theta)


def test_clip_adjustable_follows_the_schedule() -> None:
    parameter = Parameter(torch.zeros(1))
    recipe = OptimizerRecipe(name="sgd", rate=1.0, momentum=0.0, clip_adjustable=0.01)
    optimizer = make_optimizer(recipe, [("a", parameter)])
    schedule = make_schedule(ScheduleRecipe(name="step", at=(0.5,), factor=0.1), optimizer, 4)
    bounds = []
    for _ in range(4):
        before = parameter.item()
        parameter.grad = torch.tensor([1e4])
        Clipper(recipe)(optimizer)
        bounds.append(parameter.grad.item())
        optimizer.step()
        schedule.step()
        assert before - parameter.item() == pytest.approx(0.01)
    assert bounds == pytest.approx([0.01, 0.01, 0.1, 0.1])


# -- average


def test_growing_average_by_hand() -> None:
    network = nn.BatchNorm1d(1)
    average = AveragedModel(network, multi_avg_fn=growing_average(0.3), use_buffers=True)
    expected, assigned = 0.0, [1.0, 4.0, -2.0, 8.0, 3.0]
    for count, value in enumerate(assigned):
        with torch.no_grad():
            network.weight.fill_(value)
        assert network.running_mean is not None
        assert network.num_batches_tracked is not None
        network.running_mean.fill_(10 * value)
        network.num_batches_tracked.fill_(count + 7)
        average.update_parameters(network)
        keep = min(0.3, (1 + count) / (10 + count))
        expected = value if count == 0 else keep * expected + (1 - keep) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.module.running_mean.item() == pytest.approx(10 * expected, rel=1e-5)
        assert average.module.num_batches_tracked.item() == count + 7
