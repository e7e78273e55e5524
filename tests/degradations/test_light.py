"""Brightness, contrast, gamma and grey by hand."""

from __future__ import annotations

import pytest
import torch

from retouch.degradations.light import Brightness, Contrast, Gamma, Grey
from retouch.image.errors import OptionError

X = torch.tensor([[[[0.0, 0.25, 0.5, 1.0]]]])


def test_by_hand() -> None:
    torch.testing.assert_close(Brightness(0.3)(X), torch.tensor([[[[0.3, 0.55, 0.8, 1.0]]]]))
    torch.testing.assert_close(Brightness(-0.3)(X), torch.tensor([[[[0.0, 0.0, 0.2, 0.7]]]]))
    torch.testing.assert_close(Contrast(0.5)(X), torch.tensor([[[[0.25, 0.375, 0.5, 0.75]]]]))
    torch.testing.assert_close(Contrast(3)(X), torch.tensor([[[[0.0, 0.0, 0.5, 1.0]]]]))
    torch.testing.assert_close(Gamma(2)(X), torch.tensor([[[[0.0, 0.0625, 0.25, 1.0]]]]))
    torch.testing.assert_close(Gamma(0.5)(X), torch.tensor([[[[0.0, 0.5, 0.5**0.5, 1.0]]]]))


def test_grey_by_hand() -> None:
    x = torch.tensor([1.0, 0.5, 0.25])[:, None, None].expand(1, 3, 2, 2).clone()
    torch.testing.assert_close(Grey()(x), torch.full((1, 3, 2, 2), 0.299 + 0.5 * 0.587 + 0.25 * 0.114))
    assert torch.equal(Grey()(X), X)
    a, b = (torch.rand((2, 3, 4, 5), dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close((Grey()(a) * b).sum(), (a * Grey().adjoint(b)).sum())


def test_one_changes_nothing() -> None:
    for neutral in (Brightness(0), Contrast(1), Gamma(1)):
        torch.testing.assert_close(neutral(X), X)


def test_gamma_has_a_finite_gradient_at_black() -> None:
    x = X.clone().requires_grad_()
    Gamma(0.5)(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[[[0.0, 1.0, 0.5**0.5, 0.5]]]]))


def test_bad_parameters_are_named() -> None:
    with pytest.raises(OptionError, match="Gamma: gamma must be above 0"):
        Gamma(0)
    with pytest.raises(OptionError, match="Brightness: shift must be at least -1 and at most 1, not 30"):
        Brightness(30)
    with pytest.raises(OptionError, match="Contrast: factor must be at least 0"):
        Contrast(-1)
