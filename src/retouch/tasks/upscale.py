"""Make a picture larger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retouch.tasks.base import Method, MethodOptions, Task, as_image, option
from retouch.tasks.iterate import Network, deep_prior, prior_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from retouch.image.image import Image
    from retouch.image.resize import Kernel
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(MethodOptions):
    """The options of ``upscale``."""

    scale: int = option(2, "how many times larger, each side", minimum=2, maximum=8, metavar="N")


def _enlarged(
    enlarge: Callable[[Image, UpscaleOptions, Listener | None], Image],
) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    """The rule that holds for every method: colour and alpha apart, the alpha by bicubic."""

    def run(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.image.resize import resize

        large = enlarge(replace(image, alpha=None), options, on_step)
        if image.alpha is None:
            return large
        alpha = resize(image.alpha[None], scale=options.scale, kernel="bicubic").clamp(0, 1)[0]
        return replace(large, alpha=alpha)

    return run


def _interpolation(kernel: Kernel) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    def enlarge(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.image.resize import resize

        return image.with_pixels(resize(image.pixels[None], scale=options.scale, kernel=kernel))

    return _enlarged(enlarge)


def _prior(network: Network) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    def enlarge(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.degradations.resample import LanczosDownsample

        smaller = LanczosDownsample(options.scale)
        return deep_prior(
            "upscale",
            image,
            options,
            on_step,
            network=network,
            degrade=lambda kept: smaller,
            scale=options.scale,
        )

    return _enlarged(enlarge)


UPSCALE = Task(
    name="upscale",
    help="make a picture larger, 2 to 8 times each side",
    options=UpscaleOptions,
    methods=(
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): a large picture made by an untrained network, fitted so "
            "that it is the small one when made smaller",
            cost="minutes to hours; a GPU helps much; about 1 kB of memory a pixel of the large picture",
            prefer="small pictures with edges and repeated structure",
            seconds=prior_seconds("upscale"),
            rank=50,
            run=_prior("hourglass"),
            iterative=True,
        ),
        Method(
            name="lanczos",
            summary="interpolation with a Lanczos kernel of three lobes (Duchon 1979)",
            cost="under a second a megapixel",
            prefer="photographs without hard edges: a little sharper than bicubic, with a little ringing",
            seconds=lambda megapixels, device, options: 0.3 * megapixels * options.scale**2,
            rank=30,
            run=_interpolation("lanczos3"),
        ),
        Method(
            name="bicubic",
            summary="bicubic interpolation (Keys 1981), as MATLAB's imresize",
            cost="under a second a megapixel",
            prefer="as the yardstick that papers compare with",
            seconds=lambda megapixels, device, options: 0.2 * megapixels * options.scale**2,
            rank=20,
            run=_interpolation("bicubic"),
        ),
        Method(
            name="deep-decoder",
            summary="Deep Decoder (Heckel and Hand 2019): a small network, fitted like deep-prior",
            cost="like deep-prior at a third of the time and memory",
            prefer="smooth pictures",
            seconds=prior_seconds("upscale", "decoder"),
            rank=10,
            run=_prior("decoder"),
            iterative=True,
        ),
    ),
    changes_size=True,
)


def upscale(
    image: Source, *, scale: int = 2, method: str = "auto", on_step: Listener | None = None, **options: Any
) -> Image:
    """Make ``image`` ``scale`` times larger, each side; 2 to 8.

    ``image`` and the other arguments as for ``denoise``; ``options``: the rest of ``UpscaleOptions``. The alpha is
    enlarged by bicubic interpolation whatever the method. Raises ``OptionError`` for a wrong option.
    """
    made = UPSCALE.make_options(scale=scale, method=method, **options)
    return UPSCALE.run(as_image(image), made, on_step)
