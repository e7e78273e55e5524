"""Holes are filled with the mean of what is around each of them, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from retouch.solvers.first_guess import fill_flat


def test_each_hole_gets_the_mean_of_its_own_rim() -> None:
    pixels = torch.full((3, 20, 40), 0.2)
    pixels[:, :, 20:] = 0.8
    hole = torch.zeros(1, 20, 40, dtype=torch.bool)
    hole[:, 5:9, 5:9] = True
    hole[:, 5:9, 30:34] = True
    hole[:, 12:16, 18:22] = True  # across the border: half of its rim is dark
    damaged = torch.where(hole, torch.ones(()), pixels)
    before = damaged.clone()
    filled = fill_flat(damaged, hole)
    assert torch.equal(damaged, before)
    assert torch.equal(filled.where(~hole, filled.new_zeros(())), damaged.where(~hole, filled.new_zeros(())))
    assert torch.allclose(filled[:, 5:9, 5:9], torch.tensor(0.2))
    assert torch.allclose(filled[:, 5:9, 30:34], torch.tensor(0.8))
    across = filled[:, 12:16, 18:22]
    assert float(across.std()) == 0
    assert float(across.mean()) == pytest.approx(0.5, abs=1e-6)


def test_holes_at_the_corner_and_all_but_one_pixel() -> None:
    hole = torch.ones(1, 4, 5, dtype=torch.bool)
    hole[0, 3, 4] = False
    filled = fill_flat(torch.linspace(0, 1, 20).reshape(1, 4, 5), hole)
    assert torch.allclose(filled, torch.ones(1, 4, 5))
