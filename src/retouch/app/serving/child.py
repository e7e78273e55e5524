"""A process of ours at the other end of a pipe, spoken to in lines of JSON; it can be killed, as a thread cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST_LINE = 1 << 20


class ChildEnded(Exception):
    """The process is gone, or speaks no JSON; the message says how it ended."""


class Child:
    """One process, started by ``start``. Its standard error is the server's."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start ``command`` in a session of its own, so that Ctrl-C in a terminal reaches the server alone."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet, as far as is known."""
        return self._process.returncode is None

    async def send(self, message: Mapping[str, Any]) -> None:
        """Write one message. Raises ``ChildEnded``."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps(message).encode() + b"\n")
            await pipe.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChildEnded(await self._how()) from error

    async def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """The next message. Raises ``ChildEnded``, and ``TimeoutError`` after ``seconds``."""
        pipe = self._process.stdout
        assert pipe is not None
        try:
            async with asyncio.timeout(seconds):
                line = await pipe.readline()
            message = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ChildEnded(await self._how())
        return message

    async def _how(self) -> str:
        """How it ended, in words; a process that only closed its pipe is killed."""
        try:
            async with asyncio.timeout(5):
                code = await self._process.wait()
        except TimeoutError:
            await self.kill()
            return "it stopped answering"
        if code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name

    async def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self, seconds: float = 2.0) -> None:
        """Close its pipe, upon which it ends by itself; kill it if it does not."""
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            pipe.close()
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
