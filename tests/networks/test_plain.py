"""Plain stages: sizes, and that they begin without losing anything."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.plain import PlainStages, ResidualBlock


def test_parameters_by_hand() -> None:
    def convolution(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    widths = (48, 64, 96, 128)
    downs = sum(convolution(a, b) for a, b in zip((12, *widths), widths, strict=False))
    assert count_parameters(PlainStages(widths)) == downs + sum(4 * convolution(w, w) for w in widths)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (13, 7), (2, 9)])
def test_activations_after_each_halving(size: tuple[int, int]) -> None:
    found = PlainStages((5, 6, 7), blocks=1)(torch.rand(2, 3, *size))
    expected, sides = [], size
    for width in (5, 6, 7):
        sides = (-(-sides[0] // 2), -(-sides[1] // 2))
        expected.append((2, width, *sides))
    assert [tuple(a.shape) for a in found] == expected


def test_the_first_halving_sorts_pixels() -> None:
    """With kernels that pick a channel each, the first activations are the pixels, blocks being the identity."""
    network = PlainStages((12, 4), blocks=2)
    with torch.no_grad():
        network.downs[0].weight.zero_()
        network.downs[0].weight[range(12), range(12), 1, 1] = 1
    x = torch.rand(1, 3, 6, 8)
    assert torch.equal(network(x)[0], functional.pixel_unshuffle(x, 2))
    # an odd side is repeated
    odd = network(x[..., :5, :7])[0]
    padded = functional.pad(x[..., :5, :7], (0, 1, 0, 1), mode="replicate")
    assert torch.equal(odd, functional.pixel_unshuffle(padded, 2))


def test_a_block_begins_as_the_identity_and_learns() -> None:
    block = ResidualBlock(4)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.second.weight.grad is not None
    assert bool(block.second.weight.grad.abs().sum() > 0)


@pytest.mark.parametrize(("widths", "blocks"), [((8,), 1), ((8, 0), 1), ((8, 8), -1)])
def test_refused(widths: tuple[int, ...], blocks: int) -> None:
    with pytest.raises(ValueError, match="widths are at least two"):
        PlainStages(widths, blocks)
