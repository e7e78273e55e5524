"""Losses on activations, with a feature network small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from retouch.losses.perceptual import ContentLoss, Perceptual, gram
from retouch.networks.vgg import VGGFeatures


class Doubling(nn.Module):
    """"twice": the picture doubled; "pair": the picture and its negative as two channels."""  # fmt: skip

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        made = {"twice": 2 * x, "pair": torch.cat([x, -x], 1)}
        return {name: made[name] for name in names}


PREDICTION = torch.tensor([[[[1.0, 2.0]]]])
TARGET = torch.tensor([[[[0.0, 3.0]]]])


def test_gram_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, one row of two pixels
    expected = torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4
    assert torch.allclose(gram(x), expected)


def test_gram_is_float32_under_autocast() -> None:
    x = torch.rand(1, 4, 32, 32) * 30
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gram(x), gram(x.clone()))
        assert gram(x).dtype == torch.float32
        made = gram(x)
    assert torch.equal(made, gram(x))


def test_perceptual_by_hand() -> None:
    loss = Perceptual(Doubling(), {"twice": 3, "pair": 0.5}, pixel=10, gram=7)
    pixel = 1.0  # |1|, |-1|
    # twice: (2, 4) and (0, 6); Gram (4 + 16) / 2 = 10 and 36 / 2 = 18
    # pair: Gram 5 and 9, with signs, each / 4 in the four places
    expected = 10 * pixel + (3 * 2 + 9 * 7 * 8) + (0.5 * 1 + 0.25 * 7 * 1)
    assert float(loss(PREDICTION, TARGET)) == pytest.approx(expected, rel=1e-6)
    without = Perceptual(Doubling(), {"twice": 3, "pair": 0.5}, pixel=0, gram=0)
    assert float(without(PREDICTION, TARGET)) == pytest.approx(3 * 2 + 0.5, rel=1e-6)


def test_published_numbers_are_the_defaults() -> None:
    loss = Perceptual(VGGFeatures())
    assert (loss.pixel, loss.gram) == (1, 5e3)
    assert loss.layers == {"relu3_3": 5, "relu4_3": 15, "relu5_3": 2}


def test_perceptual_needs_a_layer() -> None:
    with pytest.raises(ValueError, match="empty"):
        Perceptual(Doubling(), {})


def test_content_by_hand() -> None:
    loss = ContentLoss(Doubling(), "twice")
    assert float(loss(PREDICTION, TARGET)) == pytest.approx(4 / 12.75**2, rel=1e-6)
    assert float(loss(PREDICTION, TARGET)) == pytest.approx(4 * 0.006, rel=0.03)  # as the paper rounds it
    assert float(ContentLoss(Doubling(), "pair", scale=1)(PREDICTION, TARGET)) == 1


@pytest.mark.parametrize("loss", [Perceptual(Doubling(), {"twice": 1}), ContentLoss(Doubling(), "pair")])
def test_gradient_reaches_the_prediction_only(loss: nn.Module) -> None:
    prediction, target = PREDICTION.clone().requires_grad_(), TARGET.clone().requires_grad_()
    loss(prediction, target).backward()
    assert prediction.grad is not None
    assert prediction.grad.any()
    assert target.grad is None


@pytest.mark.parametrize("make", [lambda f: Perceptual(f, {"any": 1}), lambda f: ContentLoss(f, "any")])
def test_the_feature_network_never_learns(make: Callable[[nn.Module], nn.Module]) -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
            return dict.fromkeys(names, self.norm(x))

    features = Normalised()
    before = {key: value.clone() for key, value in features.state_dict().items()}
    loss = make(features).train()
    loss(torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 3, 4, 4)).backward()
    assert loss.training
    assert all(parameter.grad is None for parameter in features.parameters())
    assert all(torch.equal(value, before[key]) for key, value in features.state_dict().items())


@pytest.mark.parametrize("name", ["perceptual", "content"])
def test_with_vgg_under_autocast(name: str) -> None:
    """The features may be rounded, but the loss is float32 and near, and its gradient is finite."""
    torch.manual_seed(0)
    features = VGGFeatures()
    loss = Perceptual(features, {"relu2_2": 5}) if name == "perceptual" else ContentLoss(features, "relu2_2")
    prediction, target = torch.rand(2, 3, 8, 8, requires_grad=True), torch.rand(2, 3, 8, 8)
    exact = float(loss(prediction.detach(), target))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = loss(prediction, target)
    assert made.dtype == torch.float32
    assert float(made.detach()) == pytest.approx(exact, rel=0.02)
    made.backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad.any()
    assert float(loss(target, target)) == 0
