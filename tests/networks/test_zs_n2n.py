"""The network of Zero-Shot Noise2Noise."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.zs_n2n import ZSN2N


def test_parameters_are_the_published_number() -> None:
    assert sum(p.numel() for p in ZSN2N(3).parameters()) == 22_275


def test_parameters_of_grey_counted_by_hand() -> None:
    # 48 x 1 x 9 + 48, 48 x 48 x 9 + 48, 1 x 48 + 1
    assert sum(p.numel() for p in ZSN2N(1).parameters()) == 480 + 20_784 + 49


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (8, 8)])
def test_shape_is_kept(size: tuple[int, int]) -> None:
    y = torch.rand(2, 3, *size)
    assert ZSN2N(3, 8)(y).shape == y.shape


def test_halo_is_the_reach() -> None:
    network = ZSN2N(1, 8)
    y = torch.rand(1, 1, 15, 15, requires_grad=True)
    network(y)[0, 0, 7, 7].backward()
    rows, columns = y.grad[0, 0].nonzero().unbind(1)
    assert int(rows.min()) == int(columns.min()) == 7 - network.halo
    assert int(rows.max()) == int(columns.max()) == 7 + network.halo
