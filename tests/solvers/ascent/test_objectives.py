"""What pictures are changed towards: parsing, growth, weights, guides."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retouch.image.errors import OptionError
from retouch.networks.layers import NamedLayers
from retouch.solvers.ascent.objectives import Guide, Wish, check_wishes, grown, layer_widths, parse_wishes


def test_wishes_are_read() -> None:
    assert parse_wishes("relu4_3") == (Wish("relu4_3"),)
    assert parse_wishes(" a:3 , layer1.0=0.5,c:1=-2") == (Wish("a", 3), Wish("layer1.0", None, 0.5), Wish("c", 1, -2.0))


@pytest.mark.parametrize("text", ["", "a,", ":3", "a:x", "a=b", "a=0", "a=nan", "a=inf", "a:-1", "a:1.5"])
def test_wishes_that_make_no_sense(text: str) -> None:
    with pytest.raises(OptionError, match="is not LAYER"):
        parse_wishes(text)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert parse_wishes(text)


def test_layers_and_channels_are_checked(tiny: NamedLayers) -> None:
    assert layer_widths(tiny, ["relu4_3", "conv1", "conv1"]) == {"relu4_3": 6, "conv1": 5}
    check_wishes(tiny, [Wish("relu4_3", 5), Wish("conv1")])
    with pytest.raises(OptionError, match=r"layer relu4_3 of Tiny has channels 0\.\.5, not 6"):
        check_wishes(tiny, [Wish("relu4_3", 6)])
    with pytest.raises(OptionError, match="unknown layer 'conv9'"):
        check_wishes(tiny, [Wish("conv9")])


def test_one_layer_counts_as_it_is() -> None:
    x = torch.randn(1, 4, 3, 5)
    torch.testing.assert_close(grown({"a": x}, [Wish("a", None, 3.0)]), 1.5 * x.square().mean())
    torch.testing.assert_close(grown({"a": x}, [Wish("a", 2)]), x[:, 2].mean())


def test_several_layers_count_by_their_weights_whatever_their_size() -> None:
    a = torch.randn(1, 4, 3, 5, requires_grad=True)
    total = grown({"a": a, "b": 1000 * a}, [Wish("a"), Wish("b", None, 0.5)])
    torch.testing.assert_close(total, torch.tensor(1.5))
    (gradient,) = torch.autograd.grad(total, a)
    torch.testing.assert_close(gradient, 1.5 * 2 * a.detach() / a.detach().square().sum())


def test_a_guide_draws_each_position_to_its_likest_vector() -> None:
    vectors = torch.eye(3)[:, :2].reshape(1, 3, 1, 2)
    guide = Guide({"a": vectors})
    x = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.5, 0.4], [5.0, 5.0, 5.0]]).reshape(1, 3, 1, 3).requires_grad_()
    value = guide.match({"a": x}, [Wish("a")])
    torch.testing.assert_close(value, torch.tensor((0.9 + 0.5 + 0.4) / 3))
    (gradient,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(gradient[0, :, 0] * 3, torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]]))


def test_a_large_guide_is_thinned() -> None:
    guide = Guide({"a": torch.rand(1, 2, 100, 100)})
    assert 1000 < guide.vectors["a"].shape[1] <= 2048
