"""Paint a photograph in the style of another picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Method, MethodOptions, Task, as_image, option, parse_tile
from retouch.tasks.inpaint import as_mask
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.provenance import tell_model

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

_WHOLE = 4.0  # megapixels up to which a network sees the picture at once; statistics of larger ones are of so many


@dataclass(frozen=True, kw_only=True)
class StylizeOptions(MethodOptions):
    """The options of ``stylize``. ``mask``: ``(1, H, W)``, 1 where the style goes."""

    style: Image | None = option(None, "the picture whose style is wanted", metavar="PICTURE", kind="picture")
    model: str | None = option(
        None,
        "in place of --style, a weight that has learned one: a name that 'retouch models list' shows, or a file",
        metavar="NAME|FILE",
        kind="weight",
    )
    style_weight: float = option(
        1.0, "how much the style counts beside the content, with --style", minimum=0.001, maximum=1000, metavar="N"
    )
    style_scale: float = option(
        1.0, "how large the picture of the style is beside the photograph: its strokes grow with it, with --style",
        minimum=0.1, maximum=4, metavar="N",
    )  # fmt: skip
    second: Image | None = option(
        None, "a second style: mixed with the first, or, with --mask, where the mask is black", metavar="PICTURE",
        kind="picture",
    )  # fmt: skip
    blend: float = option(0.5, "share of the second style in the mixture", minimum=0, maximum=1, metavar="N")
    mask: Tensor | None = option(
        None, "picture of the same size, white where the style goes; or a folder of masks named like the pictures",
        metavar="MASK", kind="mask",
    )  # fmt: skip
    preserve_color: Literal["off", "luminance", "histogram"] = option(
        "off",
        "keep the photograph's colours: 'luminance' paints its light and dark alone, 'histogram' gives the style the "
        "mean and spread of the photograph's colours first",
    )
    side: int | None = option(
        None,
        "longer side at which it is painted, then enlarged; by default 256, 384 or 512 pixels by --effort with "
        "--style, the picture's own with --model; 0 is its own",
        minimum=0, maximum=8192, unit="px", metavar="N",
    )  # fmt: skip
    detail: float = option(
        1.0, "share of the photograph's finer detail that is put back where it was enlarged", minimum=0, maximum=2,
        metavar="N",
    )  # fmt: skip
    steps: int | None = option(None, "with --style: steps of all sizes together", minimum=1, maximum=100_000)
    optimizer: Literal["auto", "lbfgs", "adam"] = option(
        "auto", "with --style: 'auto' is lbfgs, as published, which is nearer to the optimum after as many steps"
    )
    start: Literal["auto", "picture", "noise"] = option(
        "auto", "with --style: where it begins; 'auto' is the picture, and noise, as published, for --effort paper"
    )
    features: Literal["vgg16", "vgg19"] = option(
        "vgg16", "with --style: the network that sees content and style; vgg19 is the published one"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model is not None:
            for flag in ("style", "second"):
                if getattr(self, flag) is not None:
                    raise OptionError(f"give --{flag} or --model, not both: a weight has its own style")
        if self.side is not None and 0 < self.side < 32:
            raise OptionError(f"--side is at least 32 pixels, or 0, not {self.side}")


def _marked(image: Image, options: StylizeOptions, on_step: Listener | None) -> Tensor | None:
    """The mask, checked; None where there is none, and one of zeros where it marks nothing."""
    mask = options.mask
    if mask is None:
        return None
    if tuple(mask.shape[-2:]) != (image.height, image.width):
        raise RetouchError(
            f"the mask is {mask.shape[-1]}x{mask.shape[-2]} pixels, the picture {image.width}x{image.height}; "
            "they must be of one size"
        )
    mask = mask.float().clamp(0, 1)
    if not bool((mask > 0).any()):
        note(on_step, "the mask marks nothing" + ("" if options.second is not None else "; the picture stays as it is"))
    return mask


def _optimize(image: Image, options: StylizeOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.style import Style, StyleTransfer

    if options.style is None:
        raise OptionError(f"--method optimize: {_NEEDS_STYLE}")
    mask = _marked(image, options, on_step)
    first, second = options.style, options.second
    if second is None:
        styles = [Style(first, mask=mask)]
    elif mask is None:
        styles = [Style(first, 1 - options.blend), Style(second, options.blend)]
    else:
        styles = [Style(first, mask=mask), Style(second, mask=1 - mask)]
    styles = [style for style in styles if style.mask is None or bool((style.mask > 0).any())]
    if not styles:
        return image
    solver = StyleTransfer(
        effort=options.effort,
        device=options.device,
        seed=options.seed,
        side=options.side,
        steps=options.steps,
        optimizer=None if options.optimizer == "auto" else options.optimizer,
        start=None if options.start == "auto" else options.start,
        features=options.features,
        style_weight=options.style_weight,
        style_scale=options.style_scale,
        preserve=options.preserve_color,
        detail=options.detail,
        state_file=options.state,
    )
    return solver.solve(image, styles, on_step=on_step).image


def _transform(image: Image, options: StylizeOptions, on_step: Listener | None) -> Image:
    import torch

    from retouch.image.color import grey
    from retouch.image.resize import area
    from retouch.models import catalogue
    from retouch.models.runner import Runner
    from retouch.models.statistics import fixed_statistics
    from retouch.networks.spec import Spec
    from retouch.solvers.chroma import chroma_of, with_chroma
    from retouch.solvers.colour_match import match_colours
    from retouch.solvers.steps import Step
    from retouch.solvers.style import enlarged, fitted

    if options.model is None:
        raise OptionError(f"--method transform: {_needs_model()}")
    mask = _marked(image, options, on_step)
    if mask is not None and not bool((mask > 0).any()):
        return image
    model = catalogue.load(options.model)
    tell_model(model.card)
    note(on_step, f"weights: {model.card.name}")
    size = fitted(image.pixels, options.side or 0)
    seen = image.pixels if size == (image.height, image.width) else area(image.pixels[None], size)[0]
    tile = parse_tile(options.tile)
    megapixels = seen.shape[1] * seen.shape[2] / 1e6
    if tile == "auto" and megapixels <= _WHOLE:
        tile = None
    elif tile is not None:
        scale = min(1.0, (_WHOLE / megapixels) ** 0.5)
        small = (max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[2] * scale)))
        known = area(seen[None], small)[0] if scale < 1 else seen
        spec = model.network.spec
        assert isinstance(spec, Spec)
        network = fixed_statistics(model.network, known.expand(spec.channels, -1, -1))
        model = dataclasses.replace(model, network=network)

    def on_tile(done: int, total: int) -> bool | None:
        return on_step(Step(done, total)) if on_step is not None else None

    runner = Runner(model, device=options.device, tile="off" if tile is None else tile)
    made = runner.run(seen, on_tile=on_tile).clamp(0, 1)
    if image.channels == 3 and options.preserve_color == "histogram":
        made = match_colours(made, seen)
    made = enlarged(made, image.pixels, options.detail)
    if image.channels == 3 and options.preserve_color == "luminance":
        made = with_chroma(grey(made), chroma_of(image.pixels))
    if mask is not None:
        made = torch.where(mask > 0, image.pixels.lerp(made, mask), image.pixels)
    return image.with_pixels(made)


_NEEDS_STYLE = "needs --style PICTURE"


def _needs_model() -> str:
    from retouch.models.catalogue import for_task

    names = ", ".join(card.name for card in for_task("stylize"))
    return f"needs --model NAME ({names or 'retouch train style --style PICTURE --images DIR makes one'})"


def _why_no_optimize(options: Any) -> str | None:
    return None if options.style is not None else f"{_NEEDS_STYLE}, or {_needs_model()}"


def _why_no_transform(options: Any) -> str | None:
    return None if options.model is not None else _needs_model()


def _optimize_seconds(megapixels: float, device: str, options: Any) -> float:
    from retouch.solvers.efforts import STYLE

    effort = STYLE[options.effort]
    side = effort.side if options.side is None else options.side
    pixels = min(megapixels * 1e6, 0.75 * side**2) if side else megapixels * 1e6
    done = 0.0
    for share, steps in effort.levels:
        done += steps * pixels * share**2
    if options.steps is not None:
        done *= options.steps / effort.steps
    speed = operations_per_second(device, faithful=effort.faithful)
    taken: float = 1.2e6 * done / speed + 1.0 + 0.5 * megapixels
    return taken


def _transform_seconds(megapixels: float, device: str, options: Any) -> float:
    speed = operations_per_second(device, faithful=False)
    return 0.2 + 2 * 40_000 * megapixels * 1e6 / speed + 0.3 * megapixels


STYLIZE = Task(
    name="stylize",
    help="paint a photograph in the style of another picture",
    options=StylizeOptions,
    methods=(
        Method(
            name="optimize",
            summary="neural style transfer (Gatys et al. 2016): the pixels are fitted to the photograph's content and "
            "the other picture's style, as VGG16 sees them, coarse sizes first",
            cost="minutes on a CPU, half a minute on a GPU, whatever the size of the photograph; 2 kB of memory a "
            "pixel of --side",
            prefer="any picture as the style, two styles, regions; for the best result",
            seconds=_optimize_seconds,
            rank=80,
            run=_optimize,
            iterative=True,
            available=_why_no_optimize,
        ),
        Method(
            name="transform",
            summary="transformation network (Johnson et al. 2016), trained for one style: one pass paints the picture",
            cost="a second or two a megapixel on a CPU",
            prefer="the styles that there are weights for; many pictures; 'retouch train style' makes your own",
            seconds=_transform_seconds,
            rank=60,
            run=_transform,
            available=_why_no_transform,
            learned=True,
        ),
    ),
)


def stylize(
    image: Source,
    style: Source | None = None,
    *,
    model: str | Path | None = None,
    second: Source | None = None,
    mask: Source | Tensor | None = None,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Paint ``image`` in the style of another picture: ``style``, or the one that the weight ``model`` has learned.

    ``second``: another style, mixed with the first by ``blend``. ``mask``: of the same size, 1 where the style goes,
    less where it goes in part; where it is 0 every pixel comes back bit by bit as it was, or gets the second style.
    With ``style`` the picture is fitted at ``side`` pixels (the longer side), enlarged by bicubic interpolation, and
    given back ``detail`` times the photograph's detail beyond that size. With ``model`` a network sees it whole up to 4
    megapixels, then in tiles, with the statistics of the whole at 4 megapixels: there are no seams. A grey picture
    stays grey. The other arguments as for ``denoise``; ``options``: the rest of ``StylizeOptions``. Raises
    ``OptionError`` for neither or both of ``style`` and ``model``, and ``RetouchError`` for a mask of another size.
    """
    made = STYLIZE.make_options(
        style=None if style is None else as_image(style),
        model=None if model is None else str(model),
        second=None if second is None else as_image(second),
        mask=None if mask is None else as_mask(mask),
        method=method,
        **options,
    )
    return STYLIZE.run(as_image(image), made, on_step)
