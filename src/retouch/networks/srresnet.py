"""SRResNet, which is SRGAN's generator, and SRGAN's discriminator.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
section 2.1 and figure 4.
"""

from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.spec import Spec


class ResidualBlock(nn.Module):
    """``x + BN(Conv(PReLU(BN(Conv(x)))))``, convolutions 3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


class SRResNet(nn.Module):
    """``Conv9 PReLU, blocks, Conv3 BN, + the first features, (Conv3 PixelShuffle2 PReLU) for each doubling, Conv9``.

    ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale,
    W * scale)``. The paper's targets lie in [-1, 1]; here the last step maps them to [0, 1]: y = (t + 1) / 2.
    ``scale``: 2 or 4. 1.55 million parameters at scale 4, 16 blocks. Raises ``ValueError`` for another scale.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(f"scale is 2 or 4, not {scale}")
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.join = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        doublings = scale.bit_length() - 1
        enlarge: list[nn.Module] = []
        for _ in range(doublings):
            enlarge += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.enlarge = nn.Sequential(*enlarge)
        self.tail = nn.Conv2d(width, channels, 9, padding=4)
        # the convolutions on the enlarged grids see 1 pixel of theirs to each side, the last one 4
        reach = 4.0 / scale + sum(1 / 2**level for level in range(doublings))
        self.spec = Spec(channels=channels, scale=scale, halo=4 + 2 * blocks + 1 + -int(-reach // 1))

    def forward(self, x: Tensor) -> Tensor:
        first = self.head(x)
        features = first + self.join(self.blocks(first))
        y: Tensor = (self.tail(self.enlarge(features)) + 1) / 2
        return y


class Discriminator(nn.Module):
    """SRGAN's critic: eight convolutions 3x3, every second one halving the picture, and two dense layers.

    ``forward``: ``(B, channels, size, size)`` in [0, 1] -> logits ``(B, 1)``: the paper's sigmoid belongs to the loss
    here. LeakyReLU(.2), batch normalisation but in the first layer. 23.6 million parameters at size 96. Raises
    ``ValueError`` for a size that does not divide by 16.
    """

    def __init__(self, size: int = 96, channels: int = 3) -> None:
        super().__init__()
        if size < 16 or size % 16:
            raise ValueError(f"size is a multiple of 16, not {size}")
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        inputs = 64
        for outputs, stride in ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(512 * (size // 16) ** 2, 1024), nn.LeakyReLU(0.2, inplace=True), nn.Linear(1024, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(x * 2 - 1))
        return y
