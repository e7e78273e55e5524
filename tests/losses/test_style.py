"""The losses of content and style: by hand, in regions, and as parts of a sum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.losses.perceptual import gram
from retouch.losses.style import StyleLoss, Target, guided_gram


class Steps(nn.Module):
    """Two layers: the picture itself, and the picture doubled at half the size."""

    def forward(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        layers = {"one": x, "two": 2 * nn.functional.avg_pool2d(x, 2)}
        return {name: layers[name] for name in names}


def _loss(**options: float) -> StyleLoss:
    return StyleLoss(Steps(), content=("two",), style=("one", "two"), **options)  # type: ignore[arg-type]


def test_the_parts_are_those_of_the_paper_by_hand() -> None:
    x, content, style = (torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    losses = _loss(content_weight=2.0, style_weight=50.0, variation=0.5)
    found = losses(x, losses.activations(content), [Target(losses.grams(style))])
    small, there = (2 * nn.functional.avg_pool2d(y, 2) for y in (x, content))
    assert float(found["content"]) == pytest.approx(float((small - there).square().sum()) / (3 * 3 * 4), rel=1e-5)
    by_hand = 0.0
    for one, other in ((x, style), (small, 2 * nn.functional.avg_pool2d(style, 2))):
        flat, wanted = one[0].flatten(1), other[0].flatten(1)
        apart = (flat @ flat.T - wanted @ wanted.T) / flat.numel()
        by_hand += float(apart.square().sum()) / 9 / 2
    assert float(found["style"]) == pytest.approx(by_hand, rel=1e-4)
    total = 2.0 * found["content"] + 50.0 * found["style"] + 0.5 * found["variation"]
    assert torch.allclose(found["loss"], total)


def test_golden_numbers() -> None:
    ramp = torch.linspace(0, 1, 3 * 4 * 4).reshape(1, 3, 4, 4)
    losses = _loss()
    found = losses(ramp, losses.activations(ramp.flip(3)), [Target(losses.grams(1 - ramp))])
    assert float(found["content"]) == pytest.approx(0.00724, abs=1e-5)
    assert float(found["style"]) == pytest.approx(0.145935, abs=1e-5)


def test_at_its_own_content_and_style_only_the_variation_is_left() -> None:
    x = torch.rand(2, 3, 8, 8)
    losses = _loss(variation=1.0)
    one = x[:1]
    found = losses(one, losses.activations(one), [Target(losses.grams(one))])
    assert float(found["content"]) == float(found["style"]) == 0
    assert torch.equal(found["loss"], found["variation"])
    assert "variation" not in _loss()(x, losses.activations(x), [Target(losses.grams(one))])


def test_gradients_reach_the_picture_as_differences_say() -> None:
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    losses = _loss(style_weight=10.0).double()
    content, style = torch.rand(1, 3, 4, 4, dtype=torch.float64), torch.rand(1, 3, 4, 4, dtype=torch.float64)
    guide = torch.rand(1, 1, 4, 4, dtype=torch.float64) + 0.1
    targets = [Target(losses.grams(style)), Target(losses.grams(content), 0.5, guide)]
    wanted = losses.activations(content)
    assert torch.autograd.gradcheck(lambda y: losses(y, wanted, targets)["loss"], (x,))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), level=st.floats(0.01, 100))
def test_a_guide_that_is_the_same_everywhere_changes_nothing(seed: int, level: float) -> None:
    x = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(guided_gram(x, torch.full((1, 1, 12, 14), level)), gram(x), atol=1e-5)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), cut=st.integers(1, 7))
def test_a_guide_of_a_part_gives_the_gram_matrices_of_that_part(seed: int, cut: int) -> None:
    x = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(seed))
    guide = torch.zeros(1, 1, 6, 8)
    guide[..., :cut] = 1
    assert torch.allclose(guided_gram(x, guide), gram(x[..., :cut]), atol=1e-5)


def test_styles_mix_by_their_weights() -> None:
    x = torch.rand(1, 3, 8, 8)
    losses = _loss()
    first, second = (losses.grams(torch.rand(1, 3, 8, 8)) for _ in range(2))
    content = losses.activations(x)
    parts = [losses(x, content, [Target(grams)])["style"] for grams in (first, second)]
    mixed = losses(x, content, [Target(first, 0.25), Target(second, 0.75)])["style"]
    assert torch.allclose(mixed, 0.25 * parts[0] + 0.75 * parts[1])


def test_half_precision_is_compared_in_float32() -> None:
    losses = _loss()
    x = torch.rand(1, 3, 8, 8)
    grams = losses.grams(x.bfloat16())
    assert all(matrix.dtype == torch.float32 for matrix in grams.values())
    assert losses(x.bfloat16(), losses.activations(x), [Target(grams)])["loss"].dtype == torch.float32


def test_without_a_layer_of_style_there_is_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        StyleLoss(Steps(), style=())
