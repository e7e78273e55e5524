"""DnCNN: a plain chain of convolutions with batch normalisation finds the noise, which is taken off the picture.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE
Transactions on Image Processing 26(7), 2017, section III.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from retouch.networks.plain import Initial, begin_chain
from retouch.networks.spec import Spec


class DnCNN(nn.Module):
    """``Conv3 ReLU, (depth - 2) x [Conv3 BN ReLU], Conv3``: the noise, subtracted from the input.

    ``depth``: 17 for one noise level, 20 for the blind and the colour networks. ``channels``: 1 grey, 3 colour.
    ``forward``: the noisy picture ``(B, channels, H, W)`` in [0, 1], any size -> the picture without noise, same shape.
    Zero padding. The convolutions before a batch normalisation have no bias of their own, as it would cancel.

    556,097 numbers (17, grey), 669,379 (20, colour). Initialised as in the authors' code: N(0, 2 / (9 * width)) in
    every convolution, biases 0; ``initial``: see ``plain.begin_chain``. Raises ``ValueError`` for a depth below 2,
    sizes below 1 or another initial.
    """

    def __init__(self, depth: int = 17, width: int = 64, channels: int = 1, initial: Initial = "published") -> None:
        super().__init__()
        if depth < 2 or min(channels, width) < 1:
            raise ValueError(f"depth is at least 2, width and channels at least 1, not {depth}, {width}, {channels}")
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(width, channels, 3, padding=1))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * width)))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.body = nn.Sequential(*layers)
        begin_chain(self.body, initial)
        self.spec = Spec(channels=channels, halo=depth)

    def forward(self, y: Tensor) -> Tensor:
        x: Tensor = y - self.body(y)
        return x
