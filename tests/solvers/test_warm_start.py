"""The estimate that lean deep priors start from has the right size, and is better than what it was made from."""

from __future__ import annotations

import math

import pytest
import torch

from retouch.degradations.base import Identity
from retouch.degradations.blur import KernelBlur, motion_kernel
from retouch.degradations.mask import FixedMask
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.resample import LanczosDownsample
from retouch.image.image import Image
from retouch.solvers import warm_start as module
from retouch.solvers.warm_start import warm_start


def _picture(channels: int = 3) -> Image:
    rows, columns = torch.linspace(0, 1, 40).view(1, -1, 1), torch.linspace(0, 1, 48).view(1, 1, -1)
    return Image((0.2 + 0.5 * rows * columns + 0.2 * (columns > 0.5)).expand(channels, -1, -1).contiguous())


def _psnr(estimate: torch.Tensor, image: Image) -> float:
    return -10 * math.log10(float((estimate[0] - image.pixels).square().mean()))


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_smoothed(channels: int) -> None:
    clean = _picture(channels)
    noisy = clean.with_pixels(GaussianNoise(25)(clean.pixels[None], torch.Generator().manual_seed(0)))
    estimate = warm_start(noisy, Identity(), noisy=True, sigma=25)
    assert _psnr(estimate, clean) > _psnr(noisy.pixels[None], clean) + 4


def test_a_jpeg_is_taken_as_it_is() -> None:
    image = _picture()
    assert torch.equal(warm_start(image, Identity(), noisy=False)[0], image.pixels)


def test_small_pictures_are_enlarged() -> None:
    clean = _picture()
    small = clean.with_pixels(LanczosDownsample(4)(clean.pixels[None]))
    estimate = warm_start(small, LanczosDownsample(4), noisy=False)
    assert estimate.shape == (1, 3, 40, 48)
    assert _psnr(estimate, clean) > 25


@pytest.mark.parametrize("few", [True, False])
def test_holes_are_filled_and_the_rest_is_kept(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not few:
        monkeypatch.setattr(module, "_BIHARMONIC_PIXELS", 10)
    clean = _picture()
    mask = torch.ones(1, 40, 48)
    mask[:, 10:14, 5:20] = 0
    spoilt = clean.with_pixels(clean.pixels * mask)
    estimate = warm_start(spoilt, FixedMask(mask), noisy=False)
    assert _psnr(estimate, clean) > _psnr(spoilt.pixels[None], clean) + 10
    assert torch.allclose(estimate[0] * mask, clean.pixels * mask, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_known_blur_is_undone(channels: int) -> None:
    clean = _picture(channels)
    blur = KernelBlur(motion_kernel(7, 20))
    seen = clean.with_pixels(blur(clean.pixels[None])[0])
    estimate = warm_start(seen, blur, noisy=False)
    assert estimate.shape == (1, channels, 40, 48)
    assert _psnr(estimate, clean) > _psnr(seen.pixels[None], clean) + 1.5
