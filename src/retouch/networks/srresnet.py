"""SRResNet, a residual network for super-resolution, and the critic that makes SRGAN of it.

Ledig, Theis, Huszar, Caballero, Cunningham, Acosta, Aitken, Tejani, Totz, Wang, Shi, "Photo-Realistic Single Image
Super-Resolution Using a Generative Adversarial Network", CVPR 2017, section 2.1 and figure 4.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from retouch.networks.plain import Initial, check_initial
from retouch.networks.spec import Spec


class ResidualBlock(nn.Module):
    """``x + [Conv3, BN, PReLU, Conv3, BN](x)`` with ``width`` channels throughout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),  # the normalisation would cancel a bias
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


class SRResNet(nn.Module):
    """``Conv9 PReLU, blocks x residual block, Conv3 BN, long skip, n x [Conv3 (4 width), shuffle 2, PReLU], Conv9``.

    ``scale``: 2 or 4, n being 1 or 2. ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any size ->
    ``(B, channels, H * scale, W * scale)`` in about [0, 1]. The paper has the large picture in [-1, 1]: the last
    convolution gives such a t, and ``forward`` returns (t + 1) / 2. A mean squared error here is a quarter of theirs.

    1.55 million numbers (scale 4). The paper does not tell how they begin; ``initial`` "published" is as torch begins
    any convolution, the PReLU slopes at 0.25, one for each channel; "identity": see ``_begin_as_nearest``. Raises
    ``ValueError`` for another scale, another initial, sizes below 1, and with "identity" a width below ``channels``.
    """

    def __init__(
        self, scale: int = 4, blocks: int = 16, width: int = 64, channels: int = 3, initial: Initial = "published"
    ) -> None:
        super().__init__()
        check_initial(initial)
        if initial == "identity" and width < channels:
            raise ValueError(f"to begin as the identity, {channels} channels need a width as large, not {width}")
        if scale not in (2, 4):
            raise ValueError(f"scale is 2 or 4, not {scale}")
        if min(blocks, width, channels) < 1:
            raise ValueError(f"blocks, width and channels are at least 1, not {blocks}, {width}, {channels}")
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU(width))
        self.trunk = nn.Sequential(
            *(ResidualBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        tail: list[nn.Module] = []
        for _ in range(scale // 2):
            tail += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(width)]
        self.tail = nn.Sequential(*tail, nn.Conv2d(width, channels, 9, padding=4))
        # 4 in the head, 1 for each convolution of the trunk. In the tail 3 for either scale: the last convolution meets
        # two small pixels to each side, and a shuffled convolution before it (two of them at scale 4) one more.
        self.spec = Spec(channels=channels, scale=scale, halo=4 + 2 * blocks + 1 + 3)
        if initial == "identity":
            self._begin_as_nearest(channels)

    @torch.no_grad()
    def _begin_as_nearest(self, channels: int) -> None:
        """Begin as the enlargement that repeats every pixel, each residual block as one that adds nothing.

        The first ``channels`` channels carry the picture, which is positive and so passes every PReLU; the last
        convolution listens to no others yet. Ours: after 300 steps of 8 crops the mean error is half of what it is
        for the network as it begins in torch, which spends them on finding the picture again.
        """
        norms = [layer for layer in self.trunk.modules() if isinstance(layer, nn.BatchNorm2d)]
        for norm in norms[1::2] + norms[-1:]:  # the last one of each block, and that of the trunk
            nn.init.zeros_(norm.weight)
        first, *middle, last = (
            layer for part in (self.head, self.tail) for layer in part if isinstance(layer, nn.Conv2d)
        )
        for layer, times, value, bias in ((first, 1, 1, 0), *((layer, 4, 1, 0) for layer in middle), (last, 1, 2, -1)):
            assert layer.bias is not None
            centre = layer.kernel_size[0] // 2
            for channel in range(channels):
                rows = slice(channel * times, (channel + 1) * times)
                layer.weight[rows] = 0
                layer.weight[rows, channel, centre, centre] = value
                layer.bias[rows] = bias

    def forward(self, x: Tensor) -> Tensor:
        first = self.head(x)
        t: Tensor = self.tail(first + self.trunk(first))
        return (t + 1) / 2


class Discriminator(nn.Module):
    """SRGAN's critic: eight 3 x 3 convolutions that halve the picture four times, then two linear layers.

    ``Conv 64, LeakyReLU .2``, then ``Conv BN LeakyReLU`` of 64, 128, 128, 256, 256, 512, 512 channels with strides 2
    and 1 in turn, ``Linear 1024, LeakyReLU .2, Linear 1``. ``forward``: pictures ``(B, channels, size, size)`` in
    [0, 1] (brought to the paper's [-1, 1] inside) -> logits ``(B, 1)``, high for what looks real; the published sigmoid
    is part of the loss.

    23.6 million numbers at 96 x 96. Raises ``ValueError`` for a size that is no multiple of 16, in ``forward`` for
    pictures of another shape.
    """

    def __init__(self, size: int = 96, channels: int = 3) -> None:
        super().__init__()
        if size < 16 or size % 16:
            raise ValueError(f"size is a multiple of 16, not {size}")
        if channels < 1:
            raise ValueError(f"channels is at least 1, not {channels}")
        self.shape = (channels, size, size)
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        widths = (64, 64, 128, 128, 256, 256, 512, 512)
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2 - index % 2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(512 * (size // 16) ** 2, 1024), nn.LeakyReLU(0.2, inplace=True), nn.Linear(1024, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the discriminator judges pictures of {self.shape}, not {tuple(x.shape[1:])}")
        logits: Tensor = self.head(self.features(2 * x - 1))
        return logits
