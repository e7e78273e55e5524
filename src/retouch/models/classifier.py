"""Networks that tell what a picture shows, ready to use: ImageNet's, or a weight that learned its own classes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from retouch.image.color import grey
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.image.image import Image
from retouch.models import catalogue, imagenet
from retouch.models.device import pick_device

if TYPE_CHECKING:
    from retouch.models.card import Card
    from retouch.models.features import Progress

IMAGENET = "imagenet"
"""The name of the classifier that every user has: EfficientNet-Lite0 with ImageNet's thousand classes."""

TASK = "classify"
"""What the card of a classifier says that it does."""


class Classifier:
    """Probabilities of classes for pictures of any size.

    ``model``: "imagenet", or a weight of the catalogue or its file. ``classes``: their names, in the order of the
    network's outputs. ``side``: what of a picture the network sees is its middle square, at this many pixels a side;
    what is transparent is white. ``card``: None for ImageNet's. ``on_progress``: of a download.

    Raises ``OptionError`` for an unknown model, one that is no classifier, and a device that is not here;
    ``RetouchError`` for a damaged one, and where the feature weights are missing that it stands on.
    """

    def __init__(
        self, model: str | Path = IMAGENET, *, device: str = "auto", on_progress: Progress | None = None
    ) -> None:
        self.device = pick_device(device)
        self.name = str(model)
        self.card: Card | None = None
        network: nn.Module
        if model == IMAGENET:
            network, self.classes = imagenet.imagenet_classifier(on_progress=on_progress), imagenet.class_names()
            self.side, self.channels = imagenet_side(), 3
        else:
            loaded = catalogue.load(check_classifier(model))
            network, self.card, self.classes = loaded.network, loaded.card, loaded.card.classes
            self.side, self.channels = trained_side(loaded.card, network), int(getattr(network, "channels", 3))
        if self.device.type != "cpu":
            network = copy.deepcopy(network).to(self.device)  # what the catalogue gives is shared
        self.network = network.eval()

    def input_of(self, image: Image) -> Tensor:
        """What the network is shown of a picture: ``(1, channels, side, side)``."""
        pixels = image.pixels
        if image.alpha is not None:
            pixels = pixels * image.alpha + (1 - image.alpha)
        x = imagenet.classifier_input(Image(pixels), self.side)
        return grey(x[0])[None] if self.channels == 1 else x

    def logits(self, x: Tensor) -> Tensor:
        """``(B, channels, side, side)`` in [0, 1] -> ``(B, classes)`` on the CPU."""
        with torch.inference_mode():
            made: Tensor = self.network(x.to(self.device)).float().cpu()
        if made.shape[1] != len(self.classes):
            raise RetouchError(f"{self.name}: its network tells {made.shape[1]} classes, its card {len(self.classes)}")
        return made

    def probabilities(self, images: Sequence[Image]) -> Tensor:
        """``(pictures, classes)``; every row sums to 1. All go through the network together."""
        return self.logits(torch.cat([self.input_of(image) for image in images])).softmax(1)

    def labels(self, image: Image, top: int = 5) -> list[tuple[str, float]]:
        """The ``top`` likeliest classes (all, where there are fewer) with their probabilities, the likeliest first."""
        found = self.probabilities([image])[0].topk(min(top, len(self.classes)))
        return [
            (self.classes[number], value)
            for value, number in zip(found.values.tolist(), found.indices.tolist(), strict=True)
        ]


def imagenet_side() -> int:
    """The side of the pictures that ImageNet's classifier learned from."""
    from retouch.networks.efficientnet import EfficientNetLite0

    return EfficientNetLite0.side


def trained_side(card: Card, network: nn.Module) -> int:
    """The side of the pictures that a classifier learned from in the end, or else the one that its network asks for."""
    tables = [card.recipe, *card.recipe.get("stage", ())]
    crops = [table["data"]["crop"] for table in tables if "crop" in table.get("data", {})]
    return int(crops[-1] if crops else getattr(network, "side", imagenet_side()))


def check_classifier(model: str | Path) -> Path:
    """The file of a weight that classifies; ``OptionError`` for an unknown one, and one that does something else."""
    from retouch.models.header import read_card

    try:
        path = catalogue.find(model)
    except OptionError as error:
        raise OptionError(unknown("classifier", str(model), classifier_names())) from error
    card = read_card(path)
    if TASK not in card.tasks:
        raise OptionError(f"{model}: a weight for {', '.join(card.tasks)}, which tells no classes")
    if len(card.classes) < 2:
        raise RetouchError(f"{path}: its card names no classes")
    return path


def classifier_names() -> list[str]:
    """The classifiers that are here by name, ImageNet's first."""
    return [IMAGENET, *(card.name for card in catalogue.for_task(TASK))]
