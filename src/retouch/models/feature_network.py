"""Feature networks by name, with their published weights: a picture -> its activations, by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retouch.image.errors import OptionError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from retouch.models.features import Progress
    from retouch.networks.layers import NamedLayers

FEATURE_NETWORKS = ("vgg16", "vgg19", "alexnet", "resnet18", "resnet34", "resnet50", "efficientnet-lite0")
"""The networks whose layers can be asked for, by name."""


def feature_network(name: str, folder: str | Path | None = None, on_progress: Progress | None = None) -> NamedLayers:
    """The network ``name`` with its published weights, frozen; see ``networks.layers.NamedLayers`` for its interface.

    ``folder``: where the weights are looked for first. ``on_progress``, errors: as ``features.feature_weights``, and
    ``OptionError`` for an unknown name.
    """
    from retouch.models.features import feature_weights
    from retouch.models.load import load_state

    network, part = untrained(name)
    file = "efficientnet-lite0-classifier" if name == "efficientnet-lite0" else name
    # the counters of batch normalisation are not part of the files
    counters = {key: value for key, value in part.state_dict().items() if not value.ndim}
    load_state(part, feature_weights(file, folder, on_progress) | counters, f"weights of {name}")
    network.freeze()
    return network


def untrained(name: str) -> tuple[NamedLayers, nn.Module]:
    """The network ``name`` with random weights, and the part of it that takes the published ones.

    Raises ``OptionError`` for an unknown name.
    """
    from retouch.networks.alexnet import AlexNetFeatures
    from retouch.networks.efficientnet import EfficientNetFeatures
    from retouch.networks.resnet import ResNetFeatures
    from retouch.networks.vgg import VGGFeatures

    made: dict[str, Callable[[], NamedLayers]] = {
        "vgg16": lambda: VGGFeatures(16),
        "vgg19": lambda: VGGFeatures(19),
        "alexnet": AlexNetFeatures,
        "resnet18": lambda: ResNetFeatures(18),
        "resnet34": lambda: ResNetFeatures(34),
        "resnet50": lambda: ResNetFeatures(50),
        "efficientnet-lite0": EfficientNetFeatures,
    }
    if name not in made:
        raise OptionError(unknown("feature network", name, FEATURE_NETWORKS))
    network = made[name]()
    if isinstance(network, ResNetFeatures):
        return network, network.encoder
    return network, network.classifier if isinstance(network, EfficientNetFeatures) else network
