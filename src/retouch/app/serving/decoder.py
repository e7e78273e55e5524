"""The server's side of the reader: small pictures for the screen, made by a process that may be killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from retouch.app.serving.child import Child, ChildEnded
from retouch.app.serving.observe import Log, Metrics
from retouch.app.serving.problems import Problem
from retouch.app.serving.settings import Settings

PREVIEW_SIDE = 1600
"""The usual longer side of a preview; that of every upload is made at once and kept."""


class Decoder:
    """One reader process, started when it is first needed, replaced when it hangs or dies, ended when it idles."""

    def __init__(self, settings: Settings, log: Log, metrics: Metrics) -> None:
        self._settings, self._log, self._metrics = settings, log, metrics
        self._child: Child | None = None
        self._lock = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start the process, so that the first picture need not wait for it."""
        async with self._lock:
            await self._running()

    async def _running(self) -> Child:
        if self._child is None or not self._child.alive:
            self._child = await Child.start(self._settings.reader)
            await self._child.receive(self._settings.start_seconds)
        return self._child

    async def read(self, path: Path, name: str, to: Path, side: int = PREVIEW_SIDE) -> dict[str, Any]:
        """Decode ``path`` and write a picture of at most ``side`` pixels a side to ``to``; what the reader says of it.

        Raises ``Problem`` 422 for what is no picture, and where decoding hangs, crashes or takes too long.
        """
        request = {"path": str(path), "name": name, "to": str(to), "side": side, "max_pixels": self._settings.pixels}
        async with self._lock:
            try:
                try:
                    child = await self._running()
                except (ChildEnded, TimeoutError, OSError) as error:
                    raise Problem(500, f"the process that reads pictures does not start: {error}") from error
                await child.send(request)
                told = await child.receive(self._settings.read_seconds)
            except TimeoutError:
                await self._lost("hung")
                seconds = self._settings.read_seconds
                raise Problem(422, f"{name}: decoding it took more than {seconds:g} s, and was stopped") from None
            except ChildEnded as error:
                await self._lost(str(error))
                raise Problem(422, f"{name}: the decoder broke down over it ({error})") from error
            except asyncio.CancelledError:
                await self._lost(None)  # its answer would be taken for that to the next request
                raise
            self._rest()
        if told["kind"] == "refused":
            raise Problem(422, told["detail"], title="Not a usable picture")
        if told["kind"] != "read":
            raise Problem(507, f"cannot write the preview: {told['detail']}")
        return told

    async def _lost(self, how: str | None) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()
        if how is not None:
            self._metrics.count("retouch_readers_lost_total")
            self._log("reader lost", level="warning", reason=how)

    def _rest(self) -> None:
        """End the process when nothing has come for a while: large pictures leave it large."""
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._settings.idle_seconds, self._end)

    def _end(self) -> None:
        self._ending = asyncio.ensure_future(self.close())

    async def close(self) -> None:
        """End the process; the next picture starts another."""
        async with self._lock:
            child, self._child = self._child, None
            if child is not None:
                await child.stop()
