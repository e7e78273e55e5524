"""Adversarial learning with a target: a content loss, and a critic that tells outputs from targets.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
section 2.2. With a critic that sees the input too: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with
Conditional Adversarial Networks", CVPR 2017, section 3.1 (pix2pix).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Turn, crop_border
from retouch.training.objectives.game import Game
from retouch.training.objectives.supervised import Supervised


class Adversarial(Supervised):
    """A generator's turn: ``losses`` + ``weight`` times the adversarial loss; then the critic's, on the same output.

    ``early_weight`` stands for ``weight`` in the first ``early_steps`` steps, in which the critic learns to see.
    ``losses`` and ``border`` as for ``Supervised``. ``kind``, ``share``, ``clip`` and ``penalty``: see ``Game``.
    ``conditional``: the critic gets the input's channels before those that it judges; input and target are of one size.
    """

    def __init__(
        self,
        network: nn.Module,
        critic: nn.Module,
        *,
        features: Callable[[str], nn.Module],
        losses: Sequence[Mapping[str, Any]],
        weight: float = 1e-3,
        early_weight: float = 0.0,
        early_steps: int = 0,
        kind: str = "standard",
        share: float = 1.0,
        clip: float = 0.0,
        penalty: float = 0.0,
        conditional: bool = False,
        border: int = 0,
    ) -> None:
        if early_steps < 0:
            raise OptionError(f"objective adversarial: early_steps is at least 0, not {early_steps}")
        super().__init__(network, features=features, losses=losses, border=border)
        self.networks = {"generator": network, "critic": critic}
        self.product = "generator"
        self.turns = (Turn("generator", ("generator",)), Turn("critic", ("critic",)))
        self.game = Game(kind, share=share, clip=clip, penalty=penalty)
        self.weight, self.conditional = weight, conditional
        self.early_weight, self.early_steps, self.steps = early_weight, early_steps, 0
        self._made: list[Tensor] = []

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        target = batch["target"]
        if turn == "generator":
            made = networks["generator"](batch["input"])
            self._made.append(made.detach())
            parts: dict[str, Tensor] = self.losses(*crop_border(made.float(), target, self.border))
            fooled = self.game.fool(networks["critic"], self._seen(batch, made))
            weight = self.early_weight if self.steps < self.early_steps else self.weight
            return parts | {"adversarial": fooled, "loss": parts["loss"] + weight * fooled}
        made = self._made.pop(0)  # the portions of a step come in the same order in both turns
        return {"loss": self.game.judge(networks["critic"], self._seen(batch, target), self._seen(batch, made))}

    def _seen(self, batch: Batch, judged: Tensor) -> Tensor:
        """What the critic gets."""
        return torch.cat((batch["input"].to(judged.dtype), judged), 1) if self.conditional else judged

    def stepped(self, turn: str) -> None:
        if turn == "critic":
            self.game.stepped(self.networks["critic"])
            self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state.get("steps", 0)  # checkpoints from before they were counted have none
