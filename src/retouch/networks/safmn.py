"""SAFMN: features weighted by what they are at four sizes, between convolutions that mix the channels.

Sun, Dong, Tang, Pan, "Spatially-Adaptive Feature Modulation for Efficient Image Super-Resolution", ICCV 2023, sec. 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.channel_norm import ChannelNorm
from retouch.networks.spec import Spec
from retouch.networks.sub_pixel import SubPixelTail

_GROWTH = 2  # times more channels inside the mixer


class SpatialModulation(nn.Module):
    """``x * GELU(Conv1(quarters of x, each made smaller, convolved and enlarged again))`` (SAFM, section 3.1).

    Part i of ``levels`` equal parts of the channels: the largest of each 2^i x 2^i pixels, a depthwise convolution of
    3 x 3, every pixel repeated 2^i x 2^i times. ``forward``: ``(B, width, H, W)``, sides that are multiples of
    2^(levels - 1) -> the same. Raises ``ValueError`` for a width that is no multiple of ``levels``.
    """

    def __init__(self, width: int, levels: int = 4) -> None:
        super().__init__()
        if levels < 1 or width < levels or width % levels:
            raise ValueError(f"width is a multiple of levels, not {width} of {levels}")
        part = width // levels
        self.depthwise = nn.ModuleList(nn.Conv2d(part, part, 3, padding=1, groups=part) for _ in range(levels))
        self.join = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        made = []
        for level, (part, depthwise) in enumerate(zip(x.chunk(len(self.depthwise), 1), self.depthwise, strict=True)):
            if level:
                small = depthwise(functional.max_pool2d(part, 2**level))
                made.append(functional.interpolate(small, scale_factor=2**level, mode="nearest"))
            else:
                made.append(depthwise(part))
        return x * functional.gelu(self.join(torch.cat(made, 1)))


class MixingBlock(nn.Module):
    """``y = x + SAFM(norm(x))``, then ``y + [Conv3 (2 width), GELU, Conv1 (width)](norm(y))`` (FMM, section 3.2).

    ``forward``: as ``SpatialModulation``, whose ``ValueError`` it raises.
    """

    def __init__(self, width: int, levels: int = 4) -> None:
        super().__init__()
        self.first = ChannelNorm(width)
        self.modulate = SpatialModulation(width, levels)
        self.second = ChannelNorm(width)
        self.mix = nn.Sequential(
            nn.Conv2d(width, _GROWTH * width, 3, padding=1), nn.GELU(), nn.Conv2d(_GROWTH * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.modulate(self.first(x))
        made: Tensor = y + self.mix(self.second(y))
        return made


class SAFMN(nn.Module):
    """``Conv3, blocks x mixing block, long skip, Conv3 (channels scale^2), pixel shuffle``.

    ``width``: 36, and 8 ``blocks``, are published. ``levels``: sizes at which features are looked at, each half of the
    one before. ``skip``: see ``SubPixelTail``; "none" is published, the interpolations are ours.

    ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale,
    W * scale)``, not clipped. Zero padding. Sides that are no multiple of 2^(levels - 1) are lengthened by their last
    pixels, and cut again, where the published pooling makes unequal cells of them: so nothing beyond the halo counts.

    227,820, 232,695 and 239,520 numbers at scale 2, 3 and 4. The paper does not tell how they begin; here as torch
    begins any convolution. Raises ``ValueError`` for a width that is no multiple of ``levels``, another skip, or sizes
    below 1.
    """

    def __init__(
        self,
        scale: int = 4,
        width: int = 36,
        blocks: int = 8,
        channels: int = 3,
        levels: int = 4,
        skip: str = "none",
    ) -> None:
        super().__init__()
        if min(scale, blocks, channels) < 1:
            raise ValueError(f"scale, blocks and channels are at least 1, not {scale}, {blocks} and {channels}")
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(MixingBlock(width, levels) for _ in range(blocks)))
        self.tail = SubPixelTail(width, channels, scale, skip)
        # A block looks one pixel on, which is in the next cell of the coarsest size, and from there over the cell
        # beside it: two cells a block, and one pixel each for head and tail.
        cell = 2 ** (levels - 1)
        self.spec = Spec(channels=channels, scale=scale, halo=2 * cell * blocks + 2, multiple=cell)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        multiple = self.spec.multiple
        first = self.head(functional.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate"))
        enlarged: Tensor = self.tail(first + self.body(first), x)
        return enlarged
