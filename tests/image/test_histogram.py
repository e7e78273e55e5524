"""Histogram matching: by hand, against scikit-image, and what must hold for any two pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retouch.image import histogram
from retouch.image.histogram import match_histogram


def _line(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 1, -1)


def _picture(seed: int, height: int, width: int, levels: int, power: float = 1.0, channels: int = 1) -> Tensor:
    """Random values, of ``levels`` different ones, or all different for 0."""
    x = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed)) ** power
    return (x * levels).floor() / levels if levels else x


pictures = st.builds(
    _picture,
    st.integers(0, 2**31),
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from([0, 0, 1, 2, 5, 255]),
    st.sampled_from([0.3, 1.0, 4.0]),
)


def test_by_hand() -> None:
    assert torch.equal(match_histogram(_line(3, 1, 2), _line(10, 30, 20)), _line(30, 10, 20))
    # ranks of two among four: the middles of the lower and of the upper half
    assert torch.equal(match_histogram(_line(9, 5), _line(0, 1, 2, 3)), _line(2.5, 0.5))
    # twice as many: beyond the outermost ranks nothing is invented
    assert torch.equal(match_histogram(_line(1, 2, 3, 4), _line(0, 1)), _line(0, 0.25, 0.75, 1))
    # equal values take the middle of their ranks
    assert torch.equal(match_histogram(_line(1, 1, 1, 2), _line(0, 1, 2, 7)), _line(1, 1, 1, 7))


def test_constant_pictures() -> None:
    assert torch.equal(match_histogram(torch.full((1, 3, 3), 0.9), _line(0, 0.2, 0.7)), torch.full((1, 3, 3), 0.2))
    assert torch.equal(match_histogram(torch.rand(1, 4, 5), _line(0.4)), torch.full((1, 4, 5), 0.4))
    assert torch.equal(match_histogram(_line(0.1), _line(0.3, 0.5)), _line(0.4))


def test_channels_one_by_one() -> None:
    x, reference = _picture(0, 9, 7, 0, channels=3), _picture(1, 5, 6, 0, channels=3)
    made = match_histogram(x, reference)
    for index in range(3):
        alone = match_histogram(x[index : index + 1], reference[index : index + 1])
        assert torch.equal(made[index : index + 1], alone)


def test_agrees_with_scikit_image_where_all_values_differ() -> None:
    from skimage.exposure import match_histograms

    x, reference = _picture(2, 31, 17, 0), _picture(3, 17, 31, 0, power=3)
    expected = match_histograms(x[0].numpy(), reference[0].numpy())
    np.testing.assert_allclose(match_histogram(x, reference)[0].numpy(), expected, atol=1e-7)


def _cdf(x: Tensor, at: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(x.numpy().ravel()), at, side="right") / x.numel()


@given(x=pictures, reference=pictures)
def test_what_holds_for_any_two(x: Tensor, reference: Tensor) -> None:
    kept, kept_reference = x.clone(), reference.clone()
    made = match_histogram(x, reference)
    assert made.shape == x.shape
    assert torch.equal(x, kept)
    assert torch.equal(reference, kept_reference)
    assert made.min() >= reference.min()
    assert made.max() <= reference.max()
    order = x.flatten().argsort()
    assert (made.flatten()[order].diff() >= 0).all()  # rising
    same = x.flatten()[order].diff() == 0
    assert (made.flatten()[order].diff()[same] == 0).all()  # equal values stay equal
    assert torch.allclose(match_histogram(made, reference), made, atol=1e-6)  # once is enough
    assert torch.equal(match_histogram(x, x), x)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), power=st.sampled_from([0.3, 1.0, 4.0]), reference=st.sampled_from([0, 2, 40, 255]))
def test_distributions_become_equal(seed: int, power: float, reference: int) -> None:
    """Up to 1/256, where the picture's own values are not in the way."""
    x, wanted = _picture(seed, 40, 30, 0, power), _picture(seed + 1, 32, 25, reference)
    made = match_histogram(x, wanted)
    levels = np.unique(wanted.numpy())
    at = np.concatenate((levels, (levels[1:] + levels[:-1]) / 2))
    assert np.abs(_cdf(made, at) - _cdf(wanted, at)).max() <= 1 / 256


def test_more_values_than_knots_and_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    x, reference = _picture(4, 90, 80, 0, 3.0), _picture(5, 40, 40, 0)
    exact = match_histogram(x, reference)
    monkeypatch.setattr(histogram, "_STRIP", 1000)
    assert torch.equal(match_histogram(x, reference), exact)
    monkeypatch.setattr(histogram, "KNOTS", 512)
    near = match_histogram(x, reference)
    assert not torch.equal(near, exact)
    at = np.linspace(0, 1, 200)
    assert np.abs(_cdf(near, at) - _cdf(exact, at)).max() <= 1 / 512 + 1e-9
    # nearly all values in a narrow band: the knots follow the ranks, not the values
    narrow = 0.5 + 1e-4 * _picture(6, 90, 80, 0)
    assert np.abs(_cdf(match_histogram(narrow, reference), at) - _cdf(reference, at)).max() <= 1 / 256


@pytest.mark.parametrize(
    ("x", "reference", "message"),
    [
        (torch.rand(3, 4, 4), torch.rand(1, 4, 4), r"\(C, H, W\) and \(C, h, w\)"),
        (torch.rand(1, 1, 4, 4), torch.rand(1, 4, 4), r"\(C, H, W\) and \(C, h, w\)"),
        (torch.rand(1, 4, 4), torch.rand(1, 0, 4), "without pixels"),
        (torch.rand(1, 0, 4), torch.rand(1, 4, 4), "without pixels"),
    ],
)
def test_wrong_shapes(x: Tensor, reference: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_histogram(x, reference)
