"""A running server for the tests, with a worker that needs no torch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

httpx = pytest.importorskip("httpx", reason="pip install 'retouch[dev]'")
pytest.importorskip("fastapi", reason="pip install 'retouch[app]'")
uvicorn = pytest.importorskip("uvicorn", reason="pip install 'retouch[app]'")

from retouch.app.server import Server, create_app  # noqa: E402
from retouch.app.serving.observe import Log  # noqa: E402
from retouch.app.serving.protocol import configuration  # noqa: E402
from retouch.app.serving.settings import Settings  # noqa: E402

HERE = Path(__file__).parent
QUICK = Settings(
    worker=(sys.executable, str(HERE / "fake_worker.py")),
    reader=(sys.executable, str(HERE / "fake_reader.py")),
    stop_seconds=1.0,
)


@dataclass
class Running:
    """A server that answers at ``url``. ``log``: the lines it has logged so far."""

    url: str
    server: Server
    written: io.StringIO

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written.getvalue().splitlines()]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def job(self, client: httpx.Client, **body: Any) -> dict[str, Any]:
        """Start a job; returns it as it then is."""
        answer = client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def ended(self, client: httpx.Client, id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for a job; returns it as it ended."""
        return self.until(lambda: _ended(client.get(f"/api/v1/jobs/{id}").json()), seconds)

    def until(self, ask: Callable[[], Any], seconds: float = 60) -> Any:
        """Ask until there is an answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.05)
        raise AssertionError("it never came")


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("done", "failed", "cancelled") else None


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """A server in a thread of its own, until the end of the block."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = replace(settings, port=listening.getsockname()[1])
    written = io.StringIO()
    app = create_app(settings, Log(written))
    server = uvicorn.Server(configuration(app))
    server.capture_signals = contextlib.nullcontext
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{settings.port}", app.state.server, written)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
    assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts servers with settings of their own."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(replace(QUICK, **settings)))


@pytest.fixture(scope="session")
def shared() -> Iterator[Running]:
    """One server with the usual settings, for tests that leave it well."""
    with running(QUICK) as server:
        yield server


@pytest.fixture
def client(shared: Running) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client


def picture(width: int = 8, height: int = 6, kind: str = "PNG", **options: Any) -> bytes:
    """A small picture file."""
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(ramp).save(file, kind, **options)
    return file.getvalue()
