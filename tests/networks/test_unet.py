"""The perceptual U-Net: published sizes, its parts by hand, its three outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from retouch.networks.build import count_parameters
from retouch.networks.unet import Convolution, PixelShuffleICNR, SelfAttention, UNet

TINY: dict[str, Any] = {"encoder": "efficientnet-lite0", "stages": 2, "norm": "none", "decoder": (6, 5, 4)}


def luma(x: Tensor) -> Tensor:
    return (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def test_published_sizes() -> None:
    assert count_parameters(UNet()) == 41_229_213
    assert count_parameters(UNet(self_attention=True)) == 41_413_534


def test_batch_norm_counts_alike_and_spectral_has_no_gain() -> None:
    """A gain and a bias a kernel as weight norm has; a spectral norm has the bias only."""
    kernels = sum(
        m.out_channels for m in UNet(norm="none").modules() if isinstance(m, nn.Conv2d) and m.bias is not None
    )
    assert count_parameters(UNet(norm="batch")) == 41_229_213
    assert count_parameters(UNet(norm="spectral")) == count_parameters(UNet(norm="none")) == 41_229_213 - kernels


def test_attention_is_in_the_third_block_from_the_top() -> None:
    blocks = UNet(self_attention=True).blocks
    assert [block.attention is not None for block in blocks] == [False, True, False, False]
    assert blocks[1].attention.value.out_channels == 384


@pytest.mark.parametrize("encoder", ["resnet18", "resnet50", "efficientnet-lite0"])
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 32)])
def test_any_encoder_any_size(encoder: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = UNet(encoder, stages=3, decoder=(8, 6, 6, 5), self_attention=True, norm="spectral").eval()
    with torch.no_grad():
        y = network(torch.rand(1, 3, *size))
    assert y.shape == (1, 3, *size)
    assert torch.isfinite(y).all()


def test_shuffle_begins_as_nearest_neighbours() -> None:
    shuffle = PixelShuffleICNR(5, 3, norm="none", blur=False)
    y = shuffle(torch.randn(2, 5, 4, 6))
    assert y.shape == (2, 3, 8, 12)
    assert torch.equal(y, y[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_blur_by_hand() -> None:
    """Each value is the mean of itself and of its neighbours above, to the left, and both; edges repeat."""
    torch.manual_seed(0)
    sharp, blurred = PixelShuffleICNR(2, 2, norm="none", blur=False), PixelShuffleICNR(2, 2, norm="none", blur=True)
    nn.init.normal_(sharp.convolution.weight)
    blurred.load_state_dict(sharp.state_dict())
    x = torch.randn(1, 2, 3, 3)
    y = sharp(x)
    padded = torch.cat((y[..., :1], y), -1)
    padded = torch.cat((padded[..., :1, :], padded), -2)
    mean = (padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]) / 4
    torch.testing.assert_close(blurred(x), mean)


def test_order_of_a_convolution() -> None:
    kinds = [type(layer) for layer in Convolution(2, 3, norm="batch")]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert Convolution(2, 3, norm="batch")[0].bias is None
    assert [type(layer) for layer in Convolution(2, 3, 1, norm="none", active=False)] == [nn.Conv2d]


def test_attention_by_hand() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(16).eval()
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(attention(x), x)  # gamma begins at 0
    with torch.no_grad():
        attention.gamma.fill_(0.7)
        flat = x.flatten(2)
        query, key, value = (
            layer.weight.flatten(1) @ flat for layer in (attention.query, attention.key, attention.value)
        )
        shares = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # over all pixels, for each pixel
        by_hand = x + 0.7 * (value @ shares.transpose(1, 2)).reshape(x.shape)
        torch.testing.assert_close(attention(x), by_hand)


@pytest.mark.parametrize("norm", ["weight", "batch", "none"])
def test_a_residual_begins_as_the_picture(norm: str) -> None:
    network = UNet(**{**TINY, "norm": norm}, output="residual")
    x = torch.rand(2, 3, 9, 10)
    y = network(x)
    assert torch.equal(y, x)
    (network(x) - torch.rand_like(x)).square().mean().backward()
    learned = [p.grad for p in network.last.parameters() if p.grad is not None]
    assert any(bool(gradient.abs().sum() > 0) for gradient in learned)  # and it can leave from there


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20))
def test_chroma_keeps_the_luma_and_sees_no_colour(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    network = UNet(**TINY, output="chroma").eval()
    x = torch.rand(1, 3, height, width)
    grey = luma(x).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(network(x), grey, atol=1e-6, rtol=0)  # begins without colour
        nn.init.normal_(network.last[0].weight)
        nn.init.normal_(network.last[0].bias)
        y = network(x)
        assert float((y - grey).abs().max()) > 1e-3
        torch.testing.assert_close(luma(y), luma(x), atol=2e-6, rtol=0)
        torch.testing.assert_close(network(grey), y, atol=1e-4, rtol=0)


def test_bounds() -> None:
    """A sigmoid onto the range of normalised values."""
    torch.manual_seed(0)
    network = UNet(**TINY, bounds=(-1.0, 1.0)).eval()
    with torch.no_grad():
        nn.init.constant_(network.last[0].bias, 100.0)
        high = network(torch.rand(1, 3, 8, 8))
        nn.init.constant_(network.last[0].bias, -100.0)
        low = network(torch.rand(1, 3, 8, 8))
    torch.testing.assert_close(high, torch.full_like(high, (127 + 128) / 255))
    torch.testing.assert_close(low, torch.full_like(low, (127 - 128) / 255))


def test_without_the_cross_connection_the_last_block_has_no_picture() -> None:
    assert UNet(**TINY).last[0].in_channels == 4 + 3
    assert UNet(**TINY, cross=False).last[0].in_channels == 4
    assert not hasattr(UNet(**TINY, cross=False), "join")


def test_fixed_statistics() -> None:
    x = torch.rand(2, 3, 16, 16)
    for fixed in (False, True):
        network = UNet(**TINY, fixed_statistics=fixed).train()
        before = network.encoder.stem[1].running_mean.clone()
        network(x)
        assert torch.equal(network.encoder.stem[1].running_mean, before) == fixed
        assert network.middle_norm.training  # the decoder's own learn
        assert network.train(False).encoder.stem[1].training is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vgg"}, "encoder is one of"),
        ({"norm": "layer"}, "norm is one of"),
        ({"output": "grey"}, "output is one of"),
        ({"decoder": (4, 4)}, "decoder is 4 widths"),
        ({"decoder": (4, 4, 0)}, "decoder is"),
        ({"stages": 7}, "stages is 2 to 5"),
        ({"bounds": (1.0, -1.0)}, "bounds are"),
        ({"bounds": (-3.0, 3.0), "output": "residual"}, "bounds are"),
        ({"self_attention": True}, "at least 3 stages"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message if "decoder is 4" not in message else "decoder is"):
        UNet(**{**TINY, **options})
