"""Undoing a blur whose kernel is known, or is taken for a Gaussian: Wiener's filter and Richardson-Lucy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.degradations.blur import KernelBlur, gaussian_line
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.solvers.steps import Listener, Solution, Step
from retouch.solvers.windows import clip_in_place

_TRIED = 25
_TINY = 1e-6


def check_kernel(kernel: Tensor) -> Tensor:
    """``kernel`` as float64 ``(h, w)`` that sums to 1; ``OptionError`` for one that cannot have blurred a picture."""
    made = torch.as_tensor(kernel, dtype=torch.float64)
    if made.ndim != 2 or not made.numel() or not bool(torch.isfinite(made).all()) or bool((made < 0).any()):
        raise OptionError("a blur kernel is (h, w) numbers of at least 0")
    if float(made.sum()) <= 0:
        raise OptionError("a blur kernel must not be all 0")
    return made / made.sum()


@dataclass(frozen=True, kw_only=True)
class Wiener:
    """The linear filter between undoing the blur and leaving the noise: Wiener 1949, with Laplace's operator as prior.

    Minimises ``|H x - y|^2 + r |L x|^2``, H the blur and L the Laplacian, both with mirrored borders: there the usual
    division of Fourier transforms rings, so that it is only the preconditioner of conjugate gradients here.
    ``kernel``: see ``check_kernel``. ``strength``: r; None takes the one that generalised cross-validation finds best
    (Golub, Heath, Wahba 1979), for all channels together, away from the borders. ``iterations``: of the conjugate
    gradients.
    """

    kernel: Tensor
    strength: float | None = None
    iterations: int = 15

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_kernel(self.kernel))
        if self.strength is not None and not (self.strength > 0 and math.isfinite(self.strength)):
            raise OptionError(f"strength must be above 0, not {self.strength}")
        if self.iterations < 1:
            raise OptionError(f"iterations must be at least 1, not {self.iterations}")

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Sharpen ``measurement`` as a whole; a listener that returns False gets the picture as it stands."""
        seen = measurement.pixels[None].double()
        size = (seen.shape[2], seen.shape[3])
        blur, laplace = KernelBlur(self.kernel), KernelBlur(_LAPLACE)
        power, steep = _transfer(self.kernel, size).abs().square(), _transfer(_LAPLACE, size).abs().square()
        strength = self.strength if self.strength is not None else _by_validation(seen, power, steep)
        divisor = (power + strength * steep).clamp(min=_TINY)

        def normal(x: Tensor) -> Tensor:
            return _adjoint(blur, blur(x)) + strength * _adjoint(laplace, laplace(x))

        def nearly_inverse(x: Tensor) -> Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(x) / divisor, s=size)

        x = seen.clone()
        residual = _adjoint(blur, seen) - normal(x)
        direction = after = nearly_inverse(residual)
        product = (residual * after).sum()
        began, done = time.monotonic(), 0
        for done in range(1, self.iterations + 1):
            image = normal(direction)
            step = product / (direction * image).sum().clamp(min=1e-30)
            x = x + step * direction
            residual = residual - step * image
            after = nearly_inverse(residual)
            product, before = (residual * after).sum(), product
            direction = after + product / before.clamp(min=1e-30) * direction
            left = (time.monotonic() - began) / done * (self.iterations - done)
            if on_step is not None and on_step(Step(done, self.iterations, left)) is False:
                break
        made = measurement.with_pixels(clip_in_place(x[0].float().contiguous()))
        return Solution(made, done, "steps" if done == self.iterations else "cancelled")


_LAPLACE = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)


def _transfer(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """The transform of a kernel whose origin is its pixel ``side // 2``, wrapped around."""
    rows, columns = kernel.shape
    plane = torch.zeros(size, dtype=torch.float64)
    for row in range(rows):  # kernels may be larger than the picture
        for column in range(columns):
            plane[(row - rows // 2) % size[0], (column - columns // 2) % size[1]] += kernel[row, column]
    return torch.fft.rfft2(plane)


def _by_validation(seen: Tensor, power: Tensor, steep: Tensor) -> float:
    """The strength with the least generalised cross-validation score, of a grid from 1e-8 to 1.

    Of the picture under a window that falls to 0 at the borders, which the transform joins.
    """
    lines = [torch.hann_window(length, periodic=False, dtype=torch.float64) for length in seen.shape[2:]]
    window = torch.outer(lines[0], lines[1])
    mean = (seen * window).sum((2, 3), keepdim=True) / window.sum().clamp(min=_TINY)
    energy = torch.fft.rfft2((seen - mean) * window).abs().square().sum((0, 1))
    best, least = 1e-3, math.inf
    for strength in torch.logspace(-8, 0, _TRIED, dtype=torch.float64).tolist():
        left = strength * steep / (power + strength * steep).clamp(min=1e-12)  # of the picture's spectrum
        score = float((left.square() * energy).sum()) / max(float(left.mean()), 1e-12) ** 2
        if score < least:
            best, least = strength, score
    return best


@dataclass(frozen=True, kw_only=True)
class RichardsonLucy:
    """Multiplied again and again by how far its blur is from what was seen: Richardson 1972, Lucy 1974.

    ``kernel``: see ``check_kernel``. ``iterations``: the more, the sharper, and the more of the noise; 30 suit 8 bits
    without noise. Never negative; keeps the mean. The border goes on as its mirror image, as it does where
    ``degradations.blur`` blurs.
    """

    kernel: Tensor
    iterations: int = 30

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_kernel(self.kernel))
        if self.iterations < 1:
            raise OptionError(f"iterations must be at least 1, not {self.iterations}")

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Sharpen ``measurement``; a listener that returns False gets the picture as it stands."""
        seen = measurement.pixels[None].clamp(min=0)
        blur = KernelBlur(self.kernel)
        x = seen.clone()
        began = time.monotonic()
        done = 0
        for index in range(1, self.iterations + 1):
            x = x * _adjoint(blur, seen / blur(x).clamp(min=_TINY)) / _adjoint(blur, torch.ones_like(x))
            done = index
            left = (time.monotonic() - began) / index * (self.iterations - index)
            if on_step is not None and on_step(Step(index, self.iterations, left)) is False:
                break
        made = measurement.with_pixels(clip_in_place(x[0].contiguous()))
        return Solution(made, done, "steps" if done == self.iterations else "cancelled")


def _adjoint(blur: KernelBlur, x: Tensor) -> Tensor:
    with torch.enable_grad():
        given = torch.zeros_like(x).requires_grad_()
        (made,) = torch.autograd.grad(blur(given), given, x)
    result: Tensor = made
    return result


def gaussian_kernel(sigma: float) -> Tensor:
    """Float64 ``(h, w)`` samples of a Gaussian of ``sigma`` pixels out to four of them."""
    line = gaussian_line(sigma)
    return torch.outer(line, line)
