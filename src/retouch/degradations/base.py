"""The contract of a degradation, y = A(x): callable, seeded, composable, with an adjoint where it is linear."""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from retouch.image.errors import OptionError, unknown


class Degradation(ABC):
    """What went wrong with a picture: ``y = degradation(x, generator=None)`` on ``(B, C, H, W)`` in [0, 1].

    ``scale``: output size over input size; where the sizes do not divide, the output is rounded up. ``linear``:
    whether ``A(ax + by) = aA(x) + bA(y)`` holds, and ``adjoint`` exists. ``differentiable``: whether gradients flow
    through a call, which is what solvers that put the degradation into their loss need. Every random choice is drawn
    from the generator passed in (torch's global one if None), for each picture of the batch anew, so a seed repeats
    the result. The generator may live on another device than ``x``. ``x`` is never written to.
    """

    scale: Fraction = Fraction(1)
    linear: bool = False
    differentiable: bool = False

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Degrade ``x``: floating point ``(B, C, H, W)``, C = 1 or 3. Raises ``ValueError`` for anything else."""
        if x.ndim != 4 or x.numel() == 0 or not x.is_floating_point():
            raise ValueError(f"{self!r}: takes floating point (B, C, H, W), got {x.dtype} {tuple(x.shape)}")
        return self.forward(x, generator)

    @abstractmethod
    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """The degradation itself; called with a checked ``(B, C, H, W)``."""

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """``A^T y``, so that ``<A x, y> = <x, A^T y>``. ``size``: (H, W) of x, where the scale alone leaves it open.

        Exact: the vector-Jacobian product of ``forward``, at the cost of one call and one backward pass.
        Raises ``TypeError`` for a degradation that is not linear, ``ValueError`` for a ``size`` that does not give y's.
        """
        if not self.linear:
            raise TypeError(f"{self!r} is not linear and has no adjoint")
        height, width = size if size is not None else self.input_size((int(y.shape[-2]), int(y.shape[-1])))
        with torch.inference_mode(False), torch.enable_grad():
            vector = y.clone() if y.is_inference() else y
            x = torch.zeros((*y.shape[:2], height, width), dtype=y.dtype, device=y.device, requires_grad=True)
            out = self(x)
            if out.shape != y.shape:
                raise ValueError(f"{self!r}: turns {height}x{width} into {tuple(out.shape[-2:])}, y is {y.shape[-2:]}")
            return torch.autograd.grad(out, x, vector, create_graph=y.requires_grad)[0]

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (H, W) of x that gives a y of ``size``; the largest one where several do."""
        return int(size[0] / self.scale), int(size[1] / self.scale)

    def describe(self) -> str:
        """What it does in one line for people: the name and the parameters."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()
        if not dataclasses.is_dataclass(self):
            return words
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return f"{words} ({', '.join(f'{name} {_plain(value)}' for name, value in values)})"

    def __rshift__(self, other: Degradation) -> Degradation:
        """``(A >> B)(x) = B(A(x))``."""
        return Chain(self, other)


def _plain(value: object) -> str:
    if isinstance(value, Tensor):
        return "x".join(map(str, value.shape))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Identity(Degradation):
    """``y = x``: nothing went wrong, or what did (noise, JPEG) is not modelled by the solver."""

    linear = True
    differentiable = True

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        return x

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        return y

    def describe(self) -> str:
        return "nothing"

    def __repr__(self) -> str:
        return "Identity()"


class Chain(Degradation):
    """Degradations applied from left to right; linear and differentiable when every link is."""

    def __init__(self, *links: Degradation) -> None:
        flat: list[Degradation] = []
        for link in links:
            flat.extend(link.links if isinstance(link, Chain) else (link,))
        self.links: tuple[Degradation, ...] = tuple(flat)
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

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        for link in reversed(self.links):
            size = link.input_size(size)
        return size

    def describe(self) -> str:
        return ", then ".join(link.describe() for link in self.links) or "nothing"

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.links)) or "Chain()"


def check_number(
    owner: Degradation,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    whole: bool = False,
) -> None:
    """Hold the attribute ``name`` of ``owner`` to [low, high], or (low, high] if ``above``; raises ``OptionError``.

    ``whole``: it must be an integer.
    """
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "a whole number" if whole else "a number"
        raise OptionError(f"{type(owner).__name__}: {name} must be {kind}, not {value!r}")
    if math.isfinite(value) and value <= high and (value > low if above else value >= low):
        return
    floor = f"{'above' if above else 'at least'} {low:g}" if math.isfinite(low) else ""
    ceiling = f"at most {high:g}" if math.isfinite(high) else ""
    limits = " and ".join(filter(None, (floor, ceiling))) or "finite"
    raise OptionError(f"{type(owner).__name__}: {name} must be {limits}, not {value:g}")


def check_order(owner: Degradation, low: str, high: str) -> None:
    """Hold the attribute ``low`` to be no more than ``high``; raises ``OptionError``."""
    if getattr(owner, low) > getattr(owner, high):
        least, most = getattr(owner, low), getattr(owner, high)
        raise OptionError(f"{type(owner).__name__}: {low} ({least:g}) must not exceed {high} ({most:g})")


def check_choice(owner: Degradation, name: str, known: tuple[str, ...]) -> None:
    """Hold the attribute ``name`` to one of ``known``; raises ``OptionError`` naming the nearest."""
    value = getattr(owner, name)
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"{type(owner).__name__}: " + unknown(name, str(value), known))


def check_flag(owner: Degradation, name: str) -> None:
    """Hold the attribute ``name`` to True or False; raises ``OptionError``."""
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise OptionError(f"{type(owner).__name__}: {name} must be true or false, not {value!r}")


def set_derived(owner: Degradation, **values: Any) -> None:
    """Set what follows from the fields of a frozen dataclass (``scale``, ``linear``, tensors made ready)."""
    for name, value in values.items():
        object.__setattr__(owner, name, value)


def normal_like(x: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers of x's shape, type and device, drawn as float32 where the generator lives."""
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.randn(x.shape, generator=generator, device=device).to(x)


def uniform_like(x: Tensor, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Uniform numbers in [0, 1) of ``shape``, float32 on x's device, drawn where the generator lives."""
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.rand(shape, generator=generator, device=device).to(x.device)


def uniform(generator: Generator | None, low: float, high: float) -> float:
    """One number in [low, high)."""
    device = generator.device if generator is not None else torch.device("cpu")
    return low + (high - low) * float(torch.rand((), generator=generator, device=device))


def integer(generator: Generator | None, low: int, high: int) -> int:
    """One whole number in [low, high]."""
    device = generator.device if generator is not None else torch.device("cpu")
    return int(torch.randint(low, high + 1, (), generator=generator, device=device))


def numpy_generator(generator: Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by one draw, for shapes that are easier to make on the CPU point by point."""
    return np.random.default_rng(integer(generator, 0, 2**31 - 2))


def per_picture(x: Tensor, degrade: Callable[[Tensor], Tensor]) -> Tensor:
    """``degrade`` on each ``(1, C, H, W)`` of the batch.

    Raises ``OptionError`` where the results differ in size and cannot be one batch.
    """
    pictures = [degrade(x[index : index + 1]) for index in range(x.shape[0])]
    sizes = {tuple(picture.shape[-2:]) for picture in pictures}
    if len(sizes) > 1:
        raise OptionError(f"the pictures of one batch came out in different sizes {sorted(sizes)}; degrade them singly")
    return torch.cat(pictures)
