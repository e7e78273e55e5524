"""Deconvolution against closed forms, adjoints, and the blur that made the picture."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import Tensor

from retouch.degradations.blur import (
    KernelBlur,
    convolve,
    defocus_kernel,
    gaussian_kernel,
    motion_kernel,
)
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.metrics import psnr
from retouch.solvers.deconvolution import (
    Canvas,
    PlugAndPlay,
    RichardsonLucy,
    Wiener,
    blur_of,
    check_kernel,
    noise_of,
)
from retouch.solvers.steps import Step

KERNELS = [gaussian_kernel(1.6), motion_kernel(15, 37), defocus_kernel(3)]


def _photo() -> Tensor:
    return torch.from_numpy(data.astronaut()[60:188, 160:300].copy()).permute(2, 0, 1).float() / 255


def _blurred(x: Tensor, kernel: Tensor) -> Image:
    return Image((convolve(x[None], kernel)[0].clamp(0, 1) * 255).round() / 255)


@settings(max_examples=25)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), height=st.integers(1, 14), width=st.integers(1, 14),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_canvas_blurs_as_the_degradation_does(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    """The seen part of the mirrored picture's blur is the blur with mirrored borders, for kernels of any sides."""
    generator = torch.Generator().manual_seed(seed)
    kernel = check_kernel(torch.rand(rows, columns, generator=generator) + 1e-3)
    x = torch.rand(2, height, width, generator=generator)
    canvas = Canvas(kernel, height, width)
    extended = canvas.extended(x)
    assert torch.equal(extended[canvas.crop], x)
    torch.testing.assert_close(canvas.blurred(extended), convolve(x[None], kernel)[0], atol=1e-5, rtol=0)


