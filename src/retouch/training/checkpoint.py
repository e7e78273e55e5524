"""Checkpoints: everything a run needs to go on to the same losses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError

VERSION = 2
FILE = "checkpoint.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its target and rename it: a kill at any moment leaves the old one or the new one."""
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            torch.save(state | {"version": VERSION}, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RetouchError(f"{path}: cannot write the checkpoint: {error.strerror or error}") from error


def load(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of this very run. Tensors and plain values only: nothing is unpickled.

    ``identity``: what decides on the numbers, by name. Raises ``OptionError`` naming what differs, and
    ``RetouchError`` for a file that is no checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version, known = state["version"], state["identity"]
    except OSError as error:
        raise RetouchError(f"{path}: cannot read the checkpoint: {error.strerror or error}") from error
    except Exception as error:  # torch.load raises whatever the damaged bytes lead it to
        raise RetouchError(f"{path}: not a checkpoint, or a damaged one; --fresh starts over") from error
    if version != VERSION:
        raise RetouchError(f"{path}: written by another version of Retouch; --fresh starts over")
    place = _difference(known, identity, "")
    if place:
        raise OptionError(f"{path}: is of another run: {place} (--fresh starts over, --folder takes another folder)")
    return state


def _difference(known: Any, asked: Any, place: str) -> str:
    if isinstance(known, dict) and isinstance(asked, dict):
        for key in sorted({*known, *asked}):
            found = _difference(known.get(key), asked.get(key), f"{place}.{key}" if place else key)
            if found:
                return found
        return ""
    return "" if known == asked else f"{place} was {known!r}, now {asked!r}"
