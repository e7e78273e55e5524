"""The U-Net generator of pix2pix, and of DualGAN.

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, section 6.1.1.
Yi, Zhang, Tan, Gong, "DualGAN: Unsupervised Dual Learning for Image-to-Image Translation", ICCV 2017, section 3.3: the
same with a first kernel of 5.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.spec import Spec
from retouch.networks.translation import Dropout, Norm, check_norm, make_norm, mirrored, start_normal

_WIDEST = 8  # times the first width
_DROPPED = 3  # of the innermost layers that double the size


class UNetGenerator(nn.Module):
    """Halved ``depth`` times by 4 x 4 convolutions, doubled as often, each level joined to its mirror image.

    Down: C64 (no normalisation), C128, C256, C512 ...; LeakyReLU .2 before every convolution but the first, none of
    them normalised at the first and the innermost. Up: ReLU, deconvolution, normalisation, dropout .5 on the first
    three; the last ends in tanh. ``depth``: 8 is the published U-Net-256, 7 the U-Net-128. ``width``: of the first
    level. ``norm``: see ``networks.translation``; ``dropout``: "always" (published: it is the generator's noise),
    "training" or "none". ``first``: side of the first kernel, 4, or 5 as in DualGAN. ``channels``: of both pictures.

    ``forward``: ``(B, channels, H, W)`` in [0, 1] -> the same shape in [0, 1]; [-1, 1] inside. Any size: sides are
    lengthened by reflection to multiples of ``2 ** depth`` and cut again. 54.4 million numbers at depth 8. Raises
    ``ValueError`` for sizes it cannot have.
    """

    def __init__(
        self,
        depth: int = 8,
        width: int = 64,
        norm: Norm = "batch",
        dropout: str = "always",
        first: int = 4,
        channels: int = 3,
    ) -> None:
        super().__init__()
        check_norm(norm)
        if depth < 2 or min(width, channels) < 1 or first not in (4, 5):
            raise ValueError(
                f"depth is at least 2, width and channels at least 1, first 4 or 5, not {depth}, {width}, {channels}, "
                f"{first}"
            )
        if dropout not in ("always", "training", "none"):
            raise ValueError(f"dropout is one of always, training, none, not {dropout!r}")
        widths = [width * min(_WIDEST, 1 << level) for level in range(depth)]
        self.downs = nn.ModuleList(
            nn.Conv2d(a, b, first if level == 0 else 4, stride=2, padding=first - 3 if level == 0 else 1)
            for level, (a, b) in enumerate(itertools.pairwise([channels, *widths]))
        )
        self.down_norms = nn.ModuleList(make_norm(norm, b) for b in widths[1:-1])
        # innermost first; each but the innermost gets its mirror image beside what comes up
        ups = [(widths[-1], widths[-2])] + [(2 * widths[level], widths[level - 1]) for level in range(depth - 2, 0, -1)]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in ups)
        self.up_norms = nn.ModuleList(make_norm(norm, b) for _, b in ups)
        self.last = nn.ConvTranspose2d(2 * widths[0], channels, 4, stride=2, padding=1)
        self.dropout = Dropout(always=dropout == "always") if dropout != "none" else nn.Identity()
        start_normal(self)
        self.spec = Spec(channels=channels, halo=2**depth, multiple=2**depth, exact=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        y = mirrored(2 * x - 1, 1 << len(self.downs))
        skips: list[Tensor] = []
        for level, convolution in enumerate(self.downs):
            y = convolution(functional.leaky_relu(y, 0.2) if level else y)
            if 0 < level < len(self.downs) - 1:
                y = self.down_norms[level - 1](y)
            skips.append(y)
        skips.pop()
        for level, (deconvolution, norm) in enumerate(zip(self.ups, self.up_norms, strict=True)):
            y = norm(deconvolution(functional.relu(y)))
            if level < _DROPPED:
                y = self.dropout(y)
            y = torch.cat((y, skips.pop()), 1)
        made: Tensor = functional.tanh(self.last(functional.relu(y)))
        return (made[..., :height, :width] + 1) / 2
