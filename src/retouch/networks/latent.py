"""What networks have in common that make pictures of nothing: how they are asked for some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn


@runtime_checkable
class Sampler(Protocol):
    """A network that draws pictures: all that ``retouch generate`` asks for.

    Whatever draws does so from ``generator`` alone (None: torch's global one), so that a seed repeats the pictures.
    """

    def sample(self, count: int, generator: Generator | None = None, temperature: float = 1.0) -> Tensor:
        """``count`` pictures, float32 ``(count, C, H, W)``, C = 1 or 3, in [0, 1].

        ``temperature``: how far from the most likely the draws may go: 1 as the network learned, towards 0 all alike.
        """


class LatentNetwork(nn.Module, ABC):
    """A ``Sampler`` that makes a picture of ``latent`` numbers, which in nature are normal and independent.

    Pictures between pictures come by interpolating the numbers. ``shape``: (C, H, W) of what it makes.
    """

    def __init__(self, latent: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.latent, self.shape = latent, shape

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """``(B, latent)`` -> ``(B, C, H, W)`` in [0, 1]."""

    def draw(self, count: int, generator: Generator | None = None, temperature: float = 1.0) -> Tensor:
        """The numbers of ``count`` pictures, N(0, ``temperature`` squared); the same for a seed on every device."""
        device = next(self.parameters()).device
        return torch.randn(count, self.latent, generator=generator).to(device) * temperature

    def sample(self, count: int, generator: Generator | None = None, temperature: float = 1.0) -> Tensor:
        """``count`` pictures; see ``Sampler``."""
        return self.decode(self.draw(count, generator, temperature)).float()


def between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """The numbers on the way from ``first`` to ``second``, ``(B, latent)`` each, at each ``share`` in [0, 1], ``(B,)``.

    Spherical interpolation (Shoemake 1985), as White, "Sampling Generative Networks", 2016, has it for normal numbers:
    a straight line would lead through the middle of the ball, where no draws are. Straight where both point one way.
    """
    a, b = (z / z.norm(dim=1, keepdim=True).clamp_min(1e-12) for z in (first, second))
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    part = share[:, None].to(first)
    sine = angle.sin()
    flat = sine < 1e-4
    divisor = torch.where(flat, torch.ones_like(sine), sine)
    left = torch.where(flat, 1 - part, ((1 - part) * angle).sin() / divisor)
    right = torch.where(flat, part, (part * angle).sin() / divisor)
    return left * first + right * second
