"""Optimisers, learning rates over a run, and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import (
    ConstantLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from retouch.image.errors import OptionError
from retouch.training.recipe import OptimizerRecipe, ScheduleRecipe


def make_optimizer(recipe: OptimizerRecipe, named: Iterable[tuple[str, Parameter]]) -> Optimizer:
    """An optimiser over the parameters, in groups by ``recipe.group``; what is frozen is left out.

    First come the parameters of no group, at the recipe's rate, then the groups in their order; a group that is wholly
    frozen is none. Raises ``OptionError`` for a group that matches nothing, or where nothing is left to learn.
    """
    named = list(named)
    learning = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if not learning:
        raise OptionError("recipe: network.frozen leaves nothing to learn")
    groups: list[tuple[list[Parameter], float]] = []
    for group in recipe.group:
        for match in (group.match,) if isinstance(group.match, str) else group.match:
            if not any(name.startswith(match) for name, _ in named):
                raise OptionError(f"recipe: optimizer.group: no parameter begins with '{match}'")
        matching = [parameter for name, parameter in learning if name.startswith(group.match)]
        if not matching and any(name.startswith(group.match) and p.requires_grad for name, p in named):
            raise OptionError(f"recipe: optimizer.group: the groups before it hold all that begins with {group.match}")
        learning = [(name, parameter) for name, parameter in learning if not name.startswith(group.match)]
        if matching:
            groups.append((matching, recipe.rate * group.factor))
    if learning:
        groups.insert(0, ([parameter for _, parameter in learning], recipe.rate))
    made = [{"params": parameters, "lr": rate} for parameters, rate in groups]
    if recipe.name == "sgd":
        return SGD(made, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.name == "rmsprop":
        return RMSprop(made, alpha=recipe.decay, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    kind = Adam if recipe.name == "adam" else AdamW
    return kind(made, betas=recipe.betas, weight_decay=recipe.weight_decay)


def make_schedule(recipe: ScheduleRecipe, optimizer: Optimizer, steps: int) -> LRScheduler:
    """The learning rate of each of ``steps`` steps, as a torch scheduler to be stepped after each."""
    if recipe.name == "one-cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        high, low = recipe.momentum if recipe.momentum is not None else (0.95, 0.85)
        return OneCycleLR(
            optimizer, rates, total_steps=steps + 1, pct_start=recipe.rise,
            cycle_momentum=recipe.momentum is not None, max_momentum=high, base_momentum=low,
        )  # fmt: skip
    left = max(1, steps - recipe.warmup)
    main: LRScheduler
    if recipe.name == "cosine":
        main = LambdaLR(optimizer, partial(_cosine, steps=left, end=recipe.end))
    elif recipe.name == "linear":
        main = LambdaLR(optimizer, partial(_linear, steps=left, start=recipe.at[0], end=recipe.end))
    elif recipe.name == "step":
        main = MultiStepLR(optimizer, [round(at * steps) - recipe.warmup for at in recipe.at], recipe.factor)
    else:
        main = ConstantLR(optimizer, factor=1.0)
    if not recipe.warmup:
        return main
    rise = LinearLR(optimizer, 1 / (recipe.warmup + 1), total_iters=recipe.warmup)
    return SequentialLR(optimizer, [rise, main], [recipe.warmup])


def _cosine(step: int, steps: int, end: float) -> float:
    """From 1 to ``end``, for every group of parameters alike (torch's own takes the end as a rate, not as a factor)."""
    return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2


def _linear(step: int, steps: int, start: float, end: float) -> float:
    """1 for the first ``start`` of the steps, then down to ``end``."""
    return 1 - (1 - end) * max(0.0, min(1.0, step / steps) - start) / (1 - start)


class Clipper:
    """Clips the gradients of a turn before its optimiser steps.

    ``clip_value``: each element to [-v, v]. ``clip_norm``: the norm of all together to at most v. ``clip_adjustable``:
    each element to [-theta / gamma, theta / gamma] with gamma the learning rate at that step, so that a step never
    moves a weight by more than theta (Kim et al. 2016, VDSR, section 3.2; the paper gives no theta).
    """

    def __init__(self, recipe: OptimizerRecipe) -> None:
        self.recipe = recipe

    def __call__(self, optimizer: Optimizer) -> None:
        recipe = self.recipe
        for group in optimizer.param_groups:
            gradients: list[Parameter] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if recipe.clip_value is not None:
                torch.nn.utils.clip_grad_value_(gradients, recipe.clip_value)
            if recipe.clip_adjustable is not None:
                torch.nn.utils.clip_grad_value_(gradients, recipe.clip_adjustable / max(float(group["lr"]), 1e-12))
        if recipe.clip_norm is not None:
            everything = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(everything, recipe.clip_norm)


def growing_average(weight: float) -> Callable[[Any, Any, Any], None]:
    """The rule of an exponential average of weights whose memory grows with the run: min(weight, (1 + t) / (10 + t)).

    For ``torch.optim.swa_utils.AveragedModel(multi_avg_fn=...)``; the first weights would else stay in it for long.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor) -> None:
        keep = min(weight, (1 + float(count)) / (10 + float(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)

    return update
