"""Which files of a folder are pictures."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_JUNK = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__macosx", "@eadir"})


@dataclass
class Listing:
    """What a folder holds: ``pictures`` in a fixed order, and how many other files were left out."""

    pictures: list[Path] = field(default_factory=list)
    others: int = 0


def is_junk(name: str) -> bool:
    """Whether a file is none that a person put there: hidden, of the system, or somebody's temporary file."""
    lowered = name.lower()
    temporary = lowered.startswith("~") or lowered.endswith(("~", ".tmp", ".part", ".crdownload"))
    return lowered.startswith(".") or temporary or lowered in _JUNK


def list_folder(
    folder: Path, endings: Collection[str], *, recursive: bool = False, leave_out: Collection[Path] = ()
) -> Listing:
    """The pictures of ``folder``, by file name ending (lower case, with the dot), sorted by name, folder by folder.

    Junk is left out silently, other files are counted. ``recursive`` follows links to folders, but enters every folder
    once, so that loops end. ``leave_out``: folders not to enter, such as the one that the output goes to.
    Raises ``OSError`` if the folder cannot be read; subfolders that cannot are left out.
    """
    listing = Listing()
    closed = {_identity(path) for path in leave_out if path.is_dir()}
    for path in _walk(folder, recursive, closed, top=True):
        if path.suffix.lower() in endings:
            listing.pictures.append(path)
        else:
            listing.others += 1
    return listing


def _identity(folder: Path) -> tuple[int, int] | str:
    status = folder.stat()
    # some file systems give no inode numbers
    return (status.st_dev, status.st_ino) if status.st_ino else str(folder.resolve())


def _walk(folder: Path, recursive: bool, entered: set[tuple[int, int] | str], top: bool = False) -> Iterator[Path]:
    try:
        identity = _identity(folder)
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_junk(entry.name))
    except OSError:
        if top:
            raise
        return
    if identity in entered and not top:
        return
    entered.add(identity)
    folders = []
    for name in names:
        path = folder / name
        if path.is_dir():
            folders.append(path)
        elif path.is_file():
            yield path
    if recursive:
        for path in folders:
            yield from _walk(path, recursive, entered)
