"""The contract of an objective: networks, and the losses of the turns that a step consists of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from retouch.image.image import Image
from retouch.training.data import Batch

Networks = Mapping[str, Callable[..., Tensor]]
"""The networks as a turn must call them: those it trains are wrapped for several devices, the others are not."""


@dataclass(frozen=True)
class Turn:
    """One optimiser's part of a step: its name, and the names of the networks whose weights it moves.

    ``every``: it is made in each so many-th step only, the first one among them.
    """

    name: str
    trains: tuple[str, ...]
    every: int = 1


class Objective(ABC):
    """What is learned. The loop does the rest: devices, precision, portions, clipping, averages, checkpoints, logs.

    ``networks``: all that have weights to learn, by name. ``product``: the one that ships. ``others``: networks that
    ship beside it, by what is added to the name of the weight; they go the other way, from target to input. ``turns``:
    one for each optimiser, made in this order each step. An objective with several (generator and critic, two
    generators and two critics, encoder and decoder...) may keep what one turn computed for the next, for one portion of
    a batch. ``compared``: whether a prediction should be near its target, so that a validation measures how near.
    """

    networks: dict[str, nn.Module]
    product: str
    compared: bool = True
    others: Mapping[str, str] = {}
    turns: tuple[Turn, ...]

    @abstractmethod
    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        """The parts of the loss of ``turn`` on one portion, each a scalar mean over it; ``"loss"`` is minimised."""

    @abstractmethod
    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """What the product makes of a validation batch, to be compared with its target."""

    def measure(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the product is worth on a validation batch, by name: one number a picture, ``(B,)`` each.

        ``"score"`` among them tells which weights are the best, the higher the better. By default nothing: the PSNR of
        ``predict`` is measured instead.
        """
        return {}

    def show(self, network: nn.Module, batches: Sequence[Batch]) -> Image | None:
        """The picture that goes with a validation; None for what ``predict`` makes beside input and target."""
        return None

    def stepped(self, turn: str) -> None:  # noqa: B027  most have nothing to do
        """After the optimiser's step of ``turn``; nothing by default."""

    def to(self, device: Any) -> None:
        """Move everything that computes; overridden by objectives that hold more than networks."""
        for network in self.networks.values():
            network.to(device)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the networks."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        if state:
            raise ValueError(f"{type(self).__name__} has no state")


def crop_border(prediction: Tensor, target: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """Both without ``border`` pixels on each side, where zeros or repeated edges, not the picture, decided."""
    if not border:
        return prediction, target
    inside = (..., slice(border, -border), slice(border, -border))
    return prediction[inside], target[inside]
