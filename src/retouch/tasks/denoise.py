"""Take the noise out of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.tasks.base import Method, Task, as_image, option
from retouch.tasks.iterate import deep_prior, note, operations_per_second, prior_seconds, window_side
from retouch.tasks.learned import LearnedOptions, learned_method

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions(LearnedOptions):
    """The options of ``denoise``."""

    sigma: float | None = option(
        None,
        "standard deviation of the noise, on the 0..255 scale; by default it is estimated from the picture",
        minimum=0,
        maximum=255,
        metavar="N",
    )
    calibrate: bool = option(
        False, "for nlm: choose its parameters on the picture itself, without a clean one (J-invariance); seconds more"
    )


def _sigma(image: Image, options: DenoiseOptions, on_step: Listener | None) -> float:
    """The noise level that was given, or the estimate, which the listener is told."""
    if options.sigma is not None:
        return options.sigma
    from retouch.solvers.noise_level import estimate_sigma

    sigma = estimate_sigma(image)
    note(on_step, f"noise of sigma {sigma:.1f} found")
    return sigma


_STRONG = 35.0


def _views(sigma: float) -> int:
    """Two, of the picture and the picture turned by half, where the noise is strong: +.09 dB at sigma 50."""
    return 2 if sigma >= _STRONG else 1


def _nlm(image: Image, options: DenoiseOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.non_local_means import NonLocalMeans

    solver = NonLocalMeans(
        sigma=_sigma(image, options, on_step), calibrate=options.calibrate, tile=window_side(image, options)
    )
    return solver.solve(image, on_step=on_step).image


def _ensemble(image: Image, options: DenoiseOptions, on_step: Listener | None) -> Image:
    """The mean of two methods whose errors have little in common: a fitted network, and averages of alike patches."""
    fitted = deep_prior("denoise", image, options, on_step)
    averaged = _nlm(image, options, None)
    return image.with_pixels((fitted.pixels + averaged.pixels) / 2)


def _zero_shot(image: Image, options: DenoiseOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.zero_shot import ZeroShotNoise2Noise

    solver = ZeroShotNoise2Noise(
        effort=options.effort,
        device=options.device,
        seed=options.seed,
        tile=window_side(image, options),
        state_file=options.state,
    )
    return solver.solve(image, on_step=on_step).image


def _zero_shot_seconds(megapixels: float, device: str, options: Any) -> float:
    """Three passes a step, forward and backward, over the crop; then one pass over the whole picture."""
    from retouch.solvers.efforts import ZERO_SHOT

    effort = ZERO_SHOT[options.effort]
    operations = 2 * 22_275 * (effort.width / 48) ** 2  # of one pass, for a pixel
    speed = operations_per_second(device, faithful=effort.faithful)
    pixels = min(megapixels * 1e6, effort.crop**2)
    return effort.steps * (0.003 + 9 * operations * pixels / speed) + operations * megapixels * 1e6 / speed


def _tv(image: Image, options: DenoiseOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.classical import TotalVariation

    return TotalVariation(sigma=_sigma(image, options, on_step)).solve(image, on_step=on_step).image


def _bilateral(image: Image, options: DenoiseOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.classical import Bilateral

    return Bilateral(sigma=_sigma(image, options, on_step)).solve(image, on_step=on_step).image


DENOISE = Task(
    name="denoise",
    help="take the noise out of a picture",
    options=DenoiseOptions,
    methods=(
        learned_method(
            "denoise",
            "unet",
            level=_sigma,
            views=_views,
            spare=True,
            rank=90,
            summary="a U-Net of residual blocks (after DRUNet, Zhang et al. 2022) that was not told how much noise "
            "there is: white noise, blotches, and what cameras and JPEG make of it",
            cost=f"a few seconds a megapixel on a CPU, twice that from sigma {_STRONG:g} on, as it then takes the mean "
            "of two views; a GPU helps much",
            prefer="nearly always",
        ),
        learned_method(
            "denoise",
            "dncnn",
            level=_sigma,
            rank=80,
            summary="DnCNN (Zhang et al. 2017): a network of 17 to 20 layers trained to find the noise",
            cost="tens of seconds a megapixel on a CPU; a GPU helps much",
            prefer="Gaussian-like noise of a level its weights were trained for",
        ),
        Method(
            name="ensemble",
            summary="the mean of deep-prior and nlm: what only one of them gets wrong is halved",
            cost="like deep-prior: minutes to hours; a GPU helps much; about 1 kB of memory a pixel",
            prefer="the best this task can do on a small picture without a trained network",
            seconds=lambda megapixels, device, options: (
                2.5 * megapixels + prior_seconds("denoise")(megapixels, device, options)
            ),
            rank=60,
            run=_ensemble,
            iterative=True,
        ),
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): an untrained network is fitted to the picture and stopped "
            "by itself before it learns the noise",
            cost="minutes to hours; a GPU helps much; about 1 kB of memory a pixel",
            prefer="when quality counts more than time, and the noise is not plain Gaussian noise",
            seconds=prior_seconds("denoise"),
            rank=50,
            run=lambda image, options, on_step: deep_prior("denoise", image, options, on_step),
            iterative=True,
        ),
        Method(
            name="zero-shot",
            summary="Zero-Shot Noise2Noise (Mansour and Heckel 2023): a small network learns from two half-size halves "
            "of the picture",
            cost="about a minute on a CPU whatever the size (paper: much more), seconds on a GPU",
            prefer="noise that differs from pixel to pixel, without structure, of a level nobody knows",
            seconds=_zero_shot_seconds,
            rank=40,
            run=_zero_shot,
            iterative=True,
        ),
        Method(
            name="nlm",
            summary="non-local means (Buades et al. 2005): averages patches of the picture that look alike",
            cost="about 2 seconds a megapixel; memory stays bounded whatever the size",
            prefer="large pictures, many pictures, light noise; the result is always sound",
            seconds=lambda megapixels, device, options: 2.5 * megapixels,
            rank=30,
            run=_nlm,
        ),
        Method(
            name="deep-decoder",
            summary="Deep Decoder (Heckel and Hand 2019): a network too small to learn noise is fitted to the picture",
            cost="like deep-prior at a third of the time and memory",
            prefer="heavy noise on simple pictures; fine texture is lost",
            seconds=prior_seconds("denoise", "decoder"),
            rank=10,
            run=lambda image, options, on_step: deep_prior("denoise", image, options, on_step, network="decoder"),
            iterative=True,
        ),
        Method(
            name="tv",
            summary="total variation (Rudin, Osher, Fatemi 1992; Chambolle 2004): flattens what is not an edge",
            cost="about 3 seconds a megapixel",
            prefer="drawings, diagrams and other pictures of flat areas",
            seconds=lambda megapixels, device, options: 3 * megapixels,
            rank=5,
            run=_tv,
        ),
        Method(
            name="bilateral",
            summary="bilateral filter (Tomasi and Manduchi 1998): averages neighbours of similar colour",
            cost="under a second a megapixel",
            prefer="a quick look, or the light noise of a good camera",
            seconds=lambda megapixels, device, options: 0.5 * megapixels,
            rank=1,
            run=_bilateral,
        ),
    ),
)


def denoise(
    image: Source,
    *,
    sigma: float | None = None,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Take the noise out of ``image``; the same size, alpha and metadata come back.

    ``image``: an Image, the path of a file, an array (see ``Image.from_array``) or a Pillow image. ``sigma``: standard
    deviation of the noise on the 0..255 scale, None estimates it. ``method``: one that ``retouch methods denoise``
    lists. ``on_step`` hears the progress; returning False ends the work with the best so far. ``options``: the rest of
    ``DenoiseOptions``. Raises ``OptionError`` for a wrong option.
    """
    made = DENOISE.make_options(sigma=sigma, method=method, **options)
    return DENOISE.run(as_image(image), made, on_step)
