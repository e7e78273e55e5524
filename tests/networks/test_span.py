"""SPAN against its paper: size, the attention without parameters, which outputs come together."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.span import SPAN, SwiftBlock


def test_parameters_by_hand_are_the_published_number() -> None:
    inner = 9 * 48 * 48 + 48
    count = 9 * 3 * 48 + 48 + 6 * 3 * inner + inner + 4 * 48 * 48 + 48 + 9 * 48 * 48 + 48
    assert count_parameters(SPAN(4)) == count == 426_288
    assert count_parameters(SPAN(2)) == count - 36 * (9 * 48 + 1) == 410_700


def test_a_block_by_hand() -> None:
    torch.manual_seed(0)
    block = SwiftBlock(5)
    x = torch.randn(1, 5, 4, 6)
    with torch.no_grad():
        one, two, three = (convolution for convolution in block.convolutions)
        inside = one(x) * torch.sigmoid(one(x))
        h = two(inside)
        h = three(h * torch.sigmoid(h))
        made, first = block(x)
        torch.testing.assert_close(made, (x + h) * (torch.sigmoid(h) - 0.5))
        torch.testing.assert_close(first, inside)


def test_the_attention_is_odd_and_nothing_where_nothing_is_found() -> None:
    block = SwiftBlock(3)
    last = block.convolutions[2]
    x = torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        last.weight.zero_()
        made = []
        for found in (0.0, 2.0, -2.0):
            last.bias.fill_(found)
            made.append(block(x)[0] / (x + found))
    assert not bool(made[0].any())
    torch.testing.assert_close(made[1], -made[2])
    assert bool((made[1] > 0).all())


def test_four_outputs_come_together() -> None:
    torch.manual_seed(0)
    network = SPAN(2, width=6, blocks=3)
    x = torch.rand(1, 3, 5, 4)
    means = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    with torch.no_grad():
        head = network.head(255 * (x - means))
        one, _ = network.blocks[0](head)
        two, _ = network.blocks[1](one)
        three, inside = network.blocks[2](two)
        joined = network.join(torch.cat((head, network.after(three), one, inside), 1))
        expected = functional.pixel_shuffle(network.tail.convolution(joined / 255), 2)
        torch.testing.assert_close(network(x), expected)


def test_the_signal_lives_through_fresh_blocks() -> None:
    """Among numbers about 1 each block squares what it gets, and the last would hand on nothing."""
    torch.manual_seed(0)
    network = SPAN(2)
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        y = network.head(255 * (x - network.means))
        for block in network.blocks:
            y, _ = block(y)
    assert 0.5 < float(y.std()) < 255


def test_with_a_skip_it_begins_as_interpolation() -> None:
    x = torch.rand(1, 1, 5, 6)
    large = functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    assert torch.equal(SPAN(2, width=4, blocks=1, channels=1, skip="bicubic")(x), large)


def test_wrong_sizes_are_refused() -> None:
    for arguments in ({"scale": 0}, {"width": 0}, {"blocks": 0}, {"channels": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            SPAN(**arguments)
    with pytest.raises(ValueError, match="width is at least 1"):
        SwiftBlock(0)
