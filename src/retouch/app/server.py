"""The HTTP API and the page: routes over the store, the decoder and the queue, made from the task table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import retouch
from retouch.app.jobs import Job, Jobs
from retouch.app.serving import schemas
from retouch.app.serving.decoder import PREVIEW_SIDE, Decoder
from retouch.app.serving.description import LARGEST_SIDE, SMALLEST_SIDE, describe
from retouch.app.serving.guard import Guard
from retouch.app.serving.observe import Log, Metrics
from retouch.app.serving.problems import MEDIA_TYPE, Problem
from retouch.app.serving.settings import Settings
from retouch.app.serving.store import Store, StoredFile
from retouch.app.serving.uploads import JobRequest, read_job, read_picture, read_upload
from retouch.tasks import TASKS
from retouch.tasks.base import Task

API = "/api/v1"
_PING_SECONDS = 15.0
_LOOK_SECONDS = 1.0  # between looks whether the caller is still there
_EXPIRE_SECONDS = 20.0
_DESCRIBED_SECONDS = 30.0


@dataclass
class Server:
    """What the routes work with; one for each application."""

    settings: Settings
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.store = Store(self.settings.folder, self.settings.store_bytes, self.settings.keep)
        self.decoder = Decoder(self.settings, self.log, self.metrics)
        self.jobs = Jobs(self.settings, self.store, self.log, self.metrics)
        self._expiry: asyncio.Task[None] | None = None
        self._described: dict[str, tuple[float, dict[str, Any]]] = {}
        self.metrics.gauge("retouch_stored_bytes", "Bytes of files and results.", lambda: self.store.taken)
        self.metrics.gauge("retouch_stored_files", "Files that callers have sent.", lambda: len(self.store.files))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes jobs inside the block, and leaves nothing behind after it."""
        self.jobs.start()
        self._expiry = asyncio.create_task(self._expire())
        try:
            yield
        finally:
            self._expiry.cancel()
            await self.jobs.close()
            await self.decoder.close()
            self.store.close()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(min(_EXPIRE_SECONDS, self.settings.keep / 4))
            self.jobs.expire()
            self.store.expire()

    async def drain(self) -> None:
        """Take no more jobs; wait for those under way, and a moment for their results to be fetched."""
        self.jobs.draining = True
        end = time.monotonic() + self.settings.drain_seconds
        worked = self.jobs.busy
        while self.jobs.busy and time.monotonic() < end:
            await asyncio.sleep(0.1)
        end = min(end, time.monotonic() + 10)
        while worked and self.jobs.unfetched and time.monotonic() < end:
            await asyncio.sleep(0.1)

    def description(self) -> dict[str, Any]:
        """What ``GET /api/v1/tasks`` answers."""
        device = self.jobs.workers[0].device
        return self._kept(f"tasks on {device}", lambda: self._describe(device))

    def openapi(self) -> dict[str, Any]:
        """What ``GET /api/v1/openapi.json`` answers."""
        return self._kept("openapi", describe)

    def _kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A description, made anew twice a minute at most: weights may come and go, but it takes a while."""
        until, told = self._described.get(name, (0.0, {}))
        if until < time.monotonic():
            told = make()
            self._described[name] = (time.monotonic() + _DESCRIBED_SECONDS, told)
        return told

    def _describe(self, device: str) -> dict[str, Any]:
        return {
            "version": retouch.__version__,
            "device": device,
            "limits": {
                "upload_bytes": self.settings.upload_bytes,
                "pixels": self.settings.pixels,
                "direct_pixels": self.settings.direct_pixels,
                "queue": self.settings.queue,
            },
            "tasks": [schemas.describe_task(task, device) for task in TASKS.values()],
        }

    def make_job(self, asked: JobRequest, request: Request, seconds: float) -> Job:
        """The job of a request; ``Problem`` for whatever can be known to be wrong before it starts."""
        file, mask = asked.file, asked.mask
        if mask is not None and (mask.width, mask.height) != (file.width, file.height):
            raise Problem(
                422,
                f"the mask is {mask.width}x{mask.height} pixels, the picture {file.width}x{file.height}; they must be "
                "of one size",
                option="mask",
            )
        pictures = {}
        for name in schemas.picture_fields(asked.task):
            given = asked.options.get(name)
            if given is not None:
                if not isinstance(given, str):
                    raise Problem(422, f"{name} is the id of a file", option=name)
                pictures[name] = self.store.get(given)
        options = schemas.checked(asked.task, asked.options, pictures=list(pictures), has_mask=mask is not None)
        return Job(
            asked.task.name,
            file,
            options,
            self.store.new_path(),
            mask=mask,
            pictures=pictures,
            format=asked.format,
            seconds=seconds,
            request=request.state.request,
        )


def create_app(settings: Settings | None = None, log: Log | None = None) -> FastAPI:
    """The application, guarded, with everything in ``app.state.server``. Raises ``OSError`` if it has no folder."""
    server = Server(settings if settings is not None else Settings(), log if log is not None else Log())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with server.running():
            yield

    app = FastAPI(title="Retouch", version=retouch.__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
                  openapi_url=None)  # fmt: skip
    app.state.server = server
    app.add_middleware(Guard, settings=server.settings, log=server.log, metrics=server.metrics)
    _tell_problems(app)
    _add_service(app, server)
    _add_files(app, server)
    _add_jobs(app, server)
    for task in TASKS.values():
        _add_task(app, server, task)
    _add_unknown_tasks(app)
    _add_page(app, server.settings.page)
    return app


def _tell_problems(app: FastAPI) -> None:
    """Whatever a route raises becomes a problem document."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return JSONResponse(error.as_json(), error.status, error.headers, MEDIA_TYPE)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        told = Problem(error.status_code, _DETAILS.get(error.status_code, str(error.detail)), headers=error.headers)
        return JSONResponse(told.as_json(), told.status, told.headers, MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        told = Problem(422, f"{name}: {first['msg']}", option=name)
        return JSONResponse(told.as_json(), told.status, told.headers, MEDIA_TYPE)


_DETAILS = {
    404: "there is nothing at this address; GET /api/v1/tasks tells what there is",
    405: "this address does not take this method",
}


def _add_service(app: FastAPI, server: Server) -> None:
    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def ready() -> dict[str, Any]:
        if server.jobs.draining:
            raise Problem(503, "the server is shutting down", headers={"Retry-After": "30"})
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get(f"{API}/tasks")
    async def tasks() -> JSONResponse:
        return JSONResponse(server.description())

    @app.get(f"{API}/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(server.openapi())


def _add_files(app: FastAPI, server: Server) -> None:
    @app.post(f"{API}/files")
    async def send(request: Request) -> JSONResponse:
        stored = await read_upload(request, server.store, server.decoder)
        told = file_json(stored, server.settings.keep)
        return JSONResponse(told, 201, {"Location": f"{API}/files/{stored.id}/preview"})

    @app.get(f"{API}/files/{{id}}/preview")
    async def preview(id: str, request: Request) -> Response:
        stored = server.store.get(id)
        side = _side(request)
        if side is None or side == PREVIEW_SIDE:
            return FileResponse(stored.preview, media_type=stored.type)
        source = stored.preview if side < PREVIEW_SIDE else stored.path
        return await _shrunk(server, source, stored.name, side)

    @app.delete(f"{API}/files/{{id}}")
    async def delete(id: str) -> Response:
        server.store.remove(id)
        return Response(status_code=204)


def file_json(stored: StoredFile, keep: float) -> dict[str, Any]:
    """A file as callers see it."""
    return {
        "id": stored.id,
        "name": stored.name,
        "width": stored.width,
        "height": stored.height,
        "format": stored.format,
        "bytes": stored.bytes,
        "has_alpha": stored.has_alpha,
        "expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stored.used + keep)),
    }


def _side(request: Request) -> int | None:
    """The ``size`` in the query, None without one; ``Problem`` 422 for one that is none."""
    text = request.query_params.get("size")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
        raise Problem(422, f"size is a number of pixels in {SMALLEST_SIDE}..{LARGEST_SIDE}", option="size")
    return min(max(int(text), SMALLEST_SIDE), LARGEST_SIDE)


async def _shrunk(server: Server, source: Path, name: str, side: int) -> Response:
    """A picture of at most ``side`` pixels a side, for a screen."""
    target = server.store.new_path()
    try:
        told = await server.decoder.read(source, name, target, side)
        return Response(await asyncio.to_thread(target.read_bytes), media_type=told["type"])
    finally:
        target.unlink(missing_ok=True)


def _add_jobs(app: FastAPI, server: Server) -> None:
    jobs = server.jobs

    @app.post(f"{API}/jobs")
    async def create(request: Request) -> JSONResponse:
        jobs.check_room()
        asked = await read_job(request, server.store, server.decoder)
        try:
            job = server.make_job(asked, request, server.settings.job_seconds)
            jobs.submit(job)
        except Problem:
            asked.discard(server.store)
            raise
        return JSONResponse(job.as_json(), 202, {"Location": f"{API}/jobs/{job.id}"})

    @app.api_route(f"{API}/jobs/{{id}}", methods=["GET", "DELETE"])
    async def show_or_cancel(id: str, request: Request) -> Response:
        job = jobs.get(id)
        if request.method == "GET":
            return JSONResponse(job.as_json())
        if job.ended:
            jobs.forget(job)
            return Response(status_code=204)
        await jobs.cancel(job)
        return JSONResponse(job.as_json(), 202)

    @app.get(f"{API}/jobs/{{id}}/events")
    async def events(id: str, request: Request) -> Response:
        job = jobs.get(id)
        if job.ended and request.headers.get("last-event-id") == str(job.version):
            return Response(status_code=204)  # tells a browser that came back not to come again
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(watch(job), media_type="text/event-stream", headers=headers)

    @app.get(f"{API}/jobs/{{id}}/preview")
    async def preview(id: str, request: Request) -> Response:
        job = jobs.get(id)
        if not job.previews:
            raise Problem(404, "there is no picture of this job's work yet")
        side = _side(request)
        if side is None or side >= PREVIEW_SIDE:
            return Response(await asyncio.to_thread(job.preview.read_bytes), media_type=job.preview_type)
        return await _shrunk(server, job.preview, job.file.name, side)

    @app.get(f"{API}/jobs/{{id}}/result")
    async def result(id: str, request: Request) -> Response:
        job = jobs.get(id)
        if job.result is None:
            if job.problem is not None:
                raise Problem(409, f"this job failed: {job.problem['detail']}")
            raise Problem(404 if job.ended else 409, f"this job has no result: it is {job.state}")
        side = _side(request)
        if side is not None:
            return await _shrunk(server, job.path, job.result["name"], side)
        job.fetched = True
        return result_response(job)


def result_response(job: Job) -> FileResponse:
    """The result as a file to save; a name that any header can hold, and the true one beside it (RFC 6266)."""
    assert job.result is not None
    name = str(job.result["name"])
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "X-Retouch-Notes": quote("; ".join(job.notes), safe=" ,;:.()/'+*=<>"),
    }
    return FileResponse(job.path, media_type=_media_type(job.result["format"]), headers=headers)


def _media_type(format: str) -> str:
    return f"image/{format.lower()}"


async def watch(job: Job) -> AsyncIterator[str]:
    """The events of a job until it ends, each with the job as it then is; what a slow reader misses is left out."""
    state, previews, version = None, -1, -1
    while True:
        changed = job.changed
        if job.version != version:
            kinds = ["state"] if (job.state, job.stage) != state else []
            kinds += ["preview"] if job.previews > max(previews, 0) else []
            told = json.dumps(job.as_json(), ensure_ascii=False)
            state, previews, version = (job.state, job.stage), job.previews, job.version
            for kind in kinds or ["progress"]:
                yield f"id: {version}\nevent: {kind}\ndata: {told}\n\n"
        if job.ended:
            return
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await changed.wait()
        except TimeoutError:
            yield ": still here\n\n"


def _add_task(app: FastAPI, server: Server, task: Task) -> None:
    async def work(request: Request) -> Response:
        server.jobs.check_room()
        asked = await read_picture(request, task, server.store, server.decoder)
        job = None
        try:
            if asked.file.pixels > server.settings.direct_pixels:
                raise Problem(
                    413,
                    f"{asked.file.width} x {asked.file.height} pixels are more than are done while you wait "
                    f"({server.settings.direct_pixels / 1e6:g} million): send it to {API}/jobs",
                )
            job = server.make_job(asked, request, server.settings.direct_seconds)
            server.jobs.submit(job)
            await _waited_for(server, job, request)
            if job.problem is not None:
                raise _retold(job)
            if job.result is None:
                raise Problem(503, "the job was cancelled")
            response = result_response(job)
            content = await asyncio.to_thread(job.path.read_bytes)
            return Response(content, media_type=response.media_type, headers=_kept(response))
        finally:
            if job is not None and job.ended:
                with contextlib.suppress(KeyError):
                    server.jobs.forget(job)
            asked.discard(server.store)

    app.add_api_route(f"{API}/{task.name}", work, methods=["POST"], name=task.name, response_model=None)


def _add_unknown_tasks(app: FastAPI) -> None:
    @app.post(f"{API}/{{task}}")
    async def unknown_task(task: str) -> None:
        if task in ("tasks", "openapi.json"):
            raise Problem(405, _DETAILS[405], headers={"Allow": "GET"})
        schemas.find_task(task)


def _kept(response: Response) -> dict[str, str]:
    return {name: response.headers[name] for name in ("content-disposition", "x-retouch-notes")}


def _retold(job: Job) -> Problem:
    told = dict(job.problem or {})
    status, detail = told.pop("status"), told.pop("detail")
    return Problem(status, detail, title=told.get("title"), option=told.get("option"))


async def _waited_for(server: Server, job: Job, request: Request) -> None:
    """Wait until the job has ended; it is cancelled when the caller has gone."""
    looked = time.monotonic()
    while not job.ended:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await job.changed.wait()
        if time.monotonic() - looked >= _LOOK_SECONDS:
            looked = time.monotonic()
            if await request.is_disconnected():
                await server.jobs.cancel(job)


def _add_page(app: FastAPI, folder: Path) -> None:
    @app.get("/")
    async def page() -> Response:
        index = folder / "index.html"
        if not index.is_file():
            raise Problem(404, "the page is not installed; the API is at /api/v1")
        return FileResponse(index, media_type="text/html", headers={"Cache-Control": "no-cache"})

    if folder.is_dir():
        app.mount("/page", _Unstored(directory=folder))


class _Unstored(StaticFiles):
    """The page's files; a browser asks each time whether they have changed, so that a newer Retouch shows at once."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response
