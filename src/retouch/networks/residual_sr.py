"""A plain residual network for super-resolution: all work at the small size, then one convolution and a shuffle.

The blocks are those of EDSR (Lim, Son, Kim, Nah, Lee, "Enhanced Deep Residual Networks for Single Image
Super-Resolution", CVPR Workshops 2017, section 3.1: no normalisation). Narrower than there; the tail is that of ESPCN
(Shi et al., CVPR 2016), and what is learned is the difference to bicubic enlargement, as in VDSR (Kim et al., CVPR
2016).
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.residual_unet import ResidualBlock
from retouch.networks.spec import Spec
from retouch.networks.sub_pixel import SubPixelTail

_BICUBIC = 2  # pixels to each side that the enlargement looks at
_MEAN, _DEVIATION = 0.5, 0.25


class ResidualSR(nn.Module):
    """``Conv3, blocks x [x + Conv3 ReLU Conv3], Conv3 + long skip, Conv3, shuffle``, added to bicubic enlargement.

    ``scale``: 1 to 8; with 1 the picture itself is corrected. ``forward``: the small picture ``(B, channels, H, W)`` in
    [0, 1], any size -> ``(B, channels, H * scale, W * scale)``, not clipped. Zero padding. With fresh weights it is
    bicubic enlargement (Keys' kernel with a = -0.75, as torch has it), and every block the identity.

    380 thousand numbers at the default sizes. Raises ``ValueError`` for another scale or sizes below 1.
    """

    def __init__(self, scale: int = 2, width: int = 48, blocks: int = 8, channels: int = 3) -> None:
        super().__init__()
        if not 1 <= scale <= 8:
            raise ValueError(f"scale is 1 to 8, not {scale}")
        if min(width, blocks, channels) < 1:
            raise ValueError(f"width, blocks and channels are at least 1, not {width}, {blocks}, {channels}")
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.tail = SubPixelTail(width, channels, scale, skip="bicubic")
        self.spec = Spec(channels=channels, scale=scale, halo=max(2 * blocks + 3, _BICUBIC))

    def forward(self, x: Tensor) -> Tensor:
        y = self.head((x - _MEAN) / _DEVIATION)
        made: Tensor = self.tail(y + self.join(self.body(y)), x)
        return made
