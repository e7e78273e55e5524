"""ESPCN: three convolutions on the small picture, and the enlargement is a mere rearrangement of their channels.

Shi, Caballero, Huszar, Totz, Aitken, Bishop, Rueckert, Wang, "Real-Time Single Image and Video Super-Resolution Using
an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.spec import Spec


class ESPCN(nn.Module):
    """``Conv5 (64) tanh, Conv3 (32) tanh, Conv3 (channels scale^2), pixel shuffle``.

    ``channels``: 1 for the luma, as published. ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any
    size -> ``(B, channels, H * scale, W * scale)``. Zero padding.

    21,284, 22,729 and 24,752 numbers for scale 2, 3 and 4. The paper does not tell how they begin; here by Glorot and
    Bengio 2010 for tanh, biases 0. Raises ``ValueError`` for sizes below 1.
    """

    def __init__(self, scale: int, channels: int = 1) -> None:
        super().__init__()
        if min(scale, channels) < 1:
            raise ValueError(f"scale and channels are at least 1, not {scale} and {channels}")
        self.body = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(32, channels * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )
        for index, gain in ((0, nn.init.calculate_gain("tanh")), (2, nn.init.calculate_gain("tanh")), (4, 1.0)):
            convolution = self.body[index]
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            nn.init.xavier_normal_(convolution.weight, gain)
            nn.init.zeros_(convolution.bias)
        self.spec = Spec(channels=channels, scale=scale, halo=4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y
