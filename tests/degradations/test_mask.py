"""Masks: 1 = kept; shares and shapes as stated."""

from __future__ import annotations

import math

import pytest
import torch

from retouch.degradations.mask import FixedMask, Holes, RandomMask, RandomPixels, Scratches
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


RANDOM: list[RandomMask] = [
    RandomPixels(0.3),
    Holes(),
    Holes(shape="ellipse"),
    Holes(shape="rectangle"),
    Holes(shape="stroke"),
    Scratches(),
    Scratches(fill=1.0),
]


@pytest.mark.parametrize("degradation", RANDOM, ids=repr)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 20), (90, 120)])
def test_masks_are_binary_and_what_the_call_applies(degradation: RandomMask, size: tuple[int, int]) -> None:
    mask = degradation.mask(size, seeded(4))
    assert mask.shape == (1, *size)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    x = torch.rand((1, 3, *size)) * 0.8 + 0.1
    y = degradation(x, seeded(4))
    assert torch.equal(y, degradation.draw(size, seeded(4))(x))
    kept = mask[None].expand_as(x) == 1
    assert torch.equal(y[kept], x[kept])
    assert (y[~kept] == degradation.fill).all()


def test_random_pixels_share() -> None:
    mask = RandomPixels(0.3).mask((500, 500), seeded())
    assert float(mask.mean()) == pytest.approx(0.7, abs=0.005)
    assert RandomPixels(0.0).mask((9, 9), seeded()).all()
    assert not RandomPixels(1.0).mask((9, 9), seeded()).any()


