"""DnCNN against its paper and the authors' code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from retouch.networks.build import count_parameters
from retouch.networks.dncnn import DnCNN


@pytest.mark.parametrize(("depth", "channels", "thousands"), [(17, 1, 556), (20, 3, 669)])
def test_parameters_are_the_published_number(depth: int, channels: int, thousands: int) -> None:
    """Counted: every learned number, that is convolutions, the biases of the outer two, BN's scales and shifts."""
    count = count_parameters(DnCNN(depth, channels=channels))
    outer = 2 * 9 * 64 * channels + 64 + channels
    assert count == outer + (depth - 2) * (9 * 64 * 64 + 2 * 64)
    assert round(count / 1000) == thousands


def test_layers_are_as_published() -> None:
    kinds = [type(layer) for layer in DnCNN().body]
    assert kinds == [nn.Conv2d, nn.ReLU, *[nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 15, nn.Conv2d]


def test_starts_as_published() -> None:
    torch.manual_seed(0)
    for layer in DnCNN(depth=4, channels=3).body:
        if isinstance(layer, nn.Conv2d):
            assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)


def test_what_the_layers_find_is_taken_off() -> None:
    network = DnCNN(depth=3, width=4, channels=3).eval()
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        y = torch.rand(2, 3, 5, 4)
        assert torch.allclose(network(y), y - torch.tensor([0.1, 0.2, -0.3]).view(1, 3, 1, 1))


@pytest.mark.parametrize("arguments", [{"depth": 1}, {"channels": 0}, {"width": 0}])
def test_wrong_sizes_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        DnCNN(**arguments)
