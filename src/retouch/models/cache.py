"""Where Retouch keeps what belongs to the person: weights installed, feature weights downloaded."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of ``RETOUCH_HOME``, or ``retouch`` in the user's cache (``XDG_CACHE_HOME``, else ``~/.cache``).

    It may not exist yet.
    """
    chosen = os.environ.get("RETOUCH_HOME")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retouch"
