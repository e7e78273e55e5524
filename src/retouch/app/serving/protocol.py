"""How uvicorn runs the application, and what it tells those who speak no HTTP."""

from __future__ import annotations

import asyncio
import json

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from retouch.app.serving.problems import MEDIA_TYPE, Problem

_HEAD_SECONDS = 30.0  # for the first request of a connection to come, up to its body


class Protocol(H11Protocol):
    """HTTP/1.1 by h11, with a problem document for what is no request at all, and an end to waiting for one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has connected; one that does not come out with a request is left."""
        super().connection_made(transport)
        self.loop.call_later(_HEAD_SECONDS, self._leave_the_silent)

    def _leave_the_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request; ``msg`` is uvicorn's text, which says no more."""
        body = json.dumps(Problem(400, "this is not an HTTP request").as_json()).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()


def configuration(app: FastAPI) -> uvicorn.Config:
    """How uvicorn runs the application: it logs nothing itself, trusts no proxy, and says nothing of itself."""
    return uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        lifespan="on",
        ws="none",
    )
