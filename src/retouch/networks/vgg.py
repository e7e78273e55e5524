"""The convolutions of VGG16 and VGG19, as a picture's features.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, configurations D
and E. Parameter names are torchvision's, so that its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

_DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """``forward(x, names)``: activations after the named ReLUs, ``relu1_1`` to ``relu5_3`` (VGG16) or ``relu5_4``.

    ``x``: ``(B, 3, H, W)`` in [0, 1]; the normalisation of ImageNet is done here. Nothing after the last layer asked
    for is computed. ``pool``: how blocks are joined, "max" as trained or "average" (Gatys et al. 2016). Raises
    ``ValueError`` for another depth or pool, and ``KeyError`` for an unknown name.
    """

    def __init__(self, depth: int = 16, pool: Literal["max", "average"] = "max") -> None:
        super().__init__()
        if depth not in _DEPTHS or pool not in ("max", "average"):
            raise ValueError(f"depth is 16 or 19 and pool max or average, not {depth}, {pool}")
        layers: list[nn.Module] = []
        self.layers: dict[str, int] = {}
        inputs = 3
        for block, (repeats, width) in enumerate(zip(_DEPTHS[depth], _WIDTHS, strict=True), 1):
            for number in range(1, repeats + 1):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                self.layers[f"relu{block}_{number}"] = len(layers) - 1
                inputs = width
            layers.append(nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        wanted = {self.layers[name]: name for name in names}
        mean, std = (torch.tensor(values, dtype=x.dtype, device=x.device).view(3, 1, 1) for values in (_MEAN, _STD))
        x = (x - mean) / std
        found: dict[str, Tensor] = {}
        for index in range(max(wanted) + 1):
            x = self.features[index](x)
            if index in wanted:
                found[wanted[index]] = x
        return found
