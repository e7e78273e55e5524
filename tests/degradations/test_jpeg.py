"""Real JPEG, against the published numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from retouch.degradations.jpeg import Jpeg, RandomJpeg
from retouch.image.errors import OptionError


@pytest.mark.parametrize(("quality", "expected"), [(10, 27.82), (20, 30.12), (30, 31.48), (40, 32.43)])
def test_classic5(shared_data: Path, quality: int, expected: float) -> None:
    """YARDSTICKS section 0: the JPEG column that the papers print, the mean of the pictures' PSNR."""
    from PIL import Image

    values = []
    for path in sorted((shared_data / "test" / "classic5").glob("*.png")):
        x = torch.from_numpy(np.array(Image.open(path).convert("L")))[None, None] / 255
        values.append(-10 * math.log10(float(((Jpeg(quality)(x) - x) ** 2).mean())))
    assert len(values) == 5
    assert float(np.mean(values)) == pytest.approx(expected, abs=0.005)


@pytest.fixture(scope="module")
def astronaut() -> torch.Tensor:
    from skimage import data

    return torch.from_numpy(data.astronaut()[:128, 100:260].copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_equals_a_file_written_and_read(astronaut: torch.Tensor, subsampling: str, tmp_path: Path) -> None:
    import cv2
    from PIL import Image

    path = tmp_path / "x.jpg"
    pixels = (astronaut[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=35, subsampling={"4:4:4": 0, "4:2:0": 2}[subsampling])
    expected = cv2.imread(str(path))[:, :, ::-1]  # another decoder, which may round another way
    y = Jpeg(35, subsampling)(astronaut)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(y - expected).max() <= 2
    assert np.abs(y - expected).mean() < 0.1


def test_values_are_eight_bit_and_worse_with_less_quality(astronaut: torch.Tensor) -> None:
    errors = []
    for quality in (95, 50, 10, 1):
        y = Jpeg(quality)(astronaut)
        assert torch.allclose(y * 255, (y * 255).round(), atol=1e-4)
        errors.append(float(((y - astronaut) ** 2).mean()))
    assert errors == sorted(errors)
    assert ((Jpeg(60, "4:4:4")(astronaut) - astronaut) ** 2).mean() < ((Jpeg(60)(astronaut) - astronaut) ** 2).mean()


def test_grey_loses_the_colour(astronaut: torch.Tensor) -> None:
    y = Jpeg(90, grey=True)(astronaut)
    assert y.shape == astronaut.shape
    assert torch.equal(y[:, 0], y[:, 2])
    luma = (astronaut * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert float((y[:, 0] - luma).abs().mean()) < 0.02


def test_out_of_range_values_are_clipped_not_wrapped() -> None:
    x = torch.full((1, 1, 16, 16), 1.3)
    x[..., 8:] = -0.3
    y = Jpeg(100)(x)
    assert float(y[..., :8].min()) > 0.98
    assert float(y[..., 8:].max()) < 0.02


def test_random_quality_is_drawn_from_the_generator(astronaut: torch.Tensor) -> None:
    y = RandomJpeg(5, 6)(astronaut.expand(12, -1, -1, -1), torch.Generator().manual_seed(0))
    five, six = Jpeg(5)(astronaut)[0], Jpeg(6)(astronaut)[0]
    assert all(torch.equal(one, five) or torch.equal(one, six) for one in y)
    assert any(torch.equal(one, five) for one in y)
    assert any(torch.equal(one, six) for one in y)


def test_random_subsampling_is_either(astronaut: torch.Tensor) -> None:
    y = RandomJpeg(20, 20, "random")(astronaut.expand(12, -1, -1, -1), torch.Generator().manual_seed(0))
    either = [Jpeg(20, subsampling)(astronaut)[0] for subsampling in ("4:2:0", "4:4:4")]
    found = [[torch.equal(one, known) for known in either].index(True) for one in y]
    assert set(found) == {0, 1}


def test_the_second_jpeg_has_its_blocks_elsewhere(astronaut: torch.Tensor) -> None:
    once = Jpeg(15)(astronaut)
    assert torch.equal(Jpeg(15)(once), Jpeg(15)(once))
    again = [RandomJpeg(15, 15, twice=1)(astronaut, torch.Generator().manual_seed(seed)) for seed in range(4)]
    for y in again:
        assert y.shape == astronaut.shape
        # on the old grid a second JPEG of the same quality changes next to nothing, on another it blurs the steps
        assert float((y - once).abs().mean()) > 2 * float((Jpeg(15)(once) - once).abs().mean())
        assert float((y - astronaut).square().mean()) < 2 * float((once - astronaut).square().mean())
    assert not torch.equal(again[0], again[1])
    seldom = RandomJpeg(15, 15, twice=0.5)(astronaut.expand(16, -1, -1, -1), torch.Generator().manual_seed(1))
    assert 3 < sum(torch.equal(one, once[0]) for one in seldom) < 13
    assert RandomJpeg(twice=1)(astronaut[..., :1, :1]).shape == (1, 3, 1, 1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(OptionError, match="quality must be at least 1 and at most 100, not 0"):
        Jpeg(0)
    with pytest.raises(OptionError, match="unknown subsampling '4:2:2'"):
        Jpeg(50, "4:2:2")
    with pytest.raises(OptionError, match=r"low \(60\) must not exceed high \(20\)"):
        RandomJpeg(60, 20)
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        Jpeg(50)(torch.zeros((1, 2, 8, 8)))
