"""VGG as features."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from retouch.models.load import load_state, read_tensors
from retouch.networks.vgg import VGGFeatures


def test_names_and_shapes() -> None:
    network = VGGFeatures(16)
    x = torch.rand(1, 3, 33, 48)
    found = network(x, ["relu1_2", "relu3_3", "relu5_3"])
    assert list(found) == ["relu1_2", "relu3_3", "relu5_3"]
    assert found["relu1_2"].shape == (1, 64, 33, 48)
    assert found["relu3_3"].shape == (1, 256, 8, 12)
    assert found["relu5_3"].shape == (1, 512, 2, 3)
    assert all(bool((value >= 0).all()) for value in found.values())
    assert sum(p.numel() for p in network.parameters()) == 14_714_688  # torchvision's vgg16().features
    assert sum(p.numel() for p in VGGFeatures(19).parameters()) == 20_024_384
    assert VGGFeatures(19)(x, ["relu5_4"])["relu5_4"].shape == (1, 512, 2, 3)


def test_normalises_as_imagenet_and_stops_early() -> None:
    network = VGGFeatures(16)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    bias = network.features[0].bias
    assert isinstance(bias, torch.Tensor)
    expected = bias.clamp(min=0).view(-1, 1, 1).expand(64, 8, 8)
    assert torch.allclose(network(mean, ["relu1_1"])["relu1_1"][0], expected, atol=1e-6)  # zeros in, the biases out
    called = []
    network.features[2].register_forward_hook(lambda *a: called.append(1))
    network(mean, ["relu1_1"])
    assert not called


def test_pooling_and_wrong_values() -> None:
    x = torch.rand(1, 3, 16, 16)
    torch.manual_seed(0)
    largest = VGGFeatures(16)
    average = VGGFeatures(16, pool="average")
    average.load_state_dict(largest.state_dict())
    assert torch.equal(largest(x, ["relu1_2"])["relu1_2"], average(x, ["relu1_2"])["relu1_2"])
    assert not torch.allclose(largest(x, ["relu2_1"])["relu2_1"], average(x, ["relu2_1"])["relu2_1"])
    with pytest.raises(ValueError, match="depth"):
        VGGFeatures(11)
    with pytest.raises(KeyError):
        largest(x, ["relu9_1"])


def test_the_published_weights_fit(shared_data: Path) -> None:
    folder = Path(os.environ.get("RETOUCH_FEATURES", shared_data.parent / "weights"))
    path = folder / "vgg16_features.safetensors"
    if not path.exists():
        pytest.skip("the weights of VGG16 are not here")
    network = VGGFeatures(16)
    load_state(network, read_tensors(path), "vgg16")
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, :, 16:] = 1
    found = network(x, ["relu1_1", "relu5_3"])
    assert float(found["relu1_1"].detach()[..., 16].max()) > 1  # an edge is what the first layer looks for
    assert bool(torch.isfinite(found["relu5_3"]).all())
