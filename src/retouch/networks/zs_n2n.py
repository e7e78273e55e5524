"""The network of Zero-Shot Noise2Noise: two 3x3 convolutions and one 1x1.

Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any Data", CVPR 2023, section 3.
"""

from __future__ import annotations

from torch import Tensor, nn


class ZSN2N(nn.Module):
    """Predicts the noise of a picture: Conv3(width), LeakyReLU(.2), Conv3(width), LeakyReLU(.2), Conv1(channels).

    ``forward``: noisy ``(B, channels, H, W)`` in [0, 1], any H and W from 1 -> noise of the same shape; the denoised
    picture is the input minus it. With 3 channels and the published width of 48 it has 22,275 parameters.
    ``halo``: how far a value can see to each side (receptive field 5x5).
    """

    halo = 2

    def __init__(self, channels: int = 3, width: int = 48) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, y: Tensor) -> Tensor:
        noise: Tensor = self.body(y)
        return noise
