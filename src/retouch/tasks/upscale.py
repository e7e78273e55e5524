"""Make a picture larger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from retouch.image.errors import OptionError
from retouch.tasks.base import Method, Task, as_image, option
from retouch.tasks.denoise import DENOISE
from retouch.tasks.drawn import drawing_method
from retouch.tasks.iterate import Network, deep_prior, note, prior_seconds
from retouch.tasks.learned import LearnedOptions, learned_method, target_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from retouch.image.image import Image
    from retouch.image.resize import Kernel
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(LearnedOptions):
    """The options of ``upscale``. A whole ``scale`` is kept as an int."""

    scale: float = option(2, "how many times larger, each side; 1.5 is fine", minimum=1, maximum=16, metavar="N")
    real: bool = option(
        False,
        "for photographs as they come, a little soft, with noise and JPEG in them: takes these out too; without it "
        "a clean picture is expected, and all that is in it is made larger",
    )
    budget: float = option(150.0, "seconds that 'auto' may spend on a picture", minimum=0, unit="s", metavar="SECONDS")
    match_histogram: Literal["auto", "on", "off"] = option(
        "auto",
        "give the large picture the histogram of the small one, in red, green and blue by themselves; "
        "'auto': after the method transform only, as published",
    )

    temperature: float = option(
        0.9,
        "for methods that draw: below 1 draws what is likelier, above 1 what is rarer",
        minimum=0.1,
        maximum=10,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scale, float) and self.scale.is_integer():
            object.__setattr__(self, "scale", int(self.scale))
        if self.real and self.model is not None:
            raise OptionError("give either --real or --model: a weight is made for one kind of picture")


def _enlarged(
    enlarge: Callable[[Image, UpscaleOptions, Listener | None], Image], *, matched: bool = False
) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    """The rules that hold for every method: colour and alpha apart, the alpha by bicubic; then the histogram.

    ``matched``: whether ``match_histogram`` "auto" means on.
    """

    def run(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.image.histogram import match_histogram
        from retouch.image.resize import resize

        large = enlarge(replace(image, alpha=None), options, on_step)
        wanted = options.match_histogram == "on" or (options.match_histogram == "auto" and matched)
        if wanted and options.scale > 1:
            large = large.with_pixels(match_histogram(large.pixels, image.pixels))
        if image.alpha is None:
            return large
        alpha = resize(image.alpha[None], target_size(image, options.scale), kernel="bicubic").clamp(0, 1)[0]
        return replace(large, alpha=alpha)

    return run


def _interpolation(kernel: Kernel) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    def enlarge(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.image.resize import resize

        return image.with_pixels(resize(image.pixels[None], target_size(image, options.scale), kernel=kernel))

    return _enlarged(enlarge)


def _prior(network: Network) -> Callable[[Image, UpscaleOptions, Listener | None], Image]:
    def enlarge(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.degradations.resample import LanczosDownsample

        scale = int(options.scale)
        smaller = LanczosDownsample(scale)
        return deep_prior(
            "upscale",
            image,
            options,
            on_step,
            network=network,
            degrade=lambda kept: smaller,
            scale=scale,
        )

    return _enlarged(enlarge)


def _whole_scale(options: UpscaleOptions) -> str | None:
    if isinstance(options.scale, int) and 2 <= options.scale <= 8:
        return None
    return f"needs a whole --scale of 2 to 8, not {options.scale:g}"


def _learned(
    family: str, *, rank: int, summary: str, cost: str, prefer: str, matched: bool = False, spare: bool = False
) -> Method:
    method = learned_method("upscale", family, rank=rank, summary=summary, cost=cost, prefer=prefer, spare=spare)
    return replace(method, run=_enlarged(method.run, matched=matched))


_NOISY = 12.0
"""From this estimate of sigma on a picture is called noisy; one clean photograph in forty reaches it by its texture."""


def _told_of_noise(method: Method) -> Method:
    """``method``, which first tells the listener when the picture seems to have noise, which it enlarges too."""

    def run(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        from retouch.solvers.noise_level import estimate_sigma

        sigma = estimate_sigma(image)
        if sigma >= _NOISY and options.model is None:
            note(on_step, f"this looks like noise of sigma {sigma:.0f}, which is enlarged too; --real takes it out")
        return method.run(image, options, on_step)

    return replace(method, run=run)


def _without_noise_first(method: Method) -> Method:
    """``method`` on what the network of ``denoise`` leaves, where its weight is here and ``--model`` names no other.

    The enlarger knows noise up to sigma 15, and sees too little of a picture at once for blotches.
    """
    denoiser = next(row for row in DENOISE.methods if row.learned)

    def first(options: UpscaleOptions) -> Any:
        made = DENOISE.make_options(method=denoiser.name, device=options.device, tile=options.tile, seed=options.seed)
        return made if options.model is None and denoiser.available(made) is None else None

    def run(image: Image, options: UpscaleOptions, on_step: Listener | None) -> Image:
        made = first(options)
        clean = image if made is None else denoiser.run(replace(image, alpha=None), made, on_step)
        return method.run(replace(clean, alpha=image.alpha), options, on_step)

    def seconds(megapixels: float, device: str, options: UpscaleOptions) -> float:
        made = first(options)
        before = 0.0 if made is None else denoiser.seconds(megapixels, device, made)
        return before + method.seconds(megapixels, device, options)

    return replace(method, run=run, seconds=seconds)


def _drawn(*, rank: int) -> Method:
    method = drawing_method(rank)
    return replace(method, run=_enlarged(method.run))


_REAL = "residual-real"


def _by_kind(*methods: Method) -> tuple[Method, ...]:
    """With ``real``, only the method that is trained for such pictures can be used."""
    real = next(method for method in methods if method.name == _REAL)

    def held(method: Method) -> Method:
        def available(options: UpscaleOptions) -> str | None:
            if options.real and method is not real:
                return real.available(options) or f"--real is --method {_REAL}: this one is for clean pictures"
            return method.available(options)

        return replace(method, available=available)

    return tuple(held(method) for method in methods)


UPSCALE = Task(
    name="upscale",
    help="make a picture larger, up to 16 times each side",
    options=UpscaleOptions,
    methods=_by_kind(
        _told_of_noise(
            _learned(
                "residual",
                spare=True,
                rank=95,
                summary="a plain residual network of 0.7 million numbers, all its work at the small size, on the three "
                "colours (after EDSR, Lim et al. 2017)",
                cost="some seconds a megapixel of the small picture",
                prefer="nearly always: sharp and true, for pictures that are clean",
            )
        ),
        _told_of_noise(
            _learned(
                "residual-light",
                rank=92,
                summary="the same network as residual with 0.4 million numbers, which learned to do what that one does",
                cost="half the time of residual",
                prefer="large pictures on a processor without bfloat16",
            )
        ),
        _without_noise_first(
            _learned(
                _REAL,
                rank=6,
                summary="the network of denoise, then the same network as residual, trained on photographs as they "
                "come: it sharpens, and takes noise and JPEG out",
                cost="a few seconds a megapixel of the small picture",
                prefer="pictures from phones, the web and old cameras; what --real takes",
            )
        ),
        _learned(
            "srresnet",
            rank=90,
            summary="SRResNet (Ledig et al. 2017): sixteen residual blocks at the small size, on the three colours",
            cost="tens of seconds a megapixel of the small picture; a GPU helps much",
            prefer="the sharpest true result, where the time is there",
        ),
        _learned(
            "vdsr",
            rank=85,
            summary="VDSR (Kim et al. 2016): twenty layers predict what bicubic interpolation lacks, for x2, x3 and x4",
            cost="tens of seconds a megapixel of the large picture; a GPU helps much",
            prefer="factors between and beyond x2 to x4",
        ),
        _learned(
            "fsrcnn",
            rank=80,
            summary="FSRCNN (Dong et al. 2016): thin layers at the small size, then one deconvolution",
            cost="about a second a megapixel of the small picture",
            prefer="in a hurry: quick, and sharper than any interpolation",
        ),
        _learned(
            "srcnn",
            rank=70,
            summary="SRCNN (Dong et al. 2014): three layers sharpen the bicubic enlargement",
            cost="a few seconds a megapixel of the large picture",
            prefer="as the yardstick that papers compare with",
        ),
        _learned(
            "espcn",
            rank=65,
            summary="ESPCN (Shi et al. 2016): three layers at the small size, then a pixel shuffle",
            cost="about a second a megapixel of the small picture",
            prefer="where speed counts most",
        ),
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
            available=_whole_scale,
        ),
        _learned(
            "srgan",
            rank=45,
            summary="SRGAN (Ledig et al. 2017): SRResNet trained against a judge of what looks real",
            cost="like srresnet",
            prefer="when the picture should look sharp and may hold detail that was never there",
        ),
        _learned(
            "transform",
            rank=40,
            summary="transformation network (Johnson et al. 2016), trained to match features of VGG16, not pixels; "
            "for x4 and x8; then the histogram of the small picture",
            cost="seconds a megapixel of the small picture",
            prefer="x4 and x8 with edges that look sharp, where the single pixel matters less",
            matched=True,
        ),
        _drawn(rank=5),
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
            available=_whole_scale,
        ),
    ),
    changes_size=True,
)


def upscale(
    image: Source, *, scale: float = 2, method: str = "auto", on_step: Listener | None = None, **options: Any
) -> Image:
    """Make ``image`` ``scale`` times larger, each side; 1 to 16, not only whole numbers (sides are rounded).

    Trained networks reach other factors than their own by running one after the other, and one bicubic resize at the
    end; deep priors need a whole number from 2 to 8. ``real=True``: for photographs that are not clean, and says the
    method. ``match_histogram="on"`` gives the result the histogram of ``image`` (``image.histogram``). ``image`` and
    the other arguments as for ``denoise``; ``options``: the rest of ``UpscaleOptions``. The alpha is enlarged by
    bicubic interpolation whatever the method.
    Raises ``OptionError`` for a wrong option.
    """
    made = UPSCALE.make_options(scale=scale, method=method, **options)
    return UPSCALE.run(as_image(image), made, on_step)
