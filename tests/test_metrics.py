"""Metrics against hand-computed values, scikit-image and the published rows of the bicubic baseline."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import skimage.color
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

import retouch.metrics
from retouch.image.color import grey, luma
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.image.resize import bicubic, resize
from retouch.metrics import Moments, chroma_error, colourfulness, frechet_distance, psnr, ssim


def _there_and_back(x: Tensor, scale: int) -> Tensor:
    return bicubic(bicubic(x, scale=Fraction(1, scale)), scale=scale)


def _rounded(x: Tensor) -> Tensor:
    return (x * 255).round() / 255


def _cropped(array: np.ndarray[Any, Any], scale: int) -> Tensor:
    height, width = (side // scale * scale for side in array.shape[:2])
    return torch.from_numpy(array[:height, :width].copy()).permute(2, 0, 1)[None] / 255


# bicubic x2, x3, x4; published: Set5 33.66/.9299 30.39/.8682 28.42/.8104, Set14 30.24/.8688 27.55/.7742 26.00/.7027
SET5 = {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)}
SET14_Y = {2: (30.23, 0.8687), 3: (27.54, 0.7736), 4: (26.00, 0.7019)}
SET14_RGB = {2: (30.24, 0.8688), 3: (27.55, 0.7742), 4: (26.00, 0.7027)}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("name", "rounded", "expected"),
    [("set5", "y", SET5), ("set5", "rgb", SET5), ("set14", "y", SET14_Y), ("set14", "rgb", SET14_RGB)],
)
def test_the_bicubic_rows_of_the_papers(
    shared_data: Path, name: str, rounded: str, expected: dict[int, tuple[float, float]], scale: int
) -> None:
    """Y rounded to 8 bits before resizing ("y"), or RGB resized and rounded, then its Y; the grey 'bridge' is used raw.

    The numbers were made the first way, which gives them to their last digit; the second stays within .01.
    """
    scores = []
    for path in sorted((shared_data / "test" / name).glob("*.png")):
        x = open_image(path).pixels[None]
        x = x[:, :, : x.shape[2] // scale * scale, : x.shape[3] // scale * scale]
        if rounded == "y":
            x = _rounded(luma(x))
        y = _there_and_back(x, scale)
        scores.append([f(y, x, shave=scale, channel="y", quantize=True) for f in (psnr, ssim)])
    assert len(scores) == {"set5": 5, "set14": 14}[name]
    means = np.mean(scores, axis=0)
    assert means[0] == pytest.approx(expected[scale][0], abs=0.005 if rounded == "y" else 0.01)
    assert means[1] == pytest.approx(expected[scale][1], abs=0.0001 if rounded == "y" else 0.0005)


@pytest.mark.parametrize(
    ("scale", "rgb", "full_range", "aliased"),
    [(2, 31.80, 32.36, 34.36), (3, 28.63, 29.08, 29.74), (4, 26.70, 27.11, 28.00)],
)
def test_what_each_mistake_of_the_protocol_gives(
    shared_data: Path, scale: int, rgb: float, full_range: float, aliased: float
) -> None:
    """Set5: so that a table off by such an amount is recognised, and no option of ours makes the mistake by itself."""
    scores = []
    for path in sorted((shared_data / "test" / "set5").glob("*.png")):
        x = open_image(path).pixels[None]
        x = x[:, :, : x.shape[2] // scale * scale, : x.shape[3] // scale * scale]
        y, whole = _rounded(luma(x)), _rounded(grey(x))
        rough = bicubic(resize(y, scale=Fraction(1, scale), antialias=False), scale=scale)
        back = _there_and_back(y, scale)
        scores.append(
            [
                psnr(_there_and_back(x, scale), x, shave=scale, quantize=True),
                psnr(_there_and_back(whole, scale), whole, shave=scale, quantize=True),
                psnr(rough, y, shave=scale, quantize=True),
                psnr(back, y, quantize=True) - psnr(back, y, shave=scale, quantize=True),
            ]
        )
    means = np.mean(scores, axis=0)
    assert means[0] == pytest.approx(rgb, abs=0.01)
    assert means[1] == pytest.approx(full_range, abs=0.01)
    assert means[2] == pytest.approx(aliased, abs=0.03)
    assert 0.002 < means[3] < 0.02  # the border that should have been left out


@pytest.mark.parametrize(
    ("name", "y", "rgb"),
    [
        ("chelsea", (31.4630, 0.80544), (30.1835, 0.78675)),
        ("astronaut", (26.8631, 0.84242), (25.3942, 0.81239)),
    ],
)
def test_bicubic_x4_of_sample_photographs(name: str, y: tuple[float, float], rgb: tuple[float, float]) -> None:
    """The Y numbers were checked with scikit-image on the rounded arrays, cropped to where its window fits."""
    x = _cropped(getattr(skimage.data, name)(), 4)
    back = _there_and_back(x, 4)
    how: dict[str, Any] = {"shave": 4, "channel": "y", "quantize": True}
    assert psnr(back, x, **how) == pytest.approx(y[0], abs=1e-3)
    assert ssim(back, x, **how) == pytest.approx(y[1], abs=1e-4)
    assert psnr(back, x) == pytest.approx(rgb[0], abs=1e-3)
    assert ssim(back, x) == pytest.approx(rgb[1], abs=1e-4)


@pytest.mark.parametrize(("height", "width", "channels"), [(11, 11, 1), (40, 27, 3), (64, 90, 3)])
def test_equals_scikit_image(height: int, width: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(height)
    a = torch.rand(channels, height, width, generator=generator, dtype=torch.float64)
    b = (a + 0.1 * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    first, second = (x.permute(1, 2, 0).numpy() * 255 for x in (a, b))
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(first, second, data_range=255), abs=1e-9)
    _, full = structural_similarity(
        first,
        second,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
        full=True,
    )
    assert ssim(a, b) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)


def test_psnr_by_hand() -> None:
    a = torch.zeros(1, 4, 4)
    b = a + 10 / 255
    assert psnr(a, b) == pytest.approx(20 * math.log10(255 / 10), abs=1e-5)
    one = a.clone()
    one[0, 1, 1] = 1.0  # one pixel of sixteen is wrong by all
    assert psnr(a, one) == pytest.approx(10 * math.log10(16))
    assert psnr(a, one, shave=1) == pytest.approx(10 * math.log10(4))


def test_the_channel_and_the_rounding_are_heeded() -> None:
    a = torch.full((3, 12, 12), 0.5)
    b = a + 0.4 / 255
    assert psnr(a, b, quantize=True) == math.inf  # 127.5 and 127.9 both become 128
    assert psnr(a, b) == pytest.approx(20 * math.log10(255 / 0.4), abs=1e-3)
    red = a.clone()
    red[0] += 0.1
    assert psnr(a, red) == pytest.approx(20 - 10 * math.log10(1 / 3), abs=1e-4)
    # a tenth of red is 6.5481 steps of Y
    assert psnr(a, red, channel="y") == pytest.approx(20 * math.log10(255 / 6.5481), abs=1e-4)
    over = a + 1
    assert psnr(over, torch.ones(3, 12, 12), quantize=True) == math.inf  # rounding to 8 bits clips
    grey = torch.rand(1, 12, 12)
    assert psnr(grey, grey * 0.9, channel="y") == psnr(grey, grey * 0.9)


def test_equal_pictures() -> None:
    x = torch.rand(3, 16, 16)
    assert psnr(x, x) == math.inf
    assert ssim(x, x) == pytest.approx(1)
    flat = torch.zeros(1, 16, 16)
    assert ssim(flat, flat) == pytest.approx(1)


@settings(max_examples=25)
@given(st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**31))
def test_symmetric_and_bounded(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(1, height, width, generator=generator) for _ in range(2))
    assert psnr(a, b) == pytest.approx(psnr(b, a))
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert -1 <= ssim(a, b) < 1


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(3, 70, 33, generator=generator) for _ in range(2))
    for channel in ("rgb", "y"):
        how: dict[str, Any] = {"channel": channel, "shave": 3, "quantize": True}
        whole = psnr(a, b, **how), ssim(a, b, **how)
        with monkeypatch.context() as patch:
            patch.setattr(retouch.metrics, "_STRIP_PIXELS", 200)
            assert (psnr(a, b, **how), ssim(a, b, **how)) == pytest.approx(whole, abs=1e-12)


def test_takes_images_and_batches_of_one() -> None:
    a, b = torch.rand(3, 12, 12), torch.rand(3, 12, 12)
    assert psnr(Image(a), b[None]) == psnr(a, b)
    assert ssim(Image(a), Image(b)) == ssim(a[None], b)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ((1, 20, 20), (1, 20, 21), {}, "differ in size"),
        ((3, 20, 20), (1, 20, 20), {}, "differ in size"),
        ((3, 20, 20), (1, 20, 20), {"channel": "y"}, "differ in size"),
        ((1, 20, 20), (1, 20, 20), {"shave": 10}, "nothing is left"),
        ((1, 20, 20), (1, 20, 20), {"shave": -1}, "border"),
        ((2, 1, 20, 20), (2, 1, 20, 20), {}, "takes"),
        ((20, 20), (20, 20), {}, "takes"),
        ((3, 20, 20), (3, 20, 20), {"channel": "cb"}, "channel is"),
    ],
)
def test_refuses(metric: Any, a: tuple[int, ...], b: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(torch.rand(a), torch.rand(b), **options)


@pytest.mark.parametrize(("height", "width", "shave"), [(10, 40, 0), (40, 10, 0), (16, 16, 3)])
def test_ssim_needs_its_window(height: int, width: int, shave: int) -> None:
    x = torch.rand(1, height, width)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(x, x, shave=shave)


# -- colour


def test_chroma_error_is_the_distance_in_ab_that_scikit_image_finds() -> None:
    first, second = (torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    labs = [skimage.color.rgb2lab(x.permute(1, 2, 0).double().numpy()) for x in (first, second)]
    expected = np.sqrt(((labs[0] - labs[1])[..., 1:] ** 2).sum(-1)).mean()
    assert chroma_error(first, Image(second)) == pytest.approx(expected, abs=1e-3)
    assert chroma_error(first, first) == 0
    assert chroma_error(grey(first), first) == pytest.approx(
        np.hypot(labs[0][..., 1], labs[0][..., 2]).mean(), abs=0.02
    )
    with pytest.raises(ValueError, match="differ in size"):
        chroma_error(first, second[:, 1:])


def test_colourfulness_by_hand() -> None:
    assert colourfulness(torch.full((1, 4, 5), 0.3)) == 0
    # pure red everywhere: R - G = 255, (R + G) / 2 - B = 127.5, no deviation
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 4, 4)
    assert colourfulness(red) == pytest.approx(0.3 * math.hypot(255, 127.5))
    # half red, half green: the means are 0 and 127.5, the deviations 255 and 0
    both = torch.cat([red, torch.tensor([0, 1.0, 0]).view(3, 1, 1).expand(3, 4, 4)], dim=2)
    assert colourfulness(Image(both.contiguous())) == pytest.approx(255 + 0.3 * 127.5)


@given(seed=st.integers(0, 99))
def test_colour_metrics_do_not_depend_on_strips(seed: int) -> None:
    from retouch import metrics

    first, second = torch.rand(2, 3, 13, 7, generator=torch.Generator().manual_seed(seed)).unbind()
    whole = chroma_error(first, second), colourfulness(first)
    before, metrics._STRIP_PIXELS = metrics._STRIP_PIXELS, 14
    try:
        assert (chroma_error(first, second), colourfulness(first)) == pytest.approx(whole, rel=1e-9)
    finally:
        metrics._STRIP_PIXELS = before


def _normal(size: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, size, generator=draw, dtype=torch.float64)
    return torch.randn(size, generator=draw, dtype=torch.float64), factor @ factor.T


def test_frechet_distance_in_closed_forms() -> None:
    mean, covariance = _normal(6, 0)
    assert frechet_distance(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)
    shift = torch.tensor([1.0, -2, 0, 0, 0, 0.5])
    assert frechet_distance(mean, covariance, mean + shift, covariance) == pytest.approx(1 + 4 + 0.25)
    first, second = torch.tensor([4.0, 9, 0, 1, 0, 25]), torch.tensor([1.0, 16, 4, 1, 0, 0])
    # diagonal: the sum of the squared differences of the standard deviations, singular ones too
    assert frechet_distance(mean, first.diag(), mean, second.diag()) == pytest.approx(1 + 1 + 4 + 0 + 0 + 25)
    # a multiple: (1 - sqrt 4)^2 tr C
    assert frechet_distance(mean, covariance, mean, 4 * covariance) == pytest.approx(float(covariance.trace()))


def test_frechet_distance_is_that_of_scipy_s_root() -> None:
    (mean, covariance), (other, second) = _normal(8, 1), _normal(8, 2)
    root = scipy.linalg.sqrtm((covariance @ second).numpy()).real
    expected = float((mean - other).square().sum() + (covariance + second).trace()) - 2 * float(np.trace(root))
    assert frechet_distance(mean, covariance, other, second) == pytest.approx(expected)
    assert frechet_distance(other, second, mean, covariance) == pytest.approx(expected)


def test_moments_are_those_of_all_portions() -> None:
    vectors = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) + 3
    moments = Moments(4)
    for portion in vectors.split(17):
        moments.add(portion)
    assert moments.count == 50
    assert torch.allclose(moments.mean, vectors.double().mean(0))
    assert torch.allclose(moments.covariance, vectors.double().T.cov())
