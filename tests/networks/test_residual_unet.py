"""The U-Net of residual blocks: its size by hand, where it begins, what a pixel depends on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.residual_unet import ResidualBlock, ResidualUNet
from tests.networks.conftest import Moved


def test_parameters_by_hand() -> None:
    def convolution(inputs: int, outputs: int, side: int = 3) -> int:
        return side * side * inputs * outputs + outputs

    widths, blocks = (64, 96, 128), (2, 2, 3)
    ends = convolution(12, 64) + convolution(64, 12)
    groups = [2 * count * convolution(width, width) for width, count in zip(widths, blocks, strict=True)]
    ways = sum(convolution(a, b, 2) + convolution(b, a, 2) for a, b in ((64, 96), (96, 128)))
    assert count_parameters(ResidualUNet()) == ends + 2 * groups[0] + 2 * groups[1] + groups[2] + ways == 2_006_988


@settings(max_examples=25)
@given(st.integers(1, 21), st.integers(1, 21), st.sampled_from([1, 3]))
def test_it_begins_as_the_identity_at_any_size(height: int, width: int, channels: int) -> None:
    x = torch.rand(2, channels, height, width)
    assert torch.equal(ResidualUNet((4, 5), (1, 1), channels)(x), x)


def test_it_can_leave_the_identity() -> None:
    network = ResidualUNet((4, 5), (1, 1))
    x = torch.rand(1, 3, 8, 8)
    (network(x) - torch.rand_like(x)).square().mean().backward()
    assert network.tail.weight.grad is not None
    assert bool(network.tail.weight.grad.abs().sum() > 0)
    block = ResidualBlock(4)
    y = torch.randn(1, 4, 5, 5)
    assert torch.equal(block(y), y)
    block(y).square().sum().backward()
    assert block.second.weight.grad is not None
    assert bool(block.second.weight.grad.abs().sum() > 0)


def test_one_level_by_hand(moved: Moved) -> None:
    """Pixels sorted into channels, head, block, tail, and back, added to the picture."""
    network = moved(ResidualUNet((6,), (1,)))
    x = torch.rand(1, 3, 6, 8)
    with torch.no_grad():
        y = network.head(functional.pixel_unshuffle(4 * x - 2, 2))
        block = network.encoder[0][0]
        y = network.tail(y + block.second(functional.relu(block.first(y))))
        torch.testing.assert_close(network(x), x + functional.pixel_shuffle(y, 2))


def test_what_it_is_told_scales_and_shifts_before_the_relu(moved: Moved) -> None:
    network = moved(ResidualUNet((6,), (1,), levels=2))
    x = torch.rand(1, 3, 6, 8)
    told = torch.tensor([0.3, 0.8])
    planes = told[None, :, None, None].expand(1, -1, 6, 8)
    with torch.no_grad():
        y = network.head(functional.pixel_unshuffle(4 * x - 2, 2))
        block = network.encoder[0][0]
        scale, shift = (block.modulation.weight @ functional.relu(network.teller.weight @ told))[:, None, None].chunk(2)
        y = network.tail(y + block.second(functional.relu(block.first(y) * (1 + scale) + shift)))
        torch.testing.assert_close(network(torch.cat((x, planes), 1)), x + functional.pixel_shuffle(y, 2))


def test_told_nothing_it_is_the_network_without_levels(moved: Moved) -> None:
    told, plain = moved(ResidualUNet((6, 5), (1, 1), levels=4)), ResidualUNet((6, 5), (1, 1)).eval()
    missing = plain.load_state_dict(told.state_dict(), strict=False)
    assert not missing.missing_keys
    assert len(missing.unexpected_keys) == 4  # of the teller, and of three blocks
    x = torch.rand(2, 3, 8, 12)
    with torch.no_grad():
        assert torch.equal(told(torch.cat((x, torch.zeros(2, 4, 8, 12)), 1)), plain(x))
        assert not torch.allclose(told(torch.cat((x, torch.ones(2, 4, 8, 12)), 1)), plain(x))


def test_each_picture_of_a_batch_is_told_its_own(moved: Moved) -> None:
    network = moved(ResidualUNet((6, 5), (1, 1), levels=1))
    x = torch.cat((torch.rand(1, 3, 8, 8).expand(2, -1, -1, -1), torch.rand(2, 1, 1, 1).expand(-1, -1, 8, 8)), 1)
    with torch.no_grad():
        made = network(x)
        assert not torch.allclose(made[0], made[1])
        torch.testing.assert_close(network(x[1:]), made[1:])


def test_sides_that_are_no_multiple_repeat_their_last_pixels(moved: Moved) -> None:
    network = moved(ResidualUNet((6, 5), (1, 1)))
    x = torch.rand(1, 3, 7, 9)
    whole = functional.pad(x, (0, 3, 0, 1), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(x), network(whole)[..., :7, :9])
        assert not torch.equal(network(x), x)


@pytest.mark.parametrize("blocks", [(1, 1), (1, 2), (2, 1, 1)])
def test_nothing_beyond_the_halo_matters(blocks: tuple[int, ...]) -> None:
    """All kernels positive, so that nothing cancels: what is connected shows, and the halo is no larger than needed."""
    network = ResidualUNet((3,) * len(blocks), blocks, 1).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0 / parameter[0].numel() if parameter.ndim > 1 else 1.0)
    halo, multiple = network.spec.halo, network.spec.multiple
    side = (2 * halo // multiple + 4) * multiple
    farthest = 0
    for offset in range(multiple):
        x = torch.full((1, 1, side, side), 0.9, dtype=torch.float64, requires_grad=True)
        place = side // 2 // multiple * multiple + offset
        network(x)[0, 0, place, place].backward()
        assert x.grad is not None
        rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
        farthest = max(farthest, place - int(rows[0]), int(rows[-1]) - place)
    assert halo - multiple < farthest <= halo


def test_a_deep_one_is_cut_where_it_feels_no_farther() -> None:
    assert ResidualUNet((4, 4, 4), (1, 1, 1)).spec.exact
    spec = ResidualUNet((4, 4, 4), (2, 3, 4)).spec  # reaches 139 pixels: what comes with Retouch feels 64 of them
    assert (spec.halo, spec.exact) == (64, False)


@pytest.mark.parametrize(
    ("widths", "blocks", "channels"),
    [((), (), 3), ((8,), (1, 1), 3), ((8, 0), (1, 1), 3), ((8, 8), (1, 0), 3), ((8,), (1,), 0)],
)
def test_refused(widths: tuple[int, ...], blocks: tuple[int, ...], channels: int) -> None:
    with pytest.raises(ValueError, match="as many numbers above 0"):
        ResidualUNet(widths, blocks, channels)


def test_other_planes_refused() -> None:
    with pytest.raises(ValueError, match="takes 3 channels and 2 levels, not 3 planes in all"):
        ResidualUNet((4,), (1,), levels=2)(torch.rand(1, 3, 8, 8))


def test_levels_below_none_refused() -> None:
    with pytest.raises(ValueError, match="levels is a number of planes, not -1"):
        ResidualUNet((8,), (1,), levels=-1)
