"""Where something was taken off a picture: found, with a soft edge, and nothing else."""

from __future__ import annotations

import pytest
import torch

from retouch.solvers.overlay_mask import overlay_mask


def _pair(height: int = 60, width: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    before = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    return before, before.clone()


def test_no_change_and_a_small_one_all_over_are_no_overlay() -> None:
    before, after = _pair()
    assert overlay_mask(before, after, 0) is None
    assert overlay_mask(before, after + 0.05, 0) is None
    assert overlay_mask(before, before.flip(-1), 0) is None, "all of the picture is no overlay"


def test_a_letter_is_found_with_its_rim() -> None:
    before, after = _pair()
    after[:, 20:30, 30:33] += 0.3
    after[:, 20:30, 33] += 0.06  # its soft rim, too weak by itself
    mask = overlay_mask(before, after, 0)
    assert mask is not None
    assert bool((mask.weight[0, 20:30, 30:34] == 1).all())
    rows, columns = (mask.weight[0] > 0).nonzero().unbind(1)
    assert int(rows.min()) >= 16
    assert int(rows.max()) <= 33
    assert int(columns.min()) >= 26
    assert int(columns.max()) <= 38
    assert float(mask.weight.max()) == 1
    assert mask.share == pytest.approx(12 * 6 / 4800, abs=0.004)
    # towards the outside it only falls
    line = mask.weight[0, 25, 33:]
    assert bool((line.diff() <= 1e-6).all())


def test_single_pixels_are_no_letters() -> None:
    before, after = _pair()
    after[:, 5, 5] = 1
    assert overlay_mask(before, after, 0) is None


def test_the_noise_of_the_picture_is_no_overlay() -> None:
    clean = torch.full((3, 100, 100), 0.5)
    noisy = clean + 25 / 255 * torch.randn(3, 100, 100, generator=torch.Generator().manual_seed(0))
    assert overlay_mask(noisy, clean, 25) is None
    noisy[:, 40:50, 40:60] = 1
    mask = overlay_mask(noisy, clean, 25)
    assert mask is not None
    assert 0.02 <= mask.share < 0.04
    assert bool((mask.weight[0, 41:49, 41:59] == 1).all())


def test_single_pixels_and_lines_are_pictures_too() -> None:
    assert overlay_mask(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 0) is None
    assert overlay_mask(torch.zeros(1, 1, 90), torch.zeros(1, 1, 90), 0) is None
