"""Losses between what a classification network sees in a prediction and in its target.

A feature network is called ``features(x, names) -> {name: activations}``, as ``networks.vgg.VGGFeatures``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gram(x: Tensor) -> Tensor:
    """Gram matrices of activations: ``(B, C, H, W)`` -> ``(B, C, C)``, divided by C H W (Johnson et al. 2016)."""
    flat = x.float().flatten(2)
    return flat @ flat.transpose(1, 2) / (x.shape[1] * flat.shape[2])


def _colour(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


class _OnFeatures(nn.Module):
    """Holds a feature network that never learns."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> _OnFeatures:
        return self  # the feature network stays as it was trained


class Perceptual(_OnFeatures):
    """L1 of the pixels, of features, and of their Gram matrices (fastai's course v3, lesson 7, after Johnson 2016).

    ``pixel * L1(x, t) + sum_i w_i L1(f_i(x), f_i(t)) + sum_i w_i^2 style L1(gram f_i(x), gram f_i(t))``. ``layers``:
    weight w_i by name. ``forward``: ``(B, 1 or 3, H, W)`` in [0, 1]; grey is repeated.
    """

    def __init__(
        self, features: nn.Module, layers: Mapping[str, float], pixel: float = 1.0, style: float = 5e3
    ) -> None:
        super().__init__(features)
        if not layers:
            raise ValueError("layers must not be empty")
        self.layers, self.pixel, self.style = dict(layers), pixel, style

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        seen = self.features(_colour(prediction), list(self.layers))
        with torch.no_grad():
            asked = self.features(_colour(target), list(self.layers))
        total = self.pixel * F.l1_loss(prediction.float(), target.float())
        for name, weight in self.layers.items():
            total = total + weight * F.l1_loss(seen[name].float(), asked[name].float())
            if self.style:
                total = total + weight**2 * self.style * F.l1_loss(gram(seen[name]), gram(asked[name]))
        return total


class Content(_OnFeatures):
    """SRGAN's content loss: mean squared difference of the activations of one layer, each times ``rescale``.

    Ledig et al. 2017, section 3.2: features rescaled by 1 / 12.75, which is the loss times .006. ``layer``: the paper's
    phi_5,4 is ``relu5_4`` of VGG19, phi_2,2 ``relu2_2``.
    """

    def __init__(self, features: nn.Module, layer: str = "relu5_4", rescale: float = 1 / 12.75) -> None:
        super().__init__(features)
        self.layer, self.rescale = layer, rescale

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        seen = self.features(_colour(prediction), [self.layer])[self.layer]
        with torch.no_grad():
            asked = self.features(_colour(target), [self.layer])[self.layer]
        return F.mse_loss(seen.float() * self.rescale, asked.float() * self.rescale)
