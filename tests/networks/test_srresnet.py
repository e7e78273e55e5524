"""SRResNet and SRGAN's critic against their paper."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from retouch.networks.build import count_parameters
from retouch.networks.srresnet import Discriminator, ResidualBlock, SRResNet


def test_parameters_are_the_published_number() -> None:
    by_hand = (
        (243 * 64 + 64 + 64)  # 9 x 9, bias, slopes
        + 16 * (2 * 36_864 + 2 * 128 + 64)  # two convolutions without bias, two normalisations, slopes
        + (36_864 + 128)
        + 2 * (36_864 * 4 + 256 + 64)
        + (81 * 64 * 3 + 3)
    )
    assert count_parameters(SRResNet()) == by_hand
    assert round(by_hand / 1e6, 2) == 1.55


def test_zero_of_the_last_layer_is_middle_grey() -> None:
    """The last convolution works in [-1, 1], as published."""
    network = SRResNet(scale=2, blocks=1, width=4).eval()
    last = network.tail[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
        y = network(torch.rand(1, 3, 3, 2))
    assert torch.equal(y, torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 6, 4))


def test_skips_carry_the_input() -> None:
    block = ResidualBlock(4)
    nn.init.zeros_(block.body[-1].weight)  # type: ignore[arg-type]
    x = torch.rand(2, 4, 3, 3)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("training", [False, True])
def test_begun_as_the_identity_it_repeats_every_pixel_and_learns(scale: int, training: bool) -> None:
    torch.manual_seed(1)
    network = SRResNet(scale=scale, blocks=2, width=8, initial="identity").train(training)
    x = torch.rand(2, 3, 6, 5)
    assert torch.equal(network(x), nn.functional.interpolate(x, scale_factor=scale))
    network(x).square().sum().backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None]
    assert silent == []
    norms = [layer for layer in network.trunk.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [bool(norm.weight.any()) for norm in norms] == [True, False, True, False, False]
    assert norms[-1].weight.grad is not None
    assert bool(norms[-1].weight.grad.any())


def test_only_a_known_beginning_that_has_room() -> None:
    with pytest.raises(ValueError, match="'published' or 'identity', not 'zero'"):
        SRResNet(initial="zero")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="3 channels need a width as large, not 2"):
        SRResNet(scale=2, blocks=1, width=2, initial="identity")


@pytest.mark.parametrize("arguments", [{"scale": 3}, {"scale": 8}, {"blocks": 0}, {"width": 0}, {"channels": 0}])
def test_wrong_sizes_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"scale is 2 or 4|at least 1"):
        SRResNet(**arguments)


def test_discriminator_has_the_published_size() -> None:
    with torch.device("meta"):
        count = count_parameters(Discriminator())
    widths = (64, 64, 128, 128, 256, 256, 512, 512)
    by_hand = 27 * 64 + 64 + sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))
    by_hand += 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    assert count == by_hand
    assert round(by_hand / 1e6, 1) == 23.6


def test_discriminator_gives_logits_and_learns() -> None:
    torch.manual_seed(0)
    network = Discriminator(16)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    logits = network(x)
    assert logits.shape == (2, 1)
    logits.square().sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    with torch.no_grad():  # a sigmoid would stay below 1
        network.head[-1].bias.fill_(7.0)  # type: ignore[operator]
        network.head[-1].weight.zero_()  # type: ignore[operator]
        assert torch.equal(network(x), torch.full((2, 1), 7.0))


def test_discriminator_maps_to_both_sides_of_zero() -> None:
    """Middle grey is the paper's 0: nothing but biases comes out of the first convolution."""
    network = Discriminator(16).eval()
    seen: list[torch.Tensor] = []
    network.features[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.stack([torch.full((3, 16, 16), value) for value in (0.0, 0.5, 1.0)]))
    assert [float(x.unique()) for x in seen[0]] == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("size", [0, 8, 95, -16])
def test_discriminator_refuses_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Discriminator(size)


def test_discriminator_refuses_other_pictures() -> None:
    with pytest.raises(ValueError, match=r"\(3, 16, 16\), not \(3, 32, 16\)"):
        Discriminator(16)(torch.zeros(1, 3, 32, 16))
