"""IMDN: blocks that keep a quarter of their features after each convolution, and weigh what they kept by its contrast.

Hui, Gao, Yang, Wang, "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM MM 2019,
sections 3.1 to 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec
from retouch.networks.sub_pixel import SubPixelTail

_SLOPE = 0.05  # of the leaky ReLU
_KEPT = 4  # one in so many channels is kept after a convolution: the distillation rate is 1/4
_SQUEEZED = 16  # times fewer channels between the two layers of the attention
_EPSILON = 1e-6  # added to the variance: at 0 the square root would have no gradient


class ContrastAttention(nn.Module):
    """Channels times weights in (0, 1) that follow from each one's mean plus standard deviation (CCA, section 3.3).

    ``Conv1 (width / 16), ReLU, Conv1 (width), sigmoid`` of ``mean + deviation`` over the picture. ``forward``:
    ``(B, width, H, W)`` -> the same. 1e-6 is added to the variance, which the paper does not do: features that are the
    same everywhere have a gradient so. Raises ``ValueError`` for a width below 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width is at least 1, not {width}")
        middle = max(1, width // _SQUEEZED)
        self.weigh = nn.Sequential(nn.Conv2d(width, middle, 1), nn.ReLU(), nn.Conv2d(middle, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().mean((2, 3), keepdim=True)
        weights: Tensor = self.weigh(mean + (variance + _EPSILON).sqrt())
        return x * weights


class DistillationBlock(nn.Module):
    """``x + Conv1(CCA(what four convolutions of 3 x 3 left over))`` (IMDB, section 3.2).

    Of the ``width`` features after each of the first three, a leaky ReLU (slope .05) behind, a quarter is kept and the
    others go on; the fourth makes a quarter of them, without a ReLU. The four quarters are put together. ``forward``:
    ``(B, width, H, W)`` -> the same. Raises ``ValueError`` for a width that is no multiple of 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < _KEPT or width % _KEPT:
            raise ValueError(f"width is a multiple of {_KEPT}, not {width}")
        self.kept = width // _KEPT
        on = width - self.kept
        self.refine = nn.ModuleList(nn.Conv2d(inputs, width, 3, padding=1) for inputs in (width, on, on))
        self.last = nn.Conv2d(on, self.kept, 3, padding=1)
        self.attention = ContrastAttention(width)
        self.join = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, on = [], x
        for convolution in self.refine:
            y = functional.leaky_relu(convolution(on), _SLOPE)
            kept.append(y[:, : self.kept])
            on = y[:, self.kept :]
        made: Tensor = x + self.join(self.attention(torch.cat((*kept, self.last(on)), 1)))
        return made


class IMDN(nn.Module):
    """``Conv3, blocks x distillation block, Conv1 of all outputs, leaky ReLU, Conv3 + skip, Conv3, pixel shuffle``.

    ``skip``: see ``SubPixelTail``; "none" is published, the interpolations are ours. ``forward``: the small picture
    ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale, W * scale)``, not clipped. Zero padding.

    694,404, 703,059 and 715,176 numbers at scale 2, 3 and 4. The paper does not tell how they begin; here as torch
    begins any convolution. The attention has statistics of the whole picture: what is run in tiles is an approximation,
    and the halo is that of the convolutions. Raises ``ValueError`` for a width that is no multiple of 4, another skip,
    or sizes below 1.
    """

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 6, channels: int = 3, skip: str = "none") -> None:
        super().__init__()
        if min(scale, blocks, channels) < 1:
            raise ValueError(f"scale, blocks and channels are at least 1, not {scale}, {blocks} and {channels}")
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(DistillationBlock(width) for _ in range(blocks))
        self.fuse = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.LeakyReLU(_SLOPE))
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.tail = SubPixelTail(width, channels, scale, skip)
        self.spec = Spec(channels=channels, scale=scale, halo=4 * blocks + 3, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        first = self.head(x)
        y, made = first, []
        for block in self.blocks:
            y = block(y)
            made.append(y)
        enlarged: Tensor = self.tail(first + self.join(self.fuse(torch.cat(made, 1))), x)
        return enlarged
