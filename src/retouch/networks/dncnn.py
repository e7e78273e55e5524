"""DnCNN: a plain stack of convolutions that predicts the noise.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", TIP
2017, section 3.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from retouch.networks.spec import Spec


class DnCNN(nn.Module):
    """``Conv ReLU, (depth - 2) x [Conv BN ReLU], Conv``, all 3x3; the output is taken from the input.

    ``forward``: the degraded picture ``(B, channels, H, W)`` in [0, 1] (noise may leave it), any size -> the restored
    one. ``depth``: 17 for one noise level (DnCNN-S), 20 for the blind networks (DnCNN-B, DnCNN-3). Convolutions before
    a batch normalisation have no bias. 556,097 parameters (17 layers, one channel), 669,379 (20 layers, colour).
    Initialised N(0, 2 / (9 width)), as the released code. Raises ``ValueError`` for a depth below 3.
    """

    def __init__(self, depth: int = 17, width: int = 64, channels: int = 1) -> None:
        super().__init__()
        if depth < 3:
            raise ValueError(f"depth is at least 3, not {depth}")
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            middle = nn.Conv2d(width, width, 3, padding=1, bias=False)
            layers += [middle, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(width, channels, 3, padding=1))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * width)))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.body = nn.Sequential(*layers)
        self.spec = Spec(channels=channels, halo=depth)

    def forward(self, y: Tensor) -> Tensor:
        x: Tensor = y - self.body(y)
        return x
