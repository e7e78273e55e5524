"""What a channel, a unit or a class of a trained network looks for, drawn from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError
from retouch.tasks.base import Options, option
from retouch.tasks.iterate import note
from retouch.tasks.looking import USUAL_LAYERS, check_network, load_network, pick_network

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener

_STEPS = {"fourier": 256, "pixels": 256, "deep-prior": 600}
_CLASS_STEPS = 2  # times as many: a class has one number where a channel has a map
_MOST = 64
CLASS_NETWORK, CLASS_LAYER = "efficientnet-lite0", "logits"


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions(Options):
    """The options of ``visualize``; ``class_`` is the option ``--class``."""

    layer: str | None = option(None, "the layer whose channels are drawn", metavar="LAYER")
    channel: str | None = option(
        None, "which channels: 7, or 0-8, or 3,5,11-14 for a sheet of several", metavar="N,N-M"
    )
    class_: str | None = option(
        None,
        "which of ImageNet's 1000 classes instead, by name or number, several separated by semicolons; of "
        "efficientnet-lite0",
        metavar="NAME;NAME",
    )
    unit: bool = option(False, "only the unit in the middle of a channel's map, instead of its mean")
    parameters: Literal["fourier", "pixels", "deep-prior"] = option(
        "fourier",
        "what is optimised: the picture's spectrum (Olah et al. 2017), its pixels, or the weights of an untrained "
        "network (Ulyanov et al. 2020; slower)",
    )
    side: int = option(224, "of each picture", minimum=32, maximum=1024, unit="px", metavar="N")
    steps: int | None = option(
        None, "steps of the optimiser: 256 for a channel, 512 for a class, 600 and 1200 with deep-prior by default",
        minimum=1, maximum=100_000, metavar="N",
    )  # fmt: skip
    no_transform: bool = option(False, "show the network the picture as it is, not moved, turned and scaled at random")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    seed: int = option(0, "repeats every random choice", minimum=0, maximum=2**32 - 1, metavar="N")


def parse_channels(text: str) -> tuple[int, ...]:
    """``"3,5,11-14"`` -> (3, 5, 11, 12, 13, 14); raises ``OptionError``."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = (word.strip() for word in part.partition("-"))
        if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(high) < int(low)):
            raise OptionError(f"--channel: '{part.strip()}' is neither a number nor a span such as 0-8")
        if dash and int(high) - int(low) >= _MOST:
            raise OptionError(f"--channel: at most {_MOST} at once")
        found += range(int(low), int(high or low) + 1)
    if len(found) > _MOST:
        raise OptionError(f"--channel: at most {_MOST} at once, not {len(found)}")
    return tuple(found)


def visualizations(
    network: str, options: VisualizeOptions, on_step: Listener | None = None
) -> tuple[list[Image], list[str]]:
    """The pictures and what each is of. Raises as ``visualize``."""
    from retouch.models.imagenet import class_names, find_class
    from retouch.solvers.ascent.visualize import Visualization

    check_network(network)
    name, layer = network, options.layer
    if options.class_ is not None:
        if options.channel is not None or layer not in (None, CLASS_LAYER):
            raise OptionError("--class: names what is drawn; it goes with neither --layer nor --channel")
        if name not in ("auto", CLASS_NETWORK):
            raise OptionError(f"--class: only {CLASS_NETWORK} comes with its classes, not {name}")
        name, layer = CLASS_NETWORK, CLASS_LAYER
        channels = tuple(find_class(part) for part in options.class_.split(";"))
    else:
        name = pick_network(name)
        layer = layer or USUAL_LAYERS[name]
        channels = parse_channels("0-8" if options.channel is None else options.channel)
    steps = options.steps
    if steps is None:
        steps = _STEPS[options.parameters] * (_CLASS_STEPS if layer == CLASS_LAYER else 1)
    loaded = load_network(name, on_step)
    loaded.place(layer)
    note(on_step, f"layer: {layer}")
    solver = Visualization(
        network=loaded,
        layer=layer,
        channels=channels,
        unit=options.unit,
        side=options.side,
        parameters=options.parameters,
        steps=steps,
        transform=not options.no_transform,
        device=options.device,
        seed=options.seed,
    )
    words = [class_names()[channel] if layer == CLASS_LAYER else f"{layer}:{channel}" for channel in channels]
    made = solver.solve(on_step=on_step)
    return made, words[: len(made)]


def arranged(pictures: Sequence[Image], words: Sequence[str]) -> Image:
    """One picture as it is; several on a sheet, nearly square, with what each is under it."""
    from retouch.image.sheet import sheet

    if len(pictures) == 1:
        return pictures[0]
    columns = max(2, min(6, round(len(pictures) ** 0.5 + 0.3)))
    rows = [list(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    captions = [list(words[start : start + columns]) for start in range(0, len(pictures), columns)]
    return sheet(rows, captions=captions, cell=pictures[0].width, gap=8)


def visualize(
    network: str = "auto",
    *,
    layer: str | None = None,
    channel: int | str | Sequence[int] | None = None,
    class_name: str | int | Sequence[str] | None = None,
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """What channels of a layer, or classes of ImageNet, look for: a picture, or a sheet of several.

    ``channel``: a number, several, or text as on the command line; by default the first nine. ``class_name``: a name, a
    number, or several. ``options``: the rest of ``VisualizeOptions``. ``on_step``: as for ``denoise``. Olah,
    Mordvintsev, Schubert, "Feature Visualization", Distill, 2017. Raises ``OptionError`` for an unknown network, layer,
    channel, class or option, ``RetouchError`` where the weights are not here and cannot be fetched.
    """
    from retouch.image.errors import unknown
    from retouch.tasks.base import fields_of

    if channel is not None and not isinstance(channel, str):
        channel = ",".join(map(str, [channel] if isinstance(channel, int) else channel))
    if class_name is not None and not isinstance(class_name, str):
        class_name = str(class_name) if isinstance(class_name, int) else ";".join(class_name)
    known = list(fields_of(VisualizeOptions))
    for name in options:
        if name not in known:
            raise OptionError(unknown("option", name, known, "of visualize"))
    chosen = VisualizeOptions(layer=layer, channel=channel, class_=class_name, **options)
    return arranged(*visualizations(network, chosen, on_step))
