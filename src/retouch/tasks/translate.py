"""Turn a picture of one kind into one of another: a facade into its labels, labels into a facade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Method, MethodOptions, Task, as_image, option, parse_tile
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.provenance import tell_model

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.models.card import Card
    from retouch.models.load import Model
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

_BACK = "-back"  # what training calls the weight of the way back


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(MethodOptions):
    """The options of ``translate``."""

    model: str = option(
        help="the weight that translates: a name that 'retouch models list' shows, or a file",
        metavar="NAME|FILE",
        kind="weight",
    )
    direction: Literal["forward", "back"] = option(
        "forward", "'back' takes the weight of the way back, NAME-back, which lies beside it"
    )
    side: int | None = option(
        None,
        "short side at which the network sees the picture; by default the one at which it learned, 0 for the picture's "
        "own size",
        minimum=0,
        maximum=8192,
        unit="px",
        metavar="N",
    )


def trained_for(card: Card | None) -> tuple[bool, int]:
    """Whether a weight takes B to A, and the side of the squares that it was trained on, 0 where pictures were cut.

    Without a card: A to B, at their own size. Raises ``RetouchError`` for a card whose recipe holds no such values.
    """
    table = card.recipe.get("data") if card is not None else None
    if not isinstance(table, Mapping):
        return False, 0
    swap, side = table.get("swap", False), table.get("crop", 0) if table.get("load", 0) else 0
    if not isinstance(swap, bool) or not isinstance(side, int) or side < 0:
        assert card is not None
        raise RetouchError(f"{card.name}: its card says data.swap = {swap!r} and data.crop = {side!r}")
    return swap, side


def _weight(options: TranslateOptions) -> Model:
    """The weight, of the direction asked for. Raises ``OptionError`` for one of another task."""
    from retouch.models import catalogue

    name = options.model
    if options.direction == "back":
        path = Path(name)
        is_file = path.suffix == catalogue.ENDING
        name = str(path.with_name(f"{path.stem}{_BACK}{path.suffix}")) if is_file else f"{name}{_BACK}"
    model = catalogue.load(name)
    if "translate" not in model.card.tasks:
        raise OptionError(f"--model {name}: a weight for {', '.join(model.card.tasks)}, not for translate")
    return model


def _run(image: Image, options: TranslateOptions, on_step: Listener | None) -> Image:
    import torch

    with torch.random.fork_rng(devices=[]):  # pix2pix draws its noise by dropout, also when it is used
        return _translated(image, options, on_step)


def _translated(image: Image, options: TranslateOptions, on_step: Listener | None) -> Image:
    import torch

    from retouch.image.resize import resize
    from retouch.models.runner import Runner
    from retouch.solvers.steps import Step

    model = _weight(options)
    tell_model(model.card)
    note(on_step, f"weights: {model.card.name}")
    side = trained_for(model.card)[1] if options.side is None else options.side
    size = image.height, image.width
    seen = image.pixels
    if side and side != min(size):
        small = tuple(max(1, round(length * side / min(size))) for length in size)
        seen = resize(seen[None], (small[0], small[1]))[0].clamp(0, 1)
        note(on_step, f"seen at {small[1]}x{small[0]} pixels, as the network learned; --side 0 keeps its size")

    def on_tile(done: int, total: int) -> bool | None:
        return on_step(Step(done, total)) if on_step is not None else None

    tile = parse_tile(options.tile)
    runner = Runner(model, device=options.device, tile="off" if tile is None else tile)
    torch.manual_seed(options.seed)
    made = runner.run(seen, on_tile=on_tile)
    if made.shape[1:] != size:
        made = resize(made[None], size)[0]
    return image.with_pixels(made)


def _method(name: str, operations: float, *, rank: int, summary: str, cost: str, prefer: str) -> Method:
    def seconds(megapixels: float, device: str, options: Any) -> float:
        side = 256 if options.side is None else options.side
        seen = min(megapixels * 1e6, side**2 * 4 / 3) if side else megapixels * 1e6
        speed = operations_per_second(device, faithful=False)
        taken: float = 0.1 + 2 * operations * seen / speed + 0.2 * megapixels
        return taken

    return Method(
        name=name, summary=summary, cost=cost, prefer=prefer, seconds=seconds, rank=rank, run=_run, learned=True
    )


TRANSLATE = Task(
    name="translate",
    help="turn a picture of one kind into one of another, by a trained weight",
    options=TranslateOptions,
    methods=(
        _method(
            "pix2pix",
            5_000,
            rank=80,
            summary="pix2pix (Isola et al. 2017): a U-Net, trained on pairs against a critic that sees both pictures",
            cost="under a second, at the size at which it learned",
            prefer="whatever there were pairs to learn from; 'retouch train pix2pix --pairs DIR' makes your own",
        ),
        _method(
            "cyclegan",
            36_000,
            rank=70,
            summary="CycleGAN (Zhu et al. 2017): two residual networks, there and back, learned without pairs",
            cost="under a second, at the size at which it learned",
            prefer="two kinds of pictures without pairs; 'retouch train cyclegan --images A --targets B'",
        ),
        _method(
            "dualgan",
            2_000,
            rank=60,
            summary="DualGAN (Yi et al. 2017): two U-Nets, there and back, trained with Wasserstein's distance",
            cost="under a second, at the size at which it learned",
            prefer="as cyclegan, to compare; what it makes differs",
        ),
    ),
)


def translate(
    image: Source,
    model: str | Path,
    *,
    direction: Literal["forward", "back"] = "forward",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Turn ``image`` into the kind of picture that ``model`` makes; the same size, alpha and metadata come back.

    ``model``: the name or the file of a weight; ``direction``: "back" takes the one called NAME-back. The network sees
    the picture with its short side as it learned (``side`` says another, 0 the picture's own), in any shape, and the
    result is resized back. Nothing in the result is proven by ``image``. ``seed`` repeats the dropout that pix2pix
    draws its noise by. The other arguments as for ``denoise``; ``options``: the rest of ``TranslateOptions``. Raises
    ``OptionError`` for a weight of another task, or an unknown name.
    """
    made = TRANSLATE.make_options(model=str(model), direction=direction, **options)
    return TRANSLATE.run(as_image(image), made, on_step)
