"""DCGAN: the generator and the discriminator from which most later ones come.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016, section 3 and figure 1.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from retouch.networks.latent import LatentNetwork
from retouch.networks.translation import Norm, check_norm, make_norm, start_normal


class DCGANGenerator(LatentNetwork):
    """``latent`` numbers to a small map by a linear layer, doubled ``depth`` times by strided deconvolutions, tanh.

    Batch normalisation and ReLU after all but the last. ``width``: channels before the last doubling; twice as many
    before each doubling further in. ``kernel``: 5 as published, or 4, of which no pixel gets more than another. The map
    begins with ``side / 2 ** depth`` pixels a side: 4 for the published 64 pixels. ``decode`` and ``forward``: ``(B,
    latent)`` -> ``(B, channels, side, side)`` in [0, 1]; inside it is [-1, 1]. The numbers are drawn from a normal
    distribution; the paper draws from a uniform one. 12.7 million numbers as published. Raises ``ValueError`` for sizes
    it cannot have.
    """

    def __init__(
        self, side: int = 64, channels: int = 3, width: int = 128, depth: int = 4, latent: int = 100, kernel: int = 5
    ) -> None:
        super().__init__(latent, (channels, side, side))
        _check(side, depth, kernel, width, channels, latent)
        widths = [width << level for level in range(depth)][::-1]
        small = side >> depth
        self.inner = (widths[0], small, small)
        self.start = nn.Linear(latent, widths[0] * small * small, bias=False)
        made: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        for a, b in itertools.pairwise(widths):
            made += [_doubling(a, b, kernel), nn.BatchNorm2d(b), nn.ReLU(True)]
        self.body = nn.Sequential(*made, _doubling(width, channels, kernel), nn.Tanh())
        start_normal(self)

    def decode(self, z: Tensor) -> Tensor:
        made: Tensor = (self.body(self.start(z).view(-1, *self.inner)) + 1) / 2
        return made

    def forward(self, z: Tensor) -> Tensor:
        return self.decode(z)


class DCGANDiscriminator(nn.Module):
    """Halved ``depth`` times by strided convolutions, LeakyReLU .2, normalised but for the first; one value by a linear
    layer.

    ``width``: channels after the first halving, doubled at each further one. ``norm``: see ``networks.translation``;
    "none" for Wasserstein's loss with a penalty, which looks at each picture by itself. ``spectral``: each layer's
    weights divided by their spectral norm (Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
    ICLR 2018), which goes with norm "none". ``forward``: ``(B, channels, side, side)`` in [0, 1] -> logits ``(B, 1)``.
    Raises ``ValueError`` for sizes it cannot have, in ``forward`` for another side.
    """

    def __init__(
        self,
        side: int = 64,
        channels: int = 3,
        width: int = 128,
        depth: int = 4,
        kernel: int = 5,
        norm: Norm = "batch",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        check_norm(norm)
        _check(side, depth, kernel, width, channels, 1)
        self.side = side
        made: list[nn.Module] = []
        for level in range(depth):
            a, b = (width << level - 1 if level else channels), width << level
            made.append(nn.Conv2d(a, b, kernel, stride=2, padding=(kernel - 1) // 2))
            if level:
                made.append(make_norm(norm, b))
            made.append(nn.LeakyReLU(0.2, True))
        small = side >> depth
        self.body = nn.Sequential(*made, nn.Flatten(), nn.Linear((width << depth - 1) * small * small, 1))
        start_normal(self)
        if spectral:
            for module in self.body:
                if isinstance(module, nn.Conv2d | nn.Linear):
                    torch.nn.utils.parametrizations.spectral_norm(module)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != (self.side, self.side):
            raise ValueError(f"judges pictures of {self.side} x {self.side}, not {x.shape[3]} x {x.shape[2]}")
        logits: Tensor = self.body(2 * x - 1)
        return logits


def _doubling(a: int, b: int, kernel: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(a, b, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2)


def _check(side: int, depth: int, kernel: int, *sizes: int) -> None:
    if depth < 1 or side < 1 or side % (1 << depth) or kernel not in (4, 5) or min(sizes) < 1:
        raise ValueError(
            f"side is a multiple of 2 ** depth, kernel 4 or 5 and the rest at least 1, not {side}, {depth}, {kernel}, "
            f"{', '.join(map(str, sizes))}"
        )
