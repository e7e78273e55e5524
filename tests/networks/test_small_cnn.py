"""The tutorial's small classifier: its size, its layers, what it refuses."""

from __future__ import annotations

import pytest
import torch

from retouch.image.errors import OptionError
from retouch.networks.build import build, count_parameters
from retouch.networks.small_cnn import SmallCNN


def test_the_tutorial_counts_its_numbers() -> None:
    # Keras: 896 + 9,248 + 18,496 of the convolutions, 18,496 * 64 + 64, 64 * 2 + 2 (it has one output for two classes)
    network = SmallCNN()
    assert count_parameters(network) == 896 + 9_248 + 18_496 + 17 * 17 * 64 * 64 + 64 + 130
    assert network(torch.rand(2, 3, 150, 150)).shape == (2, 2)


def test_widths_channels_and_normalisation() -> None:
    network = SmallCNN(classes=5, side=20, channels=1, widths=(4, 6), hidden=7, norm=True).eval()
    assert network(torch.rand(3, 1, 20, 20)).shape == (3, 5)
    assert network.blocks[1][0].bias is None
    assert network.hidden[0].in_features == 6 * 3 * 3


def test_dropout_in_training_only() -> None:
    torch.manual_seed(0)
    network, x = SmallCNN(side=20, widths=(4,)), torch.rand(1, 3, 20, 20)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="takes 3 x 20 x 20, not"):
        SmallCNN(side=20, widths=(4,))(torch.rand(1, 3, 21, 20))
    with pytest.raises(OptionError, match="side: 8 pixels are too few for 3 blocks"):
        build("small-cnn", {"side": 8})
