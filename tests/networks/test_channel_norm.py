"""Layer normalisation over the channels of each pixel."""

from __future__ import annotations

import pytest
import torch

from retouch.networks.channel_norm import ChannelNorm


def test_each_pixel_by_hand() -> None:
    torch.manual_seed(0)
    norm = ChannelNorm(6).double()
    x = 3 + 2 * torch.randn(2, 6, 3, 4, dtype=torch.float64)
    plain = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), plain)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        torch.testing.assert_close(norm(x), plain * norm.weight[:, None, None] + norm.bias[:, None, None])


def test_layout_stays() -> None:
    x = torch.rand(1, 4, 3, 5).to(memory_format=torch.channels_last)
    assert ChannelNorm(4)(x).is_contiguous(memory_format=torch.channels_last)


def test_no_channels_refused() -> None:
    with pytest.raises(ValueError, match="width is at least 1, not 0"):
        ChannelNorm(0)
