"""NAFNet: restoration without a nonlinear activation; halves of the features are multiplied with each other instead.

Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022, sections 3 and 4. For super-resolution: Chu,
Chen, Yu, "NAFSSR: Stereo Image Super-Resolution Using NAFNet", CVPR Workshops 2022, section 3, of one view.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.channel_norm import ChannelNorm
from retouch.networks.spec import Spec
from retouch.networks.sub_pixel import SubPixelTail

_GROWTH = 2  # times more channels before a gate, which halves them
_FELT = 64  # the halo is an estimate in any case, and none wider than that of ``residual_unet``


class NAFBlock(nn.Module):
    """Two residual parts without activation: one that looks around and one that mixes channels (section 3.3, fig. 3).

    ``y = x + beta * [norm, Conv1 (2 width), depthwise Conv3, gate, attention, Conv1](x)``, then
    ``y + gamma * [norm, Conv1 (2 width), gate, Conv1](y)``. The gate multiplies the two halves of the channels; the
    attention multiplies each channel by a linear map of all their means over the picture. ``beta`` and ``gamma``, a
    number a channel, begin at 0: the block is the identity then. ``forward``: ``(B, width, H, W)`` -> the same. Raises
    ``ValueError`` for a width below 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = _GROWTH * width
        self.first = nn.Sequential(
            ChannelNorm(width), nn.Conv2d(width, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        )
        self.attention = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        self.second = nn.Sequential(ChannelNorm(width), nn.Conv2d(width, wide, 1))
        self.mix = nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        gated = _gate(self.first(x))
        seen = self.project(gated * self.attention(gated.mean((2, 3), keepdim=True)))
        y = x + self.beta.to(seen.dtype) * seen  # in autocast the convolutions are of 16 bits, and so is the sum
        mixed = self.mix(_gate(self.second(y)))
        made: Tensor = y + self.gamma.to(mixed.dtype) * mixed
        return made


def _gate(x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    return one * other


class NAFNet(nn.Module):
    """A U-Net of such blocks: a picture to the picture without its damage.

    ``width``: channels at full size, doubled at each halving. ``encoder``, ``decoder``: blocks before halving i, and
    after the picture is brought back to that size; ``middle``: at the smallest. Published are 32 and 64 channels; with
    (2, 2, 4, 8), 12, (2, 2, 2, 2) for noise, 115,982,915 numbers with 64, and (1, 1, 1, 28), 1, (1, 1, 1, 1) for blur,
    67,888,835. ``channels``: of the picture. Halving: Conv2 of stride 2; doubling: Conv1 without bias, pixel shuffle;
    what was there before the halving is added. The published networks make the picture's own difference likewise.

    ``forward``: ``(B, channels, H, W)`` in [0, 1], any size -> the same, not clipped. Zero padding; sides that are no
    multiple of 2^len(encoder) are lengthened by their last pixels, and cut again (published: by zeros). The last
    convolution begins at zero, which is ours: the network begins as the identity. The attention looks at the whole
    picture: what is run in tiles is an approximation, and nothing is done against it (published: TLC, Chu et al. 2022).
    Raises ``ValueError`` for sizes below 1, or another number of counts in ``decoder`` than in ``encoder``.
    """

    def __init__(
        self,
        width: int = 32,
        encoder: Sequence[int] = (2, 2, 4, 8),
        middle: int = 12,
        decoder: Sequence[int] = (2, 2, 2, 2),
        channels: int = 3,
    ) -> None:
        super().__init__()
        if not encoder or len(encoder) != len(decoder) or min(width, *encoder, middle, *decoder, channels) < 1:
            raise ValueError(
                f"encoder and decoder are as many counts, and nothing is below 1, not {encoder} and {decoder} with "
                f"{middle} in the middle, {width} wide, of {channels} channels"
            )
        widths = [width << level for level in range(len(encoder))]
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(_chain(wide, count) for wide, count in zip(widths, encoder, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(wide, 2 * wide, 2, stride=2) for wide in widths)
        self.middle = _chain(2 * widths[-1], middle)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * wide, 4 * wide, 1, bias=False), nn.PixelShuffle(2)) for wide in widths
        )
        self.decoder = nn.ModuleList(_chain(wide, count) for wide, count in zip(widths, decoder, strict=True))
        self.tail = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        # a block looks one pixel of its size on; head, tail, and the cell that is halved away
        deepest = len(encoder)
        reach = 2 + (middle << deepest) + (1 << deepest) - 1
        reach += sum((down + up) << level for level, (down, up) in enumerate(zip(encoder, decoder, strict=True)))
        self.spec = Spec(channels=channels, halo=min(reach, _FELT), multiple=1 << deepest, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        multiple = self.spec.multiple
        y = self.head(functional.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate"))
        skips = []
        for blocks, down in zip(self.encoder, self.downs, strict=True):
            skips.append(blocks(y))
            y = down(skips[-1])
        y = self.middle(y)
        for skip, up, blocks in zip(reversed(skips), reversed(self.ups), reversed(self.decoder), strict=True):
            y = blocks(skip + up(y))
        change: Tensor = self.tail(y)[..., :height, :width]
        return x + change


class NAFNetSR(nn.Module):
    """``Conv3, blocks x NAF block, Conv3 (channels scale^2), pixel shuffle``, added to the bilinear enlargement.

    NAFSSR without its second view, so without the attention between views and without the drop path of the larger ones;
    48 channels (``width``) and 16 ``blocks`` are those of NAFSSR-T. ``forward``: the small picture
    ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale, W * scale)``, not clipped. Zero padding.

    289,932 numbers at scale 2. ``skip``: see ``SubPixelTail``; "bilinear" is published, but that the tail begins at
    zero. The attention looks at the whole picture: what is run in tiles is an approximation. Raises ``ValueError`` for
    another skip or sizes below 1.
    """

    def __init__(
        self, scale: int = 4, width: int = 48, blocks: int = 16, channels: int = 3, skip: str = "bilinear"
    ) -> None:
        super().__init__()
        if min(scale, width, blocks, channels) < 1:
            raise ValueError(
                f"scale, width, blocks and channels are at least 1, not {scale}, {width}, {blocks} and {channels}"
            )
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = _chain(width, blocks)
        self.tail = SubPixelTail(width, channels, scale, skip)
        self.spec = Spec(channels=channels, scale=scale, halo=blocks + 2, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        enlarged: Tensor = self.tail(self.body(self.head(x)), x)
        return enlarged


def _chain(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(width) for _ in range(count)))
