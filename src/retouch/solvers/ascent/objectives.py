"""What a picture is changed towards: the activations of chosen layers, made larger, or like those of a guide.

Mordvintsev, Olah, Tyka, "Inceptionism: Going Deeper into Neural Networks", Google research blog, 2015, with its
published notebook: half the squared activations, and the guide's best matching vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from retouch.image.errors import OptionError

if TYPE_CHECKING:
    from retouch.networks.layers import NamedLayers

_GUIDE_VECTORS = 2048  # of a layer, at most: every position of the picture is compared with each
_CHUNK = 4096


@dataclass(frozen=True)
class Wish:
    """A layer whose activations are to grow. ``channel``: only that one, None for all. ``weight``: beside others."""

    layer: str
    channel: int | None = None
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Wish:
        """``LAYER``, ``LAYER:CHANNEL``, ``LAYER=WEIGHT`` or ``LAYER:CHANNEL=WEIGHT``; raises ``OptionError``."""
        rest, _, weight = text.strip().partition("=")
        layer, _, channel = rest.partition(":")
        try:
            made = cls(layer.strip(), int(channel) if channel.strip() else None, float(weight) if weight else 1.0)
        except ValueError:
            made = cls("")
        wrong = not made.layer or (made.channel is not None and made.channel < 0)
        if wrong or not 0 < abs(made.weight) < float("inf"):
            raise OptionError(f"--layer: '{text.strip()}' is not LAYER, LAYER:CHANNEL or LAYER=WEIGHT")
        return made


def parse_wishes(text: str) -> tuple[Wish, ...]:
    """Wishes, separated by commas; at least one. Raises ``OptionError``."""
    return tuple(Wish.parse(part) for part in text.split(","))


def check_wishes(network: NamedLayers, wishes: Sequence[Wish]) -> None:
    """See that the network has the layers and channels; raises ``OptionError``."""
    channels = [wish for wish in wishes if wish.channel is not None]
    widths = layer_widths(network, [wish.layer for wish in wishes]) if channels else {}
    for wish in wishes:
        network.place(wish.layer)
    for wish in channels:
        assert wish.channel is not None
        check_channel(network.title, wish.layer, wish.channel, widths[wish.layer])


def check_channel(title: str, layer: str, channel: int, width: int) -> None:
    """Raises ``OptionError`` where a layer has no such channel."""
    if not 0 <= channel < width:
        raise OptionError(f"layer {layer} of {title} has channels 0..{width - 1}, not {channel}")


def layer_widths(network: NamedLayers, names: Sequence[str]) -> dict[str, int]:
    """How many channels each of the layers has: a small picture is shown to the network."""
    side = max((network.smallest(name) for name in names), default=1)
    with torch.no_grad():
        shown = network(torch.full((1, 3, side, side), 0.5, device=network.mean.device), list(dict.fromkeys(names)))
    return {name: int(activations.shape[1]) for name, activations in shown.items()}


def grown(activations: Mapping[str, Tensor], wishes: Sequence[Wish]) -> Tensor:
    """The sum over the wishes of the mean of half their squared activations, or of a channel's activations.

    A single wish counts as it is; several are each divided by their present size, so that the weights compare layers
    whose activations differ by orders of magnitude.
    """
    total = torch.zeros((), device=next(iter(activations.values())).device)
    for wish in wishes:
        found = activations[wish.layer].float()
        value = 0.5 * found.square().mean() if wish.channel is None else found[:, wish.channel].mean()
        if len(wishes) > 1:
            value = value / (value.detach().abs() + 1e-8)
        total = total + wish.weight * value
    return total


class Guide:
    """The activations of a second picture, whose vectors those of the first are drawn to.

    ``activations``: of the guide, ``(1, C, H, W)`` by layer; of a large layer, 2048 vectors evenly spread.
    """

    def __init__(self, activations: Mapping[str, Tensor]) -> None:
        self.vectors: dict[str, Tensor] = {}
        for name, found in activations.items():
            flat = found.detach().float()[0].flatten(1)
            every = -(-flat.shape[1] // _GUIDE_VECTORS)
            self.vectors[name] = flat[:, ::every]

    def match(self, activations: Mapping[str, Tensor], wishes: Sequence[Wish]) -> Tensor:
        """The mean over the positions of the product with the vector of the guide for which it is largest."""
        total = torch.zeros((), device=next(iter(activations.values())).device)
        for wish in wishes:
            found = activations[wish.layer].float()[0].flatten(1)
            vectors = self.vectors[wish.layer]
            with torch.no_grad():
                best = torch.cat([(part.t() @ vectors).argmax(1) for part in torch.split(found, _CHUNK, dim=1)])
            value = (found * vectors[:, best]).sum(0).mean()
            if len(wishes) > 1:
                value = value / (value.detach().abs() + 1e-8)
            total = total + wish.weight * value
        return total
