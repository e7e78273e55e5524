"""The picture whose style a network learns: named in its recipe by file name and checksum, not part of its weight."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.training.recipe import TrainingRecipe

OBJECTIVE = "style"
"""The objective that learns from a painting."""


@dataclass(frozen=True)
class Painting:
    """A picture of a style. ``pixels``: ``(3, H, W)`` in [0, 1]. ``sha256``: of its file."""

    name: str
    sha256: str
    pixels: Tensor


def read_painting(path: Path) -> Painting:
    """The painting in a file; raises ``PictureError`` where it cannot be read."""
    pixels = open_image(path).pixels
    return Painting(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), pixels.expand(3, -1, -1).contiguous())


def painted(recipe: TrainingRecipe, style: Path | None) -> tuple[TrainingRecipe, Painting | None]:
    """The recipe with the name and checksum of its painting put in, and the painting, None for recipes without one.

    Raises ``OptionError`` where the recipe needs a painting and none is given, has no use for one, or names another.
    """
    if recipe.objective.name != OBJECTIVE:
        if style is not None:
            raise OptionError(f"--style is for recipes that learn a style; {recipe.name} has no use for it")
        return recipe, None
    named = recipe.objective.arguments.get("picture", "")
    wanted = recipe.objective.arguments.get("sha256", "")
    if style is None:
        raise OptionError(f"{recipe.name}: needs --style PICTURE, {named or 'the picture whose style is learned'}")
    painting = read_painting(style)
    if wanted and wanted != painting.sha256:
        raise OptionError(
            f"--style {style}: not the picture that {recipe.name} is for ({named}), or another copy of it: its SHA-256 "
            "differs; objective.arguments.sha256= takes any"
        )
    arguments = recipe.objective.arguments | {"picture": painting.name, "sha256": painting.sha256}
    return replace(recipe, objective=replace(recipe.objective, arguments=arguments)), painting
