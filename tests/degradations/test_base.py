"""The contract that all degradations keep, swept over the table of kinds."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from retouch.degradations.base import Chain, Degradation, Identity
from retouch.degradations.blur import DefocusBlur, GaussianBlur, KernelBlur, MotionBlur
from retouch.degradations.geometry import Crop, Flip, RandomCrop, Rotate, Rotate90, Shift, Zoom
from retouch.degradations.mask import FixedMask, RandomPixels
from retouch.degradations.noise import CorrelatedNoise, GaussianNoise, PoissonNoise, Speckle
from retouch.degradations.recipe import KINDS
from retouch.degradations.resample import Downsample, LanczosDownsample, ResizeBlur, Upsample
from retouch.image.errors import OptionError

SMALL = {"crop": {"height": 1, "width": 1}, "random_crop": {"size": 1}}
SIZES = [(1, 1), (1, 9), (5, 7), (16, 13)]


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def picture(size: tuple[int, int], channels: int = 3, batch: int = 1, seed: int = 1) -> Tensor:
    return torch.rand((batch, channels, *size), generator=seeded(seed))


def make(kind: str) -> Degradation:
    return KINDS[kind](**SMALL.get(kind, {}))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_everywhere(kind: str, size: tuple[int, int]) -> None:
    degradation = make(kind)
    for channels in (1, 3):
        x = picture(size, channels, batch=2)
        before = x.clone()
        y = degradation(x, seeded())
        assert torch.equal(x, before), "the input was written to"
        assert y.shape[:2] == x.shape[:2]
        assert y.dtype == x.dtype
        assert torch.isfinite(y).all()
        if kind not in ("crop", "random_crop", "rotate90"):
            expected = tuple(-(-side * degradation.scale.numerator // degradation.scale.denominator) for side in size)
            assert y.shape[2:] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_and_the_global_generator_is_not_touched(kind: str) -> None:
    x = picture((16, 13), batch=2)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make(kind)(x, seeded(7))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(make(kind)(x, seeded(7)), first)


@pytest.mark.parametrize(
    "kind",
    [
        "gaussian_noise",
        "poisson_noise",
        "salt_and_pepper",
        "speckle",
        "random_gaussian_blur",
        "random_pixels",
        "holes",
        "scratches",
        "text_overlay",
        "watermark",
        "random_jpeg",
        "random_crop",
        "random_rotate",
        "perspective",
    ],
)
def test_each_picture_of_a_batch_gets_its_own_draw(kind: str) -> None:
    degradation = KINDS[kind](size=16) if kind == "random_crop" else KINDS[kind]()
    x = picture((48, 40)).expand(4, -1, -1, -1)
    y = degradation(x, seeded(3))
    assert any(not torch.equal(y[0], other) for other in y[1:])


RESAMPLING = {"downsample", "lanczos_downsample", "upsample", "resize_blur"}
UNBOUNDED = RESAMPLING | {"gaussian_noise", "correlated_noise", "poisson_noise", "speckle"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - UNBOUNDED))
@pytest.mark.parametrize("fill", [0.0, 1.0, None])
def test_stays_within_the_range(kind: str, fill: float | None) -> None:
    x = picture((24, 21)) if fill is None else torch.full((1, 3, 24, 21), fill)
    y = make(kind)(x, seeded(5))
    assert float(y.min()) >= -1e-6
    assert float(y.max()) <= 1 + 1e-6


@pytest.mark.parametrize(
    "noise",
    [GaussianNoise(50, clip=True), PoissonNoise(5, clip=True), Speckle(99, clip=True), CorrelatedNoise(99, clip=True)],
)
def test_clipped_noise_stays_within_the_range(noise: Degradation) -> None:
    y = noise(picture((24, 21)), seeded(5))
    assert float(y.min()) >= 0
    assert float(y.max()) <= 1


LINEAR: list[Degradation] = [
    Identity(),
    GaussianBlur(1.3),
    GaussianBlur(6.0),
    MotionBlur(7.5, 33.0),
    DefocusBlur(2.7),
    KernelBlur([[1.0, 2.0, 0.5, -1.0], [0.0, 3.0, 1.0, 0.2]]),
    Downsample(3),
    Downsample(2, "lanczos3"),
    Downsample(2, "box"),
    Upsample(2),
    ResizeBlur(2.3),
    LanczosDownsample(2),
    LanczosDownsample(3, lobes=3),
    LanczosDownsample(4, phase=0),
    Flip("vertical"),
    Rotate(17.0),
    Rotate(90.0),
    Rotate90(1),
    Zoom(0.7),
    Shift(2.0, -3.0),
    Shift(0.4, 1.7),
    Crop(1, 2, 3, 4),
    GaussianBlur(1.0) >> Downsample(2) >> Shift(1.0, 1.0),
    MotionBlur(5, 45) >> LanczosDownsample(2),
    Rotate90(1) >> Crop(0, 1, 2, 3) >> Upsample(3),
]


@pytest.mark.parametrize("degradation", LINEAR, ids=repr)
@pytest.mark.parametrize("size", [(5, 7), (12, 9), (17, 16)])
def test_adjoint_by_the_dot_product_test(degradation: Degradation, size: tuple[int, int]) -> None:
    assert degradation.linear
    assert degradation.differentiable
    x = torch.randn((2, 3, *size), dtype=torch.float64, generator=seeded(1))
    out = degradation(x)
    y = torch.randn(out.shape, dtype=torch.float64, generator=seeded(2))
    back = degradation.adjoint(y, size)
    assert back.shape == x.shape
    torch.testing.assert_close((out * y).sum(), (x * back).sum(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("degradation", LINEAR, ids=repr)
def test_linear_ones_are_linear(degradation: Degradation) -> None:
    a, b = (torch.randn((1, 1, 11, 10), dtype=torch.float64, generator=seeded(s)) for s in (1, 2))
    torch.testing.assert_close(degradation(2 * a - 3 * b), 2 * degradation(a) - 3 * degradation(b))


SAME_SIZE = [link for link in LINEAR if link.scale == 1 and not isinstance(link, Crop | Chain)]


@settings(max_examples=30)
@given(
    links=st.lists(st.sampled_from(SAME_SIZE), max_size=3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
)
def test_adjoint_of_any_chain(links: list[Degradation], height: int, width: int) -> None:
    chain = Chain(*links)
    x = torch.randn((1, 1, height, width), dtype=torch.float64, generator=seeded(1))
    out = chain(x)
    y = torch.randn(out.shape, dtype=torch.float64, generator=seeded(2))
    torch.testing.assert_close((out * y).sum(), (x * chain.adjoint(y)).sum(), rtol=1e-9, atol=1e-9)


def test_adjoint_without_a_size_takes_the_one_the_scale_gives() -> None:
    y = torch.ones((1, 1, 3, 5))
    assert Downsample(4).adjoint(y).shape == (1, 1, 12, 20)
    assert (Rotate90(1) >> Downsample(2)).adjoint(y).shape == (1, 1, 10, 6)
    with pytest.raises(ValueError, match="uncropped"):
        Crop(0, 0, 3, 5).adjoint(y)
    with pytest.raises(ValueError, match="20x20"):
        Downsample(4).adjoint(y, (20, 20))


def test_adjoint_works_in_inference_mode_and_carries_gradients() -> None:
    blur = GaussianBlur(1.0)
    with torch.inference_mode():
        assert blur.adjoint(torch.ones((1, 1, 4, 4))).shape == (1, 1, 4, 4)
    y = torch.rand((1, 1, 5, 6), dtype=torch.float64, requires_grad=True)
    x = torch.rand((1, 1, 5, 6), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((blur.adjoint(y) * x).sum(), y)
    torch.testing.assert_close(gradient, blur(x))
    assert not blur.adjoint(y.detach()).requires_grad


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if make(kind).linear is False))
def test_what_is_not_linear_has_no_adjoint(kind: str) -> None:
    with pytest.raises(TypeError, match="not linear"):
        make(kind).adjoint(torch.zeros((1, 1, 4, 4)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if make(kind).differentiable])
def test_gradients_flow_and_are_finite(kind: str) -> None:
    x = picture((12, 12)).requires_grad_()
    with torch.no_grad():
        x[0, :, :3] = 0
    (gradient,) = torch.autograd.grad(make(kind)(x, seeded(4)).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not make(kind).differentiable])
def test_what_is_not_differentiable_carries_no_gradient(kind: str) -> None:
    assert not make(kind)(picture((12, 12)).requires_grad_(), seeded()).requires_grad


def test_chain_applies_from_left_to_right_and_is_flat() -> None:
    mask = FixedMask(torch.zeros(8, 8))
    x = picture((8, 8))
    chain = GaussianNoise(20) >> mask
    assert torch.equal(chain(x, seeded()), torch.zeros_like(x))
    assert not torch.equal((mask >> GaussianNoise(20))(x, seeded()), torch.zeros_like(x))
    longer = chain >> (Flip() >> Downsample(2))
    assert isinstance(longer, Chain)
    assert len(longer.links) == 4
    assert longer.scale == Fraction(1, 2)
    assert not longer.linear
    assert (Flip() >> Downsample(2)).linear
    assert (Upsample(2) >> Downsample(3)).scale == Fraction(2, 3)
    assert not (GaussianBlur(1.0) >> PoissonNoise()).differentiable


def test_chain_draws_from_one_generator_in_order() -> None:
    x = picture((6, 6))
    generator = seeded(3)
    by_hand = RandomPixels(0.5)(GaussianNoise(10)(x, generator), generator)
    assert torch.equal((GaussianNoise(10) >> RandomPixels(0.5))(x, seeded(3)), by_hand)


@pytest.mark.parametrize(
    "x", [torch.zeros(3, 4, 4), torch.zeros(1, 3, 0, 4), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)]
)
def test_a_wrong_tensor_is_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        GaussianNoise(25)(x)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_refuses_nan_text_and_truth(kind: str) -> None:
    import inspect

    for name, parameter in inspect.signature(KINDS[kind]).parameters.items():
        if parameter.annotation in ("int", "float"):
            for bad in (float("nan"), float("inf"), "7", True, None):
                with pytest.raises(OptionError, match=name):
                    KINDS[kind](**{**SMALL.get(kind, {}), name: bad})
        elif parameter.annotation in ("bool", "str", "Kernel"):
            with pytest.raises(OptionError, match=name):
                KINDS[kind](**{name: 3})


def test_repr_and_describe() -> None:
    assert repr(GaussianNoise(25)) == "GaussianNoise(sigma=25, clip=False)"
    assert repr(GaussianNoise(25) >> Flip()) == "GaussianNoise(sigma=25, clip=False) >> Flip(axis='horizontal')"
    assert GaussianNoise(12.34567).describe() == "gaussian noise (sigma 12.35, clip False)"
    assert (Flip() >> RandomCrop(8)).describe() == "flip (axis horizontal), then random crop (size 8)"
    assert KernelBlur(torch.ones(3, 5)).describe() == "kernel blur (kernel 3x5)"
    assert Identity().describe() == Chain().describe() == "nothing"


def test_half_precision_comes_back_in_half_precision() -> None:
    x = picture((9, 8)).to(torch.bfloat16)
    for kind in sorted(set(KINDS) - {"crop", "random_crop"}):
        assert KINDS[kind]()(x, seeded()).dtype == torch.bfloat16
