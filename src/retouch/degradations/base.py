"""The contract of a degradation, y = A(x): callable, seeded, composable, with an adjoint where it is linear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction

from torch import Generator, Tensor


class Degradation(ABC):
    """What went wrong with a picture: ``y = degradation(x, generator=None)`` on ``(B, C, H, W)`` in [0, 1].

    ``scale``: output size over input size. ``linear``: whether ``A(ax + by) = aA(x) + bA(y)`` holds, and ``adjoint``
    exists. ``differentiable``: whether gradients flow through a call, which is what solvers that put the degradation
    into their loss need. Every random choice is drawn from the generator passed in, so a seed repeats the result.
    """

    scale: Fraction = Fraction(1)
    linear: bool = False
    differentiable: bool = False

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Degrade ``x``: ``(B, C, H, W)``, C = 1 or 3. Raises ``ValueError`` for another shape."""
        if x.ndim != 4:
            raise ValueError(f"{self!r}: takes (B, C, H, W), got {tuple(x.shape)}")
        return self.forward(x, generator)

    @abstractmethod
    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """The degradation itself; called with a checked ``(B, C, H, W)``."""

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """``A^T y``, so that ``<A x, y> = <x, A^T y>``. ``size``: (H, W) of x, where the scale alone leaves it open.

        Raises ``TypeError`` for a degradation that is not linear.
        """
        raise TypeError(f"{self!r} is not linear and has no adjoint")

    def __rshift__(self, other: Degradation) -> Degradation:
        """``(A >> B)(x) = B(A(x))``."""
        return Chain(self, other)


class Identity(Degradation):
    """``y = x``: nothing went wrong, or what did (noise, JPEG) is not modelled by the solver."""

    linear = True
    differentiable = True

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return x

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        return y

    def __repr__(self) -> str:
        return "Identity()"


class Chain(Degradation):
    """Degradations applied from left to right; linear and differentiable when every link is."""

    def __init__(self, *links: Degradation) -> None:
        flat: list[Degradation] = []
        for link in links:
            flat.extend(link.links if isinstance(link, Chain) else (link,))
        self.links = tuple(flat)
        scale = Fraction(1)
        for link in self.links:
            scale *= link.scale
        self.scale = scale
        self.linear = all(link.linear for link in self.links)
        self.differentiable = all(link.differentiable for link in self.links)

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        for link in self.links:
            x = link(x, generator)
        return x

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if not self.linear:
            raise TypeError(f"{self!r} is not linear and has no adjoint")
        if size is not None and len(self.links) > 1 and any(link.scale != 1 for link in self.links[1:]):
            # the sizes between the links follow from running the chain forward on an empty picture
            sizes = [size]
            x = y.new_zeros((1, y.shape[1], *size))
            for link in self.links[:-1]:
                x = link(x)
                sizes.append((int(x.shape[-2]), int(x.shape[-1])))
        else:
            sizes = [size] * len(self.links)  # type: ignore[list-item]
        for link, link_size in zip(reversed(self.links), reversed(sizes), strict=True):
            y = link.adjoint(y, link_size)
        return y

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.links))
