"""Which weights are there: those that come with Retouch, and those the user has installed. Needs no torch to list."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.models import cache
from retouch.models.card import Card
from retouch.models.header import read_card

if TYPE_CHECKING:
    from retouch.models.load import Model

PACKAGED = Path(__file__).parent / "weights"
"""The folder of the weights that come with Retouch."""

ENDING = ".safetensors"


class ModelWarning(UserWarning):
    """A file among the weights cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Entry:
    """One weight that is there. ``hides``: the packaged file of the same name that this one stands in for."""

    card: Card
    path: Path
    origin: Literal["packaged", "user"]
    hides: Path | None = None


def user_folder() -> Path:
    """Where the user's own weights lie; it may not exist yet."""
    return cache.home() / "models"


def entries() -> list[Entry]:
    """Every usable weight, by name. The user's takes the place of a packaged one of the same name.

    A file that cannot be read, or whose name another has taken, is told by a ``ModelWarning`` and left out.
    """
    found: dict[str, Entry] = {}
    for folder, origin in ((PACKAGED, "packaged"), (user_folder(), "user")):
        for path in sorted(folder.glob(f"*{ENDING}")):
            try:
                card = _card(path, *_stamp(path))
            except RetouchError as error:
                warnings.warn(f"{error}; left out of the catalogue", ModelWarning, stacklevel=2)
                continue
            older = found.get(card.name)
            if older is not None and older.origin == origin:
                warnings.warn(
                    f"{path}: a second weight named {card.name}, beside {older.path.name}; left out of the catalogue",
                    ModelWarning,
                    stacklevel=2,
                )
                continue
            made: Literal["packaged", "user"] = "packaged" if origin == "packaged" else "user"
            found[card.name] = Entry(card, path, made, older.path if older is not None else None)
    return [found[name] for name in sorted(found)]


def find(name_or_path: str | Path) -> Path:
    """The file of a weight, from its name in the catalogue or its path.

    Raises ``OptionError`` naming the nearest known name, and ``RetouchError`` for a path where there is no file.
    """
    text = str(name_or_path)
    known = {entry.card.name: entry.path for entry in entries()}
    if isinstance(name_or_path, str) and text in known:
        return known[text]
    path = Path(name_or_path)
    if path.is_file():
        return path
    if isinstance(name_or_path, Path) or path.suffix == ENDING or len(path.parts) > 1:
        raise RetouchError(f"{text}: there is no such file")
    raise OptionError(unknown("model", text, list(known)))


def load(name_or_path: str | Path) -> Model:
    """The network and card of a weight, from its name or path; the last eight are kept.

    What comes back is shared: copy the network before changing it. Raises as ``find`` and ``load.load_weights`` do.
    """
    path = find(name_or_path)
    return _load(path, *_stamp(path))


def for_task(task: str, family: str | None = None, scale: int | None = None) -> list[Card]:
    """The cards that do ``task``, by name; of one ``family`` and trained for ``scale`` if these are given."""
    return [
        entry.card
        for entry in entries()
        if task in entry.card.tasks
        and (family is None or entry.card.family == family)
        and (scale is None or scale in entry.card.scales)
    ]


def _stamp(path: Path) -> tuple[int, int]:
    """Time of change and size: what tells whether a file is still the one that was read."""
    try:
        about = path.stat()
    except OSError as error:
        raise RetouchError(f"{path}: cannot read the weight: {error.strerror or error}") from error
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=256)
def _card(path: Path, changed: int, size: int) -> Card:
    return read_card(path)


@lru_cache(maxsize=8)
def _load(path: Path, changed: int, size: int) -> Model:
    from retouch.models.load import load_weights

    return load_weights(path)
