"""Plain chains that begin near the identity: VDSR and DnCNN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from retouch.networks.dncnn import DnCNN
from retouch.networks.plain import deepen_chain
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


def _shaken(network: VDSR | DnCNN) -> VDSR | DnCNN:
    """A network none of whose numbers is as it began, batch normalisations' statistics among them."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.4 + 0.1)
    return network.eval()


@pytest.mark.parametrize("kind", [VDSR, DnCNN])
@pytest.mark.parametrize(("depth", "deeper"), [(2, 3), (3, 6), (4, 4), (5, 9)])
def test_a_deepened_chain_computes_what_the_shorter_one_does(
    kind: type[VDSR] | type[DnCNN], depth: int, deeper: int
) -> None:
    torch.manual_seed(0)
    shorter, network = _shaken(kind(depth=depth, width=8)), _shaken(kind(depth=deeper, width=8))
    x = torch.rand(2, 1, 19, 21)
    assert isinstance(shorter.body, nn.Sequential)
    before = {key: value.clone() for key, value in shorter.state_dict().items()}
    with torch.no_grad():
        apart = network(x) - shorter(x)
        deepen_chain(network.body, shorter.body)
        torch.testing.assert_close(network(x), shorter(x), rtol=1e-4, atol=1e-4)
    assert depth == deeper or bool(apart.abs().max() > 1)
    assert all(torch.equal(value, before[key]) for key, value in shorter.state_dict().items())


@pytest.mark.parametrize("deeper", [4, 6])
def test_a_chain_with_batch_normalisations_begins_as_one_without(deeper: int) -> None:
    torch.manual_seed(0)
    plain, network = _shaken(VDSR(depth=4, width=8)), _shaken(DnCNN(depth=deeper, width=8))
    x = torch.rand(2, 1, 19, 21)
    with torch.no_grad():
        deepen_chain(network.body, plain.body, negated=True)
        added = plain(x) - x
        torch.testing.assert_close(x - network(x), -added, rtol=1e-4, atol=1e-4)
    assert bool(added.abs().max() > 1)


def test_in_a_deepened_chain_the_new_layers_lie_in_the_middle_and_learn() -> None:
    torch.manual_seed(0)
    shorter, network = DnCNN(depth=4, width=8), DnCNN(depth=6, width=8)
    deepen_chain(network.body, shorter.body)
    ours = [part for part in network.body if isinstance(part, nn.Conv2d)]
    theirs = [part for part in shorter.body if isinstance(part, nn.Conv2d)]
    for position, before in enumerate((0, 1, None, None, 2, 3)):
        if before is not None:
            assert torch.equal(ours[position].weight, theirs[before].weight)
            continue
        identity = torch.zeros(8, 8, 3, 3)
        identity[range(8), range(8), 1, 1] = 1
        assert torch.equal(ours[position].weight, identity)
    network(torch.rand(2, 1, 9, 7)).square().mean().backward()
    assert all(part.weight.grad is not None and bool(part.weight.grad.any()) for part in ours)


@pytest.mark.parametrize(
    ("longer", "shorter", "said"),
    [
        (DnCNN(depth=3, width=8), DnCNN(depth=4, width=8), "a chain of 3 layers is not deeper than one of 4"),
        (DnCNN(depth=4, width=8), DnCNN(depth=3, width=6), "other sizes"),
        (DnCNN(depth=4, width=8), VDSR(depth=4, width=6), "other sizes"),
        (VDSR(depth=4, width=8), DnCNN(depth=4, width=8), "it has batch normalisations, this one has none"),
        (VDSR(depth=4, width=8, channels=1), VDSR(depth=3, width=8, channels=3), "other sizes"),
    ],
)
def test_a_chain_is_not_deepened_from_one_that_does_not_fit(
    longer: VDSR | DnCNN, shorter: VDSR | DnCNN, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        deepen_chain(longer.body, shorter.body)
