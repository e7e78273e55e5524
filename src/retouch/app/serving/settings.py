"""What a server is told when it starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

_PYTHON = (sys.executable, "-m")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where a server listens, whom it answers, and its limits. Times are in seconds, sizes in bytes.

    ``host``, ``port``: where it listens. ``token``: what callers must show, None for nothing. ``hosts``: further names
    it may be called by. ``devices``: one worker each. ``queue``: jobs that may wait. ``keep``: how long files and
    results stay after their last use. ``upload_bytes``: of a request body. ``pixels``: of a picture; ``direct_pixels``:
    of one that ``POST /api/v1/{task}`` does at once. ``store_bytes``: of all that is kept. ``job_seconds``: a job's
    time, after which it is stopped; ``direct_seconds``: the same where the caller waits. ``read_seconds``: for decoding
    a picture; ``save_seconds``: for writing a result. ``start_seconds``: for a worker to come up. ``stop_seconds``: for
    a method to heed a cancel. ``idle_seconds``: after which a worker without work is ended, to free its memory.
    ``stall_seconds``: for the next piece of a request body; ``body_seconds``: for all of it. ``drain_seconds``: for the
    jobs under way when the server is told to end. ``folder``: where files lie, None for a fresh temporary one.
    ``page``: the folder of the page. ``worker``, ``reader``: the commands of the processes.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    hosts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("auto",)
    queue: int = 32
    keep: float = 3600.0
    upload_bytes: int = 64 << 20
    pixels: int = 100_000_000
    direct_pixels: int = 2_000_000
    store_bytes: int = 4 << 30
    job_seconds: float = 3600.0
    direct_seconds: float = 120.0
    read_seconds: float = 30.0
    save_seconds: float = 120.0
    start_seconds: float = 180.0
    stop_seconds: float = 30.0
    idle_seconds: float = 600.0
    stall_seconds: float = 30.0
    body_seconds: float = 600.0
    drain_seconds: float = 60.0
    folder: Path | None = None
    page: Path = field(default_factory=lambda: Path(__file__).parent.parent / "page")
    worker: tuple[str, ...] = (*_PYTHON, "retouch.app.serving.worker")
    reader: tuple[str, ...] = (*_PYTHON, "retouch.app.serving.reader")
