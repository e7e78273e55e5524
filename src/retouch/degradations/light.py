"""Light and colour: brightness, contrast, gamma, grey. What leaves [0, 1] is clipped, and lost, as on film."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from retouch.degradations.base import Degradation, check_number
from retouch.image.color import grey


@dataclass(frozen=True)
class Brightness(Degradation):
    """``y = x + shift``, clipped to [0, 1]. ``shift``: -1 (all black) to 1 (all white)."""

    shift: float = 0.1

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "shift", -1, 1)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return (x + self.shift).clamp(0, 1)


@dataclass(frozen=True)
class Contrast(Degradation):
    """``y = 0.5 + factor (x - 0.5)``, clipped to [0, 1]: 0 is all mid-grey, 1 changes nothing."""

    factor: float = 0.7

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "factor", 0, 100)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return ((x - 0.5) * self.factor + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class Gamma(Degradation):
    """``y = x^gamma``: above 1 darkens the middle tones, below 1 lightens them; black and white stay.

    The gradient at black is taken as 0, where that of the formula is infinite for gamma < 1.
    """

    gamma: float = 2.2

    differentiable = True

    def __post_init__(self) -> None:
        check_number(self, "gamma", 0, 10, above=True)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        lit = x.clamp(0, 1)
        # where() picks the zero at black, and the clamp keeps the branch not picked from giving inf * 0 = NaN
        return torch.where(lit > 0, lit.clamp(min=1e-12).pow(self.gamma), torch.zeros_like(lit))


@dataclass(frozen=True)
class Grey(Degradation):
    """Without colour: the BT.601 luma in full range, in as many channels as the picture has."""

    linear = True
    differentiable = True

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return grey(x).expand_as(x)
