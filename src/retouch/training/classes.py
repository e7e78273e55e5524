"""The classes that a classifier learns to tell apart: the folders that the pictures lie in."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retouch.image.errors import OptionError, RetouchError
from retouch.image.listing import is_junk
from retouch.networks.build import network_class
from retouch.training.pairs import Pairs
from retouch.training.pictures import Pictures
from retouch.training.recipe import TrainingRecipe

OBJECTIVE = "classify"
"""The objective whose recipes need classes."""


def with_classes(recipe: TrainingRecipe, folders: Sequence[Path], pictures: Pictures | Pairs) -> TrainingRecipe:
    """``recipe`` with the classes found in ``folders``, where it classifies and names none, and a network for as many.

    ``pictures``: all of ``folders``. The classes are sorted by name. Recipes that do not classify come back as they
    are. Raises ``OptionError`` for a network of another number of classes, and ``RetouchError`` for fewer than two
    classes, a class without a picture, and pictures that lie beside the folders of the classes.
    """
    if recipe.objective.name != OBJECTIVE or isinstance(pictures, Pairs):
        return recipe
    where = ", ".join(map(str, folders))
    counts = Counter(entry.label for entry in pictures.entries)
    names = recipe.data.classes or tuple(sorted(counts))
    if not recipe.data.classes:
        _check_folders(folders, pictures)
    if "" in counts and "" not in names:
        raise RetouchError(f"{where}: {counts['']} pictures of no class: there is no file of labels beside them")
    if len(names) < 2:
        raise RetouchError(f"{where}: a single class, '{names[0]}': there must be a folder for each of two or more")
    for name in names:
        if not counts[name]:
            raise RetouchError(f"{where}: no picture of the class '{name}'")
    network = recipe.network
    if "classes" in inspect.signature(network_class(network.name)).parameters:
        asked = network.arguments.get("classes", len(names))
        if asked != len(names):
            raise OptionError(f"recipe: network.arguments.classes is {asked}, and there are {len(names)} classes")
        network = replace(network, arguments=network.arguments | {"classes": len(names)})
    return replace(recipe, data=replace(recipe.data, classes=names), network=network)


def _check_folders(folders: Sequence[Path], pictures: Pictures) -> None:
    """Every folder in one of ``folders`` must hold pictures, and none may lie beside them."""
    holding = {file.parent.resolve() for file in pictures.files}
    for folder in folders:
        if not folder.is_dir():
            continue
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not is_junk(path.name))
        for path in inside:
            if not any(held.is_relative_to(path.resolve()) for held in holding):
                raise RetouchError(f"{path}: no picture of this class that can be read")
        if inside and folder.resolve() in holding:
            stray = next(file for file in pictures.files if file.parent.resolve() == folder.resolve())
            raise RetouchError(f"{stray}: lies in no class: pictures go into the folder of theirs")
