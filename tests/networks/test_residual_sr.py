"""The plain residual enlarger: its size by hand, where it begins, what a pixel depends on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.residual_sr import ResidualSR
from tests.networks.conftest import Moved


def _bicubic(x: Tensor, scale: int) -> Tensor:
    return functional.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_parameters_by_hand(scale: int) -> None:
    width, blocks = 48, 8
    ends = (27 * width + width) + (9 * width * 3 * scale**2 + 3 * scale**2)
    assert count_parameters(ResidualSR(scale)) == ends + (2 * blocks + 1) * (9 * width**2 + width)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.sampled_from([2, 3, 4, 5]))
def test_it_begins_as_bicubic_at_any_size(height: int, width: int, channels: int, scale: int) -> None:
    x = torch.rand(2, channels, height, width)
    assert torch.equal(ResidualSR(scale, 5, 2, channels)(x), _bicubic(x, scale))


def test_at_scale_one_it_begins_as_the_picture() -> None:
    x = torch.rand(1, 3, 6, 7)
    assert torch.equal(ResidualSR(1, 4, 1)(x), x)


def test_one_block_by_hand(moved: Moved) -> None:
    network = moved(ResidualSR(2, 4, 1))
    x = torch.rand(1, 3, 6, 5)
    with torch.no_grad():
        head = network.head((x - 0.5) / 0.25)
        block = network.body[0]
        body = head + block.second(torch.relu(block.first(head)))  # type: ignore[operator, union-attr]
        change = functional.pixel_shuffle(network.tail.convolution(head + network.join(body)), 2)
        assert torch.allclose(network(x), _bicubic(x, 2) + change, atol=1e-6)


def test_it_can_leave_bicubic() -> None:
    network = ResidualSR(2, 4, 1)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    assert network.tail.convolution.weight.grad is not None
    assert bool(network.tail.convolution.weight.grad.abs().sum() > 0)


@pytest.mark.parametrize(("scale", "blocks"), [(2, 2), (3, 1), (1, 1)])
def test_the_halo_is_exact(moved: Moved, scale: int, blocks: int) -> None:
    network = moved(ResidualSR(scale, 4, blocks, 1)).double()
    halo = network.spec.halo
    side = 2 * halo + 5
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    middle = side // 2
    network(x)[0, 0, scale * middle, scale * middle].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (middle - halo, middle + halo)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="scale is 1 to 8"):
        ResidualSR(9)
    with pytest.raises(ValueError, match="at least 1"):
        ResidualSR(2, blocks=0)
