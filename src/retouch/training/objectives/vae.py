"""Variational autoencoders: the evidence lower bound.

Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from retouch.image.errors import OptionError
from retouch.image.grid import grid
from retouch.image.image import Image
from retouch.losses.variational import bernoulli_nats, divergence_nats, gaussian_nats
from retouch.networks.vae import VariationalAutoencoder
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn

_COLUMNS, _ROWS = 16, 8  # of the sheet


class VAE(Objective):
    """What a picture costs by way of its numbers: reconstruction + divergence, in nats, one draw a picture.

    ``warmup``: steps over which the divergence comes in, in training (Sonderby et al., "Ladder Variational
    Autoencoders", NeurIPS 2016, section 2.3), against numbers that are never used. ``loss`` is what is minimised,
    without warm-up the bound itself. ``measure``: the bound (``nats``) and its parts; the draws of a validation are
    always the same.
    """

    def __init__(self, network: VariationalAutoencoder, *, warmup: int = 0) -> None:
        if not isinstance(network, VariationalAutoencoder):
            raise OptionError("objective vae: needs a network with numbers within, vae or conv-vae")
        if warmup < 0:
            raise OptionError(f"objective vae: warmup is at least 0, not {warmup}")
        self.networks = {"network": network}
        self.product = "network"
        self.turns = (Turn("network", ("network",)),)
        self.warmup, self.steps = warmup, 0

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        network = self.networks["network"]
        assert isinstance(network, VariationalAutoencoder)
        made: Any = networks["network"](batch["input"])
        parts = {name: value.mean() for name, value in _parts(network, made, batch["target"]).items()}
        share = min(1.0, (self.steps + 1) / self.warmup) if self.warmup else 1.0
        return parts | {"loss": parts["reconstruction"] + share * parts["divergence"]}

    def stepped(self, turn: str) -> None:
        self.steps += 1

    def predict(self, network: torch.nn.Module, batch: Batch) -> Tensor:
        assert isinstance(network, VariationalAutoencoder)
        return network.decode(network.encode(batch["input"])[0])

    @torch.no_grad()
    def measure(self, network: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(network, VariationalAutoencoder)
        generator = Generator(batch["input"].device).manual_seed(0)
        parts = _parts(network, network(batch["input"], generator), batch["target"])
        nats = parts["reconstruction"] + parts["divergence"]
        return {"nats": nats} | parts | {"score": -nats}

    def show(self, network: torch.nn.Module, batches: Sequence[Batch]) -> Image | None:
        """Pictures of the validation in every other row, under each what became of it; below, samples."""
        assert isinstance(network, VariationalAutoencoder)
        shown = {key: value[: 2 * _COLUMNS] for key, value in batches[0].items()}
        made = self.predict(network, shown)
        pairs = zip(torch.split(shown["target"], _COLUMNS), torch.split(made, _COLUMNS), strict=True)
        pictures = [row for pair in pairs for row in pair]
        if len(shown["target"]) == 2 * _COLUMNS:  # else the last row is not full
            pictures.append(network.sample((_ROWS - 4) * _COLUMNS, Generator().manual_seed(0)))
        return grid(torch.cat(pictures).float().cpu(), min(_COLUMNS, len(made)))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


def _parts(network: VariationalAutoencoder, made: tuple[Tensor, Tensor, Tensor], target: Tensor) -> dict[str, Tensor]:
    """Reconstruction and divergence of each picture, ``(B,)`` each."""
    logits, mean, log_variance = made
    if network.likelihood == "gaussian":
        reconstruction = gaussian_nats(logits.float().sigmoid(), target, network.log_deviation)
    else:
        reconstruction = bernoulli_nats(logits, target)
    return {"reconstruction": reconstruction, "divergence": divergence_nats(mean, log_variance)}
