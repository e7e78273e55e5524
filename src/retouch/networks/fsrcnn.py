"""FSRCNN: the small picture goes through an hourglass of thin convolutions, and one deconvolution enlarges it.

Dong, Loy, Tang, "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016, section 3.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from retouch.networks.spec import Spec


class FSRCNN(nn.Module):
    """``Conv5(d) PReLU, Conv1(s) PReLU, m x [Conv3(s) PReLU], Conv1(d) PReLU, Deconv9 with stride scale``.

    ``width`` d, ``shrunk`` s, ``depth`` m: (56, 12, 4) is FSRCNN, (32, 5, 1) is FSRCNN-s. ``channels``: 1 for the
    luma, as published. ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any size ->
    ``(B, channels, H * scale, W * scale)``.

    Weights without biases and slopes: 12,464 and 3,937 as published; with them 12,809 and 4,086.
    ``initial``: how the weights begin. "published": He et al. 2015 for PReLU, the deconvolution N(0, .001^2).
    "interpolation": likewise, but one feature of each layer carries the picture unchanged to a deconvolution that
    interpolates it linearly, so that training begins near bicubic interpolation, where the published start needs tens
    of thousands of steps to come. Raises ``ValueError`` for sizes below 1, or several channels with "interpolation".
    """

    def __init__(
        self,
        scale: int,
        width: int = 56,
        shrunk: int = 12,
        depth: int = 4,
        channels: int = 1,
        initial: Literal["published", "interpolation"] = "published",
    ) -> None:
        super().__init__()
        if initial not in ("published", "interpolation") or (initial == "interpolation" and channels != 1):
            raise ValueError(f"initial is 'published', or 'interpolation' for one channel, not {initial!r}")
        if min(scale, width, shrunk, channels) < 1 or depth < 0:
            raise ValueError(f"scale, width, shrunk and channels are at least 1, depth at least 0, not {scale}, "
                             f"{width}, {shrunk}, {channels}, {depth}")  # fmt: skip
        sizes = [(channels, width, 5), (width, shrunk, 1), *[(shrunk, shrunk, 3)] * depth, (shrunk, width, 1)]
        layers: list[nn.Module] = []
        for inputs, outputs, side in sizes:
            convolution = nn.Conv2d(inputs, outputs, side, padding=side // 2)
            nn.init.kaiming_normal_(convolution.weight, a=0.25)  # 0.25 is where the slopes of PReLU begin
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.PReLU(outputs)]
        self.features = nn.Sequential(*layers)
        self.deconvolution = nn.ConvTranspose2d(width, channels, 9, stride=scale, padding=4, output_padding=scale - 1)
        nn.init.normal_(self.deconvolution.weight, std=0.001)
        assert self.deconvolution.bias is not None
        nn.init.zeros_(self.deconvolution.bias)
        # an output value meets the input pixels within (9 - 1) / 2 of it on the enlarged grid
        self.spec = Spec(channels=channels, scale=scale, halo=2 + depth + -(-4 // scale))

        if initial == "interpolation":
            self._interpolate(scale)

    @torch.no_grad()
    def _interpolate(self, scale: int) -> None:
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                middle = layer.kernel_size[0] // 2
                layer.weight[0] = 0
                layer.weight[0, 0, middle, middle] = 1
        distance = (torch.arange(9) - 4).abs()
        tent = (1 - distance / scale).clamp(min=0)
        self.deconvolution.weight[0, 0] = tent[:, None] * tent

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.deconvolution(self.features(x))
        return y
