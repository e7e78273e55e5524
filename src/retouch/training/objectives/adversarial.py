"""Adversarial learning with a target: a content loss, and a critic that tells outputs from targets.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
section 2.2; any of the usual adversarial losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from retouch.losses.adversarial import adversarial_loss
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Turn, crop_border
from retouch.training.objectives.supervised import Supervised


class Adversarial(Supervised):
    """A generator's turn: ``losses`` + ``weight`` times the adversarial loss; then the critic's, on the same output.

    ``losses`` and ``border`` as for ``Supervised``. ``kind``: "standard", "least-squares" or "wasserstein".
    """

    def __init__(
        self,
        network: nn.Module,
        critic: nn.Module,
        *,
        features: Callable[[str], nn.Module],
        losses: Sequence[Mapping[str, Any]],
        weight: float = 1e-3,
        kind: str = "standard",
        border: int = 0,
    ) -> None:
        super().__init__(network, features=features, losses=losses, border=border)
        self.networks = {"generator": network, "critic": critic}
        self.product = "generator"
        self.turns = (Turn("generator", ("generator",)), Turn("critic", ("critic",)))
        self.weight, self.adversarial = weight, adversarial_loss(kind)
        self._made: list[Tensor] = []

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        target = batch["target"]
        if turn == "generator":
            made = networks["generator"](batch["input"])
            self._made.append(made.detach())
            parts: dict[str, Tensor] = self.losses(*crop_border(made.float(), target, self.border))
            fooled = self.adversarial.generator(networks["critic"](made).float())
            return parts | {"adversarial": fooled, "loss": parts["loss"] + self.weight * fooled}
        made = self._made.pop(0)  # the portions of a step come in the same order in both turns
        loss = self.adversarial.critic(networks["critic"](target).float(), networks["critic"](made).float())
        return {"loss": loss}
