"""Losses by name: what a recipe says, made into a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from retouch.image.errors import OptionError, unknown
from retouch.losses.lpips import LPIPS
from retouch.losses.perceptual import ContentLoss, Perceptual
from retouch.losses.pixel import L1, L2, Charbonnier, CrossEntropy, NegativePSNR
from retouch.losses.variation import TotalVariation

LOSSES: dict[str, type[nn.Module]] = {
    "l1": L1,
    "l2": L2,
    "charbonnier": Charbonnier,
    "psnr": NegativePSNR,
    "cross-entropy": CrossEntropy,
    "total-variation": TotalVariation,
    "perceptual": Perceptual,
    "content": ContentLoss,
    "lpips": LPIPS,
}
"""Every loss a recipe may name. One whose class has a parameter ``features`` compares activations of a network."""


def build_loss(name: str, *, features: Callable[[], nn.Module] | None = None, **options: Any) -> nn.Module:
    """The loss ``name``, called as ``loss(prediction, target)`` -> scalar.

    ``features``: makes the feature network, as ``networks.vgg.VGGFeatures`` with weights; called only for a loss that
    needs one. ``options``: of the loss's class. Raises ``OptionError`` for an unknown name or option, a value the loss
    refuses, and a loss that needs features where there are none.
    """
    if name not in LOSSES:
        raise OptionError(unknown("loss", name, list(LOSSES)))
    made = LOSSES[name]
    # a class without an __init__ of its own shows the catch-all signature of nn.Module
    signature = inspect.signature(made).parameters if "__init__" in vars(made) else {}
    known = [key for key in signature if key != "features"]
    for key in options:
        if key not in known:
            message = unknown("option", key, known, f"of loss {name}")
            raise OptionError(message if known else f"loss {name} has no options, so no '{key}'")
    try:
        if "features" not in signature:
            return made(**options)
        if features is None:
            raise OptionError(f"loss {name} needs a feature network")
        return made(features(), **options)
    except OptionError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"loss {name}: {error}") from error
