"""What a network is told of a picture's damages."""

from __future__ import annotations

from dataclasses import astuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retouch.degradations.base import Chain, Degradation
from retouch.degradations.blur import GaussianBlur
from retouch.degradations.geometry import Flip
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.levels import COUNT, Levels
from retouch.degradations.mask import Holes
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.resample import ResizeBlur
from retouch.degradations.words import RandomText


@pytest.mark.parametrize(
    ("degradation", "levels"),
    [
        (GaussianNoise(25), Levels(noise=0.5)),
        (Jpeg(30), Levels(jpeg=0.7)),
        (ResizeBlur(2), Levels(enlarged=0.5)),
        (GaussianBlur(1.5), Levels(blur=0.75)),
        (RandomText(), Levels(overlay=1)),
        (Holes(), Levels(overlay=1)),
        (Flip(), Levels()),
        (Chain(GaussianBlur(1), GaussianNoise(10), GaussianNoise(5)), Levels(blur=0.5, noise=0.2)),
        (Chain(Jpeg(80), Jpeg(40), Holes()), Levels(jpeg=0.6, overlay=1)),
    ],
)
def test_by_hand(degradation: Degradation, levels: Levels) -> None:
    assert astuple(Levels.caused_by(degradation)) == pytest.approx(astuple(levels))


def test_the_figures_of_a_diagnosis_and_those_of_the_damage_give_the_same() -> None:
    told = Levels.of(sigma=15, quality=30, factor=2, blur=1.2, overlay=True)
    done = Chain(ResizeBlur(2), GaussianBlur(1.2), RandomText(), GaussianNoise(15), Jpeg(30))
    assert astuple(told) == pytest.approx(astuple(Levels.caused_by(done)))


@given(st.floats(0, 1e4), st.floats(1, 100), st.floats(1, 64), st.floats(0, 1000), st.booleans())
def test_no_level_leaves_its_range(sigma: float, quality: float, factor: float, blur: float, overlay: bool) -> None:
    values = astuple(Levels.of(sigma=sigma, quality=quality, factor=factor, blur=blur, overlay=overlay))
    assert all(0 <= value <= 1 for value in values)


def test_nothing_wrong_is_told_as_nothing() -> None:
    assert astuple(Levels.of()) == (0,) * COUNT


def test_planes() -> None:
    planes = Levels(0.1, 0.2, 0.3, 0.4, 1).planes(torch.zeros(2, 3, 4, 5))
    assert planes.shape == (2, COUNT, 4, 5)
    assert torch.equal(planes[1, :, 3, 4], torch.tensor([0.1, 0.2, 0.3, 0.4, 1]))
    assert torch.equal(planes, planes[:1, :, :1, :1].expand(2, -1, 4, 5))
