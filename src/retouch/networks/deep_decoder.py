"""The Deep Decoder: an under-parametrised picture prior without convolutions wider than one pixel.

Heckel, Hand, "Deep Decoder: Concise Image Representations from Untrained Non-convolutional Networks", ICLR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DeepDecoder(nn.Module):
    """``layers`` times [Conv1x1(width), bilinear upsampling x2 (not in the last), ReLU, BN], then Conv1x1, sigmoid.

    ``forward``: code ``(1, width, H / 2^(layers-1), W / 2^(layers-1))`` -> ``(1, channels, H, W)`` in (0, 1). The
    default has 100,224 parameters: convolutions carry no bias, normalisation is affine. Keep it in training mode.
    ``multiple``: the size multiple of its output; ``smallest``: the least side for which normalisation has statistics.
    """

    def __init__(self, channels: int = 3, *, width: int = 128, layers: int = 6) -> None:
        super().__init__()
        self.multiple = 2 ** (layers - 1)
        self.smallest = 2 * self.multiple
        self.input_depth = width
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts.append(nn.Conv2d(width, width, 1, bias=False))
            if layer < layers - 1:
                parts.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            parts += [nn.ReLU(inplace=True), nn.BatchNorm2d(width)]
        self.body = nn.Sequential(*parts)
        self.head = nn.Conv2d(width, channels, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.body(z)))
