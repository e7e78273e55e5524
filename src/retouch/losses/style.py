"""How far a picture is from the content of one picture and from the style of others.

Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, section 2; regions: Gatys,
Ecker, Bethge, Hertzmann, Shechtman, "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retouch.losses.perceptual import OnFeatures, gram
from retouch.losses.pixel import difference, full
from retouch.losses.variation import TotalVariation

GATYS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Layers whose Gram matrices are the style, as Gatys et al. have them."""

JOHNSON = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
"""The same in Johnson et al. 2016, of VGG16."""


def guided_gram(x: Tensor, guide: Tensor) -> Tensor:
    """Gram matrices of the part of activations that ``guide`` marks: ``(B, C, H, W)`` -> ``(B, C, C)``.

    ``guide``: ``(1, 1, h, w)`` of any size, at least 0, above 0 somewhere; its mean over each position's pixels weighs
    the activations there, and it is scaled so that its squares sum to 1: where it is 1 everywhere, this is ``gram``.
    Controlling Perceptual Factors, equations 5 to 7, over the number of channels.
    """
    weights = F.adaptive_avg_pool2d(full(guide), (x.shape[-2], x.shape[-1]))
    scale = (weights.numel() / weights.square().sum()) ** 0.5
    return gram(full(x) * (weights * scale))


@dataclass(frozen=True)
class Target:
    """One style to come near to: its Gram matrices by layer, how much it counts, and where (None: everywhere)."""

    grams: Mapping[str, Tensor]
    weight: float = 1.0
    guide: Tensor | None = None


class StyleLoss(OnFeatures):
    """Distance to a content and to styles, in the activations of ``features`` (see ``losses.perceptual``).

    ``content``: layers whose activations are compared, their mean squared differences summed. ``style``: layers whose
    Gram matrices are compared alike, the mean over the layers taken. ``content_weight``, ``style_weight`` and
    ``variation`` (of ``TotalVariation``): what the parts count. The published weights are of Caffe's VGG, whose
    activations are of another scale; 1 to 1e5 is what most do with torchvision's. Raises ``ValueError`` where no layer
    of style is named.
    """

    def __init__(
        self,
        features: nn.Module,
        *,
        content: Sequence[str] = ("relu4_2",),
        style: Sequence[str] = GATYS,
        content_weight: float = 1.0,
        style_weight: float = 1e5,
        variation: float = 0.0,
    ) -> None:
        super().__init__(features)
        if not style:
            raise ValueError("style must name at least one layer")
        self.content, self.style = tuple(content), tuple(style)
        self.content_weight, self.style_weight, self.variation = content_weight, style_weight, variation
        self._variation = TotalVariation()

    @torch.no_grad()
    def activations(self, picture: Tensor) -> dict[str, Tensor]:
        """What the content of a picture ``(B, 3 or 1, H, W)`` is compared by, float32."""
        return {name: full(x) for name, x in self.features(picture, self.content).items()}

    @torch.no_grad()
    def grams(self, picture: Tensor, guide: Tensor | None = None) -> dict[str, Tensor]:
        """What its style is compared by; ``guide`` (see ``guided_gram``) takes that of a part."""
        return {name: _gram(x, guide) for name, x in self.features(picture, self.style).items()}

    def forward(self, x: Tensor, content: Mapping[str, Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """The parts, each a mean over the batch ``(B, 3 or 1, H, W)`` without its weight, and their weighed ``loss``.

        ``content``: of ``activations``. ``style`` is the weighed sum over the targets.
        """
        found = self.features(x, [*self.content, *self.style])
        zero = torch.zeros((), device=x.device)
        parts = {
            "content": sum((difference(found[name], content[name]).square().mean() for name in self.content), zero)
        }
        style = zero
        for target in targets:
            for name in self.style:
                apart = _gram(found[name], target.guide) - target.grams[name]
                style = style + target.weight * apart.square().mean()
        parts["style"] = style / len(self.style)
        loss = self.content_weight * parts["content"] + self.style_weight * parts["style"]
        if self.variation:
            parts["variation"] = self._variation(x)
            loss = loss + self.variation * parts["variation"]
        return parts | {"loss": loss}


def _gram(x: Tensor, guide: Tensor | None) -> Tensor:
    return gram(x) if guide is None else guided_gram(x, guide)
