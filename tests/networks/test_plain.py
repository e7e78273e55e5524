"""Plain chains that begin near the identity: VDSR and DnCNN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from retouch.networks.dncnn import DnCNN
from retouch.networks.vdsr import VDSR


@pytest.mark.parametrize("kind", [VDSR, DnCNN])
def test_begun_as_the_identity_it_gives_the_input_back_and_what_the_first_layer_finds_reaches_the_last(
    kind: type[VDSR] | type[DnCNN],
) -> None:
    torch.manual_seed(0)
    network = kind(depth=6, width=8, initial="identity").eval()
    x = torch.rand(2, 1, 9, 7)
    first, last = network.body[0], network.body[-1]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        assert torch.equal(network(x), x)
        found, arrived = torch.relu(first(x)), network.body[:-1](x)
    assert float((found - arrived).square().mean()) < 0.3 * float(found.square().mean())
    network(x).square().mean().backward()
    assert last.weight.grad is not None
    assert bool(last.weight.grad.any())


@pytest.mark.parametrize("kind", [VDSR, DnCNN])
def test_inner_layers_keep_a_tenth_of_the_published_values(kind: type[VDSR] | type[DnCNN]) -> None:
    torch.manual_seed(0)
    published = kind(depth=4, width=8)
    torch.manual_seed(0)
    begun = kind(depth=4, width=8, initial="identity")
    pairs = [
        (a.weight.detach(), b.weight.detach())
        for a, b in zip(published.body, begun.body, strict=True)
        if isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d)
    ]
    assert torch.equal(pairs[0][0], pairs[0][1])
    for a, b in pairs[1:-1]:
        identity = torch.zeros_like(a)
        identity[range(8), range(8), 1, 1] = 1
        torch.testing.assert_close(b, 0.1 * a + identity)
    assert not pairs[-1][1].any()


@pytest.mark.parametrize("kind", [VDSR, DnCNN])
def test_another_beginning_is_refused(kind: type[VDSR] | type[DnCNN]) -> None:
    with pytest.raises(ValueError, match="initial is 'published' or 'identity', not 'zero'"):
        kind(initial="zero")  # type: ignore[arg-type]