@settings(max_examples=25)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), height=st.integers(1, 14), seed=st.integers(0, 99))
def test_the_adjoint_of_a_canvas(rows: int, columns: int, height: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    canvas = Canvas(check_kernel(torch.rand(rows, columns, generator=generator) + 1e-3), height, 11)
    x, y = torch.rand(1, *canvas.size, generator=generator), torch.rand(1, height, 11, generator=generator)
    left, right = (canvas.blurred(x) * y).sum(), (x * canvas.adjoint(y)).sum()
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


def test_the_least_squares_are_those_of_the_normal_equations() -> None:
    """Against a dense solution of a picture small enough for one."""
    kernel = motion_kernel(3, 45)
    canvas = Canvas(kernel, 6, 5)
    seen, centre = torch.rand(1, 6, 5), torch.rand(1, *canvas.size)
    count = math.prod(canvas.size)
    basis = torch.eye(count).reshape(count, 1, *canvas.size)
    blur = torch.stack([canvas.blurred(one).flatten() for one in basis], 1).double()
    wanted = blur.T @ seen.flatten().double() + 0.1 * centre.flatten().double()
    dense = torch.linalg.solve(blur.T @ blur + 0.1 * torch.eye(count, dtype=torch.float64), wanted)
    found = canvas.solve(seen, torch.ones(()), 0.1, torch.zeros(1, *canvas.size), 60, centre)
    torch.testing.assert_close(found.flatten().double(), dense, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS, ids=["gaussian", "motion", "defocus"])
def test_what_was_blurred_comes_back_sharper(kernel: Tensor) -> None:
    """Gains in dB on a part of a photograph, rounded to 8 bits, borders and all."""
    x = _photo()
    seen = _blurred(x, kernel)
    before = psnr(seen.pixels, x)
    wiener = psnr(Wiener(kernel=kernel, sigma=0).solve(seen).image.pixels, x) - before
    lucy = psnr(RichardsonLucy(kernel=kernel).solve(seen).image.pixels, x) - before
    assert wiener > 2.5
    assert lucy > 2.0


def test_no_blur_is_left_alone() -> None:
    x = _photo()
    one = torch.ones(1, 1)
    for solver in (Wiener(kernel=one, sigma=0), RichardsonLucy(kernel=one)):
        assert psnr(solver.solve(Image(x)).image.pixels, x) > 50


def test_a_flat_picture_stays_flat() -> None:
    flat = Image(torch.full((3, 20, 31), 0.4))
    for solver in (Wiener(kernel=KERNELS[1]), RichardsonLucy(kernel=KERNELS[1])):
        torch.testing.assert_close(solver.solve(flat).image.pixels, flat.pixels, atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (33, 18)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_and_kernels_larger_than_they_are(size: tuple[int, int], channels: int) -> None:
    seen = Image(torch.rand(channels, *size, generator=torch.Generator().manual_seed(0)))
    for kernel in (gaussian_kernel(3), motion_kernel(15, 37)):
        solvers = (
            Wiener(kernel=kernel), RichardsonLucy(kernel=kernel, iterations=3),
            PlugAndPlay(kernel=kernel, denoise=lambda x, sigma: x, iterations=2),
        )  # fmt: skip
        for solver in solvers:
            made = solver.solve(seen).image.pixels
            assert made.shape == seen.pixels.shape
            assert bool(torch.isfinite(made).all())


def test_more_noise_is_met_with_a_smoother_filter() -> None:
    kernel, x = KERNELS[0], _photo()
    noisy = convolve(x[None], kernel)[0] + 0.04 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    seen = Image(noisy.clamp(0, 1))
    told = psnr(Wiener(kernel=kernel, sigma=10).solve(seen).image.pixels, x)
    assert told > psnr(Wiener(kernel=kernel, sigma=0).solve(seen).image.pixels, x) + 3
    assert told > psnr(seen.pixels, x)
    found = psnr(Wiener(kernel=kernel).solve(seen).image.pixels, x)
    assert found == pytest.approx(told, abs=1)
    assert noise_of(seen, None) == pytest.approx(10, rel=0.2)
    assert noise_of(seen, 0) == 0.5


def test_plug_and_play_tells_the_denoiser_falling_levels_down_to_the_noise() -> None:
    told: list[float] = []
    steps: list[Step] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        told.append(sigma)
        return x

    def listen(step: Step) -> None:
        steps.append(step)

    seen = _blurred(_photo(), KERNELS[0])
    solution = PlugAndPlay(kernel=KERNELS[0], denoise=denoise, sigma=5).solve(seen, on_step=listen)
    assert told[0] == pytest.approx(49)
    assert told[-1] == pytest.approx(5)
    ratios = [b / a for a, b in itertools.pairwise(told)]
    assert ratios == pytest.approx([ratios[0]] * 7)
    assert [step.index for step in steps] == list(range(1, 9))
    assert steps[-1].preview is not None
    assert solution.steps == 8


def test_plug_and_play_gains_by_its_denoiser() -> None:
    """A plain smoothing in the turn's place is worth something; none at all is the least squares with little prior."""
    x, kernel = _photo(), KERNELS[0]
    seen = Image((convolve(x[None], kernel)[0] + 0.02 * torch.randn(x.shape)).clamp(0, 1))

    def smooth(y: Tensor, sigma: float) -> Tensor:
        return convolve(y[None], gaussian_kernel(max(0.1, sigma / 30)))[0]

    with_one = PlugAndPlay(kernel=kernel, denoise=smooth, sigma=5).solve(seen).image.pixels
    without = PlugAndPlay(kernel=kernel, denoise=lambda y, sigma: y, sigma=5).solve(seen).image.pixels
    assert psnr(with_one, x) > psnr(without, x) + 0.5


def test_a_listener_ends_the_work() -> None:
    seen = _blurred(_photo(), KERNELS[0])
    for solver in (RichardsonLucy(kernel=KERNELS[0]), PlugAndPlay(kernel=KERNELS[0], denoise=lambda x, sigma: x)):
        solution = solver.solve(seen, on_step=lambda step: step.index < 2)
        assert (solution.steps, solution.stopped_because) == (2, "cancelled")


@pytest.mark.parametrize(
    "kernel", [torch.zeros(3, 3), torch.ones(3), -torch.ones(2, 2), torch.full((1, 1), math.nan), torch.zeros(0, 3)]
)
def test_what_is_no_kernel(kernel: Tensor) -> None:
    for solver in (Wiener, RichardsonLucy):
        with pytest.raises(OptionError, match="kernel"):
            solver(kernel=kernel)
    with pytest.raises(OptionError, match="kernel"):
        PlugAndPlay(kernel=kernel, denoise=lambda x, sigma: x)


def test_options_out_of_range() -> None:
    one = torch.ones(1, 1)
    with pytest.raises(OptionError, match="iterations"):
        RichardsonLucy(kernel=one, iterations=0)
    with pytest.raises(OptionError, match="strength"):
        Wiener(kernel=one, strength=0)


def test_the_degradation_of_a_kernel() -> None:
    blur = blur_of(3 * KERNELS[1])
    assert isinstance(blur, KernelBlur)
    x = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(blur(x), convolve(x, KERNELS[1]))
