"""Learning to paint any photograph in the style of one picture.

Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.image.resize import resize
from retouch.losses.style import JOHNSON, StyleLoss, Target
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn
from retouch.training.painting import Painting


class Style(Objective):
    """The network's output against the content of its input and the style of ``painting``; see ``losses.style``.

    ``layer``: of the content, relu2_2 in the paper, relu3_3 in the code that was released. ``layers``: of the style.
    ``content``, ``strength`` and ``variation``: weights of content, style and total variation. ``side``: the short side
    to which the painting is resized: its strokes become as large as they are there. ``network``: of the features.
    ``picture``, ``sha256``: the painting's name and checksum, for whoever reads the recipe (see ``training.painting``).
    """

    compared = False

    def __init__(
        self,
        network: nn.Module,
        *,
        features: Callable[[str], nn.Module],
        painting: Painting | None,
        layer: str = "relu2_2",
        layers: Sequence[str] = JOHNSON,
        content: float = 1.0,
        strength: float = 1e5,
        variation: float = 0.0,
        side: int = 256,
        vgg: str = "vgg16",
        picture: str = "",
        sha256: str = "",
    ) -> None:
        if painting is None:
            raise OptionError("objective style: needs a painting (--style PICTURE)")
        if min(content, strength, variation) < 0 or side < 16:
            raise OptionError(
                "objective style: content, strength and variation are at least 0 and side at least 16, not "
                f"{content}, {strength}, {variation} and {side}"
            )
        self.networks = {"network": network}
        self.product = "network"
        self.turns = (Turn("network", ("network",)),)
        self.losses = StyleLoss(
            features(vgg),
            content=(layer,),
            style=tuple(layers),
            content_weight=content,
            style_weight=strength,
            variation=variation,
        )
        height, width = painting.pixels.shape[1:]
        scale = side / min(height, width)
        size = (max(16, round(height * scale)), max(16, round(width * scale)))
        self.targets = [Target(self.losses.grams(resize(painting.pixels[None], size).clamp(0, 1)))]

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        made = networks["network"](batch["input"])
        found: dict[str, Tensor] = self.losses(made.float(), self.losses.activations(batch["input"]), self.targets)
        return found

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        made: Tensor = network(batch["input"])
        return made

    def to(self, device: Any) -> None:
        super().to(device)
        self.losses.to(device)
        if torch.device(device).type in ("cpu", "cuda"):
            self.losses.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub
        self.targets = [
            Target({name: matrix.to(device) for name, matrix in target.grams.items()}) for target in self.targets
        ]
