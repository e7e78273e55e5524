"""The tail of the networks for super-resolution: its shuffle, what it is added to, what it cuts off."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retouch.networks.sub_pixel import SubPixelTail


def test_the_convolution_shuffled_and_cut() -> None:
    torch.manual_seed(0)
    tail = SubPixelTail(5, 2, 3)
    features = torch.randn(2, 5, 6, 7)
    with torch.no_grad():
        whole = functional.pixel_shuffle(tail.convolution(features), 3)
        assert torch.equal(tail(features, torch.rand(2, 2, 5, 4)), whole[..., :15, :12])


@pytest.mark.parametrize("skip", ["bilinear", "bicubic"])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_it_begins_as_interpolation_and_adds_to_it(skip: str, scale: int) -> None:
    tail = SubPixelTail(4, 3, scale, skip)
    x, features = torch.rand(1, 3, 4, 5), torch.randn(1, 4, 4, 5)
    large = functional.interpolate(x, scale_factor=scale, mode=skip, align_corners=False)
    assert torch.equal(tail(features, x), large)
    torch.nn.init.constant_(tail.convolution.bias, 0.25)  # type: ignore[arg-type]
    torch.testing.assert_close(tail(features, x), large + 0.25)


def test_the_picture_keeps_its_precision() -> None:
    tail = SubPixelTail(4, 3, 2, "bicubic").bfloat16()
    x = torch.rand(1, 3, 4, 5)
    made = tail(torch.randn(1, 4, 4, 5).bfloat16(), x)
    assert torch.equal(made, functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False))


def test_refused() -> None:
    with pytest.raises(ValueError, match="skip is one of none, bilinear, bicubic, not 'cubic'"):
        SubPixelTail(4, 3, 2, "cubic")
    with pytest.raises(ValueError, match="at least 1, not 4, 3 and 0"):
        SubPixelTail(4, 3, 0)