@pytest.mark.parametrize(("shape", "area"), [("ellipse", math.pi / 4), ("rectangle", 1.0)])
def test_one_hole_has_the_stated_area(shape: str, area: float) -> None:
    found = []
    for seed in range(60):
        mask = Holes(1, 0.2, 0.2, shape).mask((200, 200), seeded(seed))[0]
        rim = torch.cat((mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        if rim.all():  # not cut by the border
            found.append(float((1 - mask).sum()))
    assert len(found) > 10
    assert all(value == pytest.approx(area * 40**2, rel=0.05) for value in found)


def test_count_of_holes() -> None:
    from skimage.measure import label

    mask = Holes(6, 0.01, 0.01, "ellipse").mask((400, 400), seeded(3))[0]
    assert 4 <= int(label(mask.numpy() == 0).max()) <= 6
    assert Holes(0).mask((9, 9), seeded()).all()
    specks = Holes(1, 1e-6, 1e-6)  # a hole smaller than a pixel is one lost pixel
    assert all(int((1 - specks.mask((20, 30), seeded(s))).sum()) == 1 for s in range(20))


def test_a_scratch_is_long_and_thin() -> None:
    from skimage.measure import label, regionprops

    for seed in range(10):
        lost = 1 - Scratches(1, width=0.01, length=0.5).mask((400, 400), seeded(seed))[0]
        assert 0 < float(lost.sum()) <= 200 * 4 + 50  # at most the length times the width, pixels rounded outwards
        largest = max(regionprops(label(lost.numpy() > 0)), key=lambda r: r.area)
        if largest.area > 60:
            assert largest.axis_major_length > 6 * largest.axis_minor_length


def test_a_scratch_without_gaps_is_connected() -> None:
    """Two points a pixel: where pressure stays on, no pixel is skipped; each scratch breaks at most a few times."""
    from skimage.measure import label

    for seed in range(10):
        lost = 1 - Scratches(1, width=0.001, length=1).mask((300, 300), seeded(seed))[0]
        assert int(label(lost.numpy() > 0, connectivity=2).max()) <= 8


def test_sizes_follow_the_picture() -> None:
    small = sum(float((1 - Scratches(8).mask((400, 400), seeded(s))).mean()) for s in range(6))
    large = sum(float((1 - Scratches(8).mask((1200, 1200), seeded(s))).mean()) for s in range(6))
    assert small == pytest.approx(large, rel=0.3)


def test_fixed_mask_is_linear_and_its_own_adjoint() -> None:
    mask = torch.rand(6, 5)
    fixed = FixedMask(mask)
    assert fixed.linear
    assert fixed.mask.shape == (1, 6, 5)
    x, y = (torch.randn((2, 3, 6, 5), dtype=torch.float64, generator=seeded(s)) for s in (0, 1))
    torch.testing.assert_close((fixed(x) * y).sum(), (x * fixed.adjoint(y)).sum())
    filled = FixedMask(mask > 0.5, fill=0.25)
    assert not filled.linear
    with pytest.raises(TypeError, match="not linear"):
        filled.adjoint(y)
    assert (filled(x)[:, :, mask <= 0.5] == 0.25).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(OptionError, match="the mask is 5x6 pixels, the picture 7x6"):
        FixedMask(torch.ones(6, 5))(torch.zeros((1, 3, 6, 7)))


@pytest.mark.parametrize(
    "mask", [torch.ones(3, 4, 4), torch.ones(4), torch.full((4, 4), 2.0), torch.full((2, 2), math.nan)]
)
def test_bad_masks_are_refused(mask: torch.Tensor) -> None:
    with pytest.raises(OptionError, match="FixedMask: mask"):
        FixedMask(mask)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'blob'"):
        Holes(shape="blog")
    with pytest.raises(OptionError, match=r"smallest \(0.3\) must not exceed largest \(0.1\)"):
        Holes(1, 0.3, 0.1)
    with pytest.raises(OptionError, match="count must be a whole number"):
        Scratches(2.5)  # type: ignore[arg-type]


def test_fills_by_word() -> None:
    x = torch.rand((1, 3, 40, 50), generator=seeded(9)) * 0.5 + 0.2
    mask = Holes(3, 0.2, 0.4).mask((40, 50), seeded(1))
    lost = mask[0] == 0
    assert lost.sum() > 30

    def filled(fill: str, seed: int = 0) -> torch.Tensor:
        y = FixedMask(mask, fill)(x, seeded(seed))
        assert torch.equal(y[..., ~lost], x[..., ~lost])
        return y[0, :, lost]

    assert (filled("black") == 0).all()
    assert (filled("white") == 1).all()
    torch.testing.assert_close(filled("mean")[:, 0], x[0, :, ~lost].mean(1))
    colour = filled("colour")
    assert (colour == colour[:, :1]).all()
    assert len(colour[:, 0].unique()) == 3
    assert not torch.equal(colour, filled("colour", 1))
    noise = filled("noise")
    assert len(noise.unique()) > 0.9 * noise.numel()
    whites = [bool((filled("random", seed) == 1).all()) for seed in range(60)]
    assert 3 < sum(whites) < 30  # a fifth
    assert not FixedMask(mask, "black").linear
    # a picture of which nothing is kept has no mean
    assert (FixedMask(torch.zeros(4, 4), "mean")(torch.rand(1, 3, 4, 4)) == 0.5).all()


def test_each_picture_of_a_batch_gets_its_own_fill() -> None:
    y = Holes(1, 1.0, 1.0, "rectangle", "colour")(torch.zeros((5, 3, 20, 20)), seeded())
    assert len({tuple(one.amax((1, 2)).tolist()) for one in y}) == 5


def test_a_stroke_is_thin_and_of_the_area_of_its_square() -> None:
    from skimage.measure import label, regionprops

    areas, slender = [], []
    for seed in range(40):
        lost = 1 - Holes(1, 0.1, 0.1, "stroke").mask((400, 400), seeded(seed))[0]
        rim = torch.cat((lost[0], lost[-1], lost[:, 0], lost[:, -1]))
        if rim.any():
            continue
        labels, number = label(lost.numpy() > 0, return_num=True)
        assert number == 1
        areas.append(float(lost.sum()))
        slender.append(regionprops(labels)[0].solidity)
    assert len(areas) > 20
    assert 0.7 * 40**2 < sum(areas) / len(areas) < 1.1 * 40**2  # it crosses itself here and there
    assert sum(slender) / len(slender) < 0.75


def test_bad_fills_are_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'noise'"):
        Holes(fill="nose")
    with pytest.raises(OptionError, match="fill must be at least 0 and at most 1"):
        RandomPixels(fill=1.5)
