"""SRCNN: three convolutions from a bicubic enlargement to a sharp picture.

Dong, Loy, He, Tang, "Learning a Deep Convolutional Network for Image Super-Resolution", ECCV 2014, and "Image
Super-Resolution Using Deep Convolutional Networks", TPAMI 2016, section 3.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from retouch.networks.spec import Spec


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction: ``Conv f1 (n1), ReLU, Conv f2 (n2), ReLU, Conv f3``.

    ``kernels``: sides (f1, f2, f3), odd; the papers use 9-1-5, 9-3-5 and 9-5-5. ``widths``: (n1, n2). ``channels``: 1
    for the luma, as published. ``forward``: the picture enlarged by bicubic interpolation, ``(B, channels, H, W)`` in
    [0, 1], any size -> the same shape. The papers train without padding; here each layer repeats the edge pixels, which
    changes nothing further than ``spec.halo`` from the border, and training leaves that rim out of the loss.

    Weights without biases: 8,032 (9-1-5), 24,416 (9-3-5), 57,184 (9-5-5), and 97 biases. ``initial``: how the weights
    begin. "published": N(0, .001^2), biases 0. "identity": He et al. 2015, the last layer N(0, .001^2), and one feature
    of each layer carries the picture unchanged, so that training begins at the bicubic enlargement, which the published
    start needs thousands of steps to reach. Raises ``ValueError`` for even kernels, or several channels with
    "identity".
    """

    def __init__(
        self,
        kernels: tuple[int, int, int] = (9, 5, 5),
        widths: tuple[int, int] = (64, 32),
        channels: int = 1,
        initial: Literal["published", "identity"] = "published",
    ) -> None:
        super().__init__()
        if initial not in ("published", "identity") or (initial == "identity" and channels != 1):
            raise ValueError(f"initial is 'published', or 'identity' for one channel, not {initial!r}")
        if len(kernels) != 3 or any(side < 1 or side % 2 == 0 for side in kernels):
            raise ValueError(f"kernels are three odd sides, not {kernels}")
        sizes = (channels, *widths, channels)
        layers: list[nn.Module] = []
        for index, side in enumerate(kernels):
            convolution = nn.Conv2d(
                sizes[index],
                sizes[index + 1],
                side,
                padding=side // 2,
                padding_mode="replicate" if side > 1 else "zeros",
            )
            if initial == "identity" and index < 2:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            else:
                nn.init.normal_(convolution.weight, std=0.001)
            if initial == "identity":
                with torch.no_grad():
                    convolution.weight[0] = 0
                    convolution.weight[0, 0, side // 2, side // 2] = 1
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers[:-1])
        self.spec = Spec(channels=channels, halo=sum(side // 2 for side in kernels), enlarged=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y
