"""What is found in pictures that were damaged on purpose, and that nothing is found in those that were not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from retouch.degradations.base import Degradation
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.jpeg_tables import luma_table, quality_of_table
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.resample import Upsample
from retouch.image.files import open_image
from retouch.image.image import Image, JpegSettings, Metadata
from retouch.solvers.diagnosis import Kind, diagnose
from retouch.solvers.diagnosis.blocks import find_blocks
from retouch.solvers.diagnosis.spectrum import softness
from retouch.solvers.diagnosis.whiteness import whiteness


def _photograph(side: int = 256, seed: int = 0) -> Tensor:
    """Leaves of all sizes that cover one another (Lee, Mumford, Huang 2001): the spectrum and the edges of nature."""
    rng = np.random.default_rng(seed)
    fine = 2 * side  # drawn twice as large, so that edges are as soft as a camera's
    y, x = np.mgrid[:fine, :fine]
    picture = np.full((fine, fine, 3), 0.5)
    for _ in range(600):
        radius = min(0.25 * fine, 10 * rng.uniform() ** -0.5)
        row, column = rng.uniform(0, fine, 2)
        rows = slice(max(0, int(row - radius)), int(row + radius) + 1)
        columns = slice(max(0, int(column - radius)), int(column + radius) + 1)
        inside = (y[rows, columns] - row) ** 2 + (x[rows, columns] - column) ** 2 < radius**2
        picture[rows, columns][inside] = rng.uniform(0.1, 0.9, 3)
    small = picture.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
    return _eight_bits(torch.from_numpy(small.transpose(2, 0, 1)).float())


def _eight_bits(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    return _photograph()


def _damaged(clean: Tensor, damage: Degradation) -> Image:
    return Image(_eight_bits(damage(clean[None], torch.Generator().manual_seed(1)))[0])


def test_nothing_is_found_in_a_whole_picture(photograph: Tensor) -> None:
    found = diagnose(Image(photograph))
    assert found.findings == ()
    assert found.damages == ()
    assert str(found) == "nothing found"
    assert found.sigma < 1


@pytest.mark.parametrize(
    ("damage", "kind", "value", "tolerance"),
    [
        (GaussianNoise(5), "noise", 5, 0.7), (GaussianNoise(15), "noise", 15, 1), (GaussianNoise(40), "noise", 40, 4),
        (Jpeg(10), "jpeg", 10, 0), (Jpeg(30), "jpeg", 30, 0), (Jpeg(75, "4:4:4"), "jpeg", 75, 0),
        (GaussianBlur(1.0), "blur", 1, 0.3), (GaussianBlur(2.0), "blur", 2, 0.3), (GaussianBlur(3.0), "blur", 3, 0.5),
        (Upsample(2), "enlarged", 2, 0.3), (Upsample(3), "enlarged", 3, 0.3),
    ],
)  # fmt: skip
def test_a_damage_is_found_and_measured(
    photograph: Tensor, damage: Degradation, kind: Kind, value: float, tolerance: float
) -> None:
    found = diagnose(_damaged(photograph, damage))
    finding = found.find(kind)
    assert finding is not None, str(found)
    assert finding.value == pytest.approx(value, abs=tolerance)
    assert finding.mend
    assert finding in found.damages
    assert finding.summary in str(found)
    assert finding.evidence in str(found)


@pytest.mark.parametrize(("row", "column"), [(0, 3), (5, 0), (7, 7)])
def test_the_grid_of_a_cropped_jpeg_is_found(photograph: Tensor, row: int, column: int) -> None:
    coded = Jpeg(50)(photograph[None])[0][:, row:, column:]
    finding = diagnose(Image(coded.contiguous())).find("jpeg")
    assert finding is not None
    assert finding.value == pytest.approx(50, abs=1)
    down, across = (8 - row) % 8, (8 - column) % 8
    assert f"shifted by {across} and {down} pixels" in finding.evidence


def test_a_fine_jpeg_is_found_and_left(photograph: Tensor) -> None:
    found = diagnose(_damaged(photograph, Jpeg(90)))
    finding = found.find("jpeg")
    assert finding is not None
    assert finding.value == 90
    assert found.damages == ()


def test_the_tables_of_the_file_are_believed(photograph: Tensor) -> None:
    settings = JpegSettings(tables={0: luma_table(35)}, subsampling=0)
    finding = diagnose(Image(photograph, metadata=Metadata(format="JPEG", jpeg=settings))).find("jpeg")
    assert finding is not None
    assert (finding.value, finding.evidence, finding.mend) == (35, "the file's tables", True)


def test_grey_is_told_and_no_damage(photograph: Tensor) -> None:
    grey = photograph.mean(0, keepdim=True)
    alike = diagnose(Image(grey.expand(3, -1, -1).contiguous()))
    for found in (diagnose(Image(grey)), alike):
        assert found.find("grey") is not None
        assert found.damages == ()
    one_spot = grey.expand(3, -1, -1).clone()
    one_spot[0, 250, 3] = 1 - one_spot[0, 250, 3] if abs(float(one_spot[0, 250, 3]) - 0.5) > 0.1 else 0
    assert diagnose(Image(one_spot)).find("grey") is None


def test_large_pictures_are_judged_by_parts_on_the_grid_of_the_whole(photograph: Tensor) -> None:
    large = Jpeg(40)(photograph.repeat(1, 3, 4)[None])[0]
    assert large.shape == (3, 768, 1024)
    finding = diagnose(Image(large)).find("jpeg")
    assert finding is not None
    assert finding.value == 40
    assert "shifted" not in finding.evidence


def test_deep_pictures_are_judged_alike(photograph: Tensor) -> None:
    blurred = GaussianBlur(2.0)(photograph[None])[0].clamp(0, 1)  # not rounded: below 8 bits, nothing counts
    finding = diagnose(Image(blurred, metadata=Metadata(bit_depth=16))).find("blur")
    assert finding is not None
    assert finding.value == pytest.approx(2, abs=0.3)


@settings(max_examples=12)
@given(
    pixels=arrays.arrays(
        np.float32,
        st.tuples(st.sampled_from([1, 3]), st.sampled_from([1, 2, 7, 9, 33, 66]), st.sampled_from([1, 3, 8, 17, 70])),
        elements=st.floats(0, 1, width=32),
    )
)
def test_any_picture_gets_finite_answers(pixels: np.ndarray) -> None:
    found = diagnose(Image(torch.from_numpy(pixels.copy())))
    assert np.isfinite(found.sigma)
    assert all(np.isfinite(finding.value) and finding.summary and finding.evidence for finding in found.findings)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (64, 64), (520, 700)])
def test_one_colour_has_no_damage(level: float, size: tuple[int, int]) -> None:
    assert diagnose(Image(torch.full((3, *size), level))).damages == ()


def test_smooth_slopes_and_flat_noise_are_neither_blurred_nor_jpeg() -> None:
    slope = torch.linspace(0.1, 0.9, 256).expand(3, 256, 256).contiguous()
    assert diagnose(Image(_eight_bits(slope))).damages == ()
    flat = _damaged(torch.full((3, 256, 256), 0.5), GaussianNoise(20))
    assert [finding.kind for finding in diagnose(flat).damages] == ["noise"]


def test_texture_is_coarser_than_noise() -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal((3, 128, 128)).astype(np.float32)
    found = whiteness([white])
    assert found is not None
    assert found[0] == pytest.approx(1, abs=0.1)
    assert found[1] == pytest.approx(1, abs=0.3)
    coarse = GaussianBlur(1.0)(torch.from_numpy(white)[None])[0].numpy()
    blurred = whiteness([coarse])
    assert blurred is not None
    assert blurred[1] > 3
    assert whiteness([white[:, :8, :8]]) is None


def test_too_small_for_an_answer_is_none() -> None:
    small = np.random.default_rng(0).uniform(0, 255, (63, 200)).astype(np.float32)
    assert softness([small], 1.0) is None
    assert find_blocks([small[:7]]) is None


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 100])
def test_tables_are_those_of_libjpeg(quality: int, tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", quality=quality)
    settings = open_image(tmp_path / "a.jpg").metadata.jpeg
    assert settings is not None
    assert sorted(settings.tables[0]) == sorted(luma_table(quality))
    assert quality_of_table(settings.tables[0]) == quality
