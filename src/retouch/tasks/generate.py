"""Pictures of nothing: samples of a network that learned what digits or faces look like, and what lies between them.

It takes no picture, and so it is no row of ``TASKS``: a command and a function of its own.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, unknown
from retouch.tasks.base import Options, fields_of, option

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image
    from retouch.models.load import Model
    from retouch.networks.latent import LatentNetwork
    from retouch.solvers.steps import Listener

VERB = "generate"
"""What the cards of such weights have among their tasks."""

_PORTION = 16  # pictures made at once, after each of which the listener is asked
_PREVIEW, _SHOWN = 1.0, 1024  # seconds between previews, and the most pictures on one
_EDGE = 0.05  # share of a normal distribution that the manifold leaves out on each side


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(Options):
    """The options of ``generate``."""

    count: int = option(
        64, "how many pictures, also -n; with --interpolate how many ways from one to another", minimum=1,
        maximum=100_000, metavar="N",
    )  # fmt: skip
    seed: int = option(0, "repeats every random choice", minimum=0, maximum=2**32 - 1, metavar="N")
    temperature: float = option(
        1.0, "how far from the most likely the pictures go: 1 as learned, towards 0 all alike", minimum=0, maximum=10
    )
    interpolate: int | None = option(
        None, "go from one sample to another in N pictures, both ends among them", minimum=2, maximum=1000, metavar="N"
    )
    manifold: bool = option(
        False,
        "a square of pictures that change gradually: all that a network with two numbers within makes, of others what "
        "lies between four samples in the corners",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    note: bool = option(True, "note in the metadata (XMP) which weight made the picture; --no-note leaves it out")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.manifold and self.interpolate is not None:
            raise OptionError("generate: give one of --interpolate and --manifold")

    @property
    def columns(self) -> int:
        """How many pictures belong side by side: a way from one to another in each row, else as near a square as can
        be."""
        return self.interpolate if self.interpolate is not None else math.ceil(math.sqrt(self.count))

    @property
    def total(self) -> int:
        """How many pictures there will be."""
        if self.manifold:
            return self.columns**2
        return self.count * (self.interpolate or 1)


def generate(
    model: str | Path,
    *,
    count: int = 64,
    seed: int = 0,
    pictures: Sequence[Image | str | Path] = (),
    on_step: Listener | None = None,
    **options: Any,
) -> list[Image]:
    """Pictures that ``model`` makes of nothing.

    ``model``: the name or the file of a weight for ``generate``. ``count``: how many; with ``interpolate=N`` the ways
    from one sample to another, N pictures each, one way after the other; with ``manifold=True`` a square with at least
    as many, row by row. Of networks with numbers within, picture n is the same for a seed whatever the count.
    ``pictures``: in place of samples, pictures or their files, which only a network with an encoder takes (a
    variational autoencoder): alone they are given back as the network would make them, one for one; with
    ``interpolate`` the ways go from each to the next, and with ``manifold=True`` four of them are the corners. Each is
    brought to the network's size, its middle square if that is square.
    ``temperature``: see ``networks.latent.Sampler``. ``on_step`` hears a step for every few pictures, with what there
    is as the preview; returning False ends the work with these. ``options``: the rest of ``GenerateOptions``. Raises
    ``OptionError`` for a weight of another task, and for what it cannot do.
    """
    known = fields_of(GenerateOptions)
    for name in options:
        if name not in known:
            raise OptionError(unknown("option", name, list(known), "of generate"))
    from retouch.image.files import open_image
    from retouch.image.image import Image

    opened = [picture if isinstance(picture, Image) else open_image(picture) for picture in pictures]
    return run(model, GenerateOptions(count=count, seed=seed, **options), on_step, opened)


def run(
    model: str | Path, options: GenerateOptions, on_step: Listener | None = None, pictures: Sequence[Image] = ()
) -> list[Image]:
    """``generate`` with its options as one object."""
    import torch

    from retouch.image.grid import grid
    from retouch.image.image import Image, Metadata
    from retouch.models import catalogue
    from retouch.solvers.steps import Step

    weight = catalogue.load(model)
    options = with_pictures(options, len(pictures))
    made: list[Tensor] = []
    total, began = options.total, time.monotonic()
    shown = began
    metadata = Metadata(format="PNG", bit_depth=8, xmp=_note(weight, options) if options.note else None)
    with torch.no_grad():
        for portion in _portions(weight, options, pictures):
            made += portion.float().cpu().clamp(0, 1).unbind()
            if on_step is None:
                continue
            now, preview = time.monotonic(), None
            if now - shown >= _PREVIEW or len(made) == total:
                shown, preview = now, grid(torch.stack(made[:_SHOWN]), options.columns)
            left = (now - began) * (total - len(made)) / len(made)
            if on_step(Step(len(made), total, left, preview=preview)) is False:
                break
    return [Image(pixels.contiguous(), metadata=metadata) for pixels in made]


def with_pictures(options: GenerateOptions, given: int) -> GenerateOptions:
    """The options with the count that so many given pictures lead to; ``OptionError`` for too few or too many."""
    if not given:
        return options
    if options.manifold:
        if given != 4:
            raise OptionError(f"generate: --manifold goes between four pictures, not {given}")
        return options
    if options.interpolate is None:
        return dataclasses.replace(options, count=given)
    if given < 2:
        raise OptionError("generate: --interpolate goes from one picture to another: give two or more")
    return dataclasses.replace(options, count=given - 1)


def fitted(pictures: Sequence[Image], shape: tuple[int, int, int]) -> Tensor:
    """Pictures as a network of ``shape`` (C, H, W) sees them, ``(B, C, H, W)``: without alpha, the largest part in the
    middle of its proportions, by area mean where larger and bicubic where smaller."""
    import torch

    from retouch.image.color import grey
    from retouch.image.resize import area, resize

    channels, height, width = shape
    made = []
    for picture in pictures:
        x = picture.pixels[None]
        if x.shape[1] != channels:
            x = x.expand(-1, 3, -1, -1) if channels == 3 else grey(x)
        high, wide = x.shape[-2:]
        scale = min(high / height, wide / width)
        part_high, part_wide = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (high - part_high) // 2, (wide - part_wide) // 2
        x = x[..., top : top + part_high, left : left + part_wide]
        made.append((area if scale >= 1 else resize)(x, (height, width)).clamp(0, 1))
    return torch.cat(made)


def sheet_of(images: Sequence[Image], columns: int, enlarge: int | None = None) -> Image:
    """Pictures of one size on one, with the metadata of the first; see ``image.grid.grid``."""
    import torch

    from retouch.image.grid import grid

    drawn = grid(torch.stack([image.pixels for image in images]), columns, enlarge=enlarge)
    return dataclasses.replace(drawn, metadata=images[0].metadata)


def _portions(weight: Model, options: GenerateOptions, pictures: Sequence[Image]) -> Iterator[Tensor]:
    """The pictures, ``(B, C, H, W)`` at a time."""
    import copy

    from retouch.models.device import pick_device
    from retouch.networks.latent import LatentNetwork, Sampler
    from retouch.training.data import generator_of

    network, card = weight.network, weight.card
    if VERB not in card.tasks or not isinstance(network, Sampler):
        raise OptionError(f"{card.name}: a weight for {', '.join(card.tasks)}, not for {VERB}")
    device = pick_device(options.device)
    if device.type != "cpu":
        network = copy.deepcopy(network).to(device)  # the catalogue's own stays where it is
    if isinstance(network, LatentNetwork):
        given = _encoded(network, card.name, pictures) if pictures else None
        for numbers in _numbers(network, options, given).split(_PORTION):
            yield network.decode(numbers)
        return
    if pictures:
        raise OptionError(f"{card.name}: has no encoder, and so takes no pictures")
    if options.manifold or options.interpolate is not None:
        raise OptionError(f"{card.name}: has no numbers within between which there is anything to see")
    assert isinstance(network, Sampler)
    for start in range(0, options.count, _PORTION):
        generator = generator_of(options.seed, start)
        yield network.sample(min(_PORTION, options.count - start), generator, options.temperature)


def _encoded(network: LatentNetwork, name: str, pictures: Sequence[Image]) -> Tensor:
    """The likeliest numbers of each picture, ``(B, latent)``; ``OptionError`` for a network that cannot tell them."""
    from retouch.networks.vae import VariationalAutoencoder

    if not isinstance(network, VariationalAutoencoder):
        raise OptionError(f"{name}: has no encoder, and so takes no pictures")
    x = fitted(pictures, network.shape).to(next(network.parameters()).device)
    return network.encode(x)[0]


def _numbers(network: LatentNetwork, options: GenerateOptions, given: Tensor | None) -> Tensor:
    """The numbers of all pictures, ``(total, latent)``; ``given``: of pictures that stand in place of samples."""
    import torch

    from retouch.networks.latent import between
    from retouch.training.data import generator_of

    def drawn(first: int, last: int) -> Tensor:
        """Sample n has a generator of its own: more pictures are the same ones and others."""
        if given is not None:
            return given[first:last]
        places = range(first, last)
        return torch.cat([network.draw(1, generator_of(options.seed, n), options.temperature) for n in places])

    side = options.columns
    share = torch.linspace(0, 1, side)
    if options.interpolate is not None:
        ends = drawn(0, options.count + 1)
        pairs = (ends[:-1], ends[1:])
        first, last = (z.repeat_interleave(side, 0) for z in pairs)
        return between(first, last, share.repeat(options.count))
    if not options.manifold:
        return drawn(0, options.count)
    if network.latent == 2 and given is None:
        # Kingma and Welling 2014, appendix A: even steps of probability, not of the numbers
        lines = torch.special.ndtri(_EDGE + (1 - 2 * _EDGE) * share.double()).float() * options.temperature
        made = torch.stack(torch.meshgrid(lines.flip(0), lines, indexing="ij")[::-1], 2)
        return made.reshape(-1, 2).to(next(network.parameters()).device)
    corners = drawn(0, 4)
    left, right = (between(corners[n].expand(side, -1), corners[n + 2].expand(side, -1), share) for n in (0, 1))
    return between(left.repeat_interleave(side, 0), right.repeat_interleave(side, 0), share.repeat(side))


def _note(weight: Model, options: GenerateOptions) -> bytes:
    """The XMP packet that says that a trained network made the whole picture."""
    import retouch
    from retouch.image.xmp import GENERATED, Note, with_note

    digest = weight.card.sha256[:12]
    words = [f"task={VERB}", f"model={weight.card.name} (sha256 {digest})", f"seed={options.seed}"]
    words += [
        f"{name}={getattr(options, name)}"
        for name in ("temperature", "interpolate", "manifold")
        if getattr(options, name) != fields_of(GenerateOptions)[name].default
    ]
    return with_note(None, Note(f"Retouch {retouch.__version__}", "; ".join(words), GENERATED))
