"""Files that callers have sent, each under a random id in a folder of the server's own, for an hour after their use."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retouch.app.batch import is_alive
from retouch.app.serving.problems import Problem

_LONGEST_NAME = 120
_PREFIX = "retouch-serve-"


def new_id() -> str:
    """128 random bits, safe in a URL."""
    return secrets.token_urlsafe(16)


def safe_name(name: str | None, default: str = "picture") -> str:
    """A file name as a caller gave it, without folders, control characters and what file systems refuse.

    It is only ever shown and sent back: no file of the server's is called so.
    """
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join("_" if c in '<>:"|?*' else c for c in last if unicodedata.category(c)[0] != "C")
    kept = kept.strip().lstrip(".").strip()
    if len(kept) > _LONGEST_NAME:
        stem, dot, ending = kept.rpartition(".")
        ending = f".{ending}" if dot and len(ending) < 10 else ""
        kept = (stem if ending else kept)[: _LONGEST_NAME - len(ending)] + ending
    return kept or default


_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}


def suffix_of(format: str) -> str:
    """The usual ending of a file of that format."""
    return _SUFFIXES.get(format, f".{format.lower()}")


@dataclass
class StoredFile:
    """A picture that was sent: ``path`` holds its bytes, ``preview`` a small upright picture of media type ``type``.

    ``users``: jobs that are to work on it still; as long as there are any it stays.
    """

    id: str
    name: str
    path: Path
    width: int
    height: int
    format: str
    bytes: int
    has_alpha: bool
    type: str
    used: float = field(default_factory=time.time)
    users: int = 0

    @property
    def preview(self) -> Path:
        """Where its preview of the usual size lies."""
        return self.path.with_suffix(".preview")

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


class Store:
    """The folder and what is in it. ``limit``: bytes in all; ``keep``: seconds after the last use."""

    def __init__(self, folder: Path | None, limit: int, keep: float, clock: Callable[[], float] = time.time) -> None:
        if folder is None:
            _clear_leftovers(Path(tempfile.gettempdir()))
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.limit, self.keep, self._clock = limit, keep, clock
        self.files: dict[str, StoredFile] = {}
        self.taken = 0

    def new_path(self) -> Path:
        """A fresh path in the folder."""
        return self.folder / secrets.token_hex(16)

    def take(self, size: int) -> None:
        """Count ``size`` more bytes; ``Problem`` 507 where the folder is full."""
        if self.taken + size > self.limit:
            raise Problem(
                507,
                f"the server keeps {self.limit >> 20} MB at most and is full; delete files or jobs that are done with, "
                f"or wait: all go {self.keep / 60:.0f} minutes after their last use",
                headers={"Retry-After": "60"},
            )
        self.taken += size

    def give(self, size: int) -> None:
        """Count ``size`` bytes less."""
        self.taken -= size

    def add(self, path: Path, name: str, size: int, told: dict[str, Any]) -> StoredFile:
        """Keep a file whose bytes are counted; ``told``: what the reader said of it."""
        stored = StoredFile(
            new_id(),
            name,
            path,
            told["width"],
            told["height"],
            told["format"],
            size,
            told["has_alpha"],
            told["type"],
            self._clock(),
        )
        self.files[stored.id] = stored
        return stored

    def get(self, id: str) -> StoredFile:
        """The file; ``Problem`` 404 for an unknown or expired id. Its time begins anew."""
        stored = self.files.get(id)
        if stored is None or (not stored.users and stored.used + self.keep <= self._clock()):
            raise Problem(404, "no such file; it may have expired")
        stored.used = self._clock()
        return stored

    def remove(self, id: str) -> None:
        """Delete a file; ``Problem`` 404 for an unknown id, 409 while a job needs it."""
        stored = self.get(id)
        if stored.users:
            raise Problem(409, "a job works on this file; cancel the job first")
        self._drop(stored)

    def release(self, stored: StoredFile) -> None:
        """A job is done with it."""
        stored.users -= 1
        stored.used = self._clock()

    def _drop(self, stored: StoredFile) -> None:
        del self.files[stored.id]
        self.give(stored.bytes)
        for path in (stored.path, stored.preview):
            path.unlink(missing_ok=True)

    def expire(self) -> None:
        """Delete what nobody has used for too long."""
        limit = self._clock() - self.keep
        for stored in [file for file in self.files.values() if not file.users and file.used <= limit]:
            self._drop(stored)

    def close(self) -> None:
        """Delete everything."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)


def _clear_leftovers(folder: Path) -> None:
    """Delete the folders of servers that were killed."""
    for left in folder.glob(f"{_PREFIX}*-*"):
        number = left.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdecimal() and not is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
