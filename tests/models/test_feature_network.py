"""Feature networks by name, with their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from retouch.image.errors import OptionError, RetouchError
from retouch.models import features
from retouch.models.feature_network import FEATURE_NETWORKS, feature_network, untrained
from retouch.models.features import FEATURES, is_here
from retouch.tasks.looking import OPERATIONS, USUAL_LAYERS

_FILES = {"efficientnet-lite0": "efficientnet-lite0-classifier"}


def test_every_network_has_a_file_a_usual_layer_and_a_cost() -> None:
    assert set(FEATURE_NETWORKS) == set(USUAL_LAYERS) == set(OPERATIONS)
    assert set(FEATURES) == {*FEATURE_NETWORKS, "efficientnet-lite0-classifier"}
    for name, layer in USUAL_LAYERS.items():
        with torch.device("meta"):
            network, part = untrained(name)
        network.place(layer)
        shapes = FEATURES[_FILES.get(name, name)].shapes()
        assert {key: tuple(value.shape) for key, value in part.state_dict().items() if value.ndim} == shapes


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "efficientnet-lite0"])
def test_the_weights_of_the_file_are_those_of_the_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    file = _FILES.get(name, name)
    shapes = FEATURES[file].shapes()
    tensors = {key: torch.full(shape, 0.25, dtype=torch.float16) for key, shape in shapes.items()}
    save_file(tensors, tmp_path / f"{file}_features.safetensors")
    network = feature_network(name, tmp_path)
    assert not network.training
    state = network.state_dict()
    assert sum(value.numel() for value in state.values() if value.ndim) == sum(t.numel() for t in tensors.values())
    assert all(bool((value == 0.25).all()) and value.dtype == torch.float32 for value in state.values() if value.ndim)


def test_unknown_and_absent_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    monkeypatch.setattr(features, "SOURCE", "http://127.0.0.1:1/")
    with pytest.raises(OptionError, match="unknown feature network 'vgg61'; did you mean 'vgg"):
        feature_network("vgg61")
    assert not is_here("vgg16")
    with pytest.raises(RetouchError, match=r"^[^\n]*vgg16 are not here and cannot be downloaded[^\n]*put [^\n]*$"):
        feature_network("vgg16")
    (tmp_path / FEATURES["vgg16"].published).touch()
    assert is_here("vgg16", tmp_path)
