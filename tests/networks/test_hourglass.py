"""The hourglass against the parameter counts of the published networks, and its behaviour on sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from retouch.networks.deep_decoder import DeepDecoder
from retouch.networks.hourglass import Hourglass
from retouch.solvers.presets import PUBLISHED

COUNTS = {
    "denoise": 2_217_831,
    "jpeg": 572_827,
    "sr-x4": 2_217_831,
    "sr-x8": 2_217_831,
    "inpaint-text": 3_002_627,
    "inpaint-vase": 2_157_955,
    "inpaint-library": 2_996_467,
    "restore-2": 1_027_379,
    "flash": 2_184_307,
}


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_published_parameter_counts(name: str) -> None:
    assert _count(Hourglass(channels=3, **PUBLISHED[name].network)) == COUNTS[name]


def test_every_published_preset_is_counted() -> None:
    assert set(COUNTS) | {"restore-50"} == set(PUBLISHED)


def test_grey_restoration_network() -> None:
    assert _count(Hourglass(channels=1, **PUBLISHED["restore-50"].network)) == 2_217_573


@pytest.mark.parametrize(
    ("options", "count"),
    [
        # feature inversion and activation maximisation: kernels that differ by scale
        ({"skip": (4,) * 6, "kernel_down": (7, 7, 5, 5, 3, 3), "kernel_up": (7, 7, 5, 5, 3, 3)}, 2_606_763),
        ({"skip": (0, 4, 4, 4, 4, 4), "kernel_down": (5, 3, 5, 5, 3, 5), "kernel_up": (5, 3, 5, 3, 5, 3)}, 2_948_567),
    ],
)
def test_kernels_by_scale(options: dict[str, Any], count: int) -> None:
    widths = (16, 32, 64, 128, 128, 128)
    assert _count(Hourglass(down=widths, up=widths, **options)) == count


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_output_has_the_size_of_the_code(name: str) -> None:
    options = PUBLISHED[name].network
    torch.manual_seed(0)
    network = Hourglass(channels=1, **options)
    height, width = network.smallest, network.smallest + network.multiple
    out = network(torch.rand(1, options.get("input_depth", 32), height, width))
    assert out.shape == (1, 1, height, width)
    assert bool(((out > 0) & (out < 1)).all())


def test_average_pooling_halves_like_a_stride() -> None:
    torch.manual_seed(0)
    narrow: dict[str, Any] = {"down": (4, 4), "up": (4, 4), "skip": (0, 2), "input_depth": 3}
    code = torch.rand(1, 3, 16, 24)
    pooled, strided = Hourglass(downsampling="avg", **narrow), Hourglass(downsampling="stride", **narrow)
    assert pooled(code).shape == strided(code).shape
    assert _count(pooled) == _count(strided)


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="5 scales"):
        Hourglass(skip=(4, 4))


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = Hourglass(input_depth=2, down=(4, 4), up=(4, 4), skip=(2, 0))
    network(torch.rand(1, 2, 16, 16)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


def test_deep_decoder_counts_and_sizes() -> None:
    assert _count(DeepDecoder()) == 100_224
    network = DeepDecoder(channels=1, width=8, layers=3)
    assert network(torch.rand(1, 8, 3, 5)).shape == (1, 1, 12, 20)
