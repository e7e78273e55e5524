"""Noise has the strength it states, measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from retouch.degradations.noise import CorrelatedNoise, GaussianNoise, PoissonNoise, SaltAndPepper, Speckle
from retouch.image.errors import OptionError


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float(((a - b) ** 2).mean()))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_gaussian_noise_psnr(generator: torch.Generator) -> None:
    grey = torch.full((1, 1, 1000, 1000), 0.5)
    assert psnr(GaussianNoise(25)(grey, generator), grey) == pytest.approx(20 * math.log10(255 / 25), abs=0.01)
    # at mid-grey a sigma of 25 hardly ever reaches the ends; on black, clipping takes half of the noise away
    black = torch.zeros_like(grey)
    clipped = psnr(GaussianNoise(25, clip=True)(black, generator), black)
    assert clipped == pytest.approx(20 * math.log10(255 / 25) + 10 * math.log10(2), abs=0.02)


@pytest.mark.parametrize(("clip", "expected"), [(False, 20.18), (True, 20.48)])
def test_bsd68_noisy_psnr(shared_data: Path, generator: torch.Generator, clip: bool, expected: float) -> None:
    """YARDSTICKS section 0: AWGN of sigma 25 on BSD68, the mean of the pictures' PSNR."""
    from PIL import Image

    values = []
    for path in sorted((shared_data / "test" / "bsd68").glob("*.png")):
        x = torch.from_numpy(np.array(Image.open(path).convert("L")))[None, None] / 255
        values.append(psnr(GaussianNoise(25, clip=clip)(x, generator), x))
    assert len(values) == 68
    assert float(np.mean(values)) == pytest.approx(expected, abs=0.015)


def test_gaussian_noise_is_independent_between_channels(generator: torch.Generator) -> None:
    noise = GaussianNoise(255)(torch.zeros((1, 3, 300, 300)), generator)[0].reshape(3, -1)
    assert torch.corrcoef(noise).sub(torch.eye(3)).abs().max() < 0.02


def test_gaussian_noise_of_nothing_is_nothing(generator: torch.Generator) -> None:
    x = torch.rand((1, 3, 4, 5))
    assert torch.equal(GaussianNoise(0)(x, generator), x)


@pytest.mark.parametrize("width", [0.0, 0.4, 1.2])
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_correlated_noise_has_its_sigma_and_what_its_channels_share(
    generator: torch.Generator, width: float, shared: float
) -> None:
    noise = CorrelatedNoise(51, width, shared)(torch.zeros((1, 3, 500, 500)), generator)[0].reshape(3, -1)
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    between = torch.corrcoef(noise)[~torch.eye(3, dtype=torch.bool)]
    assert between.sub(shared).abs().max() < 0.03


def test_neighbours_resemble_each_other_by_the_width(generator: torch.Generator) -> None:
    """Smoothing white noise by a Gaussian of width w makes its correlation exp(-d^2 / (4 w^2)) at distance d."""
    noise = CorrelatedNoise(25, 1.5)(torch.zeros((1, 1, 700, 700)), generator)[0, 0]
    for distance in (1, 3):
        pair = torch.stack((noise[:, distance:].flatten(), noise[:, :-distance].flatten()))
        assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(math.exp(-(distance**2) / 9), abs=0.03)
    white = CorrelatedNoise(25, 0)(torch.zeros((1, 1, 700, 700)), generator)[0, 0]
    assert abs(float((white[:, 1:] * white[:, :-1]).mean() / white.var())) < 0.01


def test_poisson_moments(generator: torch.Generator) -> None:
    for level, peak in ((0.2, 20.0), (0.9, 50.0)):
        y = PoissonNoise(peak)(torch.full((1, 1, 600, 600), level), generator)
        assert float(y.mean()) == pytest.approx(level, rel=0.01)
        assert float(y.var()) == pytest.approx(level / peak, rel=0.02)
        counts = y * peak
        assert torch.allclose(counts, counts.round(), atol=1e-3)
    assert float(PoissonNoise(10)(torch.tensor([[[[-0.3, 0.0]]]]), generator).abs().max()) == 0


def test_salt_and_pepper_shares(generator: torch.Generator) -> None:
    y = SaltAndPepper(0.2, salt_share=0.25)(torch.full((1, 3, 500, 500), 0.5), generator)
    assert float((y == 1).float().mean()) == pytest.approx(0.05, abs=0.002)
    assert float((y == 0).float().mean()) == pytest.approx(0.15, abs=0.003)
    assert torch.equal(y[:, 0], y[:, 1])
    assert set(SaltAndPepper(1.0)(torch.full((1, 1, 9, 9), 0.5), generator).unique().tolist()) <= {0.0, 1.0}


def test_speckle_grows_with_the_brightness(generator: torch.Generator) -> None:
    for level in (0.1, 0.8):
        y = Speckle(51)(torch.full((1, 1, 500, 500), level), generator)
        assert float(y.std()) == pytest.approx(level * 0.2, rel=0.01)
    assert not Speckle(51)(torch.zeros((1, 1, 9, 9)), generator).any()


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="GaussianNoise: sigma must be at least 0, not -1"):
        GaussianNoise(-1)
    with pytest.raises(OptionError, match="PoissonNoise: peak must be above 0"):
        PoissonNoise(0)
    with pytest.raises(OptionError, match="CorrelatedNoise: shared must be at least 0 and at most 1, not 2"):
        CorrelatedNoise(shared=2)
    with pytest.raises(OptionError, match=r"SaltAndPepper: amount must be at least 0 and at most 1, not 1\.5"):
        SaltAndPepper(1.5)
