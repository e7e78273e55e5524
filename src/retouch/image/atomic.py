"""A file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path in the folder of ``path``, to be written to; at the end of the block it takes the name of ``path``.

    Where the block raises, ``path`` stays as it was and what was written is removed. A killed process leaves the hidden
    file, whose name holds its number: ``.NAME.PID.part``. Raises ``OSError`` as the rename does, which is left to the
    caller to put into words. Pictures are written by ``image.files.save``, which also keeps permissions and links.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
