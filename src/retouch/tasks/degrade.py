"""Damage a picture on purpose: to try a method, or to make a test set."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import retouch.degradations
from retouch.image.errors import OptionError
from retouch.tasks.base import Method, Task, TaskOptions, as_image, option

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from retouch.degradations.base import Degradation
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

_PACKAGED = tuple(sorted(path.stem for path in (Path(retouch.degradations.__file__).parent / "recipes").glob("*.toml")))


@dataclass(frozen=True, kw_only=True)
class DegradeOptions(TaskOptions):
    """Either a recipe, or single degradations, applied in the order in which a camera and a web site would."""

    recipe: str | None = option(
        None,
        "a TOML file, or the name of a recipe that comes with Retouch",
        metavar="NAME|FILE",
        kind="recipe",
        names=_PACKAGED,
    )
    blur: float | None = option(None, "Gaussian blur of this sigma, in pixels", minimum=0, maximum=64, metavar="S")
    motion: float | None = option(None, "motion blur over so many pixels", minimum=1, maximum=256, metavar="N")
    defocus: float | None = option(
        None, "a lens out of focus: a disk of this radius, in pixels", minimum=0, maximum=128, metavar="R"
    )
    scale_down: int | None = option(None, "make it so many times smaller (bicubic)", minimum=2, maximum=64, metavar="N")
    noise: float | None = option(
        None, "Gaussian noise of this sigma, on the 0..255 scale", minimum=0, maximum=1000, metavar="N"
    )
    poisson: float | None = option(
        None, "shot noise, as with so many photons at white", minimum=1e-3, maximum=1e6, metavar="N"
    )
    salt_pepper: float | None = option(
        None, "this share of the pixels white or black", minimum=0, maximum=1, metavar="SHARE"
    )
    jpeg: int | None = option(None, "JPEG of this quality", minimum=1, maximum=100, metavar="N")
    seed: int = option(
        0, "repeats every random choice; pictures still differ", minimum=0, maximum=2**32 - 1, metavar="N"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        direct = [name for name in _DIRECT if getattr(self, name) is not None]
        if self.recipe is not None and direct:
            flag = direct[0].replace("_", "-")
            raise OptionError(f"--recipe and --{flag} exclude each other: put the {flag} into the recipe")
        if self.recipe is None and not direct:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in _DIRECT)
            raise OptionError(f"degrade: nothing to do; give --recipe or one of {flags}")
        if self.recipe is not None and self.recipe not in _PACKAGED:
            from retouch.degradations.recipe import Recipe

            Recipe.read(self.recipe)  # a wrong recipe is refused before the first picture

    def links(self, generator: Generator) -> tuple[Degradation, ...]:
        """The degradations in their order; those of a recipe with their parameters drawn."""
        if self.recipe is not None:
            from retouch.degradations.base import Chain
            from retouch.degradations.recipe import Recipe

            return Chain(Recipe.read(self.recipe).draw(generator)).links
        made = ((make, getattr(self, name)) for name, make in _makers().items())
        return tuple(make(value) for make, value in made if value is not None)


_DIRECT = ("blur", "motion", "defocus", "scale_down", "poisson", "noise", "salt_pepper", "jpeg")


def _makers() -> dict[str, Any]:
    from retouch.degradations.blur import DefocusBlur, GaussianBlur, MotionBlur
    from retouch.degradations.jpeg import Jpeg
    from retouch.degradations.noise import GaussianNoise, PoissonNoise, SaltAndPepper
    from retouch.degradations.resample import Downsample

    kinds = (GaussianBlur, MotionBlur, DefocusBlur, Downsample, PoissonNoise, GaussianNoise, SaltAndPepper, Jpeg)
    return dict(zip(_DIRECT, kinds, strict=True))


def _run(image: Image, options: DegradeOptions, on_step: Listener | None) -> Image:
    import torch

    # the picture's content goes into the seed: pictures of a folder get different noise, whatever their order
    digest = zlib.crc32(image.pixels.numpy().data)
    generator = torch.Generator().manual_seed((options.seed * 0x9E3779B97F4A7C15 + digest) % 2**63)
    links = options.links(generator)
    pixels, alpha = image.pixels[None], image.alpha[None] if image.alpha is not None else None
    for link in links:
        state = generator.get_state()
        pixels = link(pixels, generator)
        if alpha is not None:
            alpha = _alpha_after(link, alpha, pixels, torch.Generator().set_state(state))
    if on_step is not None:
        from retouch.solvers.steps import Step

        on_step(Step(1, 1, note="; ".join(link.describe() for link in links) or "the recipe drew nothing this time"))
    return image.with_pixels(pixels, alpha.clamp(0, 1)[0] if alpha is not None else None)


def _alpha_after(link: Degradation, alpha: Tensor, pixels: Tensor, generator: Generator) -> Tensor:
    """The alpha goes where the pixels go, and is neither blurred nor made noisy."""
    from retouch.degradations import geometry
    from retouch.image.resize import resize

    moves = (
        geometry.Crop, geometry.RandomCrop, geometry.Flip, geometry.RandomFlip, geometry.Rotate90, geometry.Rotate,
        geometry.RandomRotate, geometry.Zoom, geometry.Shift, geometry.Perspective,
    )  # fmt: skip
    if isinstance(link, moves):
        return link(alpha, generator)
    if alpha.shape[-2:] != pixels.shape[-2:]:
        return resize(alpha, size=(pixels.shape[-2], pixels.shape[-1]))
    return alpha


DEGRADE = Task(
    name="degrade",
    help="damage a picture on purpose: noise, blur, JPEG, or a recipe of them",
    options=DegradeOptions,
    methods=(
        Method(
            name="degrade",
            summary="the degradations in the order given",
            cost="little",
            prefer="always",
            seconds=lambda megapixels, device, options: 0.5 * megapixels,
            rank=0,
            run=_run,
        ),
    ),
    changes_size=True,
)


def degrade(image: Source, *, on_step: Listener | None = None, **options: Any) -> Image:
    """Damage ``image`` by a recipe or by single degradations; see ``DegradeOptions`` for the keywords.

    The seed and the picture together fix every random choice. Raises ``OptionError`` for a wrong option.
    """
    return DEGRADE.run(as_image(image), DEGRADE.make_options(**options), on_step)
