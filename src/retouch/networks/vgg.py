"""The convolutions of VGG16 and VGG19, whose activations serve as a measure of likeness.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1, columns
D and E. The layers are named as torchvision names them, so that its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, unknown

_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
# of ImageNet's training pictures, RGB in [0, 1]: what the published weights expect to be taken off and divided by
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """Activations of VGG16 or VGG19 after chosen ReLUs, with ImageNet's normalisation inside.

    ``depth``: 16 or 19. ``pooling``: "max" as published, or "average" (smoother gradients; Gatys et al. 2016, section
    2). The weights are a state dict with torchvision's keys (``features.0.weight`` ...); without one they are random.
    They are frozen; gradients reach the picture only.

    ``forward``: pictures ``(B, 3, H, W)`` in [0, 1] (RGB; a single channel is taken as grey) and names of layers ->
    the activations by name. ``reluB_C`` is the output of the ReLU after convolution C of block B, both from 1: in
    VGG16 relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 come last before each pooling; relu5_4 of VGG19 is phi_5,4 of
    SRGAN. Nothing after the last layer asked for is computed. Raises ``OptionError`` for an unknown layer, and for
    pictures that the poolings before it would leave nothing of.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, depth: int = 16, pooling: str = "max") -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise OptionError(f"VGG: depth is 16 or 19, not {depth}")
        if pooling not in ("max", "average"):
            raise OptionError(unknown("pooling", pooling, ["max", "average"], "of VGG"))
        layers: list[nn.Module] = []
        self.layers: dict[str, int] = {}
        """Name of every ReLU -> its place in ``features``."""
        inputs = 3
        for block, (count, width) in enumerate(zip(_BLOCKS[depth], _WIDTHS, strict=True), 1):
            for convolution in range(1, count + 1):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                self.layers[f"relu{block}_{convolution}"] = len(layers) - 1
                inputs = width
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
        self.depth = depth
        self.features = nn.Sequential(*layers[:-1])  # no ReLU comes after the last pooling
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        wanted: dict[int, str] = {}
        for name in names:
            if name not in self.layers:
                raise OptionError(unknown("layer", name, list(self.layers), f"of VGG{self.depth}"))
            wanted[self.layers[name]] = name
        last = max(wanted, default=-1)
        used = list(self.features)[: last + 1]
        smallest = 2 ** sum(isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) for layer in used)
        if min(x.shape[-2:]) < smallest:
            raise OptionError(
                f"VGG{self.depth}: {wanted[last]} needs pictures of at least {smallest} x {smallest} pixels, "
                f"not {x.shape[-1]} x {x.shape[-2]}"
            )
        found: dict[int, Tensor] = {}
        y = (x - self.mean) / self.deviation
        for index, layer in enumerate(used):
            y = layer(y)
            if index in wanted:
                found[index] = y
        return {name: found[self.layers[name]] for name in names}
