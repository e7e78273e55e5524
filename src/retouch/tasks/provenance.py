"""What was done to a picture, written into its metadata: task, method, weights and options.

The XMP note says it in words (``image.xmp``); an EXIF block that names no software gets the name. The note holds no
path, no date and nothing of this machine, so that the same call still gives the same file.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from retouch.tasks.base import Method, Options, Task, fields_of

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.image.xmp import SourceType
    from retouch.models.card import Card

_LEDGERS: ContextVar[tuple[list[str], ...]] = ContextVar("ledgers", default=())
_SILENT = {"method", "model", "device", "tile", "budget", "state", "note"}  # said otherwise, or of this machine


@contextmanager
def models_used() -> Iterator[list[str]]:
    """The weights that run inside the block, in words; of blocks within each other, each hears."""
    ledger: list[str] = []
    token = _LEDGERS.set((*_LEDGERS.get(), ledger))
    try:
        yield ledger
    finally:
        _LEDGERS.reset(token)


def tell_model(card: Card) -> None:
    """Whoever runs a trained network says so here."""
    told = f"{card.name} (sha256 {card.sha256[:12]})" if card.sha256 else card.name
    for ledger in _LEDGERS.get():
        if told not in ledger:
            ledger.append(told)


def noted(image: Image, task: Task, method: Method, options: Options, models: list[str]) -> Image:
    """The picture with the note of what made it. XMP that cannot be extended stays as it is, with a warning."""
    import struct

    import retouch
    from retouch.image.errors import PictureWarning
    from retouch.image.exif import MalformedError, with_software
    from retouch.image.xmp import Note, UnreadableError, with_note

    agent = f"Retouch {retouch.__version__}"
    metadata = image.metadata
    event = Note(agent, _words(task, method, options, models), _source(task, method, bool(models)))
    xmp, exif = metadata.xmp, metadata.exif
    try:
        xmp = with_note(xmp, event)
    except UnreadableError as error:
        warnings.warn(f"the note of what was done is left out of its XMP: {error}", PictureWarning, stacklevel=2)
    if exif:
        with suppress(MalformedError, struct.error):  # saving drops such a block, and says so
            exif = with_software(exif, agent)
    return dataclasses.replace(image, metadata=dataclasses.replace(metadata, xmp=xmp, exif=exif))


def _words(task: Task, method: Method, options: Options, models: list[str]) -> str:
    words = [f"task={task.name}"]
    if len(task.methods) > 1:
        words.append(f"method={method.name}")
    words += [f"model={model}" for model in models]
    for name, field in fields_of(type(options)).items():
        value = getattr(options, name)
        if name in _SILENT or value == field.default or field.kind in ("picture", "mask"):
            continue
        if isinstance(value, str):
            value = value.replace("\\", "/").rpartition("/")[2]  # of what may be a file, its name
        words.append(f"{name}={value}")
    return "; ".join(words)


def _source(task: Task, method: Method, learned: bool) -> SourceType | None:
    """IPTC's word for the result: what a trained network makes up is a composite, what is mended is altered.

    Filling holes, giving colour, dreaming, drawing faces, and the texture of SRGAN and of the transform network put
    into the picture what was not there. Damage done on purpose does not change what a picture's source is called.
    """
    from retouch.image.xmp import ALTERED, COMPOSITE

    if task.name == "degrade":
        return None
    if task.name in ("dream", "invert", "stylize"):  # either method paints by a trained network
        return COMPOSITE
    made_up = task.name in ("inpaint", "colorize") or method.name in ("srgan", "transform", "pixel-recursive")
    return COMPOSITE if made_up and learned else ALTERED
