"""Which blur a picture has, judged from the picture alone: none, a Gaussian, a movement or a lens out of focus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from retouch.degradations.blur import defocus_kernel, gaussian_kernel, motion_kernel
from retouch.image.image import Image
from retouch.solvers.noise_level import estimate_sigma

Kind = Literal["none", "gaussian", "motion", "defocus"]

_SIDES = (128, 64, 32)  # of the windows whose spectra are averaged
_WINDOWS = 400
_LOWEST, _HIGHEST = 2.5 / 128, 0.47  # cycles a pixel
_NOISES = (0.12, 0.3)  # least sigmas, on 0..255: rounding to 8 bits of three channels and of one
_NATURAL = 0.45  # sigma in pixels that sharp photographs have by their lens and their making
_CAUTION = 0.97  # of the Gaussian that fits best: undoing too much rings, undoing too little only stays soft
_LEAST = 0.75  # a Gaussian below is taken for none
_RIDGE = 1e-6


@dataclass(frozen=True)
class BlurEstimate:
    """``size``: sigma of a Gaussian, length of a movement, radius of a disk, in pixels. ``angle``: of the movement, in
    degrees counter-clockwise from the x axis, 0..180. ``misfit``: mean squared difference of the spectrum, in natural
    logarithms, to that of such a blur, and ``sharp_misfit`` to that of a sharp picture."""

    kind: Kind
    size: float = 0.0
    angle: float = 0.0
    misfit: float = 0.0
    sharp_misfit: float = 0.0

    @property
    def kernel(self) -> Tensor:
        """float64 ``(h, w)`` that sums to 1."""
        if self.kind == "gaussian":
            return gaussian_kernel(self.size)
        if self.kind == "motion":
            return motion_kernel(self.size, self.angle)
        return defocus_kernel(self.size if self.kind == "defocus" else 0)

    @property
    def summary(self) -> str:
        """In words."""
        if self.kind == "gaussian":
            return f"a Gaussian blur of sigma {self.size:.1f}"
        if self.kind == "motion":
            return f"a movement over {self.size:.0f} pixels at {self.angle:.0f} degrees"
        return f"a lens out of focus by {self.size:.1f} pixels" if self.kind == "defocus" else "no blur"


@dataclass(frozen=True)
class _Shape:
    kind: Kind
    size: float = 0.0
    angle: float = 0.0


def estimate_blur(image: Image) -> BlurEstimate:
    """The blur whose spectrum explains that of ``image`` best.

    The power spectrum of a photograph is a smooth one, whose logarithm is near a line in that of the frequency, times
    the squared transform of the kernel, plus the noise. For each blur that is tried the smooth part is fitted by least
    squares (a line in the frequency's logarithm, and four waves in its direction), and the blur of least misfit is
    taken, then looked at more closely. It is the parametric, many-kernels form of what cepstral methods read off the
    zeros (Cannon, "Blind deconvolution of spatially invariant image blurs with phase", IEEE TASSP 1976).

    Tried: Gaussians of sigma 0.3 to 5, movements over 3 to 33 pixels, disks of radius 1 to 12. A Gaussian comes without
    the softness that sharp photographs have; what is below sigma 0.7 is none, and so is what hardly fits better than a
    sharp picture. A picture with a side below 32 pixels has none. A second, whatever the size. Two movements, or a
    blur that differs from place to place, are not found.
    """
    side = next((side for side in _SIDES if min(image.height, image.width) >= side), None)
    if side is None:
        return BlurEstimate("none")
    grey = image.pixels.mean(0)
    power = _spectrum(grey, side)
    if power is None:
        return BlurEstimate("none")
    noise = estimate_sigma(grey[None])
    basis, keep = _basis(side)
    logs = power[keep].log()
    floors = sorted({(max(noise, least) / 255) ** 2 for least in _NOISES})

    shapes, responses = _coarse(side)
    found = _misfits(logs, responses, floors, basis)
    order = sorted(range(len(shapes)), key=found.__getitem__)
    near = list(dict.fromkeys(fine for index in order[:3] for fine in _near(shapes[index])))
    fine = _misfits(logs, _responses(near, side), floors, basis)
    best = min(range(len(near)), key=fine.__getitem__)
    return _judged(near[best], fine[best], found[0])


def _judged(shape: _Shape, misfit: float, sharp: float) -> BlurEstimate:
    none = BlurEstimate("none", misfit=sharp, sharp_misfit=sharp)
    if shape.kind == "none" or misfit > (0.9 if shape.kind == "gaussian" else 0.75) * sharp:
        return none
    if shape.kind == "gaussian":
        size = _CAUTION * math.sqrt(max(0.0, shape.size**2 - _NATURAL**2))
        return BlurEstimate("gaussian", size, 0.0, misfit, sharp) if shape.size >= _LEAST else none
    return BlurEstimate(shape.kind, shape.size, shape.angle, misfit, sharp)


def _spectrum(grey: Tensor, side: int) -> Tensor | None:
    """Mean power of windows of ``grey`` under a Hann window, half overlapping; None for a picture of one colour."""
    line = torch.hann_window(side, periodic=True)
    window = torch.outer(line, line)
    parts = grey.unfold(0, side, side // 2).unfold(1, side, side // 2)
    places = parts.shape[0] * parts.shape[1]
    chosen = range(0, places, math.ceil(places / _WINDOWS))
    total = torch.zeros(side, side, dtype=torch.float64)
    for place in chosen:
        part = parts[place // parts.shape[1], place % parts.shape[1]]
        part = part - (part * window).sum() / window.sum()
        total += torch.fft.fft2(part * window).abs().square()
    power = total / (len(chosen) * float(window.square().sum()))
    return power.clamp(min=1e-14) if float(power.amax()) > 1e-12 else None


@cache
def _basis(side: int) -> tuple[Tensor, Tensor]:
    """``(n, 6)`` terms of the smooth logarithm at the frequencies that count, and which of ``(side, side)`` they are.

    Half of the plane, which is symmetric, without the axes, where the ends of the picture and its frames show.
    """
    line = torch.fft.fftfreq(side, dtype=torch.float64)
    v, u = torch.meshgrid(line, line, indexing="ij")
    radius = torch.hypot(u, v)
    keep = (radius >= max(_LOWEST, 2.5 / side)) & (radius <= _HIGHEST) & (v > 0) & (u != 0)
    logs, angle = radius[keep].log(), torch.atan2(v[keep], u[keep])
    waves = [torch.cos(2 * angle), torch.sin(2 * angle), torch.cos(4 * angle), torch.sin(4 * angle)]
    return torch.stack([torch.ones_like(logs), logs, *waves], 1), keep


@cache
def _coarse(side: int) -> tuple[list[_Shape], Tensor]:
    """The blurs that every picture is held against, none first, and their responses."""
    longest = min(33, side // 3)
    shapes = [_Shape("none")]
    shapes += [_Shape("gaussian", tenth / 10) for tenth in (*range(3, 20, 1), *range(20, 51, 2))]
    for length in (*range(3, 17), *range(18, longest + 1, 2)):
        count = max(12, 2 * length)  # the longer, the narrower the stripes of its spectrum
        shapes += [_Shape("motion", float(length), 180 * turn / count) for turn in range(count)]
    shapes += [_Shape("defocus", half / 2) for half in range(2, 25) if half <= longest]
    return shapes, _responses(shapes, side)


def _near(shape: _Shape) -> list[_Shape]:
    """What lies between ``shape`` and its neighbours, with itself."""
    if shape.kind == "gaussian":
        return [_Shape("gaussian", shape.size + twentieth / 20) for twentieth in range(-2, 3)]
    if shape.kind == "defocus":
        return [_Shape("defocus", shape.size + tenth / 10) for tenth in range(-3, 4)]
    if shape.kind == "motion":
        lengths = [shape.size + half / 2 for half in (-2, -1, 0, 1, 2)]
        apart = 15 / max(6.0, shape.size)
        return [_Shape("motion", n, round(shape.angle + turn * apart) % 180) for n in lengths for turn in range(-3, 4)]
    return [shape]


def _responses(shapes: Sequence[_Shape], side: int) -> Tensor:
    """``(len(shapes), n)`` squared transforms of the kernels at the frequencies that count, under a Hann window."""
    keep = _basis(side)[1]
    rows = []
    for shape in shapes:
        kernel = BlurEstimate(shape.kind, shape.size, shape.angle).kernel
        plane = torch.zeros(side, side, dtype=torch.float64)
        top, left = (max(0, length - side) // 2 for length in kernel.shape)
        kernel = kernel[top : top + side, left : left + side]
        plane[: kernel.shape[0], : kernel.shape[1]] = kernel
        response = torch.fft.fft2(plane).abs().square()
        for axis in (0, 1):  # the window's own spectrum: what it smears from one frequency to the next
            response = (4 * response + response.roll(1, axis) + response.roll(-1, axis)) / 6
        rows.append(response[keep])
    return torch.stack(rows)


def _misfits(logs: Tensor, responses: Tensor, floors: Sequence[float], basis: Tensor) -> list[float]:
    """For each response the least mean squared difference between ``logs`` and ``log(exp(basis c) response + floor)``,
    whichever of ``floors`` it has.

    Two steps of Gauss and Newton from the fit to where the kernel lets most through.
    """
    outer = (basis[:, :, None] * basis[:, None, :]).flatten(1)
    terms = basis.shape[1]
    log_responses = responses.clamp(min=1e-9).log()

    def solved(weight: Tensor, difference: Tensor) -> Tensor:
        normal = (weight.square() @ outer).reshape(-1, terms, terms)
        normal = normal + _RIDGE * torch.eye(terms, dtype=torch.float64)
        found: Tensor = torch.linalg.solve(normal, (weight * difference) @ basis)
        return found

    begin = solved((responses > 0.05).double(), logs - log_responses)
    least = torch.full((len(responses),), math.inf, dtype=torch.float64)
    for floor in floors:
        bottom, found = torch.full_like(log_responses, math.log(floor)), begin
        for _ in range(2):
            signal = found @ basis.T + log_responses
            whole = torch.logaddexp(signal, bottom)
            found = found + solved((signal - whole).exp(), logs - whole)
        misfit = (logs - torch.logaddexp(found @ basis.T + log_responses, bottom)).square().mean(1)
        least = torch.minimum(least, misfit)
    return least.tolist()
