"""Dream into a picture: what a trained network faintly sees in it is made plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError
from retouch.tasks.base import Method, MethodOptions, Task, as_image, option, parse_tile
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.looking import OPERATIONS, USUAL_LAYERS, check_network, load_network, network_option, pick_network

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.ascent.dream import Dream
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

_TILE = 768


@dataclass(frozen=True, kw_only=True)
class DreamOptions(MethodOptions):
    """The options of ``dream``."""

    network: str = network_option()
    layer: str | None = option(
        None,
        "what is to grow: a layer, LAYER:CHANNEL for one of its channels, LAYER=WEIGHT beside others, several "
        "separated by commas; early layers give strokes and scales, late ones eyes, animals and buildings",
        metavar="LAYER[:CHANNEL][=WEIGHT],...",
    )
    guide: Image | None = option(
        None, "a picture whose features are drawn out of this one, instead of whatever it holds", kind="picture",
        metavar="PICTURE",
    )  # fmt: skip
    strength: float = option(1.0, "how far each step goes; 1 as published", minimum=0.01, maximum=20, metavar="N")
    octaves: int | None = option(
        None, "sizes that are dreamt in, from coarse to fine; by default 4, or 3 when quick", minimum=1, maximum=12,
        metavar="N",
    )  # fmt: skip
    octave_scale: float = option(
        1.4, "how much larger each octave is than the one before", minimum=1.05, maximum=4, metavar="N"
    )
    steps: int | None = option(
        None, "steps in each octave; by default 10, or 6 when quick", minimum=1, maximum=1000, metavar="N"
    )
    smooth: int | None = option(
        None,
        "bands into which a gradient is split to bring out its coarse parts, 0 as published; by default 3 for "
        "efficientnet-lite0, whose gradients are fine, else 0",
        minimum=0,
        maximum=6,
        metavar="N",
    )
    side: int = option(
        1024,
        "short side at which the last octave is worked on, at most, 0 for the picture's own; the dream is enlarged "
        "onto larger pictures",
        minimum=0,
        maximum=16384,
        unit="px",
        metavar="N",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_network(self.network)


def _steps(options: DreamOptions) -> tuple[int, int]:
    """Octaves, and steps in each."""
    quick = options.effort == "quick"
    octaves = (3 if quick else 4) if options.octaves is None else options.octaves
    return octaves, (6 if quick else 10) if options.steps is None else options.steps


def _dreamer(options: DreamOptions, on_step: Listener | None) -> Callable[[int], Dream]:
    """Makes the solver of a seed, with one network for all."""
    from retouch.solvers.ascent.dream import Dream
    from retouch.solvers.ascent.objectives import parse_wishes

    name = pick_network(options.network)
    wishes = parse_wishes(options.layer or USUAL_LAYERS[name])
    network = load_network(name, on_step)
    for wish in wishes:
        network.place(wish.layer)
    note(on_step, f"layer: {options.layer or USUAL_LAYERS[name]}")
    octaves, steps = _steps(options)
    smooth = options.smooth
    if smooth is None:
        smooth = 3 if name == "efficientnet-lite0" and options.effort != "paper" else 0
    tile = parse_tile(options.tile)

    def make(seed: int) -> Dream:
        return Dream(
            network=network,
            wishes=wishes,
            octaves=octaves,
            octave_scale=options.octave_scale,
            steps=steps,
            step=1.5 * options.strength,
            smooth=smooth,
            side=options.side,
            tile=_TILE if tile == "auto" else tile,
            guide=options.guide,
            device=options.device,
            seed=seed,
            precision="fp32" if options.effort == "paper" else "auto",
            state_file=options.state,
        )

    return make


def _run(image: Image, options: DreamOptions, on_step: Listener | None) -> Image:
    return _dreamer(options, on_step)(options.seed).solve(image, on_step=on_step).image


def _seconds(megapixels: float, device: str, options: Any) -> float:
    octaves, steps = _steps(options)
    largest = min(megapixels * 1e6, (options.side or 1e9) ** 2 * 4 / 3)
    pixels = sum(largest / options.octave_scale ** (2 * octave) for octave in range(octaves))
    each = OPERATIONS["vgg16" if options.network == "auto" else options.network]
    speed = operations_per_second(device, faithful=options.effort == "paper")
    taken: float = 0.5 + steps * (0.05 * octaves + pixels * each / speed) + 0.2 * megapixels
    return taken


DREAM = Task(
    name="dream",
    help="draw out of a picture what a trained network sees in it",
    options=DreamOptions,
    methods=(
        Method(
            name="dream",
            summary="DeepDream (Mordvintsev et al. 2015): gradient ascent on the activations of a layer, octave by "
            "octave; with --guide, on the likeness to those of another picture",
            cost="half a minute at 512 pixels on one CPU core with VGG16, a few seconds with EfficientNet-Lite0",
            prefer="always",
            seconds=_seconds,
            rank=0,
            run=_run,
            iterative=True,
        ),
    ),
)


def dream(
    image: Source,
    *,
    layer: str | None = None,
    guide: Source | None = None,
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Draw out of ``image`` what a trained network sees in it; the same size, alpha and metadata come back.

    ``layer``: "relu4_3", "relu4_3:12" for one channel, "relu3_3,relu5_1=0.5" for several with weights; the layers of a
    network are ``retouch.models.feature_network.feature_network(NAME).layers``. ``guide``: a picture whose features are
    matched instead. ``options``: the rest of ``DreamOptions``. ``on_step``: as for ``denoise``. Mordvintsev, Olah,
    Tyka, "Inceptionism", 2015. Raises ``OptionError`` for an unknown network, layer or channel, ``RetouchError`` where
    the weights are not here and cannot be fetched.
    """
    second = None if guide is None else as_image(guide)
    return DREAM.run(as_image(image), DREAM.make_options(layer=layer, guide=second, **options), on_step)


def zoom(
    image: Source,
    frames: int,
    *,
    scale: float = 1.05,
    layer: str | None = None,
    guide: Source | None = None,
    on_step: Listener | None = None,
    **options: Any,
) -> Iterator[Image]:
    """Dream, enlarge the middle by ``scale``, dream again: ``frames`` pictures of the size of ``image``, one by one.

    The other arguments as for ``dream``; fewer ``octaves`` and ``steps`` suffice for each frame (2 and 6 by default).
    ``retouch.image.animation.save_animation`` writes them. Raises as ``dream``, and ``OptionError`` for no frames, a
    scale out of 1..2, or a ``state``.
    """
    if frames < 1:
        raise OptionError(f"--frames must be at least 1, not {frames}")
    if not 1 <= scale <= 2:
        raise OptionError(f"--scale must be in 1..2, not {scale:g}")
    second = None if guide is None else as_image(guide)
    chosen = DREAM.make_options(**{"octaves": 2, "steps": 6, **options, "layer": layer, "guide": second})
    assert isinstance(chosen, DreamOptions)
    if chosen.state is not None:
        raise OptionError("--state: a zoom keeps no state; its frames are written as they are made")
    return _zoomed(as_image(image), chosen, frames, scale, on_step)


def _zoomed(
    image: Image, options: DreamOptions, frames: int, scale: float, on_step: Listener | None
) -> Iterator[Image]:
    from retouch.solvers.ascent.dream import zoom as frames_of

    make = _dreamer(options, on_step)
    yield from frames_of(image, lambda number: make(options.seed + number), frames, scale=scale, on_step=on_step)
