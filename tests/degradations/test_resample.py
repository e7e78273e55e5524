"""Resampling: the Lanczos operator by its definition and by hand, the others by what a resize must do."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional

from retouch.degradations.resample import KERNELS, Downsample, LanczosDownsample, ResizeBlur, Upsample
from retouch.image.errors import OptionError


def published_kernel(factor: int, lobes: int, phase: float) -> np.ndarray:
    """The two-dimensional kernel from its definition: product of windowed sincs, normalised over the square."""
    width = 2 * lobes * factor + (0 if phase else 1)
    offsets = (np.arange(width) - (width - 1) / 2) / factor
    line = np.array(
        [
            1.0 if t == 0 else lobes * math.sin(math.pi * t) * math.sin(math.pi * t / lobes) / (math.pi * t) ** 2
            for t in offsets
        ]
    )
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


@pytest.mark.parametrize(
    ("factor", "lobes", "phase"), [(2, 2, 0.5), (4, 2, 0.5), (8, 2, 0.5), (4, 3, 0.5), (4, 2, 0), (3, 2, 0)]
)
def test_lanczos_is_one_strided_convolution(factor: int, lobes: int, phase: float) -> None:
    """YARDSTICKS 7a: 4f wide for phase 0.5 (4f + 1 for 0), replicated by half of what overlaps, stride f."""
    x = torch.rand((1, 3, 6 * factor, 5 * factor), dtype=torch.float64)
    kernel = torch.from_numpy(published_kernel(factor, lobes, phase))
    width = kernel.shape[0]
    assert width == 2 * lobes * factor + (0 if phase else 1)
    pad = (width - factor) // 2 if phase else (width - 1) // 2
    padded = functional.pad(x, (pad,) * 4, mode="replicate")
    expected = functional.conv2d(padded, kernel.expand(3, 1, -1, -1), stride=factor, groups=3)
    y = LanczosDownsample(factor, lobes, phase)(x)
    assert y.shape == (1, 3, 6, 5)
    torch.testing.assert_close(y, expected[..., :6, :5])


def test_lanczos_line_by_hand() -> None:
    """Factor 2, two lobes: taps at 1/4, 3/4, 5/4, 7/4 of an output pixel on both sides."""
    line, first = LanczosDownsample(2).line()
    half = [
        math.sin(math.pi * t) * math.sin(math.pi * t / 2) * 2 / (math.pi * t) ** 2 for t in (0.25, 0.75, 1.25, 1.75)
    ]
    expected = torch.tensor(half[::-1] + half, dtype=torch.float64)
    torch.testing.assert_close(line, expected / expected.sum())
    assert first == -3


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("lobes", [2, 3])
def test_lanczos_samples_at_the_centres_of_blocks(factor: int, lobes: int) -> None:
    """On a ramp every symmetric kernel gives the value at its centre, which is the mean of the block."""
    ramp = torch.arange(20.0 * factor, dtype=torch.float64).expand(1, 1, factor, -1)
    y = LanczosDownsample(factor, lobes)(ramp)
    blocks = ramp.reshape(1, 1, factor, 20, factor).mean((2, 4))[:, :, None]
    torch.testing.assert_close(y[..., 3:-3], blocks[..., 3:-3])
    first = LanczosDownsample(factor, lobes, phase=0)(ramp)
    torch.testing.assert_close(first[..., 3:-3], ramp[..., :1, ::factor][..., 3:-3])


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (7, 12), (33, 5)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_sizes_round_up_and_flat_stays_flat(size: tuple[int, int], factor: int) -> None:
    flat = torch.full((1, 1, *size), 0.3, dtype=torch.float64)
    small = math.ceil(size[0] / factor), math.ceil(size[1] / factor)
    for degradation in (LanczosDownsample(factor), *(Downsample(factor, kernel) for kernel in KERNELS)):
        assert degradation.scale == Fraction(1, factor)
        torch.testing.assert_close(degradation(flat), torch.full((1, 1, *small), 0.3, dtype=torch.float64))
    for kernel in KERNELS:
        large = torch.full((1, 1, size[0] * factor, size[1] * factor), 0.3, dtype=torch.float64)
        torch.testing.assert_close(Upsample(factor, kernel)(flat), large)
        torch.testing.assert_close(ResizeBlur(factor + 0.5, kernel)(flat), flat)


def test_a_factor_of_one_changes_nothing() -> None:
    x = torch.rand((1, 3, 6, 7))
    for degradation in (Downsample(1), Upsample(1), ResizeBlur(1.0), LanczosDownsample(1)):
        torch.testing.assert_close(degradation(x), x)


def test_box_is_the_block_mean_and_repeats_pixels() -> None:
    x = torch.rand((2, 3, 12, 8), dtype=torch.float64)
    torch.testing.assert_close(Downsample(4, "box")(x), functional.avg_pool2d(x, 4))
    torch.testing.assert_close(Upsample(2, "box")(x), x.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_lanczos3_equals_pillow() -> None:
    """Deep Image Prior makes its small pictures so. Inside, where Pillow's cut-off border plays no part."""
    from PIL import Image

    x = np.random.default_rng(0).random((64, 96), dtype=np.float32)
    expected = np.asarray(Image.fromarray(x).resize((24, 16), Image.Resampling.LANCZOS))
    y = Downsample(4, "lanczos3")(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(y[3:-3, 3:-3], expected[3:-3, 3:-3], atol=2e-6)


def test_resize_blur_removes_what_is_fine_and_keeps_what_is_coarse() -> None:
    columns = torch.arange(96, dtype=torch.float64)
    fine = torch.sin(columns * math.pi * 0.8).expand(1, 1, 96, -1)
    coarse = torch.sin(columns * math.pi * 0.05).expand(1, 1, 96, -1)
    blur = ResizeBlur(3.0)
    inner = (..., slice(12, -12))
    assert float(blur(fine)[inner].std()) < 0.05 * float(fine.std())
    assert float((blur(coarse) - coarse)[inner].abs().max()) < 0.01


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'lanczos3'"):
        Downsample(2, "lanczos4")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"phase must be 0 or 0\.5"):
        LanczosDownsample(4, phase=0.25)
    with pytest.raises(OptionError, match="factor must be a whole number"):
        Downsample(1.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="factor must be at least 1"):
        ResizeBlur(0.5)
