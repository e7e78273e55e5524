"""Make a blurred picture sharp."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError
from retouch.tasks.base import Method, Task, as_image, option, parse_tile
from retouch.tasks.iterate import TiledSteps, deep_prior, note, operations_per_second, prior_seconds
from retouch.tasks.learned import LearnedOptions, learned_method
from retouch.tasks.provenance import tell_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from retouch.degradations.base import Degradation
    from retouch.image.image import Image
    from retouch.solvers.deconvolution import Denoiser, PlugAndPlay, RichardsonLucy, Wiener
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

    Deconvolution = Wiener | RichardsonLucy | PlugAndPlay

_DENOISER = "restore", "unet"  # the task and family whose network is told of the noise
_TURNS = 8  # runs of it
_TILE, _BORDER = 1024, 64  # of methods that take a picture in one piece; what tiles share beside the kernel


@dataclass(frozen=True, kw_only=True)
class DeblurOptions(LearnedOptions):
    """The options of ``deblur``. ``kernel_picture``: see ``kernel_of``."""

    kernel: str | None = option(
        None,
        "the blur: gaussian:SIGMA, motion:LENGTH@DEGREES (counter-clockwise from the right) or defocus:RADIUS, in "
        "pixels; by default it is found in the picture",
        metavar="BLUR",
    )
    kernel_picture: Image | None = option(
        None, "a picture of the blur itself, as a point of light left it", metavar="PICTURE", kind="picture"
    )
    sigma: float | None = option(
        None,
        "standard deviation of the picture's noise, on the 0..255 scale; by default it is estimated; more is smoother",
        minimum=0,
        maximum=255,
        metavar="N",
    )
    iterations: int = option(
        30, "of richardson-lucy: more is sharper, and noisier", minimum=1, maximum=1000, metavar="N"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel is not None:
            if self.kernel_picture is not None:
                raise OptionError("give either --kernel or --kernel-picture")
            parse_kernel(self.kernel)


def parse_kernel(text: str) -> tuple[str, float, float]:
    """'gaussian:1.6' -> ('gaussian', 1.6, 0); 'motion:15@30' -> ('motion', 15, 30); ``OptionError`` for other words."""
    kind, _, numbers = text.partition(":")
    size, at, angle = numbers.partition("@")
    limits = {"gaussian": (0.1, 50.0), "motion": (1.0, 200.0), "defocus": (0.5, 100.0)}
    try:
        low, high = limits[kind]
        value, turn = float(size), float(angle) if at else 0.0
        if (at and kind != "motion") or not -360 <= turn <= 360:
            raise ValueError
    except (KeyError, ValueError):
        raise OptionError(
            f"--kernel is gaussian:SIGMA, motion:LENGTH@DEGREES or defocus:RADIUS, as in motion:15@30, not '{text}'"
        ) from None
    if not low <= value <= high:
        raise OptionError(f"--kernel {text}: {kind} goes from {low:g} to {high:g} pixels")
    return kind, value, turn


def kernel_of(image: Image, options: Any, on_step: Listener | None = None) -> Tensor | None:
    """The blur's kernel, float64 ``(h, w)`` of sum 1: the one given, or the one found; None where none is found.

    A picture of it may have a dark background, which is taken off: what is below a hundredth of its brightest counts
    for 0. Raises ``OptionError`` for a picture that is all black.
    """
    if options.kernel is not None:
        from retouch.solvers.blur_estimate import BlurEstimate

        kind, size, angle = parse_kernel(options.kernel)
        return BlurEstimate(kind, size, angle).kernel  # type: ignore[arg-type]  # parse_kernel knows the kinds
    if options.kernel_picture is not None:
        from retouch.solvers.deconvolution import check_kernel

        light = options.kernel_picture.pixels.mean(0).double()
        return check_kernel(light.where(light > 0.01 * light.max(), light.new_zeros(())))
    from retouch.solvers.blur_estimate import estimate_blur

    found = estimate_blur(image)
    if found.kind == "none":
        note(on_step, "no blur found; the picture stays as it is (--kernel says which blur it is)")
        return None
    note(on_step, f"found: {found.summary}")
    return found.kernel


def _in_tiles(make: Callable[[Tensor, DeblurOptions], Deconvolution]) -> Callable[..., Image]:
    """The rules of every method that is told the kernel: which one, and tiles that bound the memory.

    ``make``: the solver, made once for a picture, from the kernel and the options, whose sigma is set.
    """

    def run(image: Image, options: DeblurOptions, on_step: Listener | None) -> Image:
        from retouch.image.image import Image as Picture
        from retouch.image.tiling import AUTO_TILE, plan, run_tiled

        kernel = kernel_of(image, options, on_step)
        if kernel is None:
            return image
        if options.sigma is None:
            from retouch.solvers.noise_level import estimate_sigma

            options = dataclasses.replace(options, sigma=estimate_sigma(image))  # one for all tiles
        solver = make(kernel, options)
        overlap = 2 * (max(kernel.shape) // 2) + _BORDER
        side = parse_tile(options.tile)
        auto = max(_TILE, 4 * overlap, AUTO_TILE)
        longest = max(image.height, image.width) if side is None else auto if side == "auto" else side
        tiles = len(plan(image.height, longest, overlap)) * len(plan(image.width, longest, overlap))
        progress = TiledSteps(on_step, tiles, previews=tiles == 1)

        def one(part: Tensor) -> Tensor:
            progress.begin()
            if progress.stopped:
                return part
            return solver.solve(Picture(part[0].contiguous()), on_step=progress).image.pixels[None]

        tile = "off" if side is None else side
        return image.with_pixels(run_tiled(one, image.pixels, tile=tile, overlap=overlap, auto=auto))

    return run


def _wiener(kernel: Tensor, options: DeblurOptions) -> Deconvolution:
    from retouch.solvers.deconvolution import Wiener

    return Wiener(kernel=kernel, sigma=options.sigma)


def _richardson_lucy(kernel: Tensor, options: DeblurOptions) -> Deconvolution:
    from retouch.solvers.deconvolution import RichardsonLucy

    return RichardsonLucy(kernel=kernel, iterations=options.iterations)


def _plug_and_play(kernel: Tensor, options: DeblurOptions) -> Deconvolution:
    from retouch.solvers.deconvolution import PlugAndPlay

    return PlugAndPlay(kernel=kernel, denoise=_denoiser(options), sigma=options.sigma, iterations=_TURNS)


def _told_of_noise() -> str | None:
    """The name of a weight of ``restore`` that is told how much noise there is, None without one."""
    from retouch.models import catalogue

    return next((card.name for card in catalogue.for_task(*_DENOISER) if card.arguments.get("levels")), None)


def _denoiser(options: DeblurOptions) -> Denoiser:
    from retouch.degradations.levels import Levels
    from retouch.models.catalogue import load
    from retouch.models.runner import Runner

    name = _told_of_noise()
    assert name is not None  # the method is not available otherwise
    model = load(name)
    tell_model(model.card)
    runner = Runner(model, device=options.device)
    return lambda x, sigma: runner.run(x, levels=Levels.of(sigma=sigma))


def _why_no_plug_and_play(options: Any) -> str | None:
    if options.model is None and _told_of_noise() is None:
        return "no weights of unet here: retouch train unet-restore --images DIR, then retouch models install"
    return None


def _plug_and_play_seconds(megapixels: float, device: str, options: Any) -> float:
    network = _TURNS * 2 * 69_725 * megapixels * 1e6 / operations_per_second(device, faithful=False)
    return 1.0 + network + 12 * megapixels


def _prior(image: Image, options: DeblurOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.deconvolution import blur_of

    kernel = kernel_of(image, options, on_step)
    if kernel is None:
        return image
    blur: Degradation = blur_of(kernel)
    return deep_prior("deblur", image, options, on_step, degrade=lambda kept: blur)


DEBLUR = Task(
    name="deblur",
    help="make a blurred picture sharp: the focus missed, the camera moved",
    options=DeblurOptions,
    methods=(
        Method(
            name="plug-and-play",
            summary="plug and play (Zhang et al. 2021, DPIR): a trained denoiser and agreement with what is seen, "
            "in turns",
            cost="eight runs of the network of restore: half a minute a megapixel on a CPU; a GPU helps much",
            prefer="nearly always: sharp without noise or ringing, for any blur that is the same all over",
            seconds=_plug_and_play_seconds,
            rank=90,
            run=_in_tiles(_plug_and_play),
            available=_why_no_plug_and_play,
        ),
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): an untrained network makes a picture whose blur is the "
            "blurred one",
            cost="minutes to hours; a GPU helps much; about 1 kB of memory a pixel",
            prefer="where no trained network is to have a say; it comes out near Wiener's filter",
            seconds=prior_seconds("deblur"),
            rank=35,
            run=_prior,
            iterative=True,
        ),
        Method(
            name="wiener",
            summary="Wiener's filter (1949), its borders met by conjugate gradients",
            cost="about 10 seconds a megapixel",
            prefer="many pictures, little noise; it leaves some ringing",
            seconds=lambda megapixels, device, options: 0.8 + 10 * megapixels,
            rank=40,
            run=_in_tiles(_wiener),
        ),
        Method(
            name="richardson-lucy",
            summary="Richardson-Lucy deconvolution (Richardson 1972, Lucy 1974): multiplied by what does not agree yet",
            cost="about 15 seconds a megapixel at 30 iterations",
            prefer="as astronomers do: stars and lights on dark ground, the number of iterations chosen by eye",
            seconds=lambda megapixels, device, options: 0.9 + 0.5 * options.iterations * megapixels,
            rank=30,
            run=_in_tiles(_richardson_lucy),
        ),
        learned_method(
            "deblur",
            "encoder-decoder",
            rank=5,
            summary="encoder-decoder without skips (after DCGAN; img2img 2017), trained on blurred faces: it draws the "
            "face anew from what it knows of faces",
            cost="under a second a megapixel",
            prefer="small pictures of one face, of about 64 to 128 pixels, of an unknown blur; nothing else",
        ),
    ),
)


def deblur(
    image: Source,
    *,
    kernel: str | None = None,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Make ``image`` sharp; the same size, alpha and metadata come back.

    ``kernel``: "gaussian:SIGMA", "motion:LENGTH@DEGREES" or "defocus:RADIUS" in pixels, None finds it (see
    ``solvers.blur_estimate``); where no blur is found, the picture comes back bit for bit. ``kernel_picture``: an Image
    of the kernel. ``sigma``: of the noise, 0..255. The other arguments as for ``denoise``; ``options``: the rest of
    ``DeblurOptions``. Raises ``OptionError`` for a wrong option.
    """
    made = DEBLUR.make_options(kernel=kernel, method=method, **options)
    return DEBLUR.run(as_image(image), made, on_step)
