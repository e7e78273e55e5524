"""Who is answered, and how much is read of them: Host, Origin, token, body size, stalls; request ids, log, headers.

The page and the API are for the person at this machine. A web site that the person visits must not be able to use
them: a foreign name that was pointed at 127.0.0.1 fails the Host check, a foreign page fails the Origin check, and no
answer carries CORS headers. From another machine nothing is answered without the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import time
import uuid
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from retouch.app.serving.observe import Log, Metrics
from retouch.app.serving.problems import MEDIA_TYPE, Problem
from retouch.app.serving.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What is answered without a token: those who ask whether the server lives have none, and learn nothing else."""

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COOKIE_DAYS = 30
_LINGER_SECONDS = 5.0


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, log: Log, metrics: Metrics) -> None:
        self._app, self._settings, self._log, self._metrics = app, settings, log, metrics
        self._names = allowed_names(settings)
        self._session = session_of(settings.token) if settings.token is not None else None
        self.cookie = f"retouch-{settings.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no websockets here
        headers = _Headers(scope["headers"])
        given = headers.get("x-request-id") or ""
        request = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request"] = request
        began, status, sent = time.monotonic(), 0, 0

        async def answer(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and status != 408:
                    await body.let_finish(headers)
                message["headers"] = _with_headers(message["headers"], request)
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        body = _Body(receive, self._settings)
        try:
            try:
                login = self._check(scope, headers)
                if login is not None:
                    await _redirect(answer, login)
                else:
                    body.check_length(headers.get("content-length"))
                    await self._app(scope, body, answer)
            except Problem as problem:
                if status:
                    raise
                await send_problem(answer, problem)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log("fault", level="error", request=request, reason=f"{type(error).__name__}: {error}")
            if not status:
                await send_problem(answer, Problem(500, "the server made a mistake; its log says more"))
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count(
                "retouch_requests_total", method=_method(scope["method"]), route=route, status=str(status)
            )
            self._metrics.observe("retouch_request_seconds", seconds, route=route)
            self._log(
                "request",
                request=request,
                method=scope["method"],
                path=scope["path"],  # and never the query, which may hold the token
                status=status,
                ms=round(seconds * 1000, 1),
                received=body.received or None,
                sent=sent,
            )

    def _check(self, scope: Scope, headers: _Headers) -> str | None:
        """Raise ``Problem`` for those who are not answered; the cookie for one who logs in by the address."""
        path, method = scope["path"], scope["method"]
        self._check_host(headers)
        self._check_origin(headers, method, path)
        if self._session is None or path in OPEN_PATHS:
            return None
        assert self._settings.token is not None
        if path == "/" and method == "GET":
            tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
            if tokens and _same(tokens[0], self._settings.token):
                secure = "; Secure" if scope.get("scheme") == "https" else ""
                return (
                    f"{self.cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict; "
                    f"Max-Age={_COOKIE_DAYS * 86400}{secure}"
                )
        scheme, _, word = (headers.get("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and _same(word.strip(), self._settings.token):
            return None
        if _same(_cookie(headers.get("cookie"), self.cookie), self._session):
            return None
        raise Problem(
            401,
            "this server answers only those who show its token: open the address that 'retouch serve' printed, or send "
            "the header 'Authorization: Bearer TOKEN'",
            headers={"WWW-Authenticate": 'Bearer realm="retouch"'},
        )

    def _check_host(self, headers: _Headers) -> None:
        hosts = headers.all("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not self._is_ours(name):
            raise Problem(421, "the Host header names another server; see retouch serve --allow-host")

    def _is_ours(self, name: str) -> bool:
        if name in self._names:
            return True
        return is_wildcard(self._settings.host) and _is_address(name)  # no foreign page can have it for a name

    def _check_origin(self, headers: _Headers, method: str, path: str) -> None:
        """Other sites' pages get nothing, be it by fetch, form, image or script; a link to the page may be followed."""
        origin = headers.get("origin")
        host = (headers.get("host") or "").lower()
        if origin is not None:
            parts = urlsplit(origin) if origin.startswith(("http://", "https://")) else None
            if parts is None or parts.netloc.lower() != host:
                raise Problem(403, "requests from pages of other sites are refused")
        site = headers.get("sec-fetch-site")
        if site in ("cross-site", "same-site"):
            follows_link = method in _SAFE and path == "/" and headers.get("sec-fetch-mode") == "navigate"
            if not follows_link:
                raise Problem(403, "requests from pages of other sites are refused")


class _Headers:
    """Request headers by lower-case name."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]

    def all(self, name: str) -> list[str]:
        return [value for other, value in self._raw if other == name]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


class _Body:
    """The ``receive`` of a request that counts, and that waits for the next piece only so long."""

    def __init__(self, receive: Receive, settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        self._whole = False
        self._end = time.monotonic() + settings.body_seconds
        self.received = 0

    def check_length(self, told: str | None) -> None:
        """Refuse by the header alone what will be too large."""
        if told is not None and told.isdecimal() and int(told[:20]) > self._settings.upload_bytes:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is the end of the connection, whenever that may be
            return await self._receive()
        seconds = min(self._settings.stall_seconds, self._end - time.monotonic())
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            late = "the request came too slowly, and was given up"
            raise Problem(408, late, headers={"Connection": "close"}) from None
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self.received > self._settings.upload_bytes:
                raise self._too_large()
        return message

    async def let_finish(self, headers: _Headers) -> None:
        """Read and forget the rest of a refused request, for a while.

        Who is still sending when the connection closes may never see the answer; who asked first (Expect) need not.
        """
        if self._whole or (headers.get("expect") is not None and not self.received):
            return
        if headers.get("content-length") in (None, "0") and headers.get("transfer-encoding") is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._whole:
                    message = await self._receive()
                    self._whole = message["type"] != "http.request" or not message.get("more_body", False)

    def _too_large(self) -> Problem:
        limit = self._settings.upload_bytes
        return Problem(
            413,
            f"the request is larger than {limit / (1 << 20):g} MB; retouch serve --upload-limit raises it",
            headers={"Connection": "close"},
        )


def allowed_names(settings: Settings) -> frozenset[str]:
    """The host names under which the server is ours to be called."""
    names = {"localhost", "127.0.0.1", "::1", *(name.lower() for name in settings.hosts)}
    names.add(socket.gethostname().lower() if is_wildcard(settings.host) else settings.host.lower())
    return frozenset(names)


def is_wildcard(host: str) -> bool:
    """Whether a server bound there listens on all addresses of the machine."""
    return host in ("0.0.0.0", "::", "")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str | None:
    """The name in a Host header, without the port; None for a malformed one."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def session_of(token: str) -> str:
    """What the cookie holds in the token's place: it proves that its bearer once knew the token."""
    return hmac.new(token.encode(), b"retouch session", hashlib.sha256).hexdigest()


def _same(given: str | None, right: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())


def _cookie(header: str | None, name: str) -> str | None:
    try:
        found = SimpleCookie(header or "").get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH") else "other"


def _with_headers(own: Iterable[tuple[bytes, bytes]], request: str) -> list[tuple[bytes, bytes]]:
    given = [(name.lower(), value) for name, value in own]
    names = {name for name, _ in given}
    more = _HEADERS | {"x-request-id": request, "cache-control": "no-store"}
    return given + [(n.encode(), v.encode("latin-1")) for n, v in more.items() if n.encode() not in names]


async def _redirect(send: Send, cookie: str) -> None:
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode("latin-1")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem document."""
    body = json.dumps(problem.as_json(), ensure_ascii=False).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
