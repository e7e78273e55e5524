"""Learning the probability of pictures: the cross-entropy of every value given those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.networks.pixel_recursive import PixelRecursive
from retouch.networks.pixelcnn import PixelCNN, nats
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn

_SHOWN = 8


class Likelihood(Objective):
    """For ``PixelCNN`` (of the target) and ``PixelRecursive`` (of the target, given the input).

    The loss is the mean over all values, in nats; of a network with an input also, and as heavy, that of its
    conditioning part alone (Dahl et al. 2017, section 3.2). ``rounding``: how a value in [0, 1] becomes one of the
    network's levels: "nearest", or "stochastic": up or down at random, so that the mean is kept; of two levels that is
    the usual binarisation of digits, drawn anew each time they are seen (Salakhutdinov and Murray 2008). Validation
    draws once and for all: the same for the same pictures.

    Losses that are logged: ``nats`` of a picture, and ``alone``, those of the conditioning part. Measured: ``nats`` of
    a picture, and ``bits`` a value.
    """

    def __init__(self, network: nn.Module, *, rounding: Literal["nearest", "stochastic"] = "nearest") -> None:
        if not isinstance(network, PixelCNN | PixelRecursive):
            raise OptionError("recipe: objective likelihood is for the networks pixelcnn and pixel-recursive")
        if rounding not in ("nearest", "stochastic"):
            raise OptionError(f"objective: rounding is nearest or stochastic, not {rounding}")
        self.networks = {"network": network}
        self.product = "network"
        self.turns = (Turn("network", ("network",)),)
        self.levels, self.conditional, self.rounding = network.levels, network.conditional, rounding

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        target = self._rounded(batch["target"])
        costs = [nats(logits, target).mean() for logits in self._logits(networks["network"], batch, target)]
        parts = dict(zip(("nats", "alone"), costs, strict=False))
        return parts | {"loss": torch.stack(costs).sum() / target[0].numel()}

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """What the network draws, always with the same random numbers."""
        assert isinstance(network, PixelCNN | PixelRecursive)
        generator = Generator().manual_seed(0)
        if isinstance(network, PixelRecursive):
            return network.sample(batch["input"], generator)
        return network.sample(len(batch["target"]), generator)

    def measure(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        target = self._rounded(batch["target"], fixed=True)
        found = nats(next(iter(self._logits(network, batch, target))), target)
        return {"nats": found, "bits": found / target[0].numel() / math.log(2), "score": -found}

    def seen(self, pictures: Tensor) -> Tensor:
        """Pictures ``(B, C, H, W)`` as the network knows them, each value at one of its levels, as in ``measure``."""
        return self._rounded(pictures, fixed=True) / (self.levels - 1)

    def show(self, network: nn.Module, batches: Sequence[Batch]) -> Image | None:
        if self.conditional:  # beside input and target
            batch = {key: value[:_SHOWN] for key, value in batches[0].items()}
            drawn = [self.predict(network, batch)]
            drawn += [network.sample(batch["input"], Generator().manual_seed(n)) for n in (1, 2)]  # type: ignore[operator]
            columns = [batch["input"], *drawn, batch["target"]]
            titles = ["input", "drawn", "again", "and again", "target"]
            rows = [[Image(column[n].float().cpu().contiguous()) for column in columns] for n in range(len(drawn[0]))]
            return sheet(rows, column_titles=titles)
        assert isinstance(network, PixelCNN)
        drawn = list(network.sample(_SHOWN**2, Generator().manual_seed(0)).cpu())
        rows = [[Image(one.contiguous()) for one in drawn[at : at + _SHOWN]] for at in range(0, len(drawn), _SHOWN)]
        return sheet(rows, cell=64, gap=2)

    def _logits(self, network: object, batch: Batch, target: Tensor) -> tuple[Tensor, ...]:
        assert callable(network)
        values = target.float() / (self.levels - 1)
        if batch["target"].is_contiguous(memory_format=torch.channels_last):
            values = values.contiguous(memory_format=torch.channels_last)
        made: tuple[Tensor, ...] = network(batch["input"], values) if self.conditional else (network(values),)
        return made

    def _rounded(self, target: Tensor, *, fixed: bool = False) -> Tensor:
        """The level of each value, int64; ``fixed``: by a draw that each picture alone decides on."""
        values = target.clamp(0, 1) * (self.levels - 1)
        if self.rounding == "nearest":
            return values.round().long()
        drawn = torch.stack([_drawn(one) for one in target]) if fixed else torch.rand(target.shape)
        return (values + drawn.to(target.device)).floor().clamp(max=self.levels - 1).long()


def _drawn(picture: Tensor) -> Tensor:
    """Random numbers in [0, 1), one a value, always the same for the same picture."""
    generator = Generator().manual_seed(int((picture.double() * 255).round().sum()))
    return torch.rand(picture.shape, generator=generator)
