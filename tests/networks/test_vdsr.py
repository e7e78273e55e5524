"""VDSR against its paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from retouch.networks.build import count_parameters
from retouch.networks.vdsr import VDSR


def test_weights_are_the_published_number() -> None:
    network = VDSR()
    assert count_parameters(network, weights_only=True) == 664_704
    assert count_parameters(network) == 664_704 + 19 * 64 + 1
    assert 2 * network.spec.halo + 1 == 41  # the receptive field of section 3.2


def test_gives_the_input_back_where_the_residual_is_zero() -> None:
    network = VDSR(channels=3, depth=3, width=4)
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    x = torch.rand(2, 3, 5, 6)
    assert torch.equal(network(x), x)


def test_starts_by_he() -> None:
    torch.manual_seed(0)
    convolutions = [layer for layer in VDSR().body if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 20
    assert float(convolutions[5].weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    assert all(not layer.bias.any() for layer in convolutions if layer.bias is not None)


@pytest.mark.parametrize("arguments", [{"depth": 1}, {"channels": 0}, {"width": 0}])
def test_wrong_sizes_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        VDSR(**arguments)
