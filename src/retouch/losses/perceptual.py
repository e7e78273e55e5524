"""Losses on the activations of a classification network.

``features`` is a network that gives the activations of a picture by layer: ``features(x, names)`` -> a dict, as
``networks.vgg.VGGFeatures`` does. The losses freeze it. Under autocast it runs in half precision, as any network; what
is compared, and the Gram matrices, are float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from retouch.losses.pixel import difference, full


def gram(x: Tensor) -> Tensor:
    """Gram matrices of activations: ``(B, C, H, W)`` -> ``(B, C, C)``, sums over the pixels divided by C H W.

    Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, section 2.2; the
    division as in Johnson, Alahi, Fei-Fei, ECCV 2016, section 3.2.
    """
    _, channels, height, width = x.shape
    # divided before the product, where autocast is off: sums over the pixels overflow and lose in half precision
    flat = full(x).permute(0, 2, 3, 1).flatten(1, 2) / (channels * height * width) ** 0.5  # a view of channels_last
    with torch.autocast(x.device.type, enabled=False):
        product: Tensor = flat.transpose(1, 2) @ flat
    return product


class OnFeatures(nn.Module):
    """Holds a feature network that never learns."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> OnFeatures:
        super().train(mode)
        self.features.eval()  # normalisation and dropout stay as they were trained
        return self


class Perceptual(OnFeatures):
    """``pixel`` L1(x) + sum over layers of w L1(activations) + w^2 ``gram`` L1(Gram matrices) -> scalar.

    ``features``: see the module. ``layers``: name -> w. ``pixel``, ``gram``: weights; 0 leaves the part out. The form
    and numbers of fastai's FeatureLoss (course v3, lesson 7, 2019), which takes the last activations before the third,
    fourth and fifth pooling of VGG16 with batch normalisation; DeOldify has weights of (20, 70, 10) and no Gram
    matrices. ``forward``: two batches of pictures ``(B, C, H, W)`` in [0, 1]; gradients reach the prediction only.
    Raises ``ValueError`` where no layer is named.
    """

    def __init__(
        self, features: nn.Module, layers: Mapping[str, float] | None = None, pixel: float = 1.0, gram: float = 5e3
    ) -> None:
        super().__init__(features)
        chosen = {"relu3_3": 5.0, "relu4_3": 15.0, "relu5_3": 2.0} if layers is None else dict(layers)
        self.layers = {name: float(weight) for name, weight in chosen.items()}
        if not self.layers:
            raise ValueError("layers must not be empty")
        self.pixel, self.gram = pixel, gram

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        made = self.features(prediction, list(self.layers))
        with torch.no_grad():
            wanted = self.features(target, list(self.layers))
        loss = self.pixel * difference(prediction, target.detach()).abs().mean()
        for name, weight in self.layers.items():
            loss = loss + weight * difference(made[name], wanted[name]).abs().mean()
            if self.gram:
                loss = loss + weight**2 * self.gram * difference(gram(made[name]), gram(wanted[name])).abs().mean()
        return loss


class ContentLoss(OnFeatures):
    """Mean squared difference of the activations of one layer, each times ``scale`` -> scalar: the VGG loss of SRGAN.

    ``features``: see the module; VGG19 as published. ``layer``: relu5_4 (SRGAN's phi_5,4) or relu2_2 (phi_2,2).
    ``scale``: 1 / 12.75, so that the loss is 0.006 of what it would be, which makes it comparable to a mean squared
    error of pictures. ``forward``: two batches of pictures ``(B, C, H, W)`` in [0, 1]; gradients reach the prediction
    only. Ledig et al., CVPR 2017, sections 2.2.1 and 3.2.
    """

    def __init__(self, features: nn.Module, layer: str = "relu5_4", scale: float = 1 / 12.75) -> None:
        super().__init__(features)
        self.layer, self.scale = layer, scale

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        made = self.features(prediction, [self.layer])[self.layer]
        with torch.no_grad():
            wanted = self.features(target, [self.layer])[self.layer]
        return self.scale**2 * difference(made, wanted).square().mean()
