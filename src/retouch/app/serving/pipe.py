"""The other end of the pipe of ``child``: how a process of ours answers the server."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class ServerPipe:
    """Messages from and to the server. The process ends with the server: when the pipe closes, nobody wants its work.

    Whatever a library prints goes to standard error, where it harms no answer. ``on_message`` hears every message as it
    comes, on a thread of its own, and says whether it has dealt with it; the others wait for ``next``.
    """

    def __init__(self, on_message: Callable[[dict[str, Any]], bool] = lambda message: False) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._on_message = on_message
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if not self._on_message(message):
                self._waiting.put(message)
        os._exit(0)

    def next(self) -> dict[str, Any]:
        """The next message, waited for."""
        return self._waiting.get()

    def say(self, kind: str, **values: Any) -> None:
        """Send one message; any thread may."""
        try:
            with self._lock:
                self._answers.write(json.dumps({"kind": kind, **values}) + "\n")
                self._answers.flush()
        except OSError:  # the server is gone
            os._exit(0)


def without_path(text: str, path: str, name: str) -> str:
    """A message about a file of the server's, by the name that its owner knows."""
    return text.replace(path, name)
