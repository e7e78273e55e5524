"""Losses by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.losses.build import LOSSES, build_loss
from retouch.losses.pixel import Charbonnier


class Same(nn.Module):
    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        return dict.fromkeys(names, x)


def no_features() -> nn.Module:
    raise AssertionError("the feature network was made for nothing")


@pytest.mark.parametrize("name", ["l1", "l2", "charbonnier", "psnr", "cross-entropy", "total-variation"])
def test_no_feature_network_is_made_for_nothing(name: str) -> None:
    x = torch.rand(1, 3, 4, 4)
    loss = build_loss(name, features=no_features)
    assert type(loss) is LOSSES[name]
    assert loss(x, x.flip(-1)).ndim == 0
    assert type(build_loss(name)) is LOSSES[name]


@pytest.mark.parametrize(("name", "options"), [("perceptual", {"layers": {"any": 2.0}}), ("content", {"layer": "any"})])
def test_features_are_made_when_asked_for(name: str, options: dict[str, Any]) -> None:
    made: list[nn.Module] = []

    def features() -> nn.Module:
        made.append(Same())
        return made[-1]

    loss = build_loss(name, features=features, **options)
    assert type(loss) is LOSSES[name]
    assert len(made) == 1
    assert made[0] is loss.features
    assert float(loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))) > 0
    with pytest.raises(OptionError, match=f"loss {name} needs a feature network"):
        build_loss(name, **options)


def test_options_reach_the_loss() -> None:
    loss = build_loss("charbonnier", eps=0.5)
    assert isinstance(loss, Charbonnier)
    assert loss.eps == 0.5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("l3", {}, "unknown loss 'l3' .known: l1, l2, "),
        ("charbonier", {}, "did you mean 'charbonnier'"),
        ("charbonnier", {"epz": 1}, "unknown option 'epz' of loss charbonnier; did you mean 'eps'"),
        ("charbonnier", {"eps": -1}, "loss charbonnier: eps is above 0, not -1"),
        ("psnr", {"floor": 0}, "loss psnr: floor is above 0, not 0"),
        ("charbonnier", {"eps": "small"}, "loss charbonnier: "),
        ("l1", {"eps": 1}, "loss l1 has no options, so no 'eps'"),
        ("total-variation", {"training": 1}, "loss total-variation has no options"),
        ("perceptual", {"layers": {}}, "loss perceptual: layers must not be empty"),
        ("perceptual", {"layers": {"any": "much"}}, "loss perceptual: could not convert"),
        ("perceptual", {"layers": 3}, "loss perceptual: "),
        ("content", {"layers": {}}, "unknown option 'layers' of loss content; did you mean 'layer'"),
    ],
)
def test_wrong_calls(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_loss(name, features=Same, **options)


def test_an_error_of_the_feature_network_comes_through() -> None:
    def missing() -> nn.Module:
        raise OptionError("no weights of vgg19 here")

    with pytest.raises(OptionError, match=r"^no weights of vgg19 here$"):
        build_loss("content", features=missing)
