"""SRCNN against its paper."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.build import count_parameters
from retouch.networks.srcnn import SRCNN


@pytest.mark.parametrize(("middle", "weights"), [(1, 8_032), (3, 24_416), (5, 57_184)])
def test_weights_are_the_published_numbers(middle: int, weights: int) -> None:
    network = SRCNN((9, middle, 5))
    assert count_parameters(network, weights_only=True) == weights
    assert count_parameters(network) == weights + 64 + 32 + 1


def test_starts_as_published() -> None:
    torch.manual_seed(0)
    for name, value in SRCNN().named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        else:
            assert float(value.detach().std()) == pytest.approx(1e-3, rel=0.1)


def test_edge_pixels_are_repeated() -> None:
    """A flat picture stays flat up to its border, which zeros around it would spoil."""
    torch.manual_seed(0)
    y = SRCNN()(torch.full((1, 1, 9, 9), 0.7)).detach()
    assert torch.allclose(y, y[0, 0, 4, 4].expand_as(y), atol=1e-7)


@pytest.mark.parametrize("kernels", [(9, 4, 5), (9, 5), (9, 5, 0)])
def test_even_kernels_are_refused(kernels: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="odd"):
        SRCNN(kernels)


def test_one_that_begins_at_the_identity_passes_the_picture() -> None:
    network = SRCNN(initial="identity")
    final = network.body[-1]
    assert isinstance(final, torch.nn.Conv2d)
    with torch.no_grad():
        final.weight[:, 1:] = 0  # what the other features add at the start is small, and random
    x = torch.rand(1, 1, 11, 14)
    assert torch.allclose(network(x), x)
    with pytest.raises(ValueError, match="one channel"):
        SRCNN(channels=3, initial="identity")
