"""Supervised learning: the network's output against the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.losses.build import build_loss
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn, crop_border
from retouch.training.objectives.teacher import Teacher


class WeightedLosses(nn.Module):
    """A weighted sum of losses from tables ``{name, weight, ...arguments}``; gives the parts by name and ``loss``.

    ``features``: made when a loss asks for a feature network.
    """

    def __init__(self, losses: Sequence[Mapping[str, Any]], features: Callable[[str], nn.Module]) -> None:
        super().__init__()
        if not losses:
            raise OptionError("objective: losses must not be empty")
        self.names, self.weights, self.parts = [], [], nn.ModuleList()
        for table in losses:
            arguments = dict(table)
            if not isinstance(arguments.get("name"), str):
                raise OptionError("objective: every loss needs a name")
            name, weight = arguments.pop("name"), arguments.pop("weight", 1.0)
            kind = str(arguments.pop("features", "vgg16"))
            self.parts.append(build_loss(name, features=partial(features, kind), **arguments))
            self.names.append(name)
            self.weights.append(float(weight))

    def forward(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=prediction.device)
        for name, weight, part in zip(self.names, self.weights, self.parts, strict=True):
            parts[name] = part(prediction, target)
            total = total + weight * parts[name]
        return parts | {"loss": total}


class Supervised(Objective):
    """``losses``: tables of ``WeightedLosses``; by default L2. ``border``: target pixels left out on each side.

    ``teacher``: makes the targets; None leaves the true pictures.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        features: Callable[[str], nn.Module],
        losses: Sequence[Mapping[str, Any]] = ({"name": "l2"},),
        border: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        self.networks = {"network": network}
        self.product = "network"
        self.turns = (Turn("network", ("network",)),)
        self.losses, self.border, self.teacher = WeightedLosses(losses, features), border, teacher

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        if self.teacher is not None:
            batch = self.teacher(batch)
        prediction = networks["network"](batch["input"])
        made: dict[str, Tensor] = self.losses(*crop_border(prediction.float(), batch["target"], self.border))
        return made

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        made: Tensor = network(batch["input"])
        return made

    def to(self, device: Any) -> None:
        super().to(device)
        self.losses.to(device)
        if self.teacher is not None:
            self.teacher.to(device)
