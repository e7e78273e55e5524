"""Losses by name: what a recipe says, made into modules ``loss(prediction, target)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from retouch.image.errors import OptionError, unknown
from retouch.losses.perceptual import Content, Perceptual
from retouch.losses.pixel import L1, L2, Charbonnier, TotalVariation

LOSSES: dict[str, type[nn.Module]] = {
    "l1": L1,
    "l2": L2,
    "charbonnier": Charbonnier,
    "total-variation": TotalVariation,
    "perceptual": Perceptual,
    "content": Content,
}
"""Every loss a recipe may name."""


def build_loss(name: str, features: Callable[[], nn.Module] | None = None, **arguments: Any) -> nn.Module:
    """The loss called ``name``. ``features``: makes the feature network; called only for a loss that needs one.

    Raises ``OptionError`` for an unknown name or argument, or a value that the loss refuses.
    """
    if name not in LOSSES:
        raise OptionError(unknown("loss", name, list(LOSSES)))
    made = LOSSES[name]
    known = inspect.signature(made).parameters
    for key in arguments:
        if key not in known or key == "features":
            raise OptionError(unknown("argument", key, [k for k in known if k != "features"], f"of loss {name}"))
    if "features" in known:
        if features is None:
            raise OptionError(f"loss {name} needs a feature network")
        arguments["features"] = features()
    try:
        return made(**arguments)
    except (TypeError, ValueError) as error:
        raise OptionError(f"loss {name}: {error}") from error
