"""Pixel recursive super-resolution as a method of ``upscale``: a network that draws one of many possible pictures."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError
from retouch.tasks.iterate import note
from retouch.tasks.learned import learned_method, target_size
from retouch.tasks.provenance import tell_model

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image
    from retouch.models.load import Model
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Method

FAMILY = "pixel-recursive"


def drawing_method(rank: int) -> Method:
    """The row of ``upscale`` for networks that draw; it takes pictures of the size that its weight learned only."""
    method = learned_method(
        "upscale",
        FAMILY,
        rank=rank,
        summary="pixel recursive super-resolution (Dahl et al. 2017): draws a face of 32x32 pixels, value by value, "
        "that has the given 8x8; --seed draws another",
        cost="seconds, for a picture of 8x8 pixels; it takes no other size",
        prefer="to see what a tiny face may have been; nothing of it can be trusted",
    )
    return dataclasses.replace(method, seconds=lambda megapixels, device, options: 5.0, run=_run)


def _weight(options: Any) -> Model:
    """The weight that ``options`` name, or the largest there is."""
    from retouch.models import catalogue

    name = options.model
    if name is None:
        cards = catalogue.for_task("upscale", FAMILY)
        if not cards:
            raise OptionError(f"--method {FAMILY}: no weights of it here")
        name = max(cards, key=lambda card: (card.parameters, card.name)).name
    return catalogue.load(name)


def _run(image: Image, options: Any, on_step: Listener | None) -> Image:
    """Draw, then bring to ``options.scale`` by bicubic interpolation where it is another than the network's.

    A listener that cancels gets what is drawn, and below it the bicubic enlargement. Raises ``OptionError`` for a
    picture of another size than the network learned.
    """
    import torch

    from retouch.image.image import Image as Picture
    from retouch.image.resize import bicubic
    from retouch.models.device import pick_device
    from retouch.networks.pixel_recursive import PixelRecursive
    from retouch.solvers.steps import Step

    model = _weight(options)
    network = model.network
    if not isinstance(network, PixelRecursive):
        raise OptionError(f"--model {model.card.name}: a weight of {model.card.architecture}, not of {FAMILY}")
    side = network.size // network.scale
    if (image.height, image.width) != (side, side):
        raise OptionError(
            f"{model.card.name} takes pictures of {side}x{side} pixels, a face that fills them, not of "
            f"{image.width}x{image.height}: cut out the face and make it that small first"
        )
    tell_model(model.card)
    note(on_step, f"weights: {model.card.name if options.model is None else options.model}")
    if options.scale != network.scale:
        note(on_step, f"drawn {network.scale} times larger, then resized; --scale {network.scale} keeps it as drawn")
    device = pick_device(options.device)
    network = network.to(device)
    given = image.pixels[None]
    interpolated = bicubic(given, (network.size, network.size)).clamp(0, 1)
    began = time.monotonic()

    def on_row(done: int, total: int, drawn: Tensor) -> bool | None:
        interpolated[..., :done, :] = _in_channels(drawn, image.channels)[..., :done, :]
        if on_step is None:
            return None
        left = (time.monotonic() - began) * (total - done) / done
        return on_step(Step(done, total, left, preview=Picture(interpolated[0].clone())))

    generator = torch.Generator().manual_seed(options.seed)
    small = given if given.shape[1] == network.channels else given.expand(-1, network.channels, -1, -1)
    network.sample(small.to(device), generator, options.temperature, on_row=on_row)
    size = target_size(image, options.scale)
    pixels = interpolated if size == (network.size, network.size) else bicubic(interpolated, size).clamp(0, 1)
    return image.with_pixels(pixels[0].contiguous())


def _in_channels(drawn: Tensor, channels: int) -> Tensor:
    """As many channels as the picture has: the mean for a grey one."""
    made = drawn.cpu()
    return made if made.shape[1] == channels else made.mean(1, keepdim=True).expand(-1, channels, -1, -1)
