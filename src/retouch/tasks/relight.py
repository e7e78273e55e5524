"""Make a picture taken without flash clear, with the help of one taken with flash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import RetouchError
from retouch.tasks.base import Method, MethodOptions, Task, as_image, option
from retouch.tasks.iterate import deep_prior, prior_seconds

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source


@dataclass(frozen=True, kw_only=True)
class RelightOptions(MethodOptions):
    """The options of ``relight``."""

    flash: Image = option(
        help="the picture taken with flash, of the same size and view", metavar="PICTURE", kind="picture"
    )


def _guide(image: Image, flash: Image) -> Image:
    if (flash.height, flash.width) != (image.height, image.width):
        raise RetouchError(
            f"the flash picture is {flash.width}x{flash.height} pixels, the picture {image.width}x{image.height}; "
            "they must be of one size"
        )
    return flash


def _guided(image: Image, options: RelightOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.classical import GuidedFilter

    return GuidedFilter().solve(image, guide=_guide(image, options.flash), on_step=on_step).image


def _prior(image: Image, options: RelightOptions, on_step: Listener | None) -> Image:
    return deep_prior("relight", image, options, on_step, guide=_guide(image, options.flash))


RELIGHT = Task(
    name="relight",
    help="clear a picture taken without flash with the help of one taken with flash",
    options=RelightOptions,
    methods=(
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): a network that is fed the flash picture is fitted to the "
            "one without",
            cost="minutes; a GPU helps much; about 1 kB of memory a pixel",
            prefer="when the guided filter leaves noise, or takes over the shadows of the flash",
            seconds=prior_seconds("relight"),
            rank=50,
            run=_prior,
            iterative=True,
        ),
        Method(
            name="guided-filter",
            summary="guided filter (He, Sun, Tang 2010): smooths along the edges of the flash picture",
            cost="under a second a megapixel",
            prefer="large pictures, many pictures, a quick look",
            seconds=lambda megapixels, device, options: 0.8 * megapixels,
            rank=20,
            run=_guided,
        ),
    ),
)


def relight(
    image: Source, flash: Source, *, method: str = "auto", on_step: Listener | None = None, **options: Any
) -> Image:
    """Clear ``image``, taken without flash, with the help of ``flash``: the same view and size, taken with it.

    The colours and the light of ``image`` stay. The other arguments as for ``denoise``; ``options``: the rest of
    ``RelightOptions``. Raises ``RetouchError`` for a flash picture of another size.
    """
    made = RELIGHT.make_options(flash=as_image(flash), method=method, **options)
    return RELIGHT.run(as_image(image), made, on_step)
