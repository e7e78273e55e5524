"""Take out what JPEG left: blocks, ringing, mosquitoes around edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.degradations.jpeg_tables import quality_of_table
from retouch.tasks.base import Method, Task, as_image, option
from retouch.tasks.iterate import deep_prior, note, prior_seconds
from retouch.tasks.learned import LearnedOptions, learned_method

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.classical import JpegReapplication
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source


@dataclass(frozen=True, kw_only=True)
class DejpegOptions(LearnedOptions):
    """The options of ``dejpeg``."""

    quality_of_input: int | None = option(
        None,
        "JPEG quality the picture suffered, 1..100; by default what the file says, or 30",
        minimum=1,
        maximum=100,
        metavar="N",
    )


_UNKNOWN = 30


def _quality(image: Image, options: DejpegOptions, on_step: Listener | None) -> int:
    """The quality that was given, else the one the file's luma table was made for, else a guess that is told."""
    if options.quality_of_input is not None:
        return options.quality_of_input
    settings = image.metadata.jpeg
    if settings is not None and 0 in settings.tables:
        return quality_of_table(settings.tables[0])
    note(on_step, f"the file does not say its JPEG quality, {_UNKNOWN} is assumed; --quality-of-input tells it")
    return _UNKNOWN


def reapplication(image: Image, options: DejpegOptions, on_step: Listener | None) -> JpegReapplication:
    """The solver that knows the tables the picture was coded with: those of the file, or of the quality given."""
    from retouch.solvers.classical import JpegReapplication

    settings = image.metadata.jpeg
    told = options.quality_of_input is None and settings is not None and 0 in settings.tables
    return JpegReapplication(quality=None if told else _quality(image, options, on_step))


def _reapply(image: Image, options: DejpegOptions, on_step: Listener | None) -> Image:
    return reapplication(image, options, on_step).solve(image, on_step=on_step).image


def _tv(image: Image, options: DejpegOptions, on_step: Listener | None) -> Image:
    from retouch.solvers.classical import TotalVariation

    sigma = residue(_quality(image, options, on_step))
    return TotalVariation(sigma=sigma).solve(image, on_step=on_step).image


def residue(quality: int) -> float:
    """Standard deviation of what JPEG of this quality leaves, on the 0..255 scale.

    A fit to photographs coded at quality 10 to 90 (their PSNR is 27.8, 30.1, 31.5, 32.4 dB at 10, 20, 30, 40).
    """
    return 10.4 * math.pow(10 / quality, 0.4)


DEJPEG = Task(
    name="dejpeg",
    help="take out the blocks and the ringing that JPEG left",
    options=DejpegOptions,
    methods=(
        learned_method(
            "dejpeg",
            "unet",
            level=_quality,
            spare=True,
            rank=90,
            summary="a U-Net of residual blocks (after DRUNet, Zhang et al. 2022), trained on JPEG of every quality, "
            "once and twice over",
            cost="a few seconds a megapixel on a CPU; a GPU helps much",
            prefer="nearly always",
        ),
        learned_method(
            "dejpeg",
            "dncnn-3",
            level=_quality,
            rank=80,
            summary="DnCNN-3 (Zhang et al. 2017): one network of 20 layers for JPEG, noise and enlarging, on the luma",
            cost="tens of seconds a megapixel on a CPU; a GPU helps much",
            prefer="photographs of any quality",
        ),
        Method(
            name="deep-prior",
            summary="Deep Image Prior (Ulyanov et al. 2018): an untrained network is fitted to the picture and stopped "
            "by itself before it learns the blocks",
            cost="minutes to hours; a GPU helps much; about 1 kB of memory a pixel",
            prefer="small pictures of low quality (below about 20)",
            seconds=prior_seconds("dejpeg"),
            rank=50,
            run=lambda image, options, on_step: deep_prior("dejpeg", image, options, on_step),
            iterative=True,
        ),
        Method(
            name="reapply",
            summary="re-application of JPEG (Nosratinia 2001): compressed again at each shift by a pixel, and averaged",
            cost="about 3 seconds a megapixel",
            prefer="large pictures, many pictures, photographs; the result is always sound",
            seconds=lambda megapixels, device, options: 3 * megapixels,
            rank=30,
            run=_reapply,
        ),
        Method(
            name="tv",
            summary="total variation (Rudin, Osher, Fatemi 1992; Chambolle 2004), as strong as the quality asks",
            cost="about 3 seconds a megapixel",
            prefer="drawings and screenshots",
            seconds=lambda megapixels, device, options: 3 * megapixels,
            rank=20,
            run=_tv,
        ),
        Method(
            name="deep-decoder",
            summary="Deep Decoder (Heckel and Hand 2019): a network too small to learn the blocks is fitted",
            cost="like deep-prior at a third of the time and memory",
            prefer="simple pictures of very low quality",
            seconds=prior_seconds("dejpeg", "decoder"),
            rank=10,
            run=lambda image, options, on_step: deep_prior("dejpeg", image, options, on_step, network="decoder"),
            iterative=True,
        ),
    ),
)


def dejpeg(
    image: Source,
    *,
    quality_of_input: int | None = None,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Take out what JPEG left in ``image``.

    ``quality_of_input``: the quality it was coded with, 1..100; None reads it from the tables of a JPEG file. The other
    arguments as for ``denoise``; ``options``: the rest of ``DejpegOptions``. Raises ``OptionError`` for a wrong option.
    """
    made = DEJPEG.make_options(quality_of_input=quality_of_input, method=method, **options)
    return DEJPEG.run(as_image(image), made, on_step)
