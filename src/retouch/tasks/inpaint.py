"""Fill what a mask marks: text, scratches, stains, holes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Method, Task, as_image, option
from retouch.tasks.iterate import Network, deep_prior, note, prior_seconds
from retouch.tasks.learned import LearnedOptions, learned_method, run_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from retouch.image.image import Image
    from retouch.solvers.steps import Listener, Step
    from retouch.tasks.base import Source

    Fill = Callable[[Image, Tensor, "InpaintOptions", Listener | None], Image]


@dataclass(frozen=True, kw_only=True)
class InpaintOptions(LearnedOptions):
    """The options of ``inpaint``. ``mask``: ``(1, H, W)``, at least 0.5 where the picture is to be filled."""

    mask: Tensor = option(
        help="picture of the same size, white where to fill; or a folder of masks named like the pictures",
        metavar="MASK",
        kind="mask",
    )
    invert_mask: bool = option(False, "black in the mask is where to fill")


def _with_mask(fill: Fill) -> Callable[[Image, InpaintOptions, Listener | None], Image]:
    """The rules that hold for every method: what a mask may be, and that nothing outside it changes by a single bit."""

    def run(image: Image, options: InpaintOptions, on_step: Listener | None) -> Image:
        import torch

        hole = options.mask >= 0.5
        if options.invert_mask:
            hole = ~hole
        if hole.shape[-2:] != image.pixels.shape[-2:]:
            raise RetouchError(
                f"the mask is {hole.shape[-1]}x{hole.shape[-2]} pixels, the picture {image.width}x{image.height}; "
                "they must be of one size"
            )
        if not bool(hole.any()):
            note(on_step, "the mask marks nothing; the picture stays as it is")
            return image
        if bool(hole.all()):
            raise RetouchError("the mask marks the whole picture, so nothing is left to fill it from")
        filled = fill(image, hole, options, on_step)
        return image.with_pixels(torch.where(hole, filled.pixels, image.pixels))

    return run


def _prior(network: Network) -> Fill:
    def fill(image: Image, hole: Tensor, options: InpaintOptions, on_step: Listener | None) -> Image:
        from retouch.degradations.mask import FixedMask

        def lose(kept: Tensor | None) -> FixedMask:
            assert kept is not None
            return FixedMask(kept)

        rows, columns = _around(hole.any(2)[0]), _around(hole.any(1)[0])
        part = replace(image, pixels=image.pixels[:, rows, columns].contiguous(), alpha=None)
        kept = (~hole[:, rows, columns]).float()
        whole = _in_place(on_step, image, rows, columns, hole)
        filled = deep_prior("inpaint", part, options, whole, network=network, degrade=lose, kept=kept)
        pixels = image.pixels.clone()
        pixels[:, rows, columns] = filled.pixels
        return image.with_pixels(pixels)

    return fill


def _in_place(on_step: Listener | None, image: Image, rows: slice, columns: slice, hole: Tensor) -> Listener | None:
    """A listener that shows the part which is worked on in its place in the whole picture."""
    if on_step is None:
        return None

    def listener(step: Step) -> bool | None:
        if step.preview is not None:
            pixels = image.pixels.clone()
            pixels[:, rows, columns] = step.preview.pixels.where(hole[:, rows, columns], pixels[:, rows, columns])
            step = replace(step, preview=replace(image, pixels=pixels))
        return on_step(step)

    return listener


_CONTEXT = 96


def _around(marked: Tensor) -> slice:
    """The marked stretch of a side with some of its surroundings: a small hole does not need the whole photograph."""
    places = marked.nonzero()
    return slice(max(0, int(places.min()) - _CONTEXT), int(places.max()) + 1 + _CONTEXT)


def _classical(name: Literal["biharmonic", "telea", "navier-stokes"]) -> Fill:
    def fill(image: Image, hole: Tensor, options: InpaintOptions, on_step: Listener | None) -> Image:
        from retouch.degradations.mask import FixedMask
        from retouch.solvers import classical

        solver: classical.Biharmonic | classical.Telea = classical.Biharmonic()
        if name != "biharmonic":
            solver = classical.Telea() if name == "telea" else classical.NavierStokes()
        return solver.solve(image, FixedMask((~hole).float()), on_step=on_step).image

    return fill


def _learned(image: Image, hole: Tensor, options: InpaintOptions, on_step: Listener | None) -> Image:
    """The network on the picture with flat holes: a hole of one colour is what it has learned to know as one."""
    from retouch.degradations.levels import Levels
    from retouch.solvers.first_guess import fill_flat

    rows, columns = _around(hole.any(2)[0]), _around(hole.any(1)[0])
    part = replace(image, pixels=image.pixels[:, rows, columns].contiguous(), alpha=None)
    guess = fill_flat(part.pixels, hole[:, rows, columns])
    told = Levels.of(overlay=True)
    filled = run_network("inpaint", "unet", None, part.with_pixels(guess), options, on_step, told)
    pixels = image.pixels.clone()
    pixels[:, rows, columns] = filled.clamp(0, 1)
    return image.with_pixels(pixels)


_NETWORK = learned_method(
    "inpaint",
    "unet",
    rank=3,
    summary="a U-Net (Ronneberger et al. 2015) trained on pictures with holes and letters, among other damages",
    cost="one pass of the network over what surrounds the holes: seconds a megapixel on a CPU",
    prefer="seldom: 2 to 9 dB behind biharmonic in strokes and letters; it mends what nobody has marked (restore)",
)

INPAINT = Task(
    name="inpaint",
    help="fill what a mask marks: text, scratches, stains, holes",
    options=InpaintOptions,
    methods=(
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): an untrained network is fitted to what is left of the "
            "picture and continues it into the holes",
            cost="minutes to hours; a GPU helps much; about 1 kB of memory a pixel",
            prefer="text over texture, many small gaps, holes in a picture that repeats itself",
            seconds=prior_seconds("inpaint"),
            rank=50,
            run=_with_mask(_prior("hourglass")),
            iterative=True,
        ),
        replace(_NETWORK, run=_with_mask(_learned)),
        Method(
            name="biharmonic",
            summary="biharmonic interpolation (Chui and Mhaskar 2010): the smoothest surface through the borders",
            cost="seconds to minutes, by the number of marked pixels",
            prefer="scratches and thin text on smooth ground",
            seconds=lambda megapixels, device, options: 25 * megapixels,
            rank=40,
            run=_with_mask(_classical("biharmonic")),
        ),
        Method(
            name="telea",
            summary="fast marching (Telea 2004): carries the border inwards, pixel by pixel",
            cost="under a second a megapixel",
            prefer="a quick look, dust, hairs, and large pictures",
            seconds=lambda megapixels, device, options: 0.7 * megapixels,
            rank=10,
            run=_with_mask(_classical("telea")),
        ),
        Method(
            name="navier-stokes",
            summary="fluid dynamics (Bertalmio et al. 2001): carries lines of equal brightness into the holes",
            cost="under a second a megapixel",
            prefer="thin scratches across edges",
            seconds=lambda megapixels, device, options: 0.7 * megapixels,
            rank=9,
            run=_with_mask(_classical("navier-stokes")),
        ),
        Method(
            name="deep-decoder",
            summary="Deep Decoder (Heckel and Hand 2019): a small network is fitted to what is left of the picture",
            cost="like deep-prior at a third of the time and memory",
            prefer="many missing pixels in a smooth picture",
            seconds=prior_seconds("inpaint", "decoder"),
            rank=5,
            run=_with_mask(_prior("decoder")),
            iterative=True,
        ),
    ),
)


def inpaint(
    image: Source,
    mask: Source | Tensor,
    *,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Fill what ``mask`` marks; every pixel outside it comes back bit by bit as it was.

    ``image``: as for ``denoise``. ``mask``: of the same size, at least 0.5 (white) where to fill: a tensor or array
    ``(1, H, W)`` or ``(H, W)``, the path of a picture, or an Image. ``options``: the rest of ``InpaintOptions``.
    Raises ``RetouchError`` for a mask of another size, or one that marks everything.
    """
    made = INPAINT.make_options(mask=as_mask(mask), method=method, **options)
    return INPAINT.run(as_image(image), made, on_step)


def as_mask(mask: Source | Tensor) -> Tensor:
    """A mask as the options hold it, ``(1, H, W)``, from what ``inpaint`` takes."""
    import numpy as np
    import torch

    from retouch.image.files import open_mask
    from retouch.image.image import Image

    if isinstance(mask, (str, Path)):
        return open_mask(mask)
    if isinstance(mask, Image):
        return mask.pixels.mean(0, keepdim=True)
    values = mask if isinstance(mask, torch.Tensor) else torch.from_numpy(np.asarray(mask).copy())
    peak = 255 if values.dtype == torch.uint8 else 1
    values = values.to(torch.float32) / peak
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.shape[0] != 1:
        raise OptionError(f"a mask is (H, W) or (1, H, W), not {tuple(values.shape)}")
    return values
