"""ESPCN against its paper."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.build import count_parameters
from retouch.networks.espcn import ESPCN


@pytest.mark.parametrize(("scale", "count"), [(2, 21_284), (3, 22_729), (4, 24_752)])
def test_weights_are_the_published_numbers(scale: int, count: int) -> None:
    assert count_parameters(ESPCN(scale)) == count


def test_channel_of_the_last_layer_becomes_place_in_the_block() -> None:
    """Equation 4 of the paper: channel r y + x of a pixel is the output at (y, x) inside its r x r block."""
    network = ESPCN(3)
    last = network.body[4]
    assert isinstance(last, torch.nn.Conv2d)
    with torch.no_grad():
        last.weight.zero_()
        assert last.bias is not None
        last.bias.copy_(torch.arange(9.0))
        y = network(torch.rand(1, 1, 2, 2))[0, 0]
    assert torch.equal(y, torch.arange(9.0).view(3, 3).tile(2, 2))


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ESPCN(0)
    with pytest.raises(ValueError, match="at least 1"):
        ESPCN(2, channels=0)
