"""The picture type: checks, arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from retouch.image.errors import OptionError, PictureError, RetouchError, unknown
from retouch.image.image import Image, Metadata

INTEGERS: Any = st.sampled_from([np.dtype(np.uint8), np.dtype(np.uint16)])
SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
)


@given(array=arrays.arrays(INTEGERS, SHAPES))
def test_integer_arrays_come_back_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    back = Image.from_array(array).to_array()
    expected = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, expected)


@given(array=arrays.arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
def test_float_arrays_come_back_bit_for_bit(array: np.ndarray[Any, Any]) -> None:
    image = Image.from_array(array)
    assert image.metadata.bit_depth == 32
    expected = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    np.testing.assert_array_equal(image.to_array(), expected)


def test_channels_are_split_into_colour_and_alpha() -> None:
    for channels, colours, alpha in ((1, 1, False), (2, 1, True), (3, 3, False), (4, 3, True)):
        array = np.arange(2 * 5 * channels, dtype=np.uint8).reshape(2, 5, channels)
        image = Image.from_array(array)
        assert (image.channels, image.height, image.width) == (colours, 2, 5)
        assert (image.alpha is not None) == alpha
        assert image.to_array(alpha=False).shape == ((2, 5) if colours == 1 else (2, 5, 3))
        if image.alpha is not None:
            assert image.alpha[0, 1, 4] == pytest.approx((2 * 5 * channels - 1) / 255)


def test_to_array_rounds_to_nearest_and_crosses_strips() -> None:
    ramp = torch.linspace(0, 1, 300).reshape(1, 300, 1).repeat(1, 1, 2)  # more rows than one strip has
    image = Image(ramp)
    np.testing.assert_array_equal(image.to_array(8), np.rint(ramp[0].numpy() * 255).astype(np.uint8))
    assert image.to_array(16).dtype == np.uint16
    assert image.to_array(32)[299, 0] == 1.0
    with pytest.raises(ValueError, match="8, 16 or 32"):
        image.to_array(12)


def test_values_a_hair_outside_are_clipped_on_the_way_out() -> None:
    image = Image(torch.tensor([[[-5e-5, 1 + 5e-5]]]))
    np.testing.assert_array_equal(image.to_array(8), [[0, 255]])
    np.testing.assert_array_equal(image.to_array(32), np.array([[0, 1]], dtype=np.float32))


@pytest.mark.parametrize(
    ("pixels", "alpha", "error", "text"),
    [
        (torch.full((1, 2, 2), float("nan")), None, PictureError, "NaN"),
        (torch.zeros(3, 2, 2), torch.full((1, 2, 2), float("nan")), PictureError, "alpha: holds NaN"),
        (torch.full((1, 2, 2), 1.5), None, ValueError, r"\[0, 1\]"),
        (torch.full((1, 2, 2), -0.5), None, ValueError, r"\[0, 1\]"),
        (torch.zeros(2, 2, 2), None, ValueError, "1 or 3"),
        (torch.zeros(1, 3, 2, 2), None, ValueError, "float32"),
        (torch.zeros(3, 2, 2, dtype=torch.float64), None, ValueError, "float64"),
        (torch.zeros(3, 0, 2), None, ValueError, "no pixels"),
        (torch.zeros(3, 2, 2), torch.zeros(1, 2, 3), ValueError, r"alpha is \(2, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(
    pixels: torch.Tensor, alpha: torch.Tensor | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Image(pixels, alpha)


@pytest.mark.parametrize("array", [np.zeros((2, 2, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((2, 2), np.int32)])
def test_from_array_refuses_other_shapes_and_types(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="a picture is"):
        Image.from_array(array)


def test_with_pixels_keeps_metadata_and_alpha_and_clips() -> None:
    image = Image(torch.zeros(3, 2, 4), torch.ones(1, 2, 4), Metadata(bit_depth=16, icc=b"profile"))
    new = image.with_pixels(torch.full((1, 3, 2, 4), 2.0, dtype=torch.float64, requires_grad=True))
    assert new.pixels.dtype == torch.float32
    assert not new.pixels.requires_grad
    assert float(new.pixels.max()) == 1.0
    assert new.alpha is image.alpha
    assert new.metadata is image.metadata
    with pytest.raises(ValueError, match="alpha is"):
        image.with_pixels(torch.zeros(3, 4, 8))
    larger = image.with_pixels(torch.zeros(3, 4, 8), alpha=torch.ones(1, 4, 8))
    assert larger.alpha is not None
    assert larger.megapixels == pytest.approx(32e-6)


def test_errors_name_the_nearest_known_name() -> None:
    assert issubclass(OptionError, RetouchError)
    assert issubclass(OptionError, ValueError)
    assert "did you mean 'denoise'" in unknown("task", "denois", ["denoise", "inpaint"])
    assert "did you mean" not in unknown("task", "zzz", ["denoise", "inpaint"])
