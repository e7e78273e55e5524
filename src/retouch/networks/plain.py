"""A stage list for restoration: residual blocks of plain convolutions, nothing normalised, nothing lost at first.

A classifier's first stages keep what tells things apart, not the values of pixels. Here the first halving only sorts
the pixels into channels (pixel unshuffle), as Zhang, Zuo, Zhang, "FFDNet", IEEE Transactions on Image Processing 27(9),
2018, does; the residual blocks are those of EDSR (Lim et al., CVPR Workshops 2017), without normalisation either.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


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


class PlainStages(nn.Module):
    """``widths[i]`` channels after halving i, and ``blocks`` residual blocks there.

    ``forward``: a normalised picture ``(B, 3, H, W)`` -> ``[(B, widths[0], H / 2, W / 2), ...]``, odd sizes rounded up.
    ``mean``, ``deviation``: how pictures are to be normalised. Raises ``ValueError`` without at least two widths.
    """

    mean = (0.5, 0.5, 0.5)
    deviation = (0.25, 0.25, 0.25)

    def __init__(self, widths: Sequence[int] = (48, 80, 128, 128), blocks: int = 2) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1 or blocks < 0:
            raise ValueError(f"widths are at least two numbers above 0, blocks at least 0, not {widths} and {blocks}")
        self.widths = tuple(widths)
        self.downs = nn.ModuleList([nn.Conv2d(12, widths[0], 3, padding=1)])
        for before, width in itertools.pairwise(widths):
            self.downs.append(nn.Conv2d(before, width, 3, stride=2, padding=1))
        for layer in self.downs:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
        self.groups = nn.ModuleList(nn.Sequential(*(ResidualBlock(width) for _ in range(blocks))) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        down, right = x.shape[-2] % 2, x.shape[-1] % 2
        if down or right:
            x = torch.cat((x, x[..., -1:, :]), dim=-2) if down else x
            x = torch.cat((x, x[..., -1:]), dim=-1) if right else x
        y = functional.pixel_unshuffle(x, 2)
        found = []
        for layer, group in zip(self.downs, self.groups, strict=True):
            y = group(layer(y))
            found.append(y)
        return found
