"""What a user gets who says nothing: the trained networks, better than what needs no training, and harmless."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

import pytest
import skimage.data
import torch
from torch import Generator

import retouch
from retouch.degradations.base import Degradation
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.noise import CorrelatedNoise, GaussianNoise, PoissonNoise
from retouch.degradations.resample import Downsample
from retouch.image.image import Image
from retouch.metrics import psnr
from retouch.models.device import fast_bfloat16
from retouch.tasks import TASKS, iterate

PHOTOS = ("astronaut", "chelsea", "coffee")


@functools.cache
def _photo(name: str, side: int = 192) -> Image:
    """The middle of a photograph that nobody trained on, made half its size: sharp, and without noise of its own."""
    pixels = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1) / 255
    top, left = (pixels.shape[1] - 2 * side) // 2, (pixels.shape[2] - 2 * side) // 2
    top, left = max(0, top), max(0, left)
    part = pixels[:, top : top + 2 * side, left : left + 2 * side]
    return _bytes(Downsample(2)(part[None], None)[0])


def _bytes(pixels: torch.Tensor) -> Image:
    return Image.from_array(Image(pixels.clamp(0, 1)).to_array(8))


def _damaged(photo: Image, *damages: Degradation) -> Image:
    generator, pixels = Generator().manual_seed(1), photo.pixels[None]
    for damage in damages:
        pixels = damage(pixels, generator)
    return _bytes(pixels[0])


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with two processors that have bfloat16."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(iterate, "has_bfloat16", lambda: True)
    return monkeypatch


@pytest.mark.parametrize(
    ("task", "method"), [("denoise", "unet"), ("dejpeg", "unet"), ("upscale", "residual"), ("deblur", "plug-and-play")]
)
@pytest.mark.usefixtures("two_cores")
def test_auto_takes_the_trained_network_for_twelve_megapixels(task: str, method: str) -> None:
    known = TASKS[task]
    assert known.choose(0.3, known.make_options(device="cpu")).name == method
    if task != "deblur":  # which says of itself half a minute a megapixel
        assert known.choose(12.0, known.make_options(device="cpu")).name == method


@pytest.mark.parametrize("scale", [3, 4])
@pytest.mark.usefixtures("two_cores")
def test_every_factor_takes_it(scale: int) -> None:
    known = TASKS["upscale"]
    assert known.choose(12.0, known.make_options(device="cpu", scale=scale)).name == "residual"


def test_without_bfloat16_large_pictures_take_a_lighter_network(two_cores: pytest.MonkeyPatch) -> None:
    two_cores.setattr(iterate, "has_bfloat16", lambda: False)
    for task, size, method in (("denoise", 12, "unet"), ("upscale", 12, "residual-light"), ("upscale", 6, "residual")):
        known = TASKS[task]
        assert known.choose(size, known.make_options(device="cpu")).name == method


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells it without torch")
def test_estimates_and_networks_agree_on_the_processor() -> None:
    assert iterate.has_bfloat16() == fast_bfloat16(torch.device("cpu"))


def test_upscale_says_what_a_noisy_picture_needs() -> None:
    said: list[str | None] = []

    def notes(picture: Image, **options: Any) -> list[str]:
        said.clear()
        retouch.upscale(picture, on_step=lambda step: said.append(step.note), **options)
        return [note for note in said if note and "like noise" in note]

    clean = _photo("astronaut", 64)
    noisy = _damaged(clean, GaussianNoise(40))
    (found,) = notes(noisy)
    assert "--real takes it out" in found
    assert notes(noisy, real=True) == notes(noisy, method="bicubic") == notes(clean) == []


@pytest.mark.parametrize("sigma", [15, 25, 50])
@pytest.mark.parametrize("grey", [False, True])
def test_denoise_is_better_than_non_local_means(sigma: int, grey: bool) -> None:
    for name in PHOTOS:
        photo = _photo(name)
        if grey:
            photo = Image(photo.pixels.mean(0, keepdim=True))
        noisy = _damaged(photo, GaussianNoise(sigma))
        made, classical = retouch.denoise(noisy), retouch.denoise(noisy, sigma=sigma, method="nlm")
        assert made.pixels.shape == photo.pixels.shape
        assert psnr(made.pixels, photo.pixels) > psnr(classical.pixels, photo.pixels) + 0.5, name


@pytest.mark.parametrize(
    "damages",
    [
        (CorrelatedNoise(20, 0.8, 0.5, clip=True),),
        (PoissonNoise(60), CorrelatedNoise(8, 0.5, 0.5, clip=True), Jpeg(80)),
    ],
    ids=["blotches", "camera"],
)
def test_denoise_knows_the_noise_of_cameras(damages: tuple[Degradation, ...]) -> None:
    for name in PHOTOS:
        photo = _photo(name)
        noisy = _damaged(photo, *damages)
        made, classical = retouch.denoise(noisy), retouch.denoise(noisy, method="nlm")
        assert psnr(made.pixels, photo.pixels) > psnr(noisy.pixels, photo.pixels) + 3, name
        assert psnr(made.pixels, photo.pixels) > psnr(classical.pixels, photo.pixels) + 0.5, name


@pytest.mark.parametrize("quality", [10, 40])
def test_dejpeg_is_better_than_re_application(quality: int) -> None:
    for name in PHOTOS:
        photo = _photo(name)
        blocky = _damaged(photo, Jpeg(quality))
        made = psnr(retouch.dejpeg(blocky).pixels, photo.pixels)
        classical = psnr(retouch.dejpeg(blocky, quality_of_input=quality, method="reapply").pixels, photo.pixels)
        assert made > classical, name
        assert made > psnr(blocky.pixels, photo.pixels) + 0.5, name


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upscale_is_better_than_bicubic(scale: int) -> None:
    for name in PHOTOS:
        photo = _photo(name)
        side = 144  # of all scales
        photo = Image(photo.pixels[:, :side, :side].contiguous())
        small = _damaged(photo, Downsample(scale))
        made, plain = (retouch.upscale(small, scale=scale, method=method) for method in ("auto", "bicubic"))
        assert psnr(made.pixels, photo.pixels, shave=scale) > psnr(plain.pixels, photo.pixels, shave=scale) + 0.5, name


def test_upscale_real_mends_what_the_other_makes_larger() -> None:
    for name in PHOTOS:
        photo = _photo(name)
        noise = CorrelatedNoise(8, 0.5, 0.5, clip=True)
        small = _damaged(photo, GaussianBlur(0.8), Downsample(2), noise, Jpeg(75))
        real, clean, plain = (
            psnr(retouch.upscale(small, scale=2, **options).pixels, photo.pixels)
            for options in ({"real": True}, {}, {"method": "bicubic"})
        )
        assert real > clean + 0.5, name
        assert real > plain + 0.3, name


@pytest.mark.parametrize("task", ["denoise", "dejpeg", "deblur"])
def test_a_photograph_that_nothing_is_wrong_with_stays(task: str) -> None:
    for name in PHOTOS:
        photo = _photo(name)
        made = getattr(retouch, task)(photo)
        assert psnr(made.pixels, photo.pixels) >= 40, name
