"""SPAN: plain convolutions whose output is its own attention, by a function that is symmetric about the origin.

Wan, Yu, Li, Chen, Zou, Liu, Yin, Zuo, "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPR
Workshops 2024, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec
from retouch.networks.sub_pixel import SubPixelTail

_MEANS = (0.4488, 0.4371, 0.4040)  # of DIV2K
_RANGE = 255.0
_JOINED = 4  # outputs that come together: of the head, the first block, inside the last one, and after it


class SwiftBlock(nn.Module):
    """``(x + h) * (sigmoid(h) - 1/2)``, h being ``Conv3 SiLU Conv3 SiLU Conv3`` of x (SPAB, section 3.2).

    ``forward``: ``(B, width, H, W)`` -> the same, and what is after the first SiLU. Raises ``ValueError`` for a width
    below 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width is at least 1, not {width}")
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = functional.silu(self.convolutions[0](x))
        h = self.convolutions[2](functional.silu(self.convolutions[1](first)))
        return (x + h) * (h.sigmoid() - 0.5), first


class SPAN(nn.Module):
    """``Conv3, blocks x SPAB, Conv3; Conv1 of four outputs; Conv3 (channels scale^2), pixel shuffle``.

    The four: of the head, of the first block, inside the last block after its first convolution and SiLU, and of the
    convolution after the last block. 48 channels (``width``) and 6 ``blocks`` are published. ``skip``: see
    ``SubPixelTail``; "none" is published, the interpolations are ours.

    ``forward``: the small picture ``(B, channels, H, W)`` in [0, 1], any size -> ``(B, channels, H * scale,
    W * scale)``, not clipped. Zero padding. As published the picture less the mean of DIV2K goes in times 255, at which
    the attention is all but a sign: among numbers about 1 every block would square what it is given.

    426,288 numbers at scale 4, 410,700 at 2. Ours: the plain form is the one that learns, where the paper trains three
    convolutions and a skip in place of each and multiplies them out afterwards; features are divided by 255 before the
    tail, which is the published network with a tail of smaller weights, so that all weights are of one size to Adam;
    weights begin as in He et al. 2015, biases at 0. Raises ``ValueError`` for another skip or sizes below 1.
    """

    means: Tensor

    def __init__(self, scale: int = 4, width: int = 48, blocks: int = 6, channels: int = 3, skip: str = "none") -> None:
        super().__init__()
        if min(scale, width, blocks, channels) < 1:
            raise ValueError(
                f"scale, width, blocks and channels are at least 1, not {scale}, {width}, {blocks} and {channels}"
            )
        means = _MEANS if channels == len(_MEANS) else (sum(_MEANS) / len(_MEANS),) * channels
        self.register_buffer("means", torch.tensor(means).view(1, -1, 1, 1), persistent=False)
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(SwiftBlock(width) for _ in range(blocks))
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.join = nn.Conv2d(_JOINED * width, width, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.tail = SubPixelTail(width, channels, scale, skip)
        self.spec = Spec(channels=channels, scale=scale, halo=3 * blocks + 3)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head((x - self.means) * _RANGE)
        y, after = head, []
        for block in self.blocks:
            y, inside = block(y)
            after.append(y)
        joined = self.join(torch.cat((head, self.after(y), after[0], inside), 1))
        enlarged: Tensor = self.tail(joined / _RANGE, x)
        return enlarged
