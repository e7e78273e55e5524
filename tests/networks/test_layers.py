"""Classification networks cut into named steps: what they share, and AlexNet, ResNet and EfficientNet-Lite0."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from retouch.image.errors import OptionError
from retouch.models.feature_network import untrained
from retouch.networks.alexnet import AlexNetFeatures
from retouch.networks.efficientnet import EfficientNetFeatures
from retouch.networks.layers import NamedLayers
from retouch.networks.resnet import ResNetFeatures


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "resnet18", "efficientnet-lite0"])
def test_every_layer_of_every_network_works_at_its_smallest_picture(name: str) -> None:
    torch.manual_seed(0)
    network, _ = untrained(name)
    assert len(set(network.layers)) == len(network.layers)
    assert not network.training
    last = network.layers[-1]
    side = network.smallest(last)
    x = torch.rand(1, 3, side, side + 1, requires_grad=True)
    found = network(x, network.layers)
    assert tuple(found) == network.layers
    assert all(activations.ndim == 4 and activations.numel() for activations in found.values())
    found[last].float().sum().backward()
    assert x.grad is not None
    assert not any(parameter.requires_grad for parameter in network.parameters())
    if side > 1:
        with pytest.raises(OptionError, match=f"{last} needs pictures of at least {side} x {side} pixels, not 99 x"):
            network(torch.rand(1, 3, side - 1, 99), [last])


@pytest.mark.parametrize("name", ["alexnet", "efficientnet-lite0"])
def test_unknown_layers_are_answered_with_those_that_exist(name: str) -> None:
    network, _ = untrained(name)
    last = network.layers[-1]
    with pytest.raises(OptionError, match=rf"of {network.title}; did you mean '.*'\? \(known: .*{last}\)"):
        network.place(f"{last}x")


def test_nothing_after_the_last_layer_runs(tiny: NamedLayers) -> None:
    ran: list[str] = []
    for name, step in tiny.steps():
        assert isinstance(step, nn.Module)
        step.register_forward_hook(lambda *_, name=name: ran.append(name))
    assert list(tiny(torch.rand(1, 3, 4, 4), ["pool1", "conv1"])) == ["pool1", "conv1"]
    assert ran == ["conv1", "relu1", "pool1"]
    assert tiny(torch.rand(1, 3, 4, 4), []) == {}


def test_a_relu_that_works_in_place_leaves_what_was_asked_for(tiny: NamedLayers) -> None:
    x = torch.rand(1, 3, 6, 6)
    found = tiny(x, ["conv1", "relu1"])
    assert torch.equal(found["conv1"], tiny(x, ["conv1"])["conv1"])
    assert bool((found["conv1"] < 0).any())
    assert torch.equal(found["relu1"], found["conv1"].relu())


def test_alexnet_layer_by_layer() -> None:
    torch.manual_seed(0)
    network = AlexNetFeatures()
    assert network.layers == (
        "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3", "conv4", "relu4", "conv5", "relu5",
        "pool5",
    )  # fmt: skip
    state = network.state_dict()
    assert sum(value.numel() for value in state.values()) == 2_469_696
    x = torch.rand(1, 3, 80, 70)
    y = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    y = F.conv2d(y, state["features.0.weight"], state["features.0.bias"], stride=4, padding=2).relu()
    y = F.max_pool2d(y, 3, 2)
    y = F.conv2d(y, state["features.3.weight"], state["features.3.bias"], padding=2)
    torch.testing.assert_close(network(x, ["conv2"])["conv2"], y)
    assert network(torch.rand(1, 3, 224, 224), ["pool5"])["pool5"].shape == (1, 256, 6, 6)


@pytest.mark.parametrize(("depth", "blocks"), [(18, 8), (50, 16)])
def test_resnet_layers_are_those_of_its_stages(depth: int, blocks: int) -> None:
    torch.manual_seed(0)
    network = ResNetFeatures(depth)
    assert len(network.layers) == 3 + blocks
    x = torch.rand(1, 3, 64, 48)
    stages = network.encoder((x - network.mean) / network.deviation)
    last_of = {name.partition(".")[0]: name for name in network.layers}
    ends = ["relu1", *(last_of[f"layer{group}"] for group in (1, 2, 3, 4))]
    found = network(x, ends)
    for name, stage in zip(ends, stages, strict=True):
        torch.testing.assert_close(found[name], stage)


def test_efficientnet_layers_are_those_of_the_classifier() -> None:
    torch.manual_seed(0)
    network = EfficientNetFeatures()
    assert network.layers == ("stem", *(f"block{n}" for n in range(1, 17)), "head", "pool", "logits")
    x = torch.rand(2, 3, 64, 70)
    found = network(x, ["block3", "block5", "pool", "logits"])
    stages = network.classifier.encoder((x - network.mean) / network.deviation)
    torch.testing.assert_close(found["block3"], stages[1])
    torch.testing.assert_close(found["block5"], stages[2])
    torch.testing.assert_close(found["pool"][..., 0, 0], network.classifier.pooled(x))
    torch.testing.assert_close(found["logits"][..., 0, 0], network.classifier(x))
