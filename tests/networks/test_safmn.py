"""SAFMN against its paper: size, modulation by hand, and how far the pooled cells let it look."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.safmn import SAFMN, MixingBlock, SpatialModulation


@pytest.mark.parametrize(("scale", "thousands"), [(2, 228), (3, 233), (4, 240)])
def test_parameters_by_hand_are_the_published_number(scale: int, thousands: int) -> None:
    modulation = 4 * 9 * (9 + 1) + 36 * 36 + 36
    mixer = 9 * 36 * 72 + 72 + 72 * 36 + 36
    count = 9 * 3 * 36 + 36 + 8 * (4 * 36 + modulation + mixer) + 9 * 36 * 3 * scale**2 + 3 * scale**2
    assert count_parameters(SAFMN(scale)) == count
    assert round(count / 1000) == thousands


def test_modulation_by_hand() -> None:
    torch.manual_seed(0)
    modulation = SpatialModulation(6, 3)
    x = torch.randn(2, 6, 8, 4)
    with torch.no_grad():
        parts = [modulation.depthwise[0](x[:, :2])]
        for level, side in ((1, 2), (2, 4)):
            part = x[:, 2 * level : 2 * level + 2]
            small = part.unflatten(3, (-1, side)).unflatten(2, (-1, side)).amax((3, 5))
            small = modulation.depthwise[level](small)
            parts.append(small.repeat_interleave(side, 2).repeat_interleave(side, 3))
        torch.testing.assert_close(modulation(x), x * functional.gelu(modulation.join(torch.cat(parts, 1))))


def test_a_block_by_hand() -> None:
    torch.manual_seed(0)
    block = MixingBlock(6, 2)
    x = torch.randn(1, 6, 4, 4)

    def norm(x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-6).sqrt()

    with torch.no_grad():
        y = x + block.modulate(norm(x))
        inside = functional.gelu(block.mix[0](norm(y)))
        torch.testing.assert_close(block(x), y + block.mix[2](inside))


def test_the_network_is_head_blocks_skip_and_tail() -> None:
    torch.manual_seed(0)
    network = SAFMN(2, width=6, blocks=2, levels=2)
    x = torch.rand(1, 3, 4, 6)
    with torch.no_grad():
        head = network.head(x)
        y = head + network.body[1](network.body[0](head))
        torch.testing.assert_close(network(x), functional.pixel_shuffle(network.tail.convolution(y), 2))


def test_sides_that_are_no_multiple_repeat_their_last_pixels() -> None:
    torch.manual_seed(0)
    network = SAFMN(3, width=4, blocks=1)
    x = torch.rand(1, 3, 7, 9)
    whole = functional.pad(x, (0, 7, 0, 1), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(x), network(whole)[..., :21, :27])


def test_with_a_skip_it_begins_as_interpolation() -> None:
    x = torch.rand(1, 3, 5, 6)
    large = functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    assert torch.equal(SAFMN(2, width=4, blocks=1, skip="bicubic")(x), large)


@pytest.mark.parametrize(("levels", "blocks"), [(1, 2), (2, 1), (2, 2), (3, 1)])
def test_nothing_beyond_the_halo_matters(levels: int, blocks: int) -> None:
    """Pixels are changed one by one, strongly, so that they become the largest of their cells."""
    torch.manual_seed(0)
    network = SAFMN(1, width=12, blocks=blocks, channels=1, levels=levels).double()
    spec = network.spec
    assert spec.exact
    assert spec.multiple == 2 ** (levels - 1)
    side = (2 * spec.halo // spec.multiple + 4) * spec.multiple
    x = torch.rand(1, 1, spec.multiple, side, dtype=torch.float64)
    farthest = 0
    with torch.no_grad():
        plain = network(x)
        for at in range(side):
            other = x.clone()
            other[..., at] += 50.0
            changed = (network(other) - plain).abs().amax((0, 1, 2)).nonzero().flatten()
            farthest = max(farthest, int(changed[-1]) - at, at - int(changed[0]))
    assert farthest == spec.halo


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width is a multiple of levels, not 10 of 4"):
        SAFMN(width=10)
    for arguments in ({"scale": 0}, {"blocks": 0}, {"channels": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            SAFMN(**arguments)
