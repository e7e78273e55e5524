"""Colour on an unchanged luma: exactness, gamut, and colour edges that follow those of the luma."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retouch.image.color import grey
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.solvers.chroma import chroma_of, coloured, with_chroma


def _random(seed: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))


def test_the_chroma_of_pure_colours_by_hand() -> None:
    red, blue = chroma_of(torch.tensor([1.0, 0, 0]).view(3, 1, 1)), chroma_of(torch.tensor([0, 0, 1.0]).view(3, 1, 1))
    assert red.flatten().tolist() == pytest.approx([-0.299 / 1.772, 0.5], abs=1e-6)
    assert blue.flatten().tolist() == pytest.approx([0.5, -0.114 / 1.402], abs=1e-6)
    assert float(chroma_of(torch.full((3, 2, 2), 0.3)).abs().max()) < 1e-6


@given(seed=st.integers(0, 999), height=st.integers(1, 9), width=st.integers(1, 9), strength=st.floats(0, 3))
def test_the_luma_stays_exactly_whatever_the_chroma(seed: int, height: int, width: int, strength: float) -> None:
    luma = _random(seed, 1, height, width)
    luma[0, 0, 0] = float(seed % 2)  # black or white: nothing fits
    chroma = (_random(seed + 1, 2, height, width) - 0.5) * strength
    rgb = with_chroma(luma, chroma)
    assert float(rgb.min()) >= 0
    assert float(rgb.max()) <= 1
    assert torch.allclose(grey(rgb), luma, atol=2e-6)
    saved = torch.from_numpy(Image(rgb).to_array(8).copy()).permute(2, 0, 1).float() / 255
    assert float((grey(saved) - luma).abs().max()) <= 0.5 / 255 + 2e-6


@given(seed=st.integers(0, 999))
def test_a_colour_that_fits_comes_back_and_one_that_does_not_keeps_its_hue(seed: int) -> None:
    rgb = _random(seed, 3, 4, 5)
    assert torch.allclose(with_chroma(grey(rgb), chroma_of(rgb)), rgb, atol=2e-6)
    wanted = 3 * chroma_of(rgb)
    got = chroma_of(with_chroma(grey(rgb), wanted))
    cross = got[0] * wanted[1] - got[1] * wanted[0]
    assert float(cross.abs().max()) < 1e-5
    assert bool(((got * wanted).sum(0) >= -1e-6).all())


@given(seed=st.integers(0, 99), height=st.integers(3, 40), width=st.integers(3, 40), part=st.integers(1, 3))
def test_enlarged_colour_keeps_the_luma_at_any_size(seed: int, height: int, width: int, part: int) -> None:
    luma = _random(seed, 1, height, width)
    small = _random(seed + 1, 1, max(1, height // part), max(1, width // part))
    chroma = _random(seed + 2, 2, *small.shape[1:]) - 0.5
    result = coloured(luma, small, chroma)
    assert result.shape == (3, height, width)
    assert torch.allclose(grey(result), luma, atol=2e-6)


def test_colour_edges_follow_the_edges_of_the_luma() -> None:
    luma = torch.full((1, 128, 128), 0.35)
    edge = torch.arange(128)[:, None] + 2 * torch.arange(128)[None] < 190  # no multiple of the small pixels
    luma[0][edge] = 0.65
    truth = torch.where(edge, 0.15, -0.15).expand(2, 128, 128) * torch.tensor([1.0, -1.0]).view(2, 1, 1)
    small_luma, small_chroma = resize(luma[None], (16, 16))[0], resize(truth[None].contiguous(), (16, 16))[0]
    guided = chroma_of(coloured(luma, small_luma, small_chroma))
    plain = resize(small_chroma[None], (128, 128))[0]
    inner = (slice(None), slice(12, -12), slice(12, -12))
    assert float((guided - truth)[inner].abs().mean()) < 0.35 * float((plain - truth)[inner].abs().mean())


def test_strength_scales_the_colour_and_zero_is_grey() -> None:
    luma, small = torch.full((1, 20, 20), 0.5), torch.full((1, 5, 5), 0.5)
    chroma = torch.full((2, 5, 5), 0.05)
    assert torch.equal(coloured(luma, small, chroma, 0.0), luma.expand(3, -1, -1))
    assert torch.allclose(chroma_of(coloured(luma, small, chroma, 2.0)), torch.full((2, 20, 20), 0.1), atol=1e-5)


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.solvers import chroma as module

    luma, small, chroma = _random(0, 1, 50, 31), _random(1, 1, 12, 8), _random(2, 2, 12, 8) - 0.5
    whole = coloured(luma, small, chroma)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 31 * 7)
    assert torch.equal(coloured(luma, small, chroma), whole)
