"""A U-Net for restoration: residual blocks all the way, nothing normalised, no pixel lost at the first halving.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI 44(10),
2022, section 4 (DRUNet): the blocks of EDSR (Lim et al., CVPR Workshops 2017) in a U-Net, strided 2 x 2 convolutions
down, transposed ones up, skips added. Thinner than there, and the first halving sorts the pixels into channels (pixel
unshuffle) as in FFDNet (Zhang, Zuo, Zhang, IEEE TIP 27(9), 2018), so that nothing runs at full size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec

_MEAN, _DEVIATION = 0.5, 0.25


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``; begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.second(functional.relu(self.first(x)))
        return made


class ResidualUNet(nn.Module):
    """A picture to the picture without its damage: what is predicted is the difference, none at first.

    ``widths[i]``: channels after halving i. ``blocks[i]``: residual blocks there on the way down, and again on the way
    up, the deepest only once. ``channels``: of the picture.

    ``forward``: ``(B, channels, H, W)`` in [0, 1], any size -> the same shape, not clipped. Zero padding; sides that
    are no multiple of ``2 ** len(widths)`` are lengthened by their last pixels, and cut again. Raises ``ValueError``
    for numbers below 1, no widths, or another number of blocks than of widths.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 96, 128), blocks: Sequence[int] = (2, 2, 3), channels: int = 3
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks, channels) < 1:
            raise ValueError(f"widths and blocks are as many numbers above 0, not {widths} and {blocks}")
        self.head = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_group(width, count) for width, count in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.decoder = nn.ModuleList(
            _group(width, count) for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.tail = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.multiple = 2 ** len(widths)
        self.spec = Spec(channels=channels, halo=_halo(blocks), multiple=self.multiple)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = functional.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        y = self.head(functional.pixel_unshuffle((padded - _MEAN) / _DEVIATION, 2))
        skips = []
        for group, down in zip(self.encoder[:-1], self.downs, strict=True):
            skips.append(group(y))
            y = down(skips[-1])
        y = self.encoder[-1](y)
        for skip, up, group in zip(reversed(skips), reversed(self.ups), reversed(self.decoder), strict=True):
            y = group(skip + up(y))
        change = functional.pixel_shuffle(self.tail(y), 2)[..., :height, :width]
        return x + change  # in the input's precision: half of it would round the picture itself


def _group(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def _halo(blocks: Sequence[int]) -> int:
    """How far an output looks: a 3 x 3 convolution after halving i by 2^(i + 1) pixels, and as far again, less one, as
    the cells of the deepest halving are wide."""
    convolutions = [2 * count * (1 if i == len(blocks) - 1 else 2) for i, count in enumerate(blocks)]
    convolutions[0] += 2  # head and tail
    reach: int = sum(count * 2 ** (i + 1) for i, count in enumerate(convolutions)) + 2 ** len(blocks) - 1
    return reach
