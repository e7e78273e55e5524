"""Resizing against values worked out by hand and a transcription of MATLAB's definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch.image.resize import Kernel, area, bicubic, lanczos, resize, resize_matrix


def _keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


KERNELS: dict[str, tuple[Callable[[float], float], float]] = {
    "box": (lambda x: 1.0 if -0.5 <= x < 0.5 else 0.0, 0.5),
    "bilinear": (lambda x: max(0.0, 1 - abs(x)), 1),
    "bicubic": (_keys, 2),
    "lanczos2": (lambda x: _sinc(x) * _sinc(x / 2) if abs(x) < 2 else 0.0, 2),
    "lanczos3": (lambda x: _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0, 3),
}


def _reference(row: NDArray[Any], n_out: int, scale: float, kernel: str, antialias: bool = True) -> NDArray[Any]:
    """Each output is the normalised sum over every input whose kernel reaches it, the row mirrored without end."""
    function, radius = KERNELS[kernel]
    stretch = min(scale, 1.0) if antialias else 1.0
    out = np.zeros(n_out)
    for j in range(n_out):
        centre = (j + 0.5) / scale - 0.5
        reach = math.ceil(radius / stretch) + 1
        total = weight = 0.0
        for i in range(math.floor(centre) - reach, math.ceil(centre) + reach + 1):
            w = function(stretch * (centre - i))
            mirrored = i % (2 * len(row))
            mirrored = mirrored if mirrored < len(row) else 2 * len(row) - 1 - mirrored
            total, weight = total + w * row[mirrored], weight + w
        out[j] = total / weight
    return out


def test_bicubic_halving_by_hand() -> None:
    # Keys stretched twice, at distances .5, 1.5, 2.5, 3.5: k(.25) k(.75) k(1.25) k(1.75), halved, on each side
    taps = [0.8671875, 0.2265625, -0.0703125, -0.0234375]
    assert sum(taps) == 1.0
    _, weights = resize_matrix(8, 4, 0.5)
    expected = [t / 2 for t in reversed(taps)] + [t / 2 for t in taps]
    assert torch.allclose(weights, torch.tensor(expected, dtype=torch.float64).expand(4, 8), atol=1e-12)
    impulse = torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], dtype=torch.float64).view(1, 1, 1, 16)
    result = resize(impulse, (1, 8))
    # input 8 lies at distances 3.5, 1.5, .5 and 2.5 of the outputs 2, 3, 4 and 5
    hand = torch.tensor([0, 0, taps[3], taps[1], taps[0], taps[2], 0, 0], dtype=torch.float64) / 2
    assert torch.allclose(result.flatten(), hand, atol=1e-12)


def test_bicubic_doubling_by_hand() -> None:
    x = torch.tensor([0.0, 0, 1, 0, 0], dtype=torch.float64).view(1, 1, 1, 5)
    expected = torch.tensor([0, -0.0234375, -0.0703125, 0.2265625, 0.8671875], dtype=torch.float64)
    assert torch.allclose(resize(x, (1, 10)).flatten()[:5], expected, atol=1e-12)


def test_box_is_the_mean_of_what_falls_in() -> None:
    x = torch.arange(24, dtype=torch.float64).view(1, 1, 4, 6)
    expected = torch.nn.functional.avg_pool2d(x, 2)
    assert torch.allclose(area(x, scale=Fraction(1, 2)), expected, atol=1e-12)


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.sampled_from([2.0, 3.0, 4.0, 1.5, 1 / 2, 1 / 3, 1 / 4, 0.37, 1 / 8]),
    st.sampled_from(list(KERNELS)),
    st.booleans(),
    st.booleans(),
)
def test_equals_the_definition(n: int, scale: float, kernel: Kernel, antialias: bool, vertical: bool) -> None:
    row = np.random.default_rng(n).random(n)
    n_out = math.ceil(n * scale - 1e-9)
    x = torch.from_numpy(row).view(1, 1, -1, 1) if vertical else torch.from_numpy(row).view(1, 1, 1, -1)
    size = (n_out, 1) if vertical else (1, n_out)
    result = resize(x.expand(2, 3, -1, -1), size, scale=scale, kernel=kernel, antialias=antialias)
    # the other side is one pixel and any mirrored resize of it gives that pixel again
    expected = torch.from_numpy(_reference(row, n_out, scale, kernel, antialias))
    assert torch.allclose(result[1, 2].flatten(), expected, atol=1e-12)


def test_both_directions_are_separable_and_may_differ() -> None:
    array = np.random.default_rng(0).random((23, 37))
    result = resize(torch.from_numpy(array)[None, None], (50, 11))[0, 0].numpy()
    columns = np.stack([_reference(c, 50, 50 / 23, "bicubic") for c in array.T], axis=1)
    expected = np.stack([_reference(r, 11, 11 / 37, "bicubic") for r in columns])
    assert np.allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "scale", "expected"), [(99, 1 / 3, 33), (100, Fraction(1, 3), 34), (7, 0.5, 4), (7, 3, 21), (1, 0.1, 1)]
)
def test_the_size_is_rounded_up(side: int, scale: float, expected: int) -> None:
    assert resize(torch.rand(1, 1, side, 5), scale=scale).shape[2] == expected


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(list(KERNELS)))
def test_rows_of_the_matrix_sum_to_one_within_the_picture(n_in: int, n_out: int, kernel: Kernel) -> None:
    indices, weights = resize_matrix(n_in, n_out, n_out / n_in, kernel)
    assert indices.shape == weights.shape
    assert len(weights) == n_out
    assert torch.allclose(weights.sum(1), torch.ones(n_out, dtype=torch.float64), atol=1e-12)
    assert int(indices.min()) >= 0
    assert int(indices.max()) < n_in
    assert bool((weights != 0).any(0).all())


def test_the_transpose_of_the_matrix_is_the_gradient() -> None:
    indices, weights = resize_matrix(90, 30, 1 / 3)
    y = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    transposed = torch.zeros(90, dtype=torch.float64)
    transposed.index_add_(0, indices.flatten(), (weights * y[:, None]).flatten())
    x = torch.zeros(1, 1, 1, 90, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(resize(x, (1, 30)), x, y.view(1, 1, 1, 30))
    assert torch.allclose(gradient.flatten(), transposed, atol=1e-12)


@pytest.mark.parametrize("size", [(5, 9), (14, 3), (20, 17)])
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_gradients(size: tuple[int, int], kernel: Kernel) -> None:
    x = torch.rand(1, 2, 10, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: resize(t, size, kernel=kernel), x)


def test_gradients_flow_after_a_first_use_in_inference_mode() -> None:
    with torch.inference_mode():
        resize(torch.rand(1, 1, 31, 29), (13, 17))
        resize(torch.rand(1, 1, 31, 29).double(), (13, 17))
    for dtype in (torch.float32, torch.float64):
        x = torch.rand(1, 1, 31, 29, dtype=dtype, requires_grad=True)
        resize(x, (13, 17)).sum().backward()
        assert x.grad is not None
        assert float(x.grad.sum()) == pytest.approx(13 * 17, rel=1e-5)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (130, 70), (64, 64)])
def test_a_flat_picture_stays_flat(kernel: Kernel, size: tuple[int, int]) -> None:
    result = resize(torch.full((1, 1, 64, 21), 0.3), size, kernel=kernel)
    assert result.shape[2:] == size
    assert torch.allclose(result, torch.full_like(result, 0.3), atol=1e-6)


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k != "box"])  # the box holds one of its two ends only
@pytest.mark.parametrize("size", [(7, 31), (40, 5), (17, 23)])
def test_a_mirrored_picture_gives_the_mirrored_result(kernel: Kernel, size: tuple[int, int]) -> None:
    x = torch.rand(1, 1, 13, 19, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    result = resize(x, size, kernel=kernel)
    for dims in ([2], [3], [2, 3]):
        assert torch.allclose(resize(x.flip(dims), size, kernel=kernel), result.flip(dims), atol=1e-12)
    assert torch.allclose(resize(x.mT, size[::-1], kernel=kernel), result.mT, atol=1e-12)


def test_autocast_costs_no_precision_and_half_comes_back_as_float() -> None:
    x = torch.rand(1, 3, 40, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(bicubic(x, scale=0.5), bicubic(x, scale=0.5).float())
        inside = bicubic(x, scale=0.5)
    assert torch.equal(inside, bicubic(x, scale=0.5))
    assert bicubic(x.half(), scale=0.5).dtype == torch.float32
    assert torch.allclose(bicubic(x.half(), scale=0.5), inside, atol=2e-3)


def test_the_short_names() -> None:
    x = torch.rand(1, 1, 12, 12)
    assert torch.equal(bicubic(x, (6, 6)), resize(x, (6, 6), kernel="bicubic"))
    assert torch.equal(lanczos(x, scale=2), resize(x, scale=2, kernel="lanczos3"))
    assert torch.equal(area(x, (5, 7)), resize(x, (5, 7), kernel="box"))
    assert torch.equal(resize(x, scale=1), x)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.rand(1, 1, 4, 4), {}, "size or a scale"),
        (torch.rand(1, 1, 4, 4), {"size": (0, 4)}, "cannot resize"),
        (torch.rand(1, 1, 4, 4), {"scale": -1}, "cannot resize"),
        (torch.rand(1, 4, 4), {"scale": 2}, "takes"),
    ],
)
def test_refuses(x: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize(x, **options)
