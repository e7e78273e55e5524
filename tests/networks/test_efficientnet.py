"""EfficientNet-Lite0's stages: sizes, padding, the published weights on pictures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from retouch.networks.build import count_parameters
from retouch.networks.efficientnet import EfficientNetLite0, EfficientNetStages, InvertedResidual, SameConv2d


def test_parameters() -> None:
    # 4,652,008 of the classifier, less its head: 1280 x 320 + 2 x 1280, and 1000 x 1281
    assert count_parameters(EfficientNetStages()) == 4_652_008 - 412_160 - 1_281_000


@pytest.mark.parametrize("stages", [2, 3, 4, 5])
def test_activations_after_each_halving(stages: int) -> None:
    network = EfficientNetStages(stages).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 3, 65, 40))
    sizes = [(33, 20), (17, 10), (9, 5), (5, 3), (3, 2)][:stages]
    assert network.widths == (16, 24, 40, 112, 320)[:stages]
    assert [tuple(a.shape) for a in found] == [(1, w, *s) for w, s in zip(network.widths, sizes, strict=True)]


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_same_padding(height: int, width: int, kernel: int, stride: int) -> None:
    """TensorFlow's rule, by padding explicitly: what is odd goes below and to the right."""
    layer = SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, height, width)
    padded = []
    for size in (width, height):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padded += [total // 2, total - total // 2]
    y = layer(x)
    torch.testing.assert_close(y, functional.conv2d(functional.pad(x, padded), layer.weight, stride=stride))
    assert y.shape[-2:] == (-(-height // stride), -(-width // stride))


def test_a_block_adds_its_input_where_it_can() -> None:
    block = InvertedResidual(4, 4, 3, 1, 6).eval()
    with torch.no_grad():
        block.project[0].weight.zero_()
    x = torch.randn(1, 4, 6, 5)
    assert torch.equal(block(x), x)
    assert not InvertedResidual(4, 4, 3, 2, 6).adds
    assert not InvertedResidual(4, 6, 3, 1, 6).adds


def test_the_classifier_is_the_encoder_and_a_head() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0(classes=7, dropout=0.5).eval()
    assert count_parameters(EfficientNetLite0()) == 4_652_008
    x = torch.rand(2, 3, 70, 64)
    with torch.no_grad():
        deepest = network.encoder((x - 127 / 255) / (128 / 255))[-1]
        pooled = functional.relu6(network.head(deepest)).mean((2, 3))
        torch.testing.assert_close(network.pooled(x), pooled)
        torch.testing.assert_close(network(x), pooled @ network.classify.weight.T + network.classify.bias)
        grey = x[:, :1]
        torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))
        assert not torch.equal(network.train()(x), network.eval()(x)), "dropout works in training"
