"""ImageNet's thousand classes: their names, and the classifier that tells them apart.

The names are WordNet's words for the classes of ILSVRC 2012 (Russakovsky et al., "ImageNet Large Scale Visual
Recognition Challenge", IJCV 2015). The classifier is EfficientNet-Lite0: see ``networks.efficientnet``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.image.errors import OptionError, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image
    from retouch.models.features import Progress
    from retouch.networks.efficientnet import EfficientNetLite0


@cache
def class_words() -> tuple[tuple[str, ...], ...]:
    """For each of the 1000 classes, by number: WordNet's words for it, the commonest first."""
    text = files("retouch.models").joinpath("imagenet.txt").read_text(encoding="utf-8")
    return tuple(tuple(line.split(", ")) for line in text.splitlines() if not line.startswith("#"))


@cache
def class_names() -> tuple[str, ...]:
    """One name for each of the 1000 classes, by number: its first word, and more where several begin alike."""
    words = class_words()
    firsts = [first.casefold() for first, *_ in words]  # a Cardigan is a dog, a cardigan is not
    names = [w[0] if firsts.count(w[0].casefold()) == 1 else ", ".join(w[:2]) for w in words]
    # a crane is a bird and a machine: WordNet has one word for both
    return tuple(name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names))


def find_class(name: str) -> int:
    """The number of a class: ``name`` is a number, a name of ``class_names``, or any of its words, in any case.

    Raises ``OptionError`` for an unknown one, with the nearest that there is, and for a word of several classes.
    """
    wanted = name.strip().casefold()
    if wanted.isdecimal():
        if int(wanted) < len(class_words()):
            return int(wanted)
        raise OptionError(f"ImageNet's classes are 0..{len(class_words()) - 1}, not {name}")
    for number, one in enumerate(class_names()):
        if one.casefold() == wanted:
            return number
    known: dict[str, list[int]] = {}
    for number, words in enumerate(class_words()):
        for word in words:
            known.setdefault(word.casefold(), []).append(number)
    found = known.get(wanted, [])
    if len(found) > 1:
        names = ", ".join(f"'{class_names()[number]}'" for number in found)
        raise OptionError(f"'{name}' is a word for several of ImageNet's classes: {names}")
    if not found:
        raise OptionError(unknown("class of ImageNet", name, list(known)).partition(" (known:")[0])
    return found[0]


def imagenet_classifier(folder: str | Path | None = None, on_progress: Progress | None = None) -> EfficientNetLite0:
    """EfficientNet-Lite0 with its published weights, ready to use; ``forward``: pictures in [0, 1] -> 1000 logits.

    ``folder``, ``on_progress``, errors: as ``models.features.feature_weights``.
    """
    from retouch.models.features import feature_weights
    from retouch.models.load import load_state
    from retouch.networks.efficientnet import EfficientNetLite0

    network = EfficientNetLite0()
    # the counters of batch normalisation are not part of the file
    counters = {key: value for key, value in network.state_dict().items() if not value.ndim}
    tensors = feature_weights("efficientnet-lite0-classifier", folder, on_progress)
    load_state(network, tensors | counters, "weights of efficientnet-lite0")
    return network.eval().requires_grad_(False)


def classifier_input(image: Image, side: int = 224) -> Tensor:
    """What the classifier is shown of a picture: its middle square, antialiased to ``(1, 3, side, side)``."""
    from retouch.image.resize import resize

    pixels = image.pixels.expand(3, -1, -1)[None]
    shorter = min(image.height, image.width)
    top, left = (image.height - shorter) // 2, (image.width - shorter) // 2
    return resize(pixels[..., top : top + shorter, left : left + shorter], (side, side)).clamp(0, 1)
