"""What the tasks share that look into a classification network: which one, its usual layer, its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retouch.image.errors import OptionError, unknown
from retouch.tasks.base import option
from retouch.tasks.iterate import note

if TYPE_CHECKING:
    from retouch.networks.layers import NamedLayers
    from retouch.solvers.steps import Listener

NETWORK_HELP = (
    "the trained network: vgg16, vgg19, alexnet, resnet18, resnet34, resnet50 or efficientnet-lite0; 'auto' takes "
    "vgg16 if its weights are here, else efficientnet-lite0"
)
USUAL_LAYERS = {
    "vgg16": "relu4_3",
    "vgg19": "relu4_3",
    "alexnet": "relu5",
    "resnet18": "layer3.1",
    "resnet34": "layer3.4",
    "resnet50": "layer3.4",
    "efficientnet-lite0": "block11",
}
"""The layer of each network that is taken where none is named: one whose features are parts of things."""

OPERATIONS = {
    "vgg16": 0.45e6,
    "vgg19": 0.6e6,
    "alexnet": 0.03e6,
    "resnet18": 0.1e6,
    "resnet34": 0.2e6,
    "resnet50": 0.25e6,
    "efficientnet-lite0": 0.06e6,
}
"""Operations a pixel, there and back, at the speed of ``iterate.operations_per_second``: measured on a CPU."""


def network_option() -> str:
    """The option ``--network``."""
    chosen: str = option("auto", NETWORK_HELP, metavar="NAME", names=("auto", *USUAL_LAYERS))
    return chosen


def check_network(name: str) -> None:
    """Raises ``OptionError`` for a name that is neither a feature network nor 'auto'."""
    if name not in (*USUAL_LAYERS, "auto"):
        raise OptionError(unknown("network", name, ["auto", *USUAL_LAYERS]))


def pick_network(name: str) -> str:
    """The name of a feature network, of 'auto' too; see ``NETWORK_HELP``."""
    from retouch.models.features import is_here

    if name != "auto":
        return name
    return "vgg16" if is_here("vgg16") else "efficientnet-lite0"


def load_network(name: str, on_step: Listener | None) -> NamedLayers:
    """The network with its published weights; they are fetched where they are not here, which the listener hears of."""
    from retouch.models.feature_network import feature_network
    from retouch.solvers.steps import Step

    def on_progress(done: int, size: int) -> bool | None:
        if on_step is None:
            return None
        return on_step(Step(max(1, done >> 20), max(1, size >> 20), stage=f"MB of {name}"))

    network = feature_network(name, on_progress=on_progress)
    note(on_step, f"network: {name}")
    return network
