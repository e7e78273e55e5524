"""Give a grey picture colour. Its luma stays what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retouch.tasks.base import Task, as_image, option
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.learned import LearnedOptions, learned_method, run_network

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image, Metadata
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

_RENDER = 160  # the weights learn from whole pictures of 96 to 192 pixels


@dataclass(frozen=True, kw_only=True)
class ColorizeOptions(LearnedOptions):
    """The options of ``colorize``."""

    strength: float = option(
        1.0, "how strong the colours are: 0 leaves it grey, 2 doubles them", minimum=0, maximum=2, metavar="N"
    )
    render: int = option(
        _RENDER,
        "short side at which the network looks at the picture: more gives finer patches of colour, but it sees less of "
        "the whole",
        minimum=32,
        maximum=4096,
        unit="px",
        metavar="N",
    )


def _run(image: Image, options: ColorizeOptions, on_step: Listener | None) -> Image:
    from retouch.image.color import grey
    from retouch.image.image import Image as Picture
    from retouch.image.resize import resize
    from retouch.solvers.chroma import chroma_of, coloured

    if image.channels == 3 and not _is_grey(image.pixels):
        note(on_step, "the picture has colours; they are dropped and predicted anew from its luma")
    luma = grey(image.pixels)
    small = luma
    shrink = options.render / min(image.height, image.width)
    if shrink < 1:
        size = (max(1, round(image.height * shrink)), max(1, round(image.width * shrink)))
        small = resize(luma[None], size)[0].clamp_(0, 1)
    seen = Picture(small.expand(3, -1, -1).contiguous())
    predicted = run_network("colorize", "unet", None, seen, options, on_step)
    pixels = coloured(luma, small, chroma_of(predicted), options.strength)
    return replace(image, pixels=pixels, metadata=_for_colour(image.metadata, on_step))


def _is_grey(pixels: Tensor) -> bool:
    import torch

    return torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[1], pixels[2])


def _for_colour(metadata: Metadata, on_step: Listener | None) -> Metadata:
    """Without a profile that is for grey alone: no reader could apply it to colour, and sRGB is what it then takes."""
    if metadata.icc is None or metadata.icc[16:20] != b"GRAY":
        return metadata
    note(on_step, "its ICC profile is for grey and is left out: the colours are sRGB")
    return replace(metadata, icc=None)


def _seconds(megapixels: float, device: str, options: Any) -> float:
    """The network at the small size, of 4 : 3; then the colour is enlarged."""
    pixels = min(megapixels * 1e6, options.render**2 * 4 / 3)
    operations = 2 * 37_935 * pixels * (8 if options.ensemble else 1)
    seconds: float = operations / operations_per_second(device, faithful=False) + 0.25 * megapixels
    return seconds


COLORIZE = Task(
    name="colorize",
    help="give a grey picture colour; its light and dark stay what they are",
    options=ColorizeOptions,
    methods=(
        replace(
            learned_method(
                "colorize",
                "unet",
                rank=80,
                summary="U-Net (Ronneberger et al. 2015; DeOldify, Antic 2019): a trained network guesses the two "
                "colour differences from the luma",
                cost="under a second a megapixel, whatever the device",
                prefer="old photographs of people, nature and streets; the colours are likely ones, not the true ones",
            ),
            run=_run,
            seconds=_seconds,
        ),
    ),
)


def colorize(
    image: Source, *, strength: float = 1.0, method: str = "auto", on_step: Listener | None = None, **options: Any
) -> Image:
    """Give ``image`` colour; it comes back with three channels, and its full-range BT.601 luma is that of the input.

    The luma is exact up to float rounding: where a predicted colour does not fit [0, 1], it is made paler. Colours that
    ``image`` has are dropped. The network sees the picture at ``render`` pixels (short side), and its colour is
    enlarged along the edges of the luma; memory beside input and result is some tens of megabytes and the luma.
    ``strength``: 0..2, factor on the predicted colour. The other arguments as for ``denoise``; ``options``: the rest of
    ``ColorizeOptions``. Raises ``OptionError`` for a wrong option, and where no weight is installed.
    """
    made = COLORIZE.make_options(strength=strength, method=method, **options)
    return COLORIZE.run(as_image(image), made, on_step)
