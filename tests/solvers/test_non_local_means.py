"""Non-local means: against the definition, against scikit-image, and against the noise."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from skimage import data
from skimage.restoration import denoise_nl_means

from retouch.degradations.base import Identity
from retouch.degradations.mask import FixedMask
from retouch.image.errors import OptionError
from retouch.image.image import Image, Metadata
from retouch.solvers import non_local_means
from retouch.solvers.non_local_means import NonLocalMeans
from retouch.solvers.steps import Step


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean()))


def noisy(clean: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return (clean + noise * sigma / 255).clamp(0, 1)


CAMERA = Image.from_array(data.camera()[100:292, 150:342]).pixels
FACE = Image.from_array(data.astronaut()[20:180, 150:310]).pixels


@pytest.mark.parametrize("clean", [CAMERA, FACE], ids=["grey", "colour"])
@pytest.mark.parametrize("side", [16, 33, 100])
def test_windows_do_not_show(clean: torch.Tensor, side: int) -> None:
    y = noisy(clean[:, :90, :120], 25)
    solver = NonLocalMeans(sigma=25, tile=side)
    assert torch.allclose(solver.solve(Image(y)).image.pixels, solver.filter(y).clamp(0, 1), atol=1e-5)


def test_plain_form_is_that_of_scikit_image() -> None:
    y = noisy(CAMERA[:, :60, :70], 20)
    out = NonLocalMeans(sigma=20, patch=7, distance=5, strength=0.8, second=None).solve(Image(y)).image.pixels
    expected = denoise_nl_means(
        y[0].numpy(), patch_size=7, patch_distance=5, h=0.8 * 20 / 255, sigma=20 / 255, fast_mode=True
    )
    assert np.abs(out[0].numpy() - expected.clip(0, 1)).max() < 1e-5


def test_default_is_the_mean_of_two_estimates() -> None:
    y = noisy(CAMERA[:, :60, :70], 20)
    one = NonLocalMeans(sigma=20, second=None).filter(y)
    two = NonLocalMeans(sigma=20, patch=7, distance=4, second=None).filter(y)
    assert torch.allclose(NonLocalMeans(sigma=20).filter(y), (one + two) / 2, atol=1e-6)


@pytest.mark.parametrize(("clean", "sigma", "gain"), [(CAMERA, 15, 6), (CAMERA, 25, 7), (FACE, 25, 8), (FACE, 50, 9)])
def test_takes_out_noise_of_an_unknown_level(clean: torch.Tensor, sigma: float, gain: float) -> None:
    y = noisy(clean, sigma)
    out = NonLocalMeans().solve(Image(y)).image.pixels
    assert psnr(out, clean) > psnr(y, clean) + gain


def test_bsd68(shared_data) -> None:  # type: ignore[no-untyped-def]
    """The first ten of BSD68 at sigma 25, cropped, against non-local means without the variance taken off."""
    gains = []
    for seed, path in enumerate(sorted((shared_data / "test" / "bsd68").iterdir())[:10]):
        clean = Image.from_array(np.asarray(PillowImage.open(path).convert("L"))).pixels[:, 60:220, 60:220]
        y = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)) * 25 / 255
        plain = denoise_nl_means(y[0].numpy(), patch_size=5, patch_distance=6, h=0.6 * 25 / 255, fast_mode=True)
        gains.append(
            psnr(NonLocalMeans(sigma=25).filter(y).clamp(0, 1), clean)
            - psnr(torch.from_numpy(plain)[None].clamp(0, 1), clean)
        )
    assert np.mean(gains) > 1


@pytest.mark.parametrize(("name", "sigma"), [("camera", 15), ("camera", 40), ("brick", 15)])
def test_calibration_ranks_without_a_clean_picture(name: str, sigma: float) -> None:
    clean = Image.from_array(getattr(data, name)()[100:272, 150:322]).pixels
    y = noisy(clean, sigma)
    chosen = NonLocalMeans(sigma=sigma, calibrate=True).calibrated(Image(y))
    assert not chosen.calibrate
    quality = {}
    for strength, patch, distance in itertools.product(*non_local_means._GRID.values()):
        solver = NonLocalMeans(sigma=sigma, strength=strength, patch=int(patch), distance=int(distance))
        quality[strength, patch, distance] = psnr(solver.filter(y).clamp(0, 1), clean)
    reached = quality[chosen.strength, chosen.patch, chosen.distance]
    assert reached > min(quality.values()) + 0.5
    assert reached > max(quality.values()) - 0.3


def test_calibrate_is_used_by_solve() -> None:
    y = Image(noisy(CAMERA[:, :64, :64], 25))
    chosen = NonLocalMeans(sigma=25).calibrated(y)
    out = NonLocalMeans(sigma=25, calibrate=True).solve(y).image.pixels
    assert torch.allclose(out, chosen.filter(y.pixels).clamp(0, 1), atol=1e-5)


@settings(max_examples=25)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
    st.sampled_from([0.0, 0.5, 1.0, None]),
    st.sampled_from([None, 25.0]),
    st.booleans(),
)
def test_any_picture_comes_back_finite(
    height: int, width: int, channels: int, colour: float | None, sigma: float | None, calibrate: bool
) -> None:
    shape = (channels, height, width)
    pixels = torch.rand(shape) if colour is None else torch.full(shape, colour)
    out = NonLocalMeans(sigma=sigma, tile=8, calibrate=calibrate).solve(Image(pixels)).image.pixels
    assert out.shape == pixels.shape
    assert bool(torch.isfinite(out).all())
    if colour is not None:
        assert torch.allclose(out, pixels, atol=1e-6)


def test_alpha_and_metadata_stay() -> None:
    alpha = torch.rand(1, 20, 20)
    image = Image(noisy(CAMERA[:, :20, :20], 25), alpha, Metadata(bit_depth=16, icc=b"profile"))
    solution = NonLocalMeans().solve(image, Identity())
    assert torch.equal(solution.image.alpha, alpha)  # type: ignore[arg-type]
    assert solution.image.metadata == image.metadata
    assert solution.stopped_because == "direct"


def test_in_place_gives_the_same_in_the_same_memory() -> None:
    y = noisy(CAMERA[:, :100, :100], 25)
    expected = NonLocalMeans(sigma=25, tile=20).solve(Image(y.clone())).image.pixels
    out = NonLocalMeans(sigma=25, tile=20).solve(Image(y), in_place=True).image.pixels
    assert out.data_ptr() == y.data_ptr()
    assert torch.equal(out, expected)


def test_input_is_left_alone() -> None:
    y = noisy(CAMERA[:, :50, :50], 25)
    before = y.clone()
    NonLocalMeans(sigma=25, tile=20).solve(Image(y))
    assert torch.equal(y, before)


def test_listener_hears_windows_and_cancels() -> None:
    heard: list[Step] = []

    def listen(step: Step) -> bool:
        heard.append(step)
        return False

    solution = NonLocalMeans(sigma=25, tile=20).solve(Image(noisy(CAMERA[:, :60, :60], 25)), on_step=listen)
    assert solution.stopped_because == "cancelled"
    assert (len(heard), heard[0].total) == (1, 9)


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": -1.0},
        {"sigma": float("nan")},
        {"patch": 4},
        {"patch": 0},
        {"distance": 0},
        {"strength": 0.0},
        {"tile": 0},
        {"second": (2, 3)},
    ],
)
def test_refuses_wrong_options(options: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        NonLocalMeans(**options)  # type: ignore[arg-type]


def test_refuses_what_is_not_noise() -> None:
    image = Image(torch.rand(1, 4, 4))
    half = Identity()
    half.scale = Fraction(1, 2)
    for degradation in (FixedMask(torch.ones(1, 4, 4)), half):
        with pytest.raises(OptionError, match="only removes noise"):
            NonLocalMeans().solve(image, degradation)
