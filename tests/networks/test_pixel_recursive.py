"""Pixel recursive super-resolution: two networks whose logits are added."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, nn

from retouch.image.errors import OptionError
from retouch.networks.build import build
from retouch.networks.pixel_recursive import PixelRecursive

SMALL: dict[str, Any] = {
    "size": 8, "levels": 4, "width": 6, "blocks": 1, "prior_width": 6, "layers": 1, "kernel": 3, "first": 3, "head": 9
}  # fmt: skip


def made(**more: Any) -> PixelRecursive:
    torch.manual_seed(0)
    network = build("pixel-recursive", SMALL | more)
    assert isinstance(network, PixelRecursive)
    return network.eval()


def test_the_published_layers() -> None:
    network = build("pixel-recursive")
    assert isinstance(network, PixelRecursive)
    kinds = [type(layer).__name__ for layer in network.conditioning]
    blocks = ["ConditioningBlock"] * 6
    assert kinds == ["Conv2d", *blocks, *(["ConvTranspose2d", "ReLU", *blocks] * 2), "Conv2d"]
    assert network.conditioning[-1].out_channels == 768
    assert len(network.prior.layers) == 20
    assert [conv.out_channels for conv in network.prior.head] == [1024, 768]  # type: ignore[union-attr]
    assert network.prior.layers[0].rows.in_channels == 64  # type: ignore[union-attr]
    assert network.prior.layers[0].rows.kernel_size == (3, 5)  # type: ignore[union-attr]


@pytest.mark.parametrize(("scale", "levels", "channels"), [(1, 2, 1), (2, 4, 3), (4, 2, 3)])
def test_logits_are_added(scale: int, levels: int, channels: int) -> None:
    network = made(scale=scale, levels=levels, channels=channels)
    x, y = torch.rand(2, channels, 8 // scale, 8 // scale), torch.rand(2, channels, 8, 8)
    with torch.no_grad():
        both, alone = network(x, y)
        assert both.shape == alone.shape == (2, levels, channels, 8, 8)
        assert torch.allclose(both - alone, network.prior(y), atol=1e-5)
        assert not torch.equal(alone, network(x.flip(3), y)[1])


def test_gradient_reaches_every_parameter() -> None:
    network = made().train()
    both, alone = network(torch.rand(2, 3, 2, 2), torch.rand(2, 3, 8, 8))
    (both.square().sum() + alone.square().sum()).backward()
    unreached = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert unreached == []


def test_draws_what_the_small_picture_says_where_the_prior_is_silent() -> None:
    network = made()
    for parameter in network.prior.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(3, 3, 2, 2)
    drawn = network.sample(x, Generator().manual_seed(0), 1e-5)
    with torch.no_grad():
        likeliest = network(x, drawn)[1].argmax(1) / 3
    assert torch.allclose(drawn, likeliest)


def test_seeds_repeat() -> None:
    network = made()
    x = torch.rand(1, 3, 2, 2)
    one, same, other = (network.sample(x, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == (1, 3, 8, 8)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="temperature is at least 0"):
        network.sample(x, Generator(), -1)


@pytest.mark.parametrize(
    "arguments", [{"scale": 3}, {"scale": 0}, {"scale": 4, "size": 10}, {"width": 0}, {"blocks": 0}]
)
def test_what_makes_no_network(arguments: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"power of 2 that divides the size|width and blocks are at least 1"):
        build("pixel-recursive", SMALL | arguments)
