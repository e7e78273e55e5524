"""A U-Net for restoration: residual blocks all the way, nothing normalised, no pixel lost at the first halving.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI 44(10),
2022, section 4 (DRUNet): the blocks of EDSR (Lim et al., CVPR Workshops 2017) in a U-Net, strided 2 x 2 convolutions
down, transposed ones up, skips added. Thinner than there, and the first halving sorts the pixels into channels (pixel
unshuffle) as in FFDNet (Zhang, Zuo, Zhang, IEEE TIP 27(9), 2018), so that nothing runs at full size. Both of these are
told how strong the noise is by a plane beside the picture; here a plane tells of each kind of damage, and what is told
scales and shifts the channels inside the blocks (FiLM: Perez et al., AAAI 2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec

_MEAN, _DEVIATION = 0.5, 0.25


_FELT = 64  # pixels: what lies farther off moved no value of a trained network by more than 1e-5
_TOLD = 32  # features of what the network is told


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``; begins as the identity.

    ``told``: how many features modulate it; ``forward`` takes them as its second argument ``(B, told)``, and what goes
    into the ReLU is scaled by one plus, and shifted by, a linear map of them. All features 0 modulate nothing.
    """

    def __init__(self, width: int, told: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        self.modulation = nn.Linear(told, 2 * width, bias=False) if told else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        y = self.first(x)
        if self.modulation is not None:
            scale, shift = self.modulation(told)[..., None, None].to(y.dtype).chunk(2, dim=1)
            y = y * (1 + scale) + shift
        made: Tensor = x + self.second(functional.relu(y))
        return made


class ResidualUNet(nn.Module):
    """A picture to the picture without its damage: what is predicted is the difference, none at first.

    ``widths[i]``: channels after halving i. ``blocks[i]``: residual blocks there on the way down, and again on the way
    up, the deepest only once. ``channels``: of the picture. ``levels``: how many planes beside it tell of its damages,
    each of one value (the mean is taken); all 0, the network is that without them.

    ``forward``: ``(B, channels + levels, H, W)``, the picture in [0, 1], any size -> ``(B, channels, H, W)``, not
    clipped. Zero padding; sides that are no multiple of ``2 ** len(widths)`` are lengthened by their last pixels, and
    cut again. Raises ``ValueError`` for numbers below 1, no widths, or another number of blocks than of widths, and
    ``forward`` for another number of channels.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 96, 128),
        blocks: Sequence[int] = (2, 2, 3),
        channels: int = 3,
        levels: int = 0,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks, channels) < 1:
            raise ValueError(f"widths and blocks are as many numbers above 0, not {widths} and {blocks}")
        if levels < 0:
            raise ValueError(f"levels is a number of planes, not {levels}")
        told = _TOLD if levels else 0
        self.head = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_Group(width, count, told) for width, count in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in itertools.pairwise(widths))
        self.decoder = nn.ModuleList(
            _Group(width, count, told) for width, count in zip(widths[:-1], blocks[:-1], strict=True)
        )
        self.tail = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        # no bias: levels of 0 are features of 0
        self.teller = nn.Linear(levels, _TOLD, bias=False) if levels else None
        if self.teller is not None:
            nn.init.normal_(self.teller.weight, std=2.0)  # levels are below 1, features about 1
        reach = _halo(blocks)
        self.spec = Spec(
            channels=channels,
            halo=min(reach, _FELT),
            multiple=2 ** len(widths),
            exact=reach <= _FELT,
            levels=levels,
        )

    def forward(self, x: Tensor) -> Tensor:
        x, planes = self.spec.divided(x)
        height, width = x.shape[-2:]
        multiple = self.spec.multiple
        padded = functional.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        y = self.head(functional.pixel_unshuffle((padded - _MEAN) / _DEVIATION, 2))
        told = None if self.teller is None else functional.relu(self.teller(planes.mean((2, 3))))
        skips = []
        for group, down in zip(self.encoder[:-1], self.downs, strict=True):
            skips.append(group(y, told))
            y = down(skips[-1])
        y = self.encoder[-1](y, told)
        for skip, up, group in zip(reversed(skips), reversed(self.ups), reversed(self.decoder), strict=True):
            y = group(skip + up(y), told)
        change = functional.pixel_shuffle(self.tail(y), 2)[..., :height, :width]
        return x + change  # in the input's precision: half of it would round the picture itself


class _Group(nn.ModuleList):
    """Blocks one after the other, all told the same."""

    def __init__(self, width: int, count: int, told: int) -> None:
        super().__init__(ResidualBlock(width, told) for _ in range(count))

    def forward(self, x: Tensor, told: Tensor | None) -> Tensor:
        for block in self:
            x = block(x, told)
        return x


def _halo(blocks: Sequence[int]) -> int:
    """How far an output looks: a 3 x 3 convolution after halving i by 2^(i + 1) pixels, and as far again, less one, as
    the cells of the deepest halving are wide."""
    convolutions = [2 * count * (1 if i == len(blocks) - 1 else 2) for i, count in enumerate(blocks)]
    convolutions[0] += 2  # head and tail
    return sum(count << (i + 1) for i, count in enumerate(convolutions)) + (1 << len(blocks)) - 1
