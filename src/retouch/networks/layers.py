"""A classification network cut into named steps, whose activations can be asked for: what every one of them shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, unknown

NamedStep = tuple[str, Callable[[Tensor], Tensor]]


class NamedLayers(nn.Module):
    """Activations of a network after chosen steps, with its normalisation inside.

    ``title``: how messages call the network. ``mean``, ``deviation``: of its training pictures, RGB in [0, 1], three
    numbers each. A subclass makes its modules, gives them as ``steps`` in their order, and calls ``freeze``: the
    weights are frozen, and gradients reach the picture only.

    ``forward``: pictures ``(B, 3, H, W)`` in [0, 1] (RGB; a single channel is taken as grey) and names of ``layers`` ->
    the activations by name. Nothing after the last layer asked for is computed. Raises ``OptionError`` for an unknown
    layer, and for pictures that the layers before it would leave nothing of.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, title: str, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.title = title
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)

    def steps(self) -> list[NamedStep]:
        """Name and function of every step, in order."""
        raise NotImplementedError

    def freeze(self) -> None:
        """No weight learns, and normalisation and dropout stay as they were trained."""
        self.eval().requires_grad_(False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in their order."""
        return tuple(name for name, _ in self.steps())

    def place(self, name: str) -> int:
        """Which of the layers ``name`` is, from 0; ``OptionError`` names the nearest, and all, for an unknown one."""
        if name not in self.layers:
            raise OptionError(unknown("layer", name, self.layers, f"of {self.title}"))
        return self.layers.index(name)

    def smallest(self, name: str) -> int:
        """Side in pixels of the smallest picture of which the layer ``name`` leaves something."""
        side = 1
        for _, step in reversed(self.steps()[: self.place(name) + 1]):
            if isinstance(step, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                kernel, stride, padding = (_first(v) for v in (step.kernel_size, step.stride, step.padding))
                side = max(1, (side - 1) * stride + kernel - 2 * padding)
        return side

    def forward(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        places = {name: self.place(name) for name in names}
        if not places:
            return {}
        last = max(places, key=places.__getitem__)
        smallest = self.smallest(last)
        if min(x.shape[-2:]) < smallest:
            raise OptionError(
                f"{self.title}: {last} needs pictures of at least {smallest} x {smallest} pixels, "
                f"not {x.shape[-1]} x {x.shape[-2]}"
            )
        found: dict[str, Tensor] = {}
        y = (x - self.mean) / self.deviation
        for name, step in self.steps()[: places[last] + 1]:
            if getattr(step, "inplace", False) and any(y is kept for kept in found.values()):
                y = y.clone()
            y = step(y)
            if name in places:
                found[name] = y
        return {name: found[name] for name in names}


def _first(value: object) -> int:
    found = value[0] if isinstance(value, tuple) else value
    assert isinstance(found, int)
    return found
