"""``retouch serve``: the web page and the HTTP API, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.app.arguments import parse
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Options, option

if TYPE_CHECKING:
    from retouch.app.serving.settings import Settings

HELP = "open the web page, and answer programs over HTTP, on this machine"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")
_WORDS = re.compile(r"[A-Za-z0-9._~-]{8,200}")


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """The options of ``retouch serve``."""

    host: str = option("127.0.0.1", "address to listen on; another than this machine's own needs --token")
    port: int = option(8765, "port to listen on; 0 takes a free one", minimum=0, maximum=65535)
    token: str | None = option(
        None, "answer only those who show this word; 'new' makes one; by default that of RETOUCH_TOKEN", metavar="WORD"
    )
    allow_host: tuple[str, ...] = option((), "further names under which this server is called", metavar="NAME")
    device: tuple[str, ...] = option(
        ("auto",), "where to compute: auto, cpu, cuda, cuda:N or mps; each gets a worker of its own", metavar="NAME"
    )
    queue: int = option(32, "jobs that may wait; further ones are asked to come back later", minimum=1, maximum=10_000)
    keep: float = option(60.0, "how long files and results are kept after their last use", minimum=0.1, unit="min")
    upload_limit: int = option(64, "size of a request", minimum=1, maximum=100_000, unit="MB")
    store_limit: int = option(4096, "size of all files and results that are kept", minimum=1, unit="MB")
    max_pixels: float = option(100.0, "pixels of a picture", minimum=0.001, maximum=10_000, unit="million")
    job_limit: float = option(60.0, "time that a job may take", minimum=0.01, unit="min")
    drain: float = option(60.0, "time for the jobs under way when the server is told to end", minimum=0, unit="s")
    open: bool = option(False, "open the page in the browser")
    quiet: bool = option(False, "log warnings and errors only")
    debug: bool = option(False, "show where in the program an error arose")


def run(words: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; a second one ends it at once."""
    values = parse("retouch serve", HELP, [ServeOptions], words, several="NOTHING", output=None, least=0)
    if values["inputs"]:
        raise OptionError(f"retouch serve takes no files: {values['inputs'][0]}")
    options = ServeOptions(**values[ServeOptions])
    settings, listening = prepare(options)
    with listening:
        return asyncio.run(_serve(settings, listening, options))


def prepare(options: ServeOptions) -> tuple[Settings, socket.socket]:
    """The settings and the socket, listening; the port is known then. Raises ``OptionError`` for a wrong call."""
    from retouch.app.serving.guard import is_loopback
    from retouch.app.serving.settings import Settings

    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RetouchError(f"retouch serve needs {error.name}: pip install 'retouch[app]'") from error
    token = options.token if options.token is not None else os.environ.get("RETOUCH_TOKEN") or None
    if token == "new":
        token = secrets.token_urlsafe(18)
    if token is not None and not _WORDS.fullmatch(token):
        raise OptionError("--token: 8 to 200 letters, digits, '.', '_', '~' or '-', or 'new'")
    if token is None and not is_loopback(options.host):
        raise OptionError(f"--host {options.host}: others can reach that, so it needs --token (--token new makes one)")
    for device in options.device:
        if not _DEVICE.fullmatch(device):
            raise OptionError(f"--device: auto, cpu, cuda, cuda:N or mps, not '{device}'")
    if not options.device or len(set(options.device)) < len(options.device):
        raise OptionError("--device: name each device once")
    listening = _listen(options.host, options.port)
    settings = Settings(
        host=options.host,
        port=listening.getsockname()[1],
        token=token,
        hosts=options.allow_host,
        devices=options.device,
        queue=options.queue,
        keep=options.keep * 60,
        upload_bytes=options.upload_limit << 20,
        store_bytes=options.store_limit << 20,
        pixels=round(options.max_pixels * 1e6),
        job_seconds=options.job_limit * 60,
        drain_seconds=options.drain,
    )
    return settings, listening


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":  # there it would let a second server take the port over
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        raise OptionError(f"--host {host} --port {port}: {error.strerror or error}") from error
    return listening


def address_of(settings: Settings) -> str:
    """Where a browser on this machine finds the page, the token in it."""
    from retouch.app.serving.guard import is_wildcard

    host = "127.0.0.1" if is_wildcard(settings.host) else settings.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}/{f'?token={settings.token}' if settings.token else ''}"


async def _serve(settings: Settings, listening: socket.socket, options: ServeOptions) -> int:
    import uvicorn

    from retouch.app.server import create_app
    from retouch.app.serving.observe import Log
    from retouch.app.serving.protocol import configuration

    log = Log(quiet=options.quiet)
    app = create_app(settings, log)
    server = uvicorn.Server(configuration(app))
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]  # ours drain first
    ending: list[asyncio.Task[None]] = []

    async def end() -> None:
        await app.state.server.drain()
        server.should_exit = True

    def asked_to_end(name: str) -> None:
        if ending:
            server.should_exit = server.force_exit = True
            return
        log("stopping", reason=name)
        ending.append(asyncio.ensure_future(end()))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, asked_to_end, number.name)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda n, frame: loop.call_soon_threadsafe(asked_to_end, signal.Signals(n).name))
    address = address_of(settings)
    print(f"Retouch: {address}  (Ctrl-C ends it)", flush=True)
    log("listening", host=settings.host, port=settings.port, devices=settings.devices)
    if options.open:
        loop.call_later(0.5, _open, address)
    await server.serve(sockets=[listening])
    log("stopped")
    return 0


def _open(address: str) -> Any:
    return webbrowser.open(address)
