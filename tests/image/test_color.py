"""Colours against hand-computed values, scikit-image, and their own inverses."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retouch.image.color import grey, luma, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb


def _photo() -> Tensor:
    return torch.from_numpy(skimage.data.astronaut()[::7, ::5].copy()).permute(2, 0, 1).double() / 255


def _pixel(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (81.481, 90.203, 240)),
        ((0, 1, 0), (144.553, 53.797, 34.214)),
        ((0, 0, 1), (40.966, 240, 109.786)),
    ],
)
def test_ycbcr_of_the_corners(rgb: tuple[float, ...], ycbcr: tuple[float, ...]) -> None:
    assert torch.allclose(rgb_to_ycbcr(_pixel(*rgb)) * 255, _pixel(*ycbcr), atol=1e-9)


def test_ycbcr_is_that_of_scikit_image() -> None:
    photo = _photo()
    expected = skimage.color.rgb2ycbcr(photo.permute(1, 2, 0).numpy())
    assert np.allclose(rgb_to_ycbcr(photo).permute(1, 2, 0).numpy() * 255, expected, atol=1e-9)


def test_luma_is_the_first_of_ycbcr_and_leaves_grey_alone() -> None:
    photo = _photo()
    assert torch.equal(luma(photo), rgb_to_ycbcr(photo)[:1])
    single = photo[:1]
    assert luma(single) is single
    assert grey(single) is single


def test_grey_has_the_full_range() -> None:
    assert float(grey(_pixel(1, 1, 1))) == pytest.approx(1)
    assert float(grey(_pixel(0, 0, 0))) == 0
    assert float(grey(_pixel(0.2, 0.4, 0.6))) == pytest.approx(0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6)


def test_lab_is_that_of_scikit_image() -> None:
    photo = _photo()
    array = photo.permute(1, 2, 0).numpy()
    ours = rgb_to_lab(photo)
    assert np.allclose(ours.permute(1, 2, 0).numpy(), skimage.color.rgb2lab(array), atol=1e-3)


def test_lab_of_white_grey_and_red() -> None:
    assert torch.allclose(rgb_to_lab(_pixel(1, 1, 1)), _pixel(100, 0, 0), atol=0.02)
    # sRGB 119 has a luminance of .1845, and L = 116 * .1845^(1/3) - 16
    assert float(rgb_to_lab(_pixel(119 / 255, 119 / 255, 119 / 255))[0]) == pytest.approx(50.03, abs=0.02)
    assert torch.allclose(rgb_to_lab(_pixel(1, 0, 0)), _pixel(53.24, 80.09, 67.20), atol=0.02)


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_conversions_undo_each_other(rgb: tuple[float, float, float]) -> None:
    pixel = _pixel(*rgb)
    assert torch.allclose(ycbcr_to_rgb(rgb_to_ycbcr(pixel)), pixel, atol=1e-9)


@pytest.mark.parametrize("function", [rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_lab, luma, grey])
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 4, 5), (2, 3, 4, 5), (2, 2, 3, 4, 5)])
def test_any_leading_dimensions_and_dtypes(function: object, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    result = function(x)  # type: ignore[operator]
    assert result.dtype == torch.float32
    assert result.shape[-2:] == x.shape[-2:]
    flat = torch.stack([function(part) for part in x.reshape(-1, *shape[-3:])])  # type: ignore[operator]
    assert torch.allclose(result.reshape(flat.shape), flat, atol=1e-5)


@pytest.mark.parametrize("function", [rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_lab, luma, grey])
def test_gradients(function: object) -> None:
    x = torch.rand(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    assert torch.autograd.gradcheck(function, x.requires_grad_())  # type: ignore[arg-type]


def test_lab_has_a_finite_gradient_at_black() -> None:
    x = torch.zeros(3, 1, 1, requires_grad=True)
    rgb_to_lab(x).sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())
