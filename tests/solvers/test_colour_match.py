"""Colours given from one picture to another."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.solvers.colour_match import match_colours, match_luma


def _picture(seed: int, spread: float, centre: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(3) + 0.3 * torch.rand(3, 3, generator=generator)
    noise = torch.rand(3, 600, generator=generator) - 0.5
    return (centre + 0.5 * spread * mixing @ noise).reshape(3, 20, 30)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), spread=st.floats(0.1, 0.5))
def test_mean_and_covariance_are_those_of_the_reference(seed: int, spread: float) -> None:
    picture, reference = _picture(seed, spread, 0.5), _picture(seed + 1, 0.3, 0.45)
    made = match_colours(picture, reference)
    inside = (made > 0) & (made < 1)
    if not bool(inside.all()):  # what is clipped has another covariance
        return
    assert torch.allclose(made.mean((1, 2)), reference.mean((1, 2)), atol=1e-4)
    assert torch.allclose(torch.cov(made.flatten(1)), torch.cov(reference.flatten(1)), atol=3e-4)


def test_a_picture_keeps_its_own_colours() -> None:
    picture = _picture(3, 0.4, 0.5)
    assert torch.allclose(match_colours(picture, picture), picture, atol=1e-4)


def test_pictures_of_one_colour_stay_finite() -> None:
    flat, varied = torch.full((3, 4, 5), 0.25), _picture(0, 0.4, 0.5)
    for made in (match_colours(flat, varied), match_colours(varied, flat), match_colours(flat, flat)):
        assert bool(made.isfinite().all())
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
    assert torch.allclose(match_luma(flat[:1], varied[:1]), varied[:1].mean().expand(1, 4, 5), atol=1e-6)
    assert torch.allclose(match_luma(varied[:1], flat[:1]), torch.full((1, 20, 30), 0.25), atol=1e-6)


def test_luma_takes_mean_and_deviation() -> None:
    picture, reference = torch.rand(1, 9, 9) * 0.3, torch.rand(1, 5, 5) * 0.2 + 0.4
    made = match_luma(picture, reference)
    assert torch.allclose(made.mean(), reference.mean(), atol=1e-5)
    assert torch.allclose(made.std(correction=0), reference.std(correction=0), atol=1e-5)
