"""Undoing a blur whose kernel is known: Wiener's filter, Richardson-Lucy, and a denoiser as prior (plug and play).

A blurred picture's border mixes in what lies beyond it, and a Fourier transform takes its ends for neighbours. Both are
met alike: what is looked for is larger than what was seen, by as much as the kernel reaches, and only the blur of its
middle has to agree with the picture (Almeida and Figueiredo, "Deconvolving Images with Unknown Boundaries Using the
Alternating Direction Method of Multipliers", IEEE TIP 2013). Whatever was beyond the border, mirrored or not, fits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.degradations.blur import KernelBlur, mirror_index
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.solvers.noise_level import estimate_sigma
from retouch.solvers.steps import Listener, Solution, Step

_TINY = 1e-8
_LEAST_SIGMA = 0.5  # on 0..255: what rounding to 8 bits leaves, and a kernel that is not quite right

Denoiser = Callable[[Tensor, float], Tensor]
"""``(C, H, W)`` in about [0, 1] and the sigma of its noise on the 0..255 scale -> the same without noise."""


def check_kernel(kernel: Tensor) -> Tensor:
    """``kernel`` as float64 ``(h, w)`` that sums to 1; ``OptionError`` for one that cannot have blurred a picture."""
    made = torch.as_tensor(kernel, dtype=torch.float64)
    if made.ndim != 2 or not made.numel() or not bool(torch.isfinite(made).all()) or bool((made < 0).any()):
        raise OptionError("a blur kernel is (h, w) numbers of at least 0")
    if float(made.sum()) <= 0:
        raise OptionError("a blur kernel must not be all 0")
    return made / made.sum()


class Canvas:
    """The blur of a picture that goes on beyond what was seen of it, and its least squares.

    ``kernel``: see ``check_kernel``; its origin is its pixel ``side // 2``. ``height``, ``width``: of what was seen.
    Pictures on the canvas are float32 ``(C, H, W)`` with the seen part at ``crop``.
    """

    def __init__(self, kernel: Tensor, height: int, width: int) -> None:
        from scipy.fft import next_fast_len

        rows, columns = kernel.shape
        self.seen = height, width
        wanted = max(3, height + rows - 1), max(3, width + columns - 1)  # Laplace's operator has three pixels
        self.size = next_fast_len(wanted[0], real=True), next_fast_len(wanted[1], real=True)
        # the picture reaches as far before its first pixel as the kernel does behind its origin
        top, left = (rows - 1) // 2, (columns - 1) // 2
        self.crop = (..., slice(top, top + height), slice(left, left + width))
        self._corner = top, left
        self._transfer = _transform(kernel, self.size)
        self._mask = torch.zeros(self.size)
        self._mask[self.crop] = 1
        laplace = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
        self.roughness = _transform(laplace, self.size).real
        """``(H, W / 2 + 1)``, the squared response of the gradient: a prior for ``solve``."""

    def extended(self, seen: Tensor) -> Tensor:
        """``(C, height, width)`` on the canvas, gone on as its mirror image."""
        rows, columns = (
            mirror_index(-before, size - before, length)
            for before, size, length in zip(self._corner, self.size, self.seen, strict=True)
        )
        return seen.index_select(-2, rows).index_select(-1, columns)

    def blurred(self, x: Tensor) -> Tensor:
        """What is seen of the canvas ``x``."""
        seen: Tensor = self._filtered(x, self._transfer)[self.crop]
        return seen

    def adjoint(self, seen: Tensor) -> Tensor:
        """The adjoint of ``blurred``."""
        placed = seen.new_zeros(*seen.shape[:-2], *self.size)
        placed[self.crop] = seen
        return self._filtered(placed, self._transfer.conj())

    def solve(
        self, seen: Tensor, prior: Tensor, weight: float, start: Tensor, iterations: int, centre: Tensor | None = None
    ) -> Tensor:
        """The ``x`` of least ``|blurred(x) - seen|^2 + weight <x - centre, P (x - centre)>``, by conjugate gradients.

        ``prior``: the response of P, ``(H, W / 2 + 1)`` or a scalar; ``centre``: None for 0; ``start``: where to begin.
        The division of Fourier transforms, which solves the same on a ring, is the preconditioner.
        """
        inverse = 1 / (self._transfer.abs().square() + weight * prior + _TINY)

        def normal(x: Tensor) -> Tensor:
            made = self._filtered(self._mask * self._filtered(x, self._transfer), self._transfer.conj())
            return made + weight * self._filtered(x, prior)

        wanted = self.adjoint(seen)
        if centre is not None:
            wanted = wanted + weight * self._filtered(centre, prior)
        x = start
        residual = wanted - normal(x)
        direction = after = self._filtered(residual, inverse)
        product = (residual * after).sum()
        for _ in range(iterations):
            image = normal(direction)
            step = product / (direction * image).sum().clamp(min=1e-30)
            x = x + step * direction
            residual = residual - step * image
            after = self._filtered(residual, inverse)
            product, before = (residual * after).sum(), product
            direction = after + product / before.clamp(min=1e-30) * direction
        return x

    def _filtered(self, x: Tensor, response: Tensor) -> Tensor:
        made: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * response, s=self.size)
        return made


def _transform(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """complex64 transform of a kernel whose origin is its pixel ``side // 2``, on a ring of this size."""
    rows, columns = kernel.shape
    plane = torch.zeros(size)
    plane[:rows, :columns] = kernel.float()
    made: Tensor = torch.fft.rfft2(plane.roll((-(rows // 2), -(columns // 2)), (0, 1)))
    return made


def noise_of(measurement: Image, sigma: float | None) -> float:
    """``sigma``, or the noise found in ``measurement``, on the 0..255 scale; at least what rounding leaves.

    A blur correlates no noise that came after it, so that the usual estimate holds.
    """
    return max(_LEAST_SIGMA, estimate_sigma(measurement) if sigma is None else sigma)


@dataclass(frozen=True, kw_only=True)
class Wiener:
    """The linear filter between undoing the blur and leaving the noise (Wiener 1949), for pictures as smooth as this.

    Minimises ``|blurred(x) - y|^2 + r |gradient x|^2``, r the noise's variance by that of the picture's gradient, which
    is Wiener's filter for a spectrum that falls with the square of the frequency, as those of photographs do.
    ``kernel``: see ``check_kernel``. ``sigma``: of the noise, 0..255, None finds it. ``strength``: factor on r; more is
    smoother. ``iterations``: of the conjugate gradients.
    """

    kernel: Tensor
    sigma: float | None = None
    strength: float = 1.0
    iterations: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_kernel(self.kernel))
        _at_least_one(self.iterations)
        if not (self.strength > 0 and math.isfinite(self.strength)):
            raise OptionError(f"strength must be above 0, not {self.strength}")

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Sharpen ``measurement`` in one piece: some 200 bytes a pixel and channel."""
        seen = measurement.pixels
        canvas = Canvas(self.kernel, *seen.shape[1:])
        weight = self.strength * _ratio(seen, noise_of(measurement, self.sigma))
        x = canvas.solve(seen, canvas.roughness, weight, canvas.extended(seen), self.iterations)
        if on_step is not None:
            on_step(Step(1, 1, 0.0))
        return Solution(measurement.with_pixels(x[canvas.crop]), self.iterations, "steps")


def _ratio(seen: Tensor, sigma: float) -> float:
    """Variance of the noise by that of the gradient."""
    steep = sum(float(seen.diff(dim=axis).square().mean()) for axis in (1, 2) if seen.shape[axis] > 1)
    return (sigma / 255) ** 2 / max(steep, 1e-6)


def _at_least_one(iterations: int) -> None:
    if iterations < 1:
        raise OptionError(f"iterations must be at least 1, not {iterations}")


@dataclass(frozen=True, kw_only=True)
class RichardsonLucy:
    """Multiplied again and again by how far its blur is from what was seen: Richardson 1972, Lucy 1974.

    ``kernel``: see ``check_kernel``. ``iterations``: the more, the sharper, and the more of the noise; 30 suit 8 bits
    without noise. Never negative.
    """

    kernel: Tensor
    iterations: int = 30

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_kernel(self.kernel))
        _at_least_one(self.iterations)

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Sharpen ``measurement``; a listener that returns False gets the picture as it stands."""
        seen = measurement.pixels.clamp(min=0)
        canvas = Canvas(self.kernel, *seen.shape[1:])
        reached = canvas.adjoint(torch.ones_like(seen[:1])).clamp(min=1e-3)
        x = canvas.extended(seen)
        began, done = time.monotonic(), 0
        for done in range(1, self.iterations + 1):
            x = x * canvas.adjoint(seen / canvas.blurred(x).clamp(min=1e-4)).clamp(min=0) / reached
            left = (time.monotonic() - began) / done * (self.iterations - done)
            if on_step is not None and on_step(Step(done, self.iterations, left)) is False:
                break
        made = measurement.with_pixels(x[canvas.crop])
        return Solution(made, done, "steps" if done == self.iterations else "cancelled")


@dataclass(frozen=True, kw_only=True)
class PlugAndPlay:
    """Between agreeing with the picture and what a trained denoiser makes of it, in turns, the noise falling.

    Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI
    2021 (DPIR), section 4: half-quadratic splitting, the denoiser's sigma falling from 49 to that of the noise in equal
    ratios, weights ``0.23 (sigma / sigma_k)^2``. ``denoise``: the denoiser. ``kernel``: see ``check_kernel``.
    ``sigma``: of the picture's noise, 0..255, None finds it. ``iterations``: 8, as there.

    It departs where the paper divides Fourier transforms, which needs a picture on a ring: see ``Canvas``.
    """

    kernel: Tensor
    denoise: Denoiser
    sigma: float | None = None
    iterations: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_kernel(self.kernel))
        _at_least_one(self.iterations)

    def solve(
        self, measurement: Image, degradation: Degradation | None = None, *, on_step: Listener | None = None
    ) -> Solution:
        """Sharpen ``measurement`` in one piece; a listener that returns False gets the picture as it stands.

        Some 300 bytes a pixel and channel, and what the denoiser needs; as long as ``iterations`` runs of it.
        """
        seen = measurement.pixels
        canvas = Canvas(self.kernel, *seen.shape[1:])
        sigma = noise_of(measurement, self.sigma)
        last = max(sigma, _LAST)
        levels = torch.logspace(math.log10(max(_FIRST, last)), math.log10(last), self.iterations).tolist()
        x = canvas.solve(seen, canvas.roughness, _ratio(seen, sigma), canvas.extended(seen), _WARM)
        clean = x
        began, done = time.monotonic(), 0
        for done, level in enumerate(levels, 1):
            x = canvas.solve(seen, torch.ones(()), _BALANCE * (sigma / level) ** 2, x, _TURN, clean)
            clean = self.denoise(x.clamp(-0.2, 1.2), level).clamp(0, 1)
            left = (time.monotonic() - began) / done * (self.iterations - done)
            preview = measurement.with_pixels(clean[canvas.crop]) if on_step is not None else None
            if on_step is not None and on_step(Step(done, self.iterations, left, preview=preview)) is False:
                break
        made = measurement.with_pixels(clean[canvas.crop])
        return Solution(made, done, "steps" if done == self.iterations else "cancelled")


_FIRST, _LAST = 49.0, 1.5  # of the denoiser's levels
_BALANCE = 0.23
_WARM, _TURN = 20, 6  # conjugate gradients: before the first turn, and in each


def blur_of(kernel: Tensor) -> KernelBlur:
    """The degradation of a kernel, for solvers that take one; differentiable and linear."""
    return KernelBlur(check_kernel(kernel))
