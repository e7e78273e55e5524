"""Measure a method on a data set by the protocol that the papers of its task share.

Super-resolution (Dong et al. 2014 and all after): the picture is cropped to a multiple of the scale, made smaller by
MATLAB's bicubic and kept in float; the result is rounded to 8 bits; PSNR and SSIM are of the BT.601 studio-range Y,
without a border as wide as the scale. A file of one channel is used as it is.
Denoising (Zhang et al. 2017): Gaussian noise, not clipped unless asked; PSNR and SSIM over all channels, not rounded.
JPEG (Dong et al. 2015): a real JPEG; PSNR and SSIM of Y, the whole picture.
A damage by recipe is ours: what a file can hold, clipped and rounded to 8 bits, goes in and comes out; PSNR and SSIM
over all channels and the whole picture, of the damaged picture and of the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retouch.evaluation.options import EvaluateOptions, make_options, resolve
from retouch.evaluation.report import Report, Score
from retouch.image.errors import OptionError, PictureError, RetouchError
from retouch.image.image import Image
from retouch.image.listing import list_folder

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.degradations.recipe import Recipe
    from retouch.solvers.steps import Listener

_LPIPS_SIDE = 16  # pixels; VGG16's poolings leave nothing of less

INPUT = "input"
"""The name that stands for the degraded picture itself, left as it is."""


class Unclipped(Image):
    """A measurement as the protocols have it, and what a method makes of it: values may leave [0, 1].

    No file can hold it. Outputs are clipped where their protocol does it, which for super-resolution is after taking Y.
    """

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or not bool(torch.isfinite(self.pixels).all()):
            raise PictureError("holds NaN")

    def with_pixels(self, pixels: Tensor, alpha: Tensor | None = None) -> Image:
        """As ``Image.with_pixels``, but not clipped."""
        pixels = pixels.detach().to(device="cpu", dtype=torch.float32)
        return replace(self, pixels=pixels.squeeze(0) if pixels.ndim == 4 else pixels, alpha=alpha)


def clipped(image: Image) -> Image:
    """The picture that a file can hold."""
    return Image(image.pixels.clamp(0, 1), None, image.metadata) if isinstance(image, Unclipped) else image


@dataclass(frozen=True)
class Case:
    """One picture of an evaluation: what a method gets and what it should give back."""

    name: str
    measurement: Image
    reference: Image


@dataclass(frozen=True)
class Outcome:
    """What a method made of a case. ``image`` is as the method gave it, not rounded."""

    case: Case
    image: Image
    score: Score


def evaluate(
    name: str,
    data: str | Path,
    *,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_step: Listener | None = None,
    resume: str | Path | None = None,
    **options: Any,
) -> Report:
    """Measure ``name`` on the pictures of the folder or file ``data``.

    ``name``: a method, 'auto', 'input' (the degraded picture as it is), a weight of the catalogue, or a weight's path.

    ``options``: those of ``EvaluateOptions``. ``on_outcome`` hears every picture as it is done. ``resume``: JSON file
    that holds what an earlier call reached, and is brought up to date after each picture.
    Raises ``OptionError`` for a wrong option and ``RetouchError`` for data that cannot be used.
    """
    rounds = run_evaluation(name, data, make_options(**options), on_step=on_step, resume=resume)
    report, _ = next(rounds)
    for _, outcome in rounds:
        if on_outcome is not None and outcome is not None:
            on_outcome(outcome)
    return report


def run_evaluation(
    name: str,
    data: str | Path,
    options: EvaluateOptions,
    *,
    on_step: Listener | None = None,
    resume: str | Path | None = None,
) -> Iterator[tuple[Report, Outcome | None]]:
    """The evaluation picture by picture: the report so far, and what the method made of the last picture.

    The report is one object that grows. First it comes with what an earlier run reached, and no outcome.
    """
    subject, options = resolve(name, options)
    if name == INPUT and options.scale is not None:
        raise OptionError("evaluate input: the small picture has no score of its own; use bicubic")
    files = files_of(Path(data), options)
    report = Report(
        model=name,
        dataset=Path(data).resolve().name,
        scale=options.scale,
        sigma=options.sigma,
        quality=options.quality,
        recipe=_recipe(options).name if options.recipe is not None else None,
        protocol=describe(options),
        total=len(files),
        parameters=subject.parameters(options),
    )
    if resume is not None:
        report.take_over(Path(resume))
    yield report, None
    for index in range(len(report.images), len(files)):
        case = make_case(files[index], index, options)
        began = time.perf_counter()
        result = case.measurement
        if name != INPUT:
            result = options.task.run(case.measurement, options.task_options(subject), on_step)
            if options.sigma is not None or options.recipe is not None:
                result = clipped(result)
        seconds = time.perf_counter() - began
        measured = Score(case.name, *measure(result, case.reference, options), seconds, megapixels=result.megapixels)
        score = _compared(measured, case, result, options)
        report.images.append(score)
        if resume is not None:
            report.write(Path(resume))
        yield report, Outcome(case, result, score)


def files_of(data: Path, options: EvaluateOptions) -> list[Path]:
    """The pictures of a data set, as far as the limit; ``RetouchError`` where there are none."""
    from retouch.image.files import READABLE

    if data.is_file():
        return [data]
    try:
        pictures = list_folder(data, READABLE).pictures[: options.limit]
    except OSError as error:
        raise RetouchError(f"{data}: cannot read the data set: {error.strerror or error}") from error
    if not pictures:
        raise RetouchError(f"{data}: no picture in this folder")
    return pictures


def describe(options: EvaluateOptions) -> dict[str, Any]:
    """Everything that decides on the numbers, in words and values that JSON holds."""
    common = {
        "task": options.task.name,
        "crop": options.crop,
        "limit": options.limit,
        "grey": options.grey,
        "effort": options.effort,
        "seed": options.seed,
    }
    if options.ensemble:  # no card holds it
        common["ensemble"] = True
    if options.scale is not None:
        return common | {
            "degradation": "bicubic as MATLAB imresize, antialiased, not rounded",
            "channels": "Y of BT.601, studio range, rounded; a file of one channel as it is",
            "output": "rounded to 8 bits",
            "shave": options.scale,
        }
    if options.recipe is not None:
        recipe = _recipe(options)
        return common | {
            "recipe": recipe.name,
            "recipe_seed": recipe.seed,
            "only": options.only,
            "degradation": f"{recipe.describe()}; clipped and rounded to 8 bits",
            "channels": "all",
            "output": "rounded to 8 bits",
            "shave": 0,
        }
    blind = {"blind": options.blind}
    if options.sigma is not None:
        return common | blind | {
            "clip_noise": options.clip_noise,
            "degradation": "Gaussian noise" + (", clipped to 0..1" if options.clip_noise else ", not clipped"),
            "channels": "all",
            "output": "clipped, not rounded",
            "shave": 0,
        }  # fmt: skip
    return common | blind | {
        "degradation": "JPEG by libjpeg, 4:2:0",
        "channels": "Y of BT.601, studio range, rounded; a file of one channel as it is",
        "output": "rounded to 8 bits",
        "shave": 0,
    }  # fmt: skip


def make_case(path: Path, index: int, options: EvaluateOptions) -> Case:
    """Read picture ``index`` of the data set and degrade it.

    The damage is drawn on the CPU from a generator seeded by (seed, index): the same on every machine, and for every
    number of pictures. The seed of a recipe that has one goes before that of the options.
    Raises ``PictureError`` for an unusable file or one smaller than the crop.
    """
    from retouch.image.files import open_image

    image = replace(open_image(path), alpha=None)
    if options.crop is not None:
        image = middle(image, options.crop, path)
    if options.grey and image.channels == 3:
        image = _luma(image)
    if options.scale is not None:
        height, width = (side // options.scale * options.scale for side in (image.height, image.width))
        if min(height, width) < options.scale:
            raise PictureError(f"{path}: too small for scale {options.scale}")
        image = replace(image, pixels=image.pixels[:, :height, :width].contiguous())
    return Case(path.name, _measurement(image, index, options), image)


def _measurement(image: Image, index: int, options: EvaluateOptions) -> Image:
    from retouch.degradations.base import Degradation
    from retouch.degradations.jpeg import Jpeg
    from retouch.degradations.noise import GaussianNoise
    from retouch.degradations.resample import Downsample

    degradation: Degradation
    seed = options.seed
    if options.recipe is not None:
        recipe = _recipe(options)
        degradation, seed = recipe, seed if recipe.seed is None else recipe.seed
    elif options.scale is not None:
        degradation = Downsample(options.scale, "bicubic")
    elif options.sigma is not None:
        degradation = GaussianNoise(options.sigma, options.clip_noise)
    else:
        assert options.quality is not None
        degradation = Jpeg(options.quality)
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    if options.recipe is not None:
        damaged = degradation(image.pixels[None], generator)[0]
        return Image((damaged.clamp(0, 1) * 255).round() / 255, None, image.metadata)
    return Unclipped(degradation(image.pixels[None], generator)[0], None, image.metadata)


def _recipe(options: EvaluateOptions) -> Recipe:
    from retouch.degradations.recipe import Recipe

    assert options.recipe is not None
    return Recipe.read(options.recipe)


def _compared(score: Score, case: Case, result: Image, options: EvaluateOptions) -> Score:
    """The score with what the damaged picture had, for a recipe, and with LPIPS, where it is asked for."""
    damaged = options.recipe is not None
    if damaged:
        before, structure = measure(case.measurement, case.reference, options)
        score = replace(score, input_psnr=before, input_ssim=structure)
    if not options.lpips:
        return score
    score = replace(score, lpips=_lpips(result, case.reference, options))
    return replace(score, input_lpips=_lpips(case.measurement, case.reference, options)) if damaged else score


def _lpips(image: Image, reference: Image, options: EvaluateOptions) -> float:
    """LPIPS of the picture as a file holds it, NaN for one that is too small for it."""
    from retouch.metrics import load_lpips, lpips
    from retouch.models.device import pick_device

    if min(reference.height, reference.width) < _LPIPS_SIDE:
        return math.nan
    pixels = (image.pixels.clamp(0, 1) * 255).round() / 255
    return lpips(pixels, reference.pixels, load_lpips(pick_device(options.device).type))


def middle(image: Image, side: int, path: Path) -> Image:
    """The square in the middle; ``PictureError`` for a picture that is smaller."""
    if min(image.height, image.width) < side:
        raise PictureError(f"{path}: {image.width}x{image.height} is smaller than --crop {side}")
    top, left = (image.height - side) // 2, (image.width - side) // 2
    return replace(image, pixels=image.pixels[:, top : top + side, left : left + side].contiguous())


def _luma(image: Image) -> Image:
    """The studio-range Y, rounded to 8 bits as the papers' files have it."""
    from retouch.image.color import luma

    return replace(image, pixels=(luma(image.pixels) * 255).round() / 255)


def measure(result: Image, reference: Image, options: EvaluateOptions) -> tuple[float, float]:
    """PSNR and SSIM by the protocol; SSIM is NaN for a picture smaller than its window."""
    from retouch.image.color import luma
    from retouch.metrics import psnr, ssim

    if result.pixels.shape != reference.pixels.shape:
        raise RetouchError(f"the method gave {tuple(result.pixels.shape)}, not {tuple(reference.pixels.shape)}")
    ours, theirs = result.pixels, reference.pixels
    how: dict[str, Any] = {}
    if options.recipe is not None:
        how = {"quantize": True}
    elif options.sigma is None:
        # Y is taken before the rounding: the tables are of methods that work on Y, and RGB rounded first is a second
        # rounding that costs them .0003 of SSIM
        ours, theirs = luma(ours), luma(theirs)
        how = {"channel": "y", "quantize": True, "shave": options.scale or 0}
    smallest = min(reference.height, reference.width) - 2 * how.get("shave", 0)
    structure = ssim(ours, theirs, **how) if smallest >= 11 else math.nan
    return psnr(ours, theirs, **how), structure
