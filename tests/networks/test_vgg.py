"""VGG's feature layers: names, normalisation, order, and the published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from retouch.image.errors import OptionError
from retouch.networks.vgg import VGGFeatures

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

# number of each convolution in torchvision's `features`, by block
PLACES = {
    16: [[0, 2], [5, 7], [10, 12, 14], [17, 19, 21], [24, 26, 28]],
    19: [[0, 2], [5, 7], [10, 12, 14, 16], [19, 21, 23, 25], [28, 30, 32, 34]],
}


@pytest.fixture(scope="module")
def vgg16() -> VGGFeatures:
    torch.manual_seed(0)
    return VGGFeatures()


@pytest.mark.parametrize(("depth", "count"), [(16, 14_714_688), (19, 20_024_384)])
def test_keys_and_count_are_torchvisions(depth: int, count: int) -> None:
    with torch.device("meta"):
        network = VGGFeatures(depth)
    keys = {f"features.{place}.{part}" for block in PLACES[depth] for place in block for part in ("weight", "bias")}
    assert set(network.state_dict()) == keys
    assert sum(value.numel() for value in network.state_dict().values()) == count
    named = []
    for b, block in enumerate(PLACES[depth], 1):
        named += [f"{kind}{b}_{c}" for c in range(1, len(block) + 1) for kind in ("conv", "relu")]
        named.append(f"pool{b}")
    assert network.layers == tuple(named)
    relu = network.place("relu3_2")
    assert isinstance(network.features[relu], torch.nn.ReLU)
    assert relu == PLACES[depth][2][1] + 1


def by_hand(network: VGGFeatures, x: torch.Tensor, depth: int, last: str, average: bool) -> torch.Tensor:
    state = network.state_dict()
    y = (x - MEAN) / DEVIATION
    for b, block in enumerate(PLACES[depth], 1):
        for c, place in enumerate(block, 1):
            y = F.conv2d(y, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1).relu()
            if f"relu{b}_{c}" == last:
                return y
        y = F.avg_pool2d(y, 2) if average else F.max_pool2d(y, 2)
    raise AssertionError(last)


def test_what_comes_before_a_relu_is_not_changed_by_it(vgg16: VGGFeatures) -> None:
    x = torch.rand(1, 3, 8, 8)
    made = vgg16(x, ["conv2_2", "relu2_2", "pool2", "conv3_1"])
    assert bool((made["conv2_2"] < 0).any())
    assert torch.equal(made["relu2_2"], made["conv2_2"].relu())
    assert torch.equal(made["pool2"], F.max_pool2d(made["relu2_2"], 2))
    assert torch.equal(made["conv2_2"], vgg16(x, ["conv2_2"])["conv2_2"])


@pytest.mark.parametrize("average", [False, True])
def test_activations_are_those_of_the_layers_one_by_one(average: bool) -> None:
    torch.manual_seed(0)
    network = VGGFeatures(pooling="average" if average else "max")
    x = torch.rand(1, 3, 9, 11)
    names = ["relu3_1", "relu1_2", "relu2_2"]
    made = network(x, names)
    assert list(made) == names
    for name in names:
        assert torch.allclose(made[name], by_hand(network, x, 16, name, average), atol=1e-6)


def test_nothing_after_the_last_layer_runs(vgg16: VGGFeatures) -> None:
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
        for index, layer in enumerate(vgg16.features)
    ]
    vgg16(torch.rand(1, 3, 4, 4), ["relu2_1"])
    assert ran == list(range(7))
    ran.clear()
    assert vgg16(torch.rand(1, 3, 4, 4), []) == {}
    assert ran == []
    for hook in hooks:
        hook.remove()


def test_gradient_reaches_the_picture_only(vgg16: VGGFeatures) -> None:
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    vgg16(x, ["relu2_2"])["relu2_2"].sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    assert not any(parameter.requires_grad for parameter in vgg16.parameters())


def test_grey_is_three_equal_channels(vgg16: VGGFeatures) -> None:
    x = torch.rand(2, 1, 6, 6)
    assert torch.equal(vgg16(x, ["relu1_2"])["relu1_2"], vgg16(x.expand(-1, 3, -1, -1), ["relu1_2"])["relu1_2"])


def test_unknown_words_are_named(vgg16: VGGFeatures) -> None:
    with pytest.raises(OptionError, match="VGG16; did you mean 'relu3_3'"):
        vgg16(torch.rand(1, 3, 8, 8), ["relu3_33"])
    with pytest.raises(OptionError, match="16 or 19"):
        VGGFeatures(11)
    with pytest.raises(OptionError, match="did you mean 'average'"):
        VGGFeatures(pooling="avrage")


@pytest.mark.parametrize(("layer", "side"), [("relu2_1", 2), ("relu3_1", 4), ("relu5_1", 16)])
def test_smallest_picture(vgg16: VGGFeatures, layer: str, side: int) -> None:
    assert vgg16(torch.rand(1, 3, side, side), [layer])[layer].shape[-2:] == (1, 1)
    with pytest.raises(OptionError, match=f"{layer} needs pictures of at least {side} x {side} pixels"):
        vgg16(torch.rand(1, 3, side + 5, side - 1), [layer])


def test_published_weights_fit(shared_data: Path) -> None:
    """Half precision in the file, float32 in the network. What they see does not hang on the brightness alone."""
    from safetensors.torch import load_file

    path = shared_data.parent / "weights" / "vgg16_features.safetensors"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    tensors = load_file(path)
    network = VGGFeatures()
    network.load_state_dict(tensors)
    assert network.features[0].weight.dtype == torch.float32
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[..., ::2] = 1
    made = network(torch.cat([stripes, torch.full_like(stripes, 0.5)]), ["relu1_2"])["relu1_2"].mean((1, 2, 3))
    assert float(made[0]) > 1.5 * float(made[1]) > 0
