"""Generative adversarial networks: pictures of nothing, and a critic that tells them from real ones.

Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014; as Radford, Metz, Chintala, ICLR 2016 (DCGAN) play it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from retouch.image.errors import OptionError
from retouch.image.grid import grid
from retouch.image.image import Image
from retouch.networks.latent import LatentNetwork
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn
from retouch.training.objectives.game import Game

_SHOWN, _COLUMNS = 100, 10


class GAN(Objective):
    """The generator's turn: fool the critic with as many drawn pictures as the batch has; then the critic's, on them.

    ``kind``, ``share``, ``clip``, ``penalty``: see ``Game``. ``every``: the generator learns at each so many-th step
    only (5 with Wasserstein's loss). ``measure``: of the validation's pictures, and of as many drawn ones, the share
    that the critic takes for real; this tells how the game stands, not how good the pictures are, and so no weights
    are the best: the recipe keeps the last.
    """

    def __init__(
        self,
        network: LatentNetwork,
        critic: nn.Module,
        *,
        kind: str = "standard",
        share: float = 1.0,
        clip: float = 0.0,
        penalty: float = 0.0,
        every: int = 1,
    ) -> None:
        if not isinstance(network, LatentNetwork):
            raise OptionError("objective gan: needs a network that makes pictures of drawn numbers, such as dcgan")
        if every < 1:
            raise OptionError(f"objective gan: every is at least 1, not {every}")
        self.networks = {"generator": network, "critic": critic}
        self.product = "generator"
        self.turns = (Turn("generator", ("generator",), every), Turn("critic", ("critic",)))
        self.game = Game(kind, share=share, clip=clip, penalty=penalty)
        self.latent = network.latent
        self._made: list[Tensor] = []

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        real = batch["target"]
        if turn == "generator":
            made = networks["generator"](self._numbers(real))
            self._made.append(made.detach())
            return {"loss": self.game.fool(networks["critic"], made)}
        if self._made:  # the portions of a step come in the same order in both turns
            made = self._made.pop(0)
        else:  # a step in which the generator does not learn
            with torch.no_grad():
                made = networks["generator"](self._numbers(real))
        return {"loss": self.game.judge(networks["critic"], real, made)}

    def _numbers(self, real: Tensor) -> Tensor:
        return torch.randn(len(real), self.latent, device=real.device)

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(network, LatentNetwork)
        return network.sample(len(batch["target"]), Generator().manual_seed(0))

    @torch.no_grad()
    def measure(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        critic = self.networks["critic"]
        pictures = {"real": batch["target"], "made": self.predict(network, batch)}
        return {f"{name} taken for real": (critic(x).flatten(1).mean(1) > 0).float() for name, x in pictures.items()}

    def show(self, network: nn.Module, batches: Sequence[Batch]) -> Image | None:
        """A hundred samples, always of the same numbers."""
        assert isinstance(network, LatentNetwork)
        return grid(network.sample(_SHOWN, Generator().manual_seed(0)).cpu(), _COLUMNS)

    def stepped(self, turn: str) -> None:
        if turn == "critic":
            self.game.stepped(self.networks["critic"])
