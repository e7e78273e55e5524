"""Pixel recursive super-resolution: a large picture drawn value by value, as the small one and what is drawn suggest.

Dahl, Norouzi, Shlens, "Pixel Recursive Super Resolution", ICCV 2017, sections 3 and 4. Many large pictures have the
same small one, and the mean of them is blurred; this draws one of them.
"""

from __future__ import annotations

import math

from torch import Generator, Tensor, nn

from retouch.networks.pixelcnn import OnRow, PixelCNN


class ConditioningBlock(nn.Module):
    """``x + [Conv3, BN, ReLU, Conv3, BN](x)`` with ``width`` channels throughout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


class Conditioning(nn.Sequential):
    """What the small picture says of each value by itself: ``(B, channels, H, W)`` in [0, 1] -> ``outputs`` channels.

    ``Conv1 width``, then for every doubling ``blocks`` residual blocks, a transposed convolution and ReLU, then
    ``blocks`` residual blocks more, and ``Conv1 outputs``, at ``scale`` times the size.
    """

    def __init__(self, channels: int, outputs: int, scale: int, width: int, blocks: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 1)]
        for _ in range(int(math.log2(scale))):
            layers += [ConditioningBlock(width) for _ in range(blocks)]
            layers += [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        layers += [ConditioningBlock(width) for _ in range(blocks)]
        super().__init__(*layers, nn.Conv2d(width, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(2 * x - 1)  # type: ignore[no-untyped-call]
        return y


class PixelRecursive(nn.Module):
    """The sum of two networks' logits: A of the small picture, B (a gated PixelCNN) of the values before.

    ``scale``: 1, 2, 4, ... ``size``: side of the large picture. ``width``, ``blocks``: of A; ``prior_width``,
    ``layers``, ``kernel``, ``first``, ``head``: of B, see ``PixelCNN``. By default as published, with 256 levels, but
    for three things: B has two stacks, so that no value before is out of sight; the colours of a pixel know of each
    other in both; the transposed convolutions have 4 taps instead of 3, which overlap evenly.

    ``forward``: small pictures ``(B, channels, H, W)`` and large ones, both in [0, 1] -> the logits of A + B and those
    of A, ``(B, levels, channels, H scale, W scale)`` each. The published loss is the sum of the cross-entropies of
    both: without the second, B learns to do without A. Raises ``ValueError`` for sizes that make no network.
    """

    conditional = True

    def __init__(
        self,
        scale: int = 4,
        size: int = 32,
        channels: int = 3,
        levels: int = 256,
        width: int = 32,
        blocks: int = 6,
        prior_width: int = 64,
        layers: int = 20,
        kernel: int = 5,
        first: int = 7,
        head: int = 1024,
    ) -> None:
        super().__init__()
        if scale < 1 or scale & (scale - 1) or size % scale:
            raise ValueError(f"scale is a power of 2 that divides the size, not {scale} for {size}")
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks are at least 1, not {width} and {blocks}")
        self.scale, self.size, self.channels, self.levels = scale, size, channels, levels
        self.prior = PixelCNN(channels, levels, size, prior_width, layers, kernel, first, head)
        self.conditioning = Conditioning(channels, channels * (1 if levels == 2 else levels), scale, width, blocks)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        told = self.prior.as_logits(self.conditioning(x))
        return told + self.prior(y), told

    def sample(
        self,
        x: Tensor,
        generator: Generator | None = None,
        temperature: float = 1 / 1.1,
        *,
        on_row: OnRow | None = None,
    ) -> Tensor:
        """One large picture for each small one, ``(B, channels, H scale, W scale)`` in [0, 1].

        ``temperature``: the logits are divided by it; the paper multiplies them by mu = 1.0, 1.1 or 1.2. ``generator``,
        ``on_row``: see ``PixelCNN.sample``.
        """
        told = self.prior.as_logits(self.conditioning(x)).detach()
        return self.prior.sample(len(x), generator, temperature, added=told, on_row=on_row)
