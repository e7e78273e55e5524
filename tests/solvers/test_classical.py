"""The classical methods: against their libraries, against what they are for, and on every kind of picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from skimage import data
from skimage.restoration import denoise_tv_chambolle, inpaint_biharmonic

from retouch.degradations.base import Identity
from retouch.degradations.mask import FixedMask, RandomPixels
from retouch.image.errors import OptionError
from retouch.image.image import Image, JpegSettings, Metadata
from retouch.image.resize import resize
from retouch.solvers import classical
from retouch.solvers.classical import (
    Biharmonic,
    Bilateral,
    GuidedFilter,
    Interpolation,
    JpegReapplication,
    NavierStokes,
    Telea,
    TotalVariation,
)


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean()))


def noisy(clean: torch.Tensor, sigma: float) -> torch.Tensor:
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return (clean + noise * sigma / 255).clamp(0, 1)


CAMERA = Image.from_array(data.camera()[100:228, 150:278]).pixels
FACE = Image.from_array(data.astronaut()[20:148, 150:278]).pixels
HALVED = Identity()
HALVED.scale = Fraction(1, 2)


def jpeg(clean: torch.Tensor, quality: int, subsampling: int = 2) -> Image:
    """As ``files.open`` would give it: with the tables of the file."""
    with io.BytesIO() as buffer:
        array = Image(clean).to_array(8)
        PillowImage.fromarray(array).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        picture = PillowImage.open(buffer)
        tables = {slot: tuple(table) for slot, table in picture.quantization.items()}
        settings_ = JpegSettings(tables, subsampling)
        return Image.from_array(np.asarray(picture), Metadata(format="JPEG", jpeg=settings_))


# --- interpolation


def test_interpolation_is_resize_and_takes_the_alpha_along() -> None:
    image = Image(FACE[:, :20, :24], torch.rand(1, 20, 24))
    out = Interpolation(kernel="lanczos3").solve(image, HALVED).image
    assert torch.allclose(out.pixels, resize(image.pixels[None], scale=2, kernel="lanczos3")[0].clamp(0, 1))
    assert out.alpha is not None
    assert out.alpha.shape == (1, 40, 48)


def test_interpolation_without_resizing_changes_nothing() -> None:
    image = Image(FACE)
    assert Interpolation().solve(image).image is image


# --- denoisers


@pytest.mark.parametrize("solver", [TotalVariation(), Bilateral()])
@pytest.mark.parametrize("clean", [CAMERA, FACE], ids=["grey", "colour"])
@pytest.mark.parametrize(("sigma", "gain"), [(15, 3.5), (25, 5.0), (50, 6.0)])
def test_denoisers_take_out_noise_of_an_unknown_level(
    solver: Any, clean: torch.Tensor, sigma: float, gain: float
) -> None:
    y = noisy(clean, sigma)
    assert psnr(solver.solve(Image(y)).image.pixels, clean) > psnr(y, clean) + gain


def test_total_variation_is_that_of_scikit_image() -> None:
    y = noisy(FACE, 25)
    expected = denoise_tv_chambolle(
        y.permute(1, 2, 0).numpy(), weight=0.5 * 25 / 255, eps=0, max_num_iter=40, channel_axis=-1
    )
    out = TotalVariation(sigma=25, strength=0.5, iterations=40).solve(Image(y)).image.pixels
    assert np.abs(out.permute(1, 2, 0).numpy() - expected.clip(0, 1)).max() < 1e-5


def test_total_variation_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    y = Image(noisy(CAMERA, 25))
    solver = TotalVariation(sigma=25, iterations=20)
    whole = solver.solve(y).image.pixels
    monkeypatch.setattr(classical, "_SIDE", 40)
    parts = solver.solve(y)
    assert parts.steps == 16
    assert torch.allclose(parts.image.pixels, whole, atol=1e-5)


def test_bilateral_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    y = Image(noisy(FACE, 25))
    whole = Bilateral(sigma=25).solve(y).image.pixels
    monkeypatch.setattr(classical, "_SIDE", 40)
    # OpenCV tabulates the weights over the range of each window
    assert torch.allclose(Bilateral(sigma=25).solve(y).image.pixels, whole, atol=1e-3)


def test_bilateral_by_its_formula() -> None:
    y = noisy(CAMERA[:, :16, :16], 25)[0]
    out = Bilateral(sigma=25, strength=2.0, space=1.0).solve(Image(y[None])).image.pixels[0]
    total, mass = 0.0, 0.0
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if dy * dy + dx * dx > 4:
                continue  # OpenCV's neighbourhood is round
            value = float(y[8 + dy, 8 + dx])
            difference = (value - float(y[8, 8])) / (2.0 * 25 / 255)
            weight = np.exp(-(dy * dy + dx * dx) / 2 - difference**2 / 2)
            total, mass = total + weight * value, mass + weight
    assert float(out[8, 8]) == pytest.approx(total / mass, abs=1e-3)


# --- JPEG


@pytest.mark.parametrize("quality", [10, 20, 40])
@pytest.mark.parametrize(("clean", "subsampling"), [(CAMERA, 2), (FACE, 0), (FACE, 2)])
def test_reapplication_beats_the_jpeg(clean: torch.Tensor, subsampling: int, quality: int) -> None:
    image = jpeg(clean, quality, subsampling)
    assert psnr(JpegReapplication().solve(image).image.pixels, clean) > psnr(image.pixels, clean) + 0.4


def test_reapplication_needs_no_grid_at_the_corner() -> None:
    image = jpeg(CAMERA, 10)
    cropped = Image(image.pixels[:, 3:, 5:].contiguous(), metadata=image.metadata)
    whole = JpegReapplication().solve(image).image.pixels
    assert torch.allclose(JpegReapplication().solve(cropped).image.pixels[:, 8:, 8:], whole[:, 11:, 13:], atol=1e-5)


def test_reapplication_with_real_jpeg() -> None:
    """The same thing done the slow way: shift, code and decode with Pillow, shift back, average."""
    image = jpeg(CAMERA * 0.6 + 0.2, 20)  # away from black and white, where a decoder clips
    out = JpegReapplication(quality=20).solve(image).image.pixels[0].numpy() * 255
    array = image.to_array(8)
    total = np.zeros(array.shape)
    for dy in range(8):
        for dx in range(8):
            with io.BytesIO() as buffer:
                shifted = np.pad(array, ((dy, 8 - dy), (dx, 8 - dx)), mode="edge")
                PillowImage.fromarray(shifted).save(buffer, "JPEG", quality=20)
                decoded = np.asarray(PillowImage.open(buffer), dtype=np.float64)
            total += decoded[dy : dy + array.shape[0], dx : dx + array.shape[1]]
    difference = np.abs(out - total / 64)[8:-8, 8:-8]
    assert difference.mean() < 0.2  # libjpeg rounds each decoded picture to whole levels
    assert np.quantile(difference, 0.999) < 1.5


@pytest.mark.parametrize("quality", [10, 75, 95])
def test_tables_of_the_file_and_of_its_quality_agree(quality: int) -> None:
    image = jpeg(FACE[:, :32, :32], quality)
    plain = Image(image.pixels)
    with pytest.raises(OptionError, match="give the quality"):
        JpegReapplication().solve(plain)
    by_file = JpegReapplication().solve(image).image.pixels
    assert torch.equal(by_file, JpegReapplication(quality=quality).solve(plain).image.pixels)


def test_standard_tables_begin_as_the_standard_does() -> None:
    tables = classical._standard_tables(50)
    assert tables[0][:8] == (16, 11, 10, 16, 24, 40, 51, 61)  # ITU T.81, table K.1, first row
    assert tables[1][:8] == (17, 18, 24, 47, 99, 99, 99, 99)


def test_dct_basis_is_orthonormal_and_starts_with_the_mean() -> None:
    basis = classical._dct_basis().reshape(64, 64)
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-5)
    assert torch.allclose(basis[0], torch.full((64,), 0.125))


def test_reapplication_windows_do_not_show() -> None:
    image = jpeg(Image.from_array(data.astronaut()[:300, 100:380]).pixels, 20)
    out = JpegReapplication().solve(image)
    assert out.steps == 4
    tables, halved = JpegReapplication().tables(image)
    luma, chroma = (torch.tensor(t, dtype=torch.float32).view(1, 64, 1, 1) / 255 for t in tables)
    planes = torch.from_numpy(cv2.cvtColor(image.pixels.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2YCrCb))
    planes = planes.permute(2, 0, 1)
    whole = torch.cat([
        classical._reapply(planes[:1], luma), classical._reapply_chroma(planes[1:], chroma, halved)
    ])  # fmt: skip
    rgb = torch.from_numpy(cv2.cvtColor(whole.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_YCrCb2RGB))
    assert halved
    # rounding decides by float error where a coefficient lies between two steps
    assert float((out.image.pixels - rgb.permute(2, 0, 1).clamp(0, 1)).abs().mean()) < 1e-5


# --- guided filter


def test_guided_filter_by_its_formula() -> None:
    """In the middle of a picture no larger than needed, from box means."""
    source, guide = noisy(CAMERA[:, :33, :33], 15), CAMERA[:, :33, :33]
    out = GuidedFilter(radius=3, smoothness=10).solve(Image(source), guide=Image(guide)).image.pixels

    def mean(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x[None].double(), 7, stride=1, padding=3)[0]

    covariance = mean(source * guide) - mean(source) * mean(guide)
    a = covariance / (mean(guide * guide) - mean(guide).square() + (10 / 255) ** 2)
    b = mean(source) - a * mean(guide)
    expected = mean(a) * guide + mean(b)
    assert torch.allclose(out[:, 12:21, 12:21].double(), expected[:, 12:21, 12:21], atol=1e-4)


def test_guide_without_noise_helps_more_than_the_picture_itself() -> None:
    y = Image(noisy(FACE * 0.4, 20))
    guided = GuidedFilter().solve(y, guide=Image(FACE)).image.pixels
    by_itself = GuidedFilter().solve(y, guide=y).image.pixels
    assert psnr(guided, FACE * 0.4) > psnr(y.pixels, FACE * 0.4) + 15
    assert psnr(guided, FACE * 0.4) > psnr(by_itself, FACE * 0.4) + 10


def test_guide_may_be_grey_and_must_fit() -> None:
    y = Image(FACE)
    assert GuidedFilter().solve(y, guide=Image(CAMERA)).image.channels == 3
    assert GuidedFilter().solve(Image(CAMERA), guide=y).image.channels == 1
    with pytest.raises(OptionError, match="guide is 127x128"):
        GuidedFilter().solve(y, guide=Image(CAMERA[:, :, :127]))


def test_guided_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    y, guide = Image(noisy(FACE, 15)), Image(CAMERA)
    whole = GuidedFilter(radius=4).solve(y, guide=guide).image.pixels
    monkeypatch.setattr(classical, "_SIDE", 40)
    parts = GuidedFilter(radius=4).solve(y, guide=guide)
    assert parts.steps == 16
    assert torch.allclose(parts.image.pixels, whole, atol=1e-4)


# --- inpainting

INPAINTERS = [Biharmonic(), Telea(), NavierStokes()]


def scratches(size: tuple[int, int]) -> torch.Tensor:
    mask = torch.ones(1, *size)
    mask[:, size[0] // 3 : size[0] // 3 + 3, 2:-2] = 0
    mask[:, 4 : size[0] // 2, size[1] // 2 : size[1] // 2 + 3] = 0
    return mask


@pytest.mark.parametrize("solver", INPAINTERS)
@pytest.mark.parametrize("clean", [CAMERA, FACE], ids=["grey", "colour"])
def test_scratches_are_filled_and_the_rest_stays(solver: Any, clean: torch.Tensor) -> None:
    mask = scratches((128, 128))
    degradation = FixedMask(mask)
    y = degradation(clean[None])[0]
    out = solver.solve(Image(y), degradation).image.pixels
    lost = mask.expand_as(clean) == 0
    assert torch.equal(out[~lost], clean[~lost])
    assert psnr(out[lost], clean[lost]) > 20


@pytest.mark.parametrize("solver", INPAINTERS)
def test_what_lies_under_the_mask_does_not_matter(solver: Any) -> None:
    mask = scratches((40, 40))
    degradation = FixedMask(mask)
    one = CAMERA[:, :40, :40]
    two = torch.where(mask == 0, 1 - one, one)
    outs = [solver.solve(Image(x), degradation).image.pixels for x in (one, two)]
    assert torch.allclose(outs[0], outs[1], atol=1e-4)


@pytest.mark.parametrize("solver", INPAINTERS)
def test_a_plane_is_continued(solver: Any) -> None:
    clean = torch.linspace(0.2, 0.8, 41).expand(1, 41, 41).contiguous()
    mask = torch.ones(1, 41, 41)
    mask[:, 15:26, 15:26] = 0
    out = solver.solve(Image(clean * mask), FixedMask(mask)).image.pixels
    tolerance = 1e-3 if isinstance(solver, Biharmonic) else 0.12  # the smoothest surface through a plane is the plane
    assert float((out - clean).abs().max()) < tolerance


def test_telea_is_that_of_opencv() -> None:
    clean = (CAMERA[0, :60, :60] * 255).round().to(torch.uint8).numpy()
    lost = np.zeros_like(clean)
    lost[20:24, 5:50] = 1
    expected = cv2.inpaint(clean, lost, 3, cv2.INPAINT_TELEA).astype(float)
    out = Telea().solve(Image.from_array(clean), FixedMask(torch.from_numpy(1.0 - lost).float())).image.pixels
    assert np.abs(out[0].numpy() * 255 - expected)[lost > 0].mean() < 1.5


@pytest.mark.parametrize("solver", [Telea(), NavierStokes()])
def test_filling_has_more_than_eight_bits(solver: Any) -> None:
    clean = torch.linspace(0.5, 0.51, 64).expand(1, 64, 64).contiguous()
    mask = torch.ones(1, 64, 64)
    mask[:, 30:33, 5:60] = 0
    out = solver.solve(Image(clean * mask), FixedMask(mask)).image.pixels[0, 31, 5:60]
    assert len(out.unique()) > 20
    assert torch.allclose(out, clean[0, 31, 5:60], atol=2e-3)


def test_biharmonic_is_that_of_scikit_image_in_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    degradation = RandomPixels(missing=0.3).draw((128, 128), torch.Generator().manual_seed(0))
    y = degradation(CAMERA[None])[0]
    expected = inpaint_biharmonic(y[0].numpy(), degradation.mask[0].numpy() == 0)
    one = Biharmonic().solve(Image(y), degradation)
    assert np.abs(one.image.pixels[0].numpy() - expected).max() < 1e-4
    monkeypatch.setattr(classical, "_SIDE", 64)
    parts = Biharmonic().solve(Image(y), degradation)
    assert (one.steps, parts.steps) == (1, 4)
    # scikit-image clips to the range of what is known, which is another one in each window
    assert float((parts.image.pixels - one.image.pixels).abs().mean()) < 1e-3


@pytest.mark.parametrize("solver", INPAINTERS)
def test_masks_that_are_no_use(solver: Any) -> None:
    image = Image(CAMERA)
    assert solver.solve(image, FixedMask(torch.ones(1, 128, 128))).image is image
    with pytest.raises(OptionError, match="nothing to fill from"):
        solver.solve(image, FixedMask(torch.zeros(1, 128, 128)))
    with pytest.raises(OptionError, match="mask is 127x128"):
        solver.solve(image, FixedMask(torch.ones(1, 128, 127)))
    for degradation in (Identity(), RandomPixels()):
        with pytest.raises(OptionError, match="has no mask"):
            solver.solve(image, degradation)


# --- all of them


def guided(image: Image) -> Image:
    return GuidedFilter().solve(image, guide=image).image


def filled(solver: Any) -> Callable[[Image], Image]:
    def run(image: Image) -> Image:
        mask = torch.ones(1, image.height, image.width)
        mask[:, image.height // 2, image.width // 2] = 0
        if mask.numel() == 1:
            mask[:] = 1
        return solver.solve(image, FixedMask(mask)).image  # type: ignore[no-any-return]

    return run


EVERY: dict[str, Callable[[Image], Image]] = {
    "tv": lambda image: TotalVariation(sigma=25).solve(image).image,
    "tv estimated": lambda image: TotalVariation().solve(image).image,
    "bilateral": lambda image: Bilateral(sigma=25).solve(image).image,
    "jpeg": lambda image: JpegReapplication(quality=30).solve(image).image,
    "guided": guided,
    "biharmonic": filled(Biharmonic()),
    "telea": filled(Telea()),
    "navier-stokes": filled(NavierStokes()),
}


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=20)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.sampled_from([1, 3]),
    colour=st.sampled_from([0.0, 0.5, 1.0, None]),
)
def test_any_picture_comes_back_finite(name: str, height: int, width: int, channels: int, colour: float | None) -> None:
    shape = (channels, height, width)
    pixels = torch.rand(shape) if colour is None else torch.full(shape, colour)
    alpha = torch.rand(1, height, width)
    out = EVERY[name](Image(pixels.clone(), alpha))
    assert out.pixels.shape == pixels.shape
    assert bool(torch.isfinite(out.pixels).all())
    assert torch.equal(out.alpha, alpha)  # type: ignore[arg-type]
    if colour is not None and name != "jpeg":
        assert torch.allclose(out.pixels, pixels, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_input_is_left_alone(name: str) -> None:
    pixels = noisy(FACE[:, :40, :40], 25)
    image = Image(pixels.clone())
    EVERY[name](image)
    assert torch.equal(image.pixels, pixels)


def test_a_listener_cancels() -> None:
    image = Image(torch.rand(1, 20, 1100))
    solution = TotalVariation(sigma=25, iterations=2).solve(image, on_step=lambda step: False)
    assert solution.stopped_because == "cancelled"
    assert torch.equal(solution.image.pixels[:, :, 512:], image.pixels[:, :, 512:])


@pytest.mark.parametrize(
    "make",
    [
        lambda: TotalVariation(sigma=-1),
        lambda: TotalVariation(strength=0),
        lambda: TotalVariation(iterations=0),
        lambda: Bilateral(space=0),
        lambda: Bilateral(strength=0),
        lambda: JpegReapplication(quality=0),
        lambda: JpegReapplication(quality=101),
        lambda: GuidedFilter(radius=0),
        lambda: GuidedFilter(smoothness=0),
        lambda: Telea(radius=0),
        lambda: TotalVariation().solve(Image(torch.rand(1, 4, 4)), HALVED),
    ],
)
def test_refuses_wrong_options(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError):
        make()
