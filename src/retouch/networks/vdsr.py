"""VDSR: twenty convolutions find what a bicubic enlargement lacks; one network serves every scale.

Kim, Lee, Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016, section 3.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from retouch.networks.plain import Initial, begin_chain
from retouch.networks.spec import Spec


class VDSR(nn.Module):
    """``(depth - 1) x [Conv3 (width), ReLU], Conv3 (channels)``, added to the input.

    ``channels``: 1 for the luma, as published. ``forward``: the picture enlarged by bicubic interpolation,
    ``(B, channels, H, W)`` in [0, 1], any size -> the same shape, the residual already added. Zero padding in each
    layer, as published.

    Weights without biases: 664,704, as published; and 1,217 biases. Initialised by He et al. 2015, biases 0;
    ``initial``: see ``plain.begin_chain``. Raises ``ValueError`` for a depth below 2, sizes below 1 or another initial.
    """

    def __init__(self, channels: int = 1, depth: int = 20, width: int = 64, initial: Initial = "published") -> None:
        super().__init__()
        if depth < 2 or min(channels, width) < 1:
            raise ValueError(f"depth is at least 2, channels and width at least 1, not {depth}, {channels}, {width}")
        sizes = (channels, *[width] * (depth - 1), channels)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(sizes):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        begin_chain(self.body, initial)
        self.spec = Spec(channels=channels, halo=depth, enlarged=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y
