"""Blur against scipy, and kernels worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.degradations.blur import (
    DefocusBlur,
    GaussianBlur,
    KernelBlur,
    MotionBlur,
    RandomGaussianBlur,
    defocus_kernel,
    gaussian_kernel,
    motion_kernel,
)
from retouch.image.errors import OptionError


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.7, 9.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 20), (31, 18)])
def test_gaussian_equals_scipy(sigma: float, size: tuple[int, int]) -> None:
    from scipy import ndimage

    x = np.random.default_rng(0).random(size)
    expected = ndimage.gaussian_filter(x, sigma, mode="reflect", truncate=4.0)
    y = GaussianBlur(sigma)(torch.from_numpy(x)[None, None])
    np.testing.assert_allclose(y[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 2), (4, 4), (1, 6), (9, 9)])
def test_kernel_equals_scipy(shape: tuple[int, int]) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(1)
    x, kernel = rng.random((7, 6)), rng.normal(size=shape)
    expected = ndimage.convolve(x, kernel, mode="reflect")
    y = KernelBlur(torch.from_numpy(kernel))(torch.from_numpy(x)[None, None].expand(2, 3, -1, -1))
    np.testing.assert_allclose(y[1, 2].numpy(), expected, atol=1e-12)


@settings(max_examples=40)
@given(length=st.floats(1, 40), angle=st.floats(-360, 360), level=st.floats(0, 1))
def test_a_flat_picture_stays_flat(length: float, angle: float, level: float) -> None:
    flat = torch.full((1, 1, 6, 9), level, dtype=torch.float64)
    torch.testing.assert_close(MotionBlur(length, angle)(flat), flat)
    torch.testing.assert_close(GaussianBlur(length / 4)(flat), flat)
    torch.testing.assert_close(DefocusBlur(length / 4)(flat), flat)


def test_a_symmetric_blur_keeps_the_mean() -> None:
    x = torch.rand((1, 3, 13, 8), dtype=torch.float64)
    for blur in (GaussianBlur(3.0), MotionBlur(9, 0)):
        torch.testing.assert_close(blur(x).mean(), x.mean())


def test_kernels_of_a_disk() -> None:
    assert defocus_kernel(0).tolist() == [[1.0]]
    assert defocus_kernel(0.5).tolist() == [[1.0]]
    kernel = defocus_kernel(5.0)
    assert kernel.shape == (11, 11)
    assert float(kernel.sum()) == pytest.approx(1)
    torch.testing.assert_close(kernel, kernel.T)
    torch.testing.assert_close(kernel, kernel.flip(0))
    # a pixel inside weighs its share of the disk's area; the second moment of a disk is a quarter of its radius squared
    assert float(kernel[5, 5]) == pytest.approx(1 / (math.pi * 25), rel=0.01)
    away = torch.arange(-5, 6, dtype=torch.float64)
    assert float((kernel.sum(0) * away.square()).sum()) == pytest.approx(25 / 4, rel=0.02)


def test_the_gaussian_kernel_is_the_blur() -> None:
    x = torch.rand(1, 2, 20, 17, dtype=torch.float64)
    torch.testing.assert_close(KernelBlur(gaussian_kernel(1.6))(x), GaussianBlur(1.6)(x))


@pytest.mark.parametrize("radius", [-1.0, math.nan, 501.0])
def test_a_lens_has_a_radius(radius: float) -> None:
    with pytest.raises(OptionError, match="radius"):
        DefocusBlur(radius)


def test_motion_kernels_by_hand() -> None:
    torch.testing.assert_close(motion_kernel(9, 0), torch.full((1, 9), 1 / 9, dtype=torch.float64))
    torch.testing.assert_close(motion_kernel(5, 90), torch.full((5, 1), 1 / 5, dtype=torch.float64))
    assert motion_kernel(1, 37).tolist() == [[1.0]]
    # between pixels: the ends are half a pixel away from the segment -0.5..0.5
    torch.testing.assert_close(motion_kernel(2, 0), torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64))
    # 45 degrees, length 1 + 2 sqrt(2): the diagonal has distance 0, its neighbours 1 / sqrt(2)
    near = 1 - math.sqrt(0.5)
    expected = torch.zeros((5, 5), dtype=torch.float64)
    diagonal = motion_kernel(1 + 2 * math.sqrt(2), 45)
    for i in (-1, 0, 1):
        expected[2 - i, 2 + i] = 1
    for row, column in ((1, 2), (2, 3), (2, 1), (3, 2)):
        expected[row, column] = near
    # past the ends of the segment the distance is to its end point
    expected[0, 3] = expected[1, 4] = expected[3, 0] = expected[4, 1] = 0
    size = diagonal.shape[0] // 2
    middle = expected[2 - size : 3 + size, 2 - size : 3 + size]
    torch.testing.assert_close(diagonal, middle / middle.sum())


def test_motion_goes_up_to_the_right_for_45_degrees() -> None:
    kernel = motion_kernel(9, 45)
    assert kernel[0, -1] > 0 or kernel[1, -2] > 0
    assert kernel[0, 0] == kernel[1, 1] == 0


def test_nothing_changes_nothing() -> None:
    x = torch.rand((1, 3, 5, 4))
    assert torch.equal(GaussianBlur(0)(x), x)
    assert torch.equal(MotionBlur(1, 30)(x), x)


def test_random_sigma_covers_its_range() -> None:
    x = torch.zeros((200, 1, 1, 41))
    x[..., 20] = 1
    peaks = RandomGaussianBlur(1.0, 2.0)(x.expand(-1, -1, 41, -1), torch.Generator().manual_seed(0))[:, 0, 0, 20]
    sigmas = 1 / (peaks * math.sqrt(2 * math.pi))
    assert 0.99 < float(sigmas.min()) < 1.05
    assert 1.95 < float(sigmas.max()) < 2.01


@pytest.mark.parametrize("kernel", [[], [[1, 2], [3]], torch.ones(3), "soft", [[float("nan")]]])
def test_bad_kernels_are_refused(kernel: object) -> None:
    with pytest.raises(OptionError, match="KernelBlur: kernel"):
        KernelBlur(kernel)  # type: ignore[arg-type]


def test_bad_ranges_are_refused() -> None:
    with pytest.raises(OptionError, match=r"low \(3\) must not exceed high \(1\)"):
        RandomGaussianBlur(3, 1)
    with pytest.raises(OptionError, match="length must be at least 1"):
        MotionBlur(0.5)
