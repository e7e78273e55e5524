"""The estimate of the noise level against noise of a known one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from retouch.degradations.base import Identity
from retouch.degradations.mask import FixedMask
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.solvers.noise_level import check_denoising, estimate_sigma

NAMES = ["astronaut", "camera", "coffee", "chelsea"]


def noisy(name: str, sigma: float, *, clip: bool = True, side: int | None = None) -> torch.Tensor:
    clean = Image.from_array(getattr(data, name)()).pixels[:, :side, :side]
    y = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)) * sigma / 255
    return y.clamp(0, 1) if clip else y


@pytest.mark.parametrize("sigma", [5, 10, 15, 25, 50])
@pytest.mark.parametrize("name", NAMES)
def test_within_four_percent_unclipped(name: str, sigma: float) -> None:
    assert estimate_sigma(noisy(name, sigma, clip=False)) == pytest.approx(sigma, rel=0.04, abs=0.4)


@pytest.mark.parametrize("sigma", [5, 15, 25])
@pytest.mark.parametrize("name", NAMES)
def test_clipping_costs_little(name: str, sigma: float) -> None:
    assert estimate_sigma(noisy(name, sigma)) == pytest.approx(sigma, rel=0.04, abs=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_clean_photograph_has_little_noise(name: str) -> None:
    assert estimate_sigma(noisy(name, 0)) < 2.5


@pytest.mark.parametrize("side", [9, 16, 24, 40])
def test_small_pictures_come_near(side: int) -> None:
    flat = torch.full((1, side, side), 0.5)
    y = flat + torch.randn(flat.shape, generator=torch.Generator().manual_seed(2)) * 20 / 255
    assert estimate_sigma(y) == pytest.approx(20, rel=0.2)


def test_large_and_saturated_areas_do_not_count() -> None:
    y = noisy("camera", 20, side=256)
    y[:, :128] = 1.0
    y[:, 128:160] = 0.0
    assert estimate_sigma(y) == pytest.approx(20, rel=0.05)


def test_scales_with_the_noise_alone() -> None:
    noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(3)) * 0.05
    one, two = estimate_sigma(0.5 + noise), estimate_sigma(0.5 + 2 * noise)
    assert two == pytest.approx(2 * one, rel=1e-4)


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.sampled_from(["black", "grey", "white", "rough"]),
)
def test_finite_on_every_size_and_zero_on_one_colour(height: int, width: int, channels: int, kind: str) -> None:
    if kind == "rough":
        pixels = (torch.rand(channels, height, width) > 0.5).float()
    else:
        pixels = torch.full((channels, height, width), {"black": 0.0, "grey": 0.3, "white": 1.0}[kind])
    sigma = estimate_sigma(Image(pixels))
    assert math.isfinite(sigma)
    assert sigma >= 0
    if kind != "rough":
        assert sigma < 1e-3


def test_takes_a_batch_of_one_and_an_image() -> None:
    y = noisy("camera", 15, side=64)
    assert estimate_sigma(y[None]) == estimate_sigma(y) == estimate_sigma(Image(y))


@pytest.mark.parametrize("shape", [(8, 8), (2, 1, 8, 8), (0, 4, 4)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        estimate_sigma(torch.zeros(shape))


def test_denoisers_refuse_what_they_would_ignore() -> None:
    check_denoising("x", Identity())
    with pytest.raises(OptionError, match="only removes noise"):
        check_denoising("x", FixedMask(torch.ones(1, 2, 2)))
