"""NAFNet and its enlarger against their papers: size, a block by hand, where they begin, what a pixel depends on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.nafnet import NAFBlock, NAFNet, NAFNetSR
from tests.networks.conftest import Moved


def _block(width: int) -> int:
    """1 x 1 to twice as many (twice), a depthwise convolution, three 1 x 1, two norms, beta and gamma."""
    return 2 * (2 * width**2 + 2 * width) + 20 * width + 3 * (width**2 + width) + 4 * width + 2 * width


@pytest.mark.parametrize(
    ("width", "encoder", "middle", "decoder", "millions"),
    [
        (32, (1, 1, 1, 28), 1, (1, 1, 1, 1), 17.11),
        (64, (1, 1, 1, 28), 1, (1, 1, 1, 1), 67.89),
        (32, (2, 2, 4, 8), 12, (2, 2, 2, 2), 29.16),
        (64, (2, 2, 4, 8), 12, (2, 2, 2, 2), 115.98),
    ],
)
def test_parameters_by_hand_are_the_published_number(
    width: int, encoder: Sequence[int], middle: int, decoder: Sequence[int], millions: float
) -> None:
    count = 27 * width + width + 27 * width + 3 + middle * _block(16 * width)
    for level, (down, up) in enumerate(zip(encoder, decoder, strict=True)):
        wide = width << level
        count += (down + up) * _block(wide) + 4 * wide * 2 * wide + 2 * wide + 2 * wide * 4 * wide
    with torch.device("meta"):
        assert count_parameters(NAFNet(width, encoder, middle, decoder)) == count
    assert round(count / 1e6, 2) == millions


def test_parameters_of_the_enlarger_by_hand() -> None:
    count = 27 * 48 + 48 + 16 * _block(48) + (9 * 48 + 1) * 12
    assert count_parameters(NAFNetSR(2)) == count == 289_932


def _norm(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-6).sqrt()


def test_a_block_by_hand(moved: Moved) -> None:
    block = NAFBlock(4)
    x = torch.randn(2, 4, 5, 6)
    assert torch.equal(block(x), x)
    moved(block, std=0.5)
    for norm in (block.first[0], block.second[0]):
        nn.init.zeros_(norm.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        wide = block.first[2](block.first[1](_norm(x)))
        gated = wide[:, :4] * wide[:, 4:]
        gated = gated * block.attention(gated.mean((2, 3), keepdim=True))
        y = x + block.beta * block.project(gated)
        wide = block.second[1](_norm(y))
        torch.testing.assert_close(block(x), y + block.gamma * block.mix(wide[:, :4] * wide[:, 4:]))
    assert block.first[2].groups == 8


def test_one_level_by_hand(moved: Moved) -> None:
    network = moved(NAFNet(4, (1,), 1, (2,)), std=0.5)
    x = torch.rand(1, 3, 6, 8)
    with torch.no_grad():
        y = network.encoder[0](network.head(x))
        deep = network.middle(network.downs[0](y))
        y = network.decoder[0](y + functional.pixel_shuffle(network.ups[0][0](deep), 2))
        torch.testing.assert_close(network(x), x + network.tail(y))


@settings(max_examples=25)
@given(st.integers(1, 21), st.integers(1, 21), st.sampled_from([1, 3]))
def test_it_begins_as_the_identity_at_any_size(height: int, width: int, channels: int) -> None:
    x = torch.rand(2, channels, height, width)
    assert torch.equal(NAFNet(4, (1, 1), 1, (1, 1), channels)(x), x)


def test_sides_that_are_no_multiple_repeat_their_last_pixels(moved: Moved) -> None:
    network = moved(NAFNet(4, (1, 1), 1, (1, 1)), std=0.5)
    x = torch.rand(1, 3, 7, 9)
    whole = functional.pad(x, (0, 3, 0, 1), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(x), network(whole)[..., :7, :9])
        assert not torch.equal(network(x), x)


@pytest.mark.parametrize(("encoder", "middle", "decoder"), [((1,), 1, (1,)), ((1, 2), 1, (2, 1)), ((2,), 3, (1,))])
def test_without_its_attention_it_sees_no_farther_than_the_halo(
    encoder: Sequence[int], middle: int, decoder: Sequence[int], moved: Moved
) -> None:
    network = moved(NAFNet(4, encoder, middle, decoder, 1), std=0.5).double()
    for module in network.modules():
        if isinstance(module, NAFBlock):
            nn.init.zeros_(module.attention.weight)
            nn.init.ones_(module.attention.bias)  # type: ignore[arg-type]
    halo, multiple = network.spec.halo, network.spec.multiple
    assert not network.spec.exact
    side = (2 * halo // multiple + 4) * multiple
    farthest = 0
    for offset in range(multiple):
        x = torch.rand(1, 1, multiple, side, dtype=torch.float64, requires_grad=True)
        place = side // 2 // multiple * multiple + offset
        network(x)[0, 0, 0, place].backward()
        assert x.grad is not None
        seen = x.grad[0, 0].abs().sum(0).nonzero().flatten()
        farthest = max(farthest, place - int(seen[0]), int(seen[-1]) - place)
    assert halo - multiple < farthest <= halo


def test_a_deep_one_estimates_no_more_than_64_pixels() -> None:
    with torch.device("meta"):
        assert NAFNet(8).spec.halo == 64
    assert NAFNet(8).spec.multiple == 16


def test_the_enlarger_by_hand(moved: Moved) -> None:
    x = torch.rand(1, 3, 5, 6)
    large = functional.interpolate(x, scale_factor=3, mode="bilinear", align_corners=False)
    network = NAFNetSR(3, width=4, blocks=2)
    assert torch.equal(network(x), large)
    moved(network, std=0.5)
    with torch.no_grad():
        y = network.body[1](network.body[0](network.head(x)))
        torch.testing.assert_close(network(x), large + functional.pixel_shuffle(network.tail.convolution(y), 3))
    assert (network.spec.halo, network.spec.exact) == (4, False)


@pytest.mark.parametrize(
    "arguments",
    [{"encoder": ()}, {"encoder": (1,)}, {"encoder": (1, 1, 1, 0)}, {"middle": 0}, {"width": 0}, {"channels": 0}],
)
def test_wrong_sizes_are_refused(arguments: dict[str, Sequence[int]]) -> None:
    with pytest.raises(ValueError, match="encoder and decoder are as many counts"):
        NAFNet(**arguments)  # type: ignore[arg-type]


def test_wrong_sizes_of_the_enlarger_are_refused() -> None:
    for arguments in ({"scale": 0}, {"width": 0}, {"blocks": 0}, {"channels": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            NAFNetSR(**arguments)
    with pytest.raises(ValueError, match="width is at least 1"):
        NAFBlock(0)
