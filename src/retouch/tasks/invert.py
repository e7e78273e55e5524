"""What a layer of a trained network keeps of a picture: one that it cannot tell from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retouch.tasks.base import Method, MethodOptions, Task, as_image, option
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.looking import OPERATIONS, USUAL_LAYERS, check_network, load_network, network_option, pick_network

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

Prior = Literal["tv", "deep-prior"]
_STEPS: dict[Prior, dict[str, int]] = {
    "tv": {"quick": 120, "normal": 200, "paper": 600},
    "deep-prior": {"quick": 200, "normal": 600, "paper": 3100},
}


@dataclass(frozen=True, kw_only=True)
class InvertOptions(MethodOptions):
    """The options of ``invert``."""

    network: str = network_option()
    layer: str | None = option(
        None, "the layer that is inverted: the later it is, the less of the picture is left", metavar="LAYER"
    )
    side: int = option(
        224,
        "short side at which the network is shown the picture, at most, 0 for the picture's own; the result is resized "
        "back",
        minimum=0,
        maximum=4096,
        unit="px",
        metavar="N",
    )
    steps: int | None = option(
        None, "steps of the optimiser; by default by method and effort", minimum=1, maximum=100_000, metavar="N"
    )
    variation: float | None = option(
        None,
        "for tv: how much the total variation counts; by default more the later the layer",
        minimum=0,
        maximum=1e6,
        metavar="N",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_network(self.network)


def _run(prior: Prior) -> Callable[[Image, InvertOptions, Listener | None], Image]:
    def run(image: Image, options: InvertOptions, on_step: Listener | None) -> Image:
        from retouch.solvers.ascent.invert import Inversion

        name = pick_network(options.network)
        layer = options.layer or USUAL_LAYERS[name]
        network = load_network(name, on_step)
        network.place(layer)
        note(on_step, f"layer: {layer}")
        paper = options.effort == "paper"
        solver = Inversion(
            network=network,
            layer=layer,
            prior=prior,
            side=options.side,
            steps=_STEPS[prior][options.effort] if options.steps is None else options.steps,
            learning_rate=0.001 if paper and prior == "deep-prior" else None,
            variation=options.variation,
            wide=options.effort != "quick",
            device=options.device,
            seed=options.seed,
            precision="fp32" if paper else "auto",
            state_file=options.state,
        )
        return solver.solve(image, on_step=on_step).image

    return run


def _seconds(prior: Prior) -> Callable[[float, str, Any], float]:
    def seconds(megapixels: float, device: str, options: Any) -> float:
        pixels = min(megapixels * 1e6, (options.side or 1e9) ** 2 * 4 / 3)
        each = OPERATIONS["vgg16" if options.network == "auto" else options.network]
        if prior == "deep-prior":
            each += 0.25e6 if options.effort == "quick" else 0.5e6
        speed = operations_per_second(device, faithful=options.effort == "paper")
        steps = _STEPS[prior][options.effort] if options.steps is None else options.steps
        taken: float = 0.5 + steps * (0.02 + pixels * each / speed) + 0.2 * megapixels
        return taken

    return seconds


INVERT = Task(
    name="invert",
    help="show what a layer of a trained network keeps of a picture",
    options=InvertOptions,
    methods=(
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018, section 5): the picture is what an untrained network makes",
            cost="some minutes on a CPU",
            prefer="to see what the layer keeps as a natural picture would show it",
            seconds=_seconds("deep-prior"),
            rank=80,
            run=_run("deep-prior"),
            iterative=True,
        ),
        Method(
            name="tv",
            summary="pixels with total variation (Mahendran and Vedaldi 2015)",
            cost="seconds with AlexNet, a minute or two with VGG16",
            prefer="for early layers, and where the time for deep-prior is short",
            seconds=_seconds("tv"),
            rank=50,
            run=_run("tv"),
            iterative=True,
        ),
    ),
)


def invert(image: Source, *, layer: str | None = None, on_step: Listener | None = None, **options: Any) -> Image:
    """A picture that ``layer`` of a trained network cannot tell from ``image``, of the same size.

    What differs between the two is what the layer does not see. ``method``: "deep-prior" or "tv". ``options``: the
    rest of ``InvertOptions``. ``on_step``: as for ``denoise``. Mahendran, Vedaldi, CVPR 2015; Ulyanov, Vedaldi,
    Lempitsky, CVPR 2018. Raises ``OptionError`` for an unknown network or layer, ``RetouchError`` where the weights are
    not here and cannot be fetched.
    """
    return INVERT.run(as_image(image), INVERT.make_options(layer=layer, **options), on_step)
