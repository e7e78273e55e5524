"""FSRCNN against its paper, and its start as an interpolation."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.build import count_parameters
from retouch.networks.fsrcnn import FSRCNN


@pytest.mark.parametrize(
    ("sizes", "weights", "all_of_them"), [((56, 12, 4), 12_464, 12_809), ((32, 5, 1), 3_937, 4_086)]
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_weights_are_the_published_numbers(
    sizes: tuple[int, int, int], weights: int, all_of_them: int, scale: int
) -> None:
    network = FSRCNN(scale, *sizes)
    slopes = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, torch.nn.PReLU))
    assert count_parameters(network, weights_only=True) == weights
    assert count_parameters(network) == all_of_them
    assert slopes == 2 * sizes[0] + (sizes[2] + 1) * sizes[1]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_interpolation_goes_through_the_pixels_linearly(scale: int) -> None:
    """Between two known pixels of a ramp a linear interpolation has no choice."""
    torch.manual_seed(0)
    network = FSRCNN(scale, initial="interpolation")
    with torch.no_grad():
        network.deconvolution.weight[1:] = 0  # the other features
        y = network(torch.arange(8.0).div(8).expand(1, 1, 8, 8))[0, 0]
    expected = torch.arange(7 * scale + 1) / (8 * scale)
    assert torch.allclose(y[scale, : 7 * scale + 1], expected, atol=1e-6)


@pytest.mark.parametrize("arguments", [{"scale": 0}, {"scale": 2, "depth": -1}, {"scale": 2, "initial": "magic"},
                                       {"scale": 2, "channels": 3, "initial": "interpolation"}])  # fmt: skip
def test_wrong_sizes_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"at least|initial"):
        FSRCNN(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_one_that_begins_near_interpolation_continues_a_ramp(scale: int) -> None:
    """On a ramp linear interpolation is exact, inside the rim, once the random features are taken out."""
    network = FSRCNN(scale, initial="interpolation")
    with torch.no_grad():
        network.deconvolution.weight[1:] = 0
    ramp = (torch.arange(20.0) / 40 + 0.2).expand(1, 1, 20, 20)
    made = network(ramp)[0, 0]
    step = made[4 * scale : 12 * scale, 4 * scale : 12 * scale].diff(dim=1)
    assert torch.allclose(step, torch.full_like(step, 1 / 40 / scale), atol=1e-6)
    assert torch.allclose(made[::scale, ::scale][5:12, 5:12], ramp[0, 0, 5:12, 5:12], atol=1e-6)
    with pytest.raises(ValueError, match="one channel"):
        FSRCNN(scale, channels=3, initial="interpolation")
