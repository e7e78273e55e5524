"""The two networks of restore: what each is told, and that the first waits to be asked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from retouch.networks.restoration import RestorationNet


def _network() -> RestorationNet:
    torch.manual_seed(0)
    network = RestorationNet((4,), (1,), levels=3)
    for parameter in network.parameters():
        if not bool(parameter.any()):
            nn.init.normal_(parameter, std=0.05)
    return network.eval()


def _input(*levels: float) -> Tensor:
    torch.manual_seed(1)
    planes = torch.tensor(levels)[None, :, None, None].expand(1, -1, 8, 8)
    return torch.cat((torch.rand(1, 3, 8, 8), planes), 1)


@pytest.mark.parametrize("asked", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("levels", [(0.2, 0.7), (0.0, 0.1), (0.0, 0.0)])
def test_by_hand(levels: tuple[float, float], asked: float) -> None:
    network, x = _network(), _input(*levels, asked)
    none, far = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    with torch.no_grad():
        picture = network.whole(torch.cat((x[:, :5], none), 1)) if any(levels) else x[:, :3]
        expected = picture + asked * (network.overlay(torch.cat((picture, far, x[:, 5:]), 1)) - picture)
        torch.testing.assert_close(network(x), expected)
        network.train()
        torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(
    ("levels", "run"),
    [((0, 0, 0), []), ((0.5, 0, 0), ["whole"]), ((0, 0, 1), ["overlay"]), ((0, 0.5, 1), ["whole", "overlay"])],
)
def test_what_is_not_asked_for_is_not_run(levels: tuple[float, ...], run: list[str]) -> None:
    network, x = _network(), _input(*levels)
    calls: list[str] = []
    for name in ("whole", "overlay"):
        network.get_submodule(name).register_forward_hook(lambda *given, name=name: calls.append(name))
    with torch.no_grad():
        made = network(x)
        assert calls == run
        assert torch.equal(made, x[:, :3]) == (not run)
        calls.clear()
        network.train()(x)
        assert calls == ["whole", "overlay"]
        calls.clear()
        network.requires_grad_(False)(x)
        assert calls == run


def test_fresh_it_changes_nothing() -> None:
    x = _input(0.5, 0.5, 1.0)
    with torch.no_grad():
        assert torch.equal(RestorationNet((4,), (1,), levels=3)(x), x[:, :3])


def test_refused() -> None:
    with pytest.raises(ValueError, match="levels are at least 2"):
        RestorationNet(levels=1)
    with pytest.raises(ValueError, match="takes 3 channels and 5 levels, not 3 planes in all"):
        RestorationNet((4,), (1,))(torch.rand(1, 3, 8, 8))
