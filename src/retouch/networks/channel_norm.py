"""Layer normalisation of a picture's features: over the channels, at each place alone.

Ba, Kiros, Hinton, "Layer Normalization", 2016, section 3; over the channels of a picture as in Liu et al., "A ConvNet
for the 2020s", CVPR 2022, section 2.6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-6  # added to the variance


class ChannelNorm(nn.Module):
    """``(x - mean) / sqrt(variance + 1e-6) * weight + bias``, mean and variance over the channels of each pixel.

    ``forward``: ``(B, width, H, W)`` -> the same. Begins with weights of 1 and biases of 0. Raises ``ValueError`` for a
    width below 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width is at least 1, not {width}")
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)  # how it lies in memory already, where a network runs channels last
        y = functional.layer_norm(last, self.weight.shape, self.weight, self.bias, _EPSILON)
        return y.permute(0, 3, 1, 2)
