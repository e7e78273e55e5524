"""Telling classes apart: the cross-entropy between what the network says and what a picture shows.

With smoothed labels: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.image.sheet import sheet
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn

_SHOWN, _COLUMNS = 24, 6  # pictures of a validation's sheet


class Classify(Objective):
    """``smoothing``: the share of a label that goes to all classes alike. ``classes``: their names.

    Logged are the loss and the accuracy in training, with all that makes training harder (augmentation, dropout,
    smoothing). A validation measures "accuracy" and "loss", without smoothing; the best is the most accurate.
    """

    def __init__(self, network: nn.Module, *, classes: Sequence[str], smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise OptionError(f"objective classify: smoothing must be in 0..1, without 1, not {smoothing}")
        if len(classes) < 2:
            raise OptionError("objective classify: data.classes must name two classes or more")
        self.networks = {"network": network}
        self.product = "network"
        self.turns = (Turn("network", ("network",)),)
        self.classes, self.smoothing = tuple(classes), smoothing

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        logits, label = networks["network"](batch["input"]).float(), batch["label"]
        loss = functional.cross_entropy(logits, label, label_smoothing=self.smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == label).float().mean()}

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """The probability of each class, ``(B, classes)``."""
        made: Tensor = network(batch["input"]).float().softmax(1)
        return made

    def measure(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, label = network(batch["input"]).float(), batch["label"]
        right = (logits.argmax(1) == label).float()
        return {"accuracy": right, "loss": functional.cross_entropy(logits, label, reduction="none"), "score": right}

    def show(self, network: nn.Module, batches: Sequence[Batch]) -> Image | None:
        """Pictures from all over the validation, with what they are taken for, and what they are where that is wrong.

        None where there is none.
        """
        places = [(batch, index) for batch in batches for index in range(len(batch["label"]))]
        count = min(_SHOWN, len(places))
        chosen = [places[number * len(places) // count] for number in range(count)]
        pictures, captions = [], []
        for batch, index in chosen:
            x = batch["input"][index : index + 1]
            probability, told = self.predict(network, {"input": x})[0].max(0)
            true = int(batch["label"][index])
            words = f"{self.classes[int(told)]} {float(probability):.0%}"
            captions.append(words if int(told) == true else f"{words}: wrong, {self.classes[true]}")
            pictures.append(Image(x[0].float().cpu().clamp(0, 1).contiguous()))
        if not pictures:
            return None
        rows = range(0, count, _COLUMNS)
        return sheet(
            [pictures[at : at + _COLUMNS] for at in rows],
            captions=[captions[at : at + _COLUMNS] for at in rows],
            cell=128,
        )
