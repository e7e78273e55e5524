"""LPIPS: how different two pictures look, by the activations of a classification network.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018, section 3. The heads are those that its authors publish as version 0.1 for VGG16 (BSD-2-Clause; see NOTICE).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from retouch.losses.perceptual import OnFeatures
from retouch.losses.pixel import full

_HEADS = Path(__file__).parent / "lpips-vgg16.safetensors"
_TINY = 1e-10  # the smallest length: where no channel answers, the activations stay 0


class LPIPS(OnFeatures):
    """The sum over layers, the mean over positions, of the head-weighted squared differences of activations.

    The activations of each position are first divided by their length over the channels. ``features``: VGG16 with its
    published weights, see the module ``losses.perceptual``; ImageNet's normalisation, which it applies, is what LPIPS
    does to pictures in [-1, 1]. ``heads``: layer -> weights ``(C,)``, none below 0; the published ones by default.

    ``forward``: two batches of pictures ``(B, C, H, W)`` in [0, 1], C = 1 (grey) or 3, at least 16 pixels high and wide
    -> the mean of their distances, scalar. 0 is the same; published tables print values of 0.05 (a good restoration) to
    0.6. Gradients reach the prediction only.
    """

    def __init__(self, features: nn.Module, heads: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(features)
        chosen = published_heads() if heads is None else heads
        self.layers = list(chosen)
        for name, head in chosen.items():
            self.register_buffer(f"head_{name}", head.detach().clone().float().view(1, -1, 1, 1), persistent=False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.distances(prediction, target).mean()

    def distances(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The distance of each pair of the batch, ``(B,)``; arguments as of ``forward``."""
        made = self.features(prediction, self.layers)
        with torch.no_grad():
            wanted = self.features(target, self.layers)
        total = prediction.new_zeros(prediction.shape[0], dtype=torch.float32)
        for name in self.layers:
            apart = (_direction(made[name]) - _direction(wanted[name])).square()
            total = total + (apart * self.get_buffer(f"head_{name}")).sum(1).mean((1, 2))
        return total


def published_heads() -> dict[str, Tensor]:
    """The published heads over VGG16's last ReLU before each pooling, and after the last block: layer -> ``(C,)``."""
    from safetensors.torch import load_file

    heads = load_file(_HEADS)
    return {name: heads[name] for name in sorted(heads)}


def _direction(activations: Tensor) -> Tensor:
    """Activations of length 1 over the channels, float32."""
    x = full(activations)
    # inside the root, so that the gradient is 0, not NaN, where no channel answers
    return x / (x.square().sum(1, keepdim=True) + _TINY**2).sqrt()
