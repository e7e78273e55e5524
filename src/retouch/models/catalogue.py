"""Which weights are there: those that come with Retouch, and those the user has installed. Needs no torch to list."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.models import cache
from retouch.models.card import Card
from retouch.models.header import HEADER, read_card, read_header

if TYPE_CHECKING:
    from retouch.models.load import Model

PACKAGED = Path(__file__).parent / "weights"
"""The folder of the weights that come with Retouch."""

ENDING = ".safetensors"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


Origin = Literal["packaged", "user"]


class ModelWarning(UserWarning):
    """A file among the weights cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Entry:
    """One weight that is there. ``hides``: the packaged file of the same name that this one stands in for."""

    card: Card
    path: Path
    origin: Origin
    hides: Path | None = None


def user_folder() -> Path:
    """Where the user's own weights lie; it may not exist yet."""
    return cache.home() / "models"


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that should be weights, by name; none where there is no folder."""
    return sorted(path for path in folder.glob(f"*{ENDING}") if not path.name.startswith("."))


def entries() -> list[Entry]:
    """Every usable weight, by name. The user's takes the place of a packaged one of the same name.

    A file that cannot be read, or whose name another has taken, is told by a ``ModelWarning`` and left out; of two with
    one name in the same folder, the one whose file is called so stays.
    """
    found: dict[str, Entry] = {}
    places: tuple[tuple[Path, Origin], ...] = ((PACKAGED, "packaged"), (user_folder(), "user"))
    for folder, origin in places:
        for path in weight_files(folder):
            try:
                card = _card(path, *_stamp(path))
            except RetouchError as error:
                warnings.warn(f"{error}; left out of the catalogue", ModelWarning, stacklevel=2)
                continue
            older = found.get(card.name)
            if older is not None and older.origin == origin:
                kept, left = (path, older.path) if path.stem == card.name else (older.path, path)
                warnings.warn(
                    f"{left}: a second weight named {card.name}, beside {kept.name}; left out of the catalogue",
                    ModelWarning,
                    stacklevel=2,
                )
                if kept == older.path:
                    continue
                hides = older.hides
            else:
                hides = older.path if older is not None else None
            found[card.name] = Entry(card, path, origin, hides)
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

    A safetensors file without a card goes to ``guest.load_guest``. What comes back is shared: copy the network before
    changing it. Raises as ``find``, ``load.load_weights`` and ``guest.load_guest`` do.
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


def checked_name(name: str) -> str:
    """``name``, if it can be the name of a weight and of its file; raises ``OptionError``."""
    if not _NAME.fullmatch(name):
        raise OptionError(f"'{name}': the name of a weight is of small letters, digits, '.', '_' and '-'")
    return name


def install(source: str | Path, *, replace: bool = False) -> Entry:
    """Copy a weight into ``user_folder()`` under the name on its card.

    Raises ``RetouchError`` for one that ``verify`` finds unsound (an unmeasured one will do), where the name is taken
    and not to be replaced, and where the folder cannot be written.
    """
    from retouch.models.verify import UNMEASURED, problems

    source = Path(source)
    found = [problem for problem in problems(source) if problem != UNMEASURED]
    if found:
        raise RetouchError(f"{source}: not installed: {found[0]}")
    card = read_card(source)
    target = user_folder() / f"{checked_name(card.name)}{ENDING}"
    if target.exists() and not replace:
        raise RetouchError(f"{source}: not installed: {target} is there already; --replace takes its place")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as beside:
            shutil.copyfile(source, beside)
    except OSError as error:
        raise RetouchError(f"{target}: cannot write: {error.strerror or error}") from error
    packaged = PACKAGED / target.name
    return Entry(card, target, "user", packaged if packaged.exists() else None)


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
    if HEADER not in read_header(path).metadata:
        from retouch.models.guest import load_guest

        return load_guest(path)
    from retouch.models.load import load_weights

    return load_weights(path)
