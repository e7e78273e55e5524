"""The tail that networks for super-resolution share: one convolution on the small picture, its channels made pixels.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", CVPR 2016, section 3.1.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

SKIPS = ("none", "bilinear", "bicubic")


class SubPixelTail(nn.Module):
    """``Conv3 (channels scale^2), pixel shuffle``, added to an interpolation of the picture where ``skip`` names one.

    ``width``: channels of the features. ``skip``: "none", or the interpolation that is added, "bilinear" or "bicubic"
    (as torch has them: a = -0.75); the convolution then begins at zero, so that the network begins as interpolation.

    ``forward``: features ``(B, width, h, w)`` and the small picture ``(B, channels, H, W)``, h and w at least H and W
    -> ``(B, channels, H * scale, W * scale)``; what the features have more is cut off below and to the right. The
    picture is interpolated in its own precision, as half of it would round what comes out. Raises ``ValueError`` for
    another skip or sizes below 1.
    """

    def __init__(self, width: int, channels: int, scale: int, skip: str = "none") -> None:
        super().__init__()
        if min(width, channels, scale) < 1:
            raise ValueError(f"width, channels and scale are at least 1, not {width}, {channels} and {scale}")
        if skip not in SKIPS:
            raise ValueError(f"skip is one of {', '.join(SKIPS)}, not {skip!r}")
        self.scale, self.skip = scale, skip
        self.convolution = nn.Conv2d(width, channels * scale**2, 3, padding=1)
        if skip != "none":
            nn.init.zeros_(self.convolution.weight)
            nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        y = functional.pixel_shuffle(self.convolution(features)[..., :height, :width], self.scale)
        if self.skip == "none":
            return y
        if self.scale == 1:
            return x + y
        return functional.interpolate(x, scale_factor=self.scale, mode=self.skip, align_corners=False) + y
