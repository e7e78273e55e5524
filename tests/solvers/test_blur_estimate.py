"""Which blur is found in photographs that were blurred on purpose."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.solvers.blur_estimate import BlurEstimate, estimate_blur


def _photos() -> list[Tensor]:
    """Two sharp photographs: made half as large, so that no softness of the camera is left."""
    made = []
    for picture in (data.astronaut(), data.chelsea()):
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        made.append(resize(x, (x.shape[2] // 2, x.shape[3] // 2))[0].clamp(0, 1))
    return made


PHOTOS = _photos()


def _damaged(x: Tensor, damage: Degradation, sigma: float = 0.0) -> Image:
    y = damage(x[None])[0] + sigma / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return Image((y.clamp(0, 1) * 255).round() / 255)


@pytest.mark.parametrize("x", PHOTOS, ids=["astronaut", "chelsea"])
def test_a_sharp_photograph_has_no_blur(x: Tensor) -> None:
    assert estimate_blur(Image(x)).kind == "none"


@pytest.mark.parametrize("x", PHOTOS, ids=["astronaut", "chelsea"])
@pytest.mark.parametrize("sigma", [1.0, 1.6, 2.4])
def test_gaussians(x: Tensor, sigma: float) -> None:
    found = estimate_blur(_damaged(x, GaussianBlur(sigma)))
    assert found.kind == "gaussian"
    assert found.size == pytest.approx(sigma, rel=0.15)
    assert found.misfit < found.sharp_misfit


@pytest.mark.parametrize("x", PHOTOS, ids=["astronaut", "chelsea"])
@pytest.mark.parametrize(("length", "angle"), [(7, 20), (15, 133), (15, 90), (24, 61)])
def test_movements(x: Tensor, length: int, angle: float) -> None:
    found = estimate_blur(_damaged(x, MotionBlur(length, angle)))
    assert found.kind == "motion"
    assert found.size == pytest.approx(length, abs=1)
    assert abs((found.angle - angle + 90) % 180 - 90) <= 4


@pytest.mark.parametrize("x", PHOTOS, ids=["astronaut", "chelsea"])
@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_a_lens_out_of_focus(x: Tensor, radius: float) -> None:
    found = estimate_blur(_damaged(x, DefocusBlur(radius)))
    assert found.kind == "defocus"
    assert found.size == pytest.approx(radius, abs=0.3)


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_movements_under_noise(sigma: float) -> None:
    found = estimate_blur(_damaged(PHOTOS[0], MotionBlur(13, 30), sigma))
    assert found.kind == "motion"
    assert found.size == pytest.approx(13, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (32, 32), (64, 500)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_picture_gets_an_answer(size: tuple[int, int], channels: int) -> None:
    flat = estimate_blur(Image(torch.full((channels, *size), 0.5)))
    assert flat.kind == "none"
    noise = estimate_blur(Image(torch.rand(channels, *size)))
    assert noise.kind in ("none", "gaussian", "motion", "defocus")


def test_kernels_and_words() -> None:
    for kind, words in (
        ("none", "no blur"),
        ("gaussian", "a Gaussian blur of sigma 2.0"),
        ("motion", "a movement over 2 pixels at 30 degrees"),
        ("defocus", "a lens out of focus by 2.0 pixels"),
    ):
        found = BlurEstimate(kind, 2.0, 30.0)  # type: ignore[arg-type]
        assert found.summary == words
        assert float(found.kernel.sum()) == pytest.approx(1)
    assert BlurEstimate("none").kernel.shape == (1, 1)
