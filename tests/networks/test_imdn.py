"""IMDN against its paper: size, the distillation and the attention by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.imdn import IMDN, ContrastAttention, DistillationBlock


@pytest.mark.parametrize(("scale", "thousands"), [(2, 694), (3, 703), (4, 715)])
def test_parameters_by_hand_are_the_published_number(scale: int, thousands: int) -> None:
    def convolution(inputs: int, outputs: int, side: int = 3) -> int:
        return side * side * inputs * outputs + outputs

    attention = convolution(64, 4, 1) + convolution(4, 64, 1)
    block = convolution(64, 64) + 2 * convolution(48, 64) + convolution(48, 16) + attention + convolution(64, 64, 1)
    count = convolution(3, 64) + 6 * block + convolution(384, 64, 1) + convolution(64, 64)
    count += convolution(64, 3 * scale**2)
    assert count_parameters(IMDN(scale)) == count
    assert round(count / 1000) == thousands


def test_attention_follows_mean_and_deviation() -> None:
    torch.manual_seed(0)
    attention = ContrastAttention(32).double()
    x = torch.randn(2, 32, 5, 6, dtype=torch.float64)
    told = x.mean((2, 3)) + x.std((2, 3), correction=0)
    first, second = attention.weigh[0], attention.weigh[2]
    with torch.no_grad():
        weights = torch.sigmoid(
            functional.relu(told @ first.weight.flatten(1).T + first.bias) @ second.weight.flatten(1).T  # type: ignore[union-attr, operator]
            + second.bias
        )
        torch.testing.assert_close(attention(x), x * weights[..., None, None], rtol=1e-5, atol=1e-6)


def test_features_that_are_the_same_everywhere_have_a_gradient() -> None:
    attention = ContrastAttention(16)
    x = torch.full((1, 16, 4, 4), 0.5, requires_grad=True)
    attention(x).sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


def test_a_block_keeps_a_quarter_after_each_convolution() -> None:
    torch.manual_seed(0)
    block = DistillationBlock(8)
    x = torch.randn(1, 8, 5, 4)
    with torch.no_grad():
        one, two, three = (convolution for convolution in block.refine)
        a = functional.leaky_relu(one(x), 0.05)
        b = functional.leaky_relu(two(a[:, 2:]), 0.05)
        c = functional.leaky_relu(three(b[:, 2:]), 0.05)
        kept = torch.cat((a[:, :2], b[:, :2], c[:, :2], block.last(c[:, 2:])), 1)
        torch.testing.assert_close(block(x), x + block.join(block.attention(kept)))
        block.join.weight.zero_()
        assert block.join.bias is not None
        block.join.bias.zero_()
        assert torch.equal(block(x), x)


def test_the_outputs_of_all_blocks_come_together() -> None:
    torch.manual_seed(0)
    network = IMDN(2, width=8, blocks=2)
    x = torch.rand(1, 3, 5, 6)
    with torch.no_grad():
        head = network.head(x)
        one = network.blocks[0](head)
        two = network.blocks[1](one)
        joined = functional.leaky_relu(network.fuse[0](torch.cat((one, two), 1)), 0.05)
        expected = functional.pixel_shuffle(network.tail.convolution(head + network.join(joined)), 2)
        torch.testing.assert_close(network(x), expected)


def test_with_a_skip_it_begins_as_interpolation() -> None:
    x = torch.rand(1, 3, 5, 6)
    large = functional.interpolate(x, scale_factor=3, mode="bicubic", align_corners=False)
    assert torch.equal(IMDN(3, width=8, blocks=1, skip="bicubic")(x), large)


def test_the_halo_is_that_of_the_convolutions() -> None:
    """The attention, which sees everything, is kept at a constant: what is left sees no farther than the halo."""
    torch.manual_seed(0)
    network = IMDN(2, width=8, blocks=2).double()
    for block in network.blocks:
        block.attention = nn.Identity()
    halo = network.spec.halo
    assert not network.spec.exact
    x = torch.rand(1, 3, 1, 2 * halo + 3, dtype=torch.float64, requires_grad=True)
    network(x)[..., 2 * halo + 2].sum().backward()  # of the pixel halo + 1
    assert x.grad is not None
    seen = x.grad[0].abs().sum((0, 1)).nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (1, 2 * halo + 1)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width is a multiple of 4, not 10"):
        IMDN(width=10)
    for arguments in ({"scale": 0}, {"blocks": 0}, {"channels": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            IMDN(**arguments)
    with pytest.raises(ValueError, match="width is at least 1"):
        ContrastAttention(0)
