"""Variational autoencoders: the fully connected one that everybody compares with, and a convolutional one.

Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014. The Gaussian likelihood with one learned deviation:
Rybkin, Daniilidis, Levine, "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from retouch.networks.latent import LatentNetwork

Likelihood = Literal["bernoulli", "gaussian"]


class VariationalAutoencoder(LatentNetwork):
    """What both forms share.

    ``likelihood``: of a picture given its numbers. "bernoulli": each pixel is the probability of white, which suits
    digits, nearly all of whose pixels are black or white. "gaussian": each pixel is the mean, with one deviation for
    all of them that is learned (``log_deviation``, of [0, 1]): photographs are no coins, and a deviation that is not
    learned would have to be a weight between the two parts of the loss, found by hand.

    ``forward``: ``(B, C, H, W)`` in [0, 1] -> (what ``decode`` makes before the sigmoid, of one draw, ``(B, C, H, W)``;
    the mean and the logarithm of the variance of the numbers, ``(B, latent)`` each). Raises ``ValueError`` for sizes it
    cannot have.
    """

    def __init__(self, latent: int, shape: tuple[int, int, int], likelihood: Likelihood) -> None:
        super().__init__(latent, shape)
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood is bernoulli or gaussian, not {likelihood!r}")
        if min(latent, *shape) < 1:
            raise ValueError(f"latent, side and channels are at least 1, not {latent}, {shape[1]}, {shape[0]}")
        self.likelihood = likelihood
        if likelihood == "gaussian":
            self.log_deviation = nn.Parameter(torch.tensor(-1.0))

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, C, H, W)`` -> mean and logarithm of the variance, ``(B, latent)`` each."""

    @abstractmethod
    def logits(self, z: Tensor) -> Tensor:
        """``(B, latent)`` -> ``(B, C, H, W)``, before the sigmoid."""

    def decode(self, z: Tensor) -> Tensor:
        """The probability of white, or the mean, of each pixel: noise around it is not drawn."""
        return self.logits(z).sigmoid()

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return self.logits(mean + noise * (0.5 * log_variance.float()).exp()), mean, log_variance


class LinearVAE(VariationalAutoencoder):
    """``side * side * channels`` - ``hidden`` - ``latent`` and back, ReLU: 784-400-20, the form of PyTorch's examples.

    652,824 numbers.
    """

    def __init__(
        self,
        side: int = 28,
        channels: int = 1,
        hidden: int = 400,
        latent: int = 20,
        likelihood: Likelihood = "bernoulli",
    ) -> None:
        super().__init__(latent, (channels, side, side), likelihood)
        pixels = channels * side * side
        self.inner = nn.Linear(pixels, hidden)
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.outer = nn.Linear(latent, hidden)
        self.pixels = nn.Linear(hidden, pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = functional.relu(self.inner(x.flatten(1)))
        return self.mean(y), self.log_variance(y)

    def logits(self, z: Tensor) -> Tensor:
        made: Tensor = self.pixels(functional.relu(self.outer(z)))
        return made.view(-1, *self.shape)


class _Residual(nn.Module):
    """Two normalised 3 x 3 convolutions around which the picture goes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = functional.silu(x + self.body(x))
        return made


class ConvVAE(VariationalAutoencoder):
    """Halved ``depth`` times by 4 x 4 convolutions, a residual block of two 3 x 3 after each but the first, and back.

    Batch normalisation, SiLU. ``width``: channels after the first halving, doubled at each further one up to
    ``widest``. ``neck``: channels of the innermost map, between which and the ``latent`` numbers a linear layer stands.
    ``side`` is a multiple of ``2 ** depth``. The convolutional layers are ours, thinned for the CPU; the paper's
    networks have one hidden layer.
    """

    def __init__(
        self,
        side: int = 28,
        channels: int = 1,
        width: int = 32,
        depth: int = 2,
        neck: int = 16,
        latent: int = 20,
        widest: int = 128,
        likelihood: Likelihood = "bernoulli",
    ) -> None:
        super().__init__(latent, (channels, side, side), likelihood)
        if depth < 1 or side % (1 << depth) or min(width, neck, widest) < 1:
            raise ValueError(
                f"side is a multiple of 2 ** depth, and depth, width, neck and widest at least 1, not {side}, {depth}, "
                f"{width}, {neck}, {widest}"
            )
        widths = [min(widest, width << level) for level in range(depth)]
        small = side >> depth
        self.inner = (neck, small, small)
        down: list[nn.Module] = []
        for level, b in enumerate(widths):
            a = widths[level - 1] if level else channels
            down += [nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU()]
            if level:
                down.append(_Residual(b))
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], neck, 1), nn.SiLU(), nn.Flatten())
        self.statistics = nn.Linear(neck * small * small, 2 * latent)
        self.start = nn.Linear(latent, neck * small * small)
        up: list[nn.Module] = [nn.Conv2d(neck, widths[-1], 3, padding=1, bias=False), nn.BatchNorm2d(widths[-1])]
        up.append(nn.SiLU())
        for level in range(depth - 1, -1, -1):
            a, b = widths[level], widths[level - 1] if level else max(channels, width // 2)
            up += [_Residual(a), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(b)]
            up.append(nn.SiLU())
        self.decoder = nn.Sequential(*up, nn.Conv2d(max(channels, width // 2), channels, 3, padding=1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.statistics(self.encoder(2 * x - 1)).chunk(2, 1)
        return mean, log_variance

    def logits(self, z: Tensor) -> Tensor:
        made: Tensor = self.decoder(functional.silu(self.start(z)).view(-1, *self.inner))
        return made
