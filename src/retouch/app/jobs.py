"""The queue of jobs, and the worker processes that do them: progress, previews, cancelling, and what becomes of losses.

The server imports no torch: a job is done by a process of its own device, started when the first job comes. A worker
that dies takes its job with it and nothing else; the next job gets a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from retouch.app.serving.child import Child, ChildEnded
from retouch.app.serving.observe import Log, Metrics
from retouch.app.serving.problems import Problem
from retouch.app.serving.settings import Settings
from retouch.app.serving.store import Store, StoredFile, new_id, suffix_of

State = Literal["queued", "running", "done", "failed", "cancelled"]
_TICK = 0.5  # seconds between looks at the clock while a worker is silent
_SHORT_PATIENCE = 2.0  # with a cancelled method that keeps nothing of its work anyway


@dataclass(eq=False)
class Job:
    """One picture to be worked on. ``version`` grows with every change; ``changed`` wakes those who watch."""

    task: str
    file: StoredFile
    options: dict[str, Any]
    folder: Path
    mask: StoredFile | None = None
    pictures: dict[str, StoredFile] = field(default_factory=dict)
    format: str | None = None
    seconds: float = 3600.0
    request: str = ""
    id: str = field(default_factory=new_id)
    state: State = "queued"
    stage: str = ""
    method: str | None = None
    iterative: bool = False
    position: int | None = None
    progress: dict[str, Any] | None = None
    previews: int = 0
    preview_type: str = "image/jpeg"
    notes: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    created: float = field(default_factory=time.time)
    used: float = field(default_factory=time.time)
    keep: float = 3600.0
    stop_asked: float | None = None
    out_of_time: bool = False
    fetched: bool = False
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return self.folder / "result"

    @property
    def preview(self) -> Path:
        """Where the newest picture of the work as it stands lies."""
        return self.folder / "preview"

    def touch(self) -> None:
        """Tell whoever watches."""
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def as_json(self) -> dict[str, Any]:
        """What callers see."""
        return {
            "id": self.id,
            "task": self.task,
            "file": self.file.id,
            "method": self.method,
            "state": self.state,
            "position": self.position if self.state == "queued" else None,
            "progress": self.progress,
            "previews": self.previews,
            "notes": self.notes,
            "result": self.result,
            "problem": self.problem,
            "created": _moment(self.created),
            "expires": _moment(self.used + self.keep) if self.ended else None,
        }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Worker:
    """One device and the process that computes there, started when it is needed."""

    def __init__(self, device: str, settings: Settings) -> None:
        self.name, self._settings = device, settings
        self.child: Child | None = None
        self.device: str = guess_device(device)

    async def start(self) -> Child:
        """The running process. Raises ``ChildEnded`` or ``TimeoutError`` where none comes up."""
        if self.child is not None and self.child.alive:
            return self.child
        device, environment = placed(self.name)
        self.child = await Child.start((*self._settings.worker, device), environment)
        told = await self.child.receive(self._settings.start_seconds)
        if told["kind"] != "ready":
            await self.lose()
            raise ChildEnded(str(told.get("detail", told["kind"])))
        self.device = told["device"]
        return self.child

    async def lose(self) -> None:
        """Kill the process; the next job starts another."""
        child, self.child = self.child, None
        if child is not None:
            await child.kill()

    async def stop(self) -> None:
        """End the process in peace."""
        child, self.child = self.child, None
        if child is not None:
            await child.stop()


def guess_device(name: str) -> str:
    """The kind of device that ``name`` will come out as, without asking torch; a worker knows better once it runs."""
    if name != "auto":
        return name.partition(":")[0]
    if Path("/dev/nvidia0").exists():
        return "cuda"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def placed(name: str) -> tuple[str, dict[str, str]]:
    """The ``--device`` of a worker and its environment: 'cuda:1' sees the second card only, as its first."""
    kind, colon, number = name.partition(":")
    if kind != "cuda" or not colon:
        return name, {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    index = int(number)
    return "cuda", {"CUDA_VISIBLE_DEVICES": visible[index] if index < len(visible) and visible[index] else number}


class Jobs:
    """All jobs, queued, running and ended. ``start`` and ``close`` belong into one running event loop."""

    def __init__(self, settings: Settings, store: Store, log: Log, metrics: Metrics) -> None:
        self._settings, self._store, self._log, self._metrics = settings, store, log, metrics
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._mean_seconds = 5.0
        self.workers = [Worker(device, settings) for device in settings.devices]
        self.running: dict[str, Job] = {}
        self.draining = False
        metrics.gauge("retouch_jobs_waiting", "Jobs in the queue.", lambda: len(self._waiting))
        metrics.gauge("retouch_jobs_running", "Jobs at work.", lambda: len(self.running))

    def start(self) -> None:
        """Begin to take jobs; no worker process is started before there is one."""
        self._loops = [asyncio.create_task(self._serve(worker)) for worker in self.workers]

    async def close(self) -> None:
        """Stop everything at once."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for job in [*self.running.values(), *self._waiting]:
            self._end(job, "cancelled")
        await asyncio.gather(*(worker.lose() for worker in self.workers))

    # -- what callers ask

    def check_room(self) -> None:
        """``Problem`` 429 with Retry-After if the queue is full, 503 if the server is about to end."""
        if self.draining:
            raise Problem(503, "the server is shutting down and takes no more jobs", headers={"Retry-After": "30"})
        if len(self._waiting) >= self._settings.queue:
            wait = max(1, min(60, round(self._mean_seconds / len(self.workers))))
            raise Problem(
                429,
                f"{len(self._waiting)} jobs wait already, which is as many as may; try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue. Raises as ``check_room``."""
        self.check_room()
        job.folder.mkdir()
        for stored in [job.file, *([job.mask] if job.mask is not None else []), *job.pictures.values()]:
            stored.users += 1
        job.keep = self._settings.keep
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._number()
        self._arrived.set()
        self._log("job queued", job=job.id, task=job.task, pixels=job.file.pixels, request=job.request)

    def get(self, id: str) -> Job:
        """The job; ``Problem`` 404 for an unknown or expired id."""
        job = self._jobs.get(id)
        if job is None:
            raise Problem(404, "no such job; it may have expired")
        if job.ended:
            job.used = time.time()
        return job

    async def cancel(self, job: Job) -> None:
        """Ask a queued or running job to stop; what an iterative method has by then is kept."""
        if job.state == "queued":
            self._waiting.remove(job)
            self._end(job, "cancelled")
            self._number()
        elif job.state == "running" and job.stop_asked is None:
            job.stop_asked = time.monotonic()
            await self._tell_to_stop(job)

    def forget(self, job: Job) -> None:
        """Delete an ended job and its result."""
        del self._jobs[job.id]
        if job.result is not None:
            self._store.give(job.result["bytes"])
        shutil.rmtree(job.folder, ignore_errors=True)

    def expire(self) -> None:
        """Delete the jobs that nobody has asked for in a long time."""
        limit = time.time() - self._settings.keep
        for job in [job for job in self._jobs.values() if job.ended and job.used <= limit]:
            self.forget(job)

    @property
    def busy(self) -> bool:
        """Whether any job is queued or running."""
        return bool(self._waiting or self.running)

    @property
    def unfetched(self) -> bool:
        """Whether a result is there that nobody has got yet."""
        return any(job.result is not None and not job.fetched for job in self._jobs.values())

    # -- the work

    def _number(self) -> None:
        for position, job in enumerate(self._waiting, 1):
            if job.position != position:
                job.position = position
                job.touch()

    async def _serve(self, worker: Worker) -> None:
        """Give one worker job after job; end its process when there has been none for a while."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                try:
                    async with asyncio.timeout(self._settings.idle_seconds if worker.child else None):
                        await self._arrived.wait()
                except TimeoutError:
                    await worker.stop()
            job = self._waiting.popleft()
            self._number()
            began = time.monotonic()
            job.state, job.position = "running", None
            self.running[worker.name] = job
            job.touch()
            try:
                await self._do(worker, job)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # a fault of ours: the job fails, the queue goes on
                self._log("fault", level="error", job=job.id, reason=f"{type(error).__name__}: {error}")
                await worker.lose()
                self._end(job, "failed", Problem(500, "the server made a mistake; its log says more"))
            finally:
                self.running.pop(worker.name, None)
            seconds = time.monotonic() - began
            self._mean_seconds += 0.2 * (seconds - self._mean_seconds)
            self._metrics.observe("retouch_job_seconds", seconds, task=job.task)

    async def _do(self, worker: Worker, job: Job) -> None:
        deadline = time.monotonic() + job.seconds
        try:
            try:
                child = await worker.start()
            except (ChildEnded, TimeoutError, OSError) as error:
                await worker.lose()
                raise ChildEnded(f"it did not start: {error}") from error
            if job.stop_asked is not None:
                self._end(job, "cancelled")
                return
            await child.send(self._message(job))
            since = time.monotonic()
            while True:
                try:
                    told = await child.receive(_TICK)
                except TimeoutError:
                    told = None
                if told is not None and told["kind"] == "stage":
                    since = time.monotonic()
                if told is not None and self._hear(job, told):
                    return
                if await self._gave_up(worker, job, since, deadline):
                    return
        except ChildEnded as error:
            await worker.lose()
            self._metrics.count("retouch_workers_lost_total")
            self._log("worker lost", level="warning", job=job.id, reason=str(error))
            if job.stop_asked is not None and not job.out_of_time:
                self._end(job, "cancelled")
                return
            detail = f"the process that worked on it was lost ({error}); other jobs are not affected"
            self._end(job, "failed", Problem(500, detail, title="Worker lost"))

    def _message(self, job: Job) -> dict[str, Any]:
        return {
            "kind": "job",
            "id": job.id,
            "task": job.task,
            "options": job.options,
            "source": str(job.file.path),
            "name": job.file.name,
            "pictures": {name: [str(file.path), file.name] for name, file in job.pictures.items()},
            "mask": None if job.mask is None else [str(job.mask.path), job.mask.name],
            "folder": str(job.folder),
            "format": job.format,
            "max_pixels": self._settings.pixels,
        }

    def _hear(self, job: Job, told: Mapping[str, Any]) -> bool:
        """Take in what a worker says; whether it was its last word on this job."""
        kind = told["kind"]
        if kind == "stage":
            job.stage, job.method = told["stage"], told.get("method", job.method)
            job.iterative = told.get("iterative", job.iterative)
        elif kind == "note":
            if told["text"] not in job.notes:
                job.notes.append(told["text"])
        elif kind == "progress":
            job.progress = {name: told[name] for name in ("index", "total", "seconds_left", "note")}
        elif kind == "preview":
            job.previews += 1
            job.preview_type = told["type"]
        elif kind == "done":
            job.result = {name: told[name] for name in ("width", "height", "format", "bytes")}
            job.result["name"] = result_name(job.file.name, job.task, told["format"])
            self._store.taken += told["bytes"]
            if told["cancelled"] and job.out_of_time:
                job.notes.append(f"stopped after {job.seconds:g} s, the limit; this is the best until then")
            self._end(job, "cancelled" if told["cancelled"] and not job.out_of_time else "done")
        elif kind == "cancelled":
            self._end(job, "failed", self._too_long(job)) if job.out_of_time else self._end(job, "cancelled")
        else:
            self._end(job, "failed", Problem(told["status"], told["detail"], option=told.get("option")))
        if not job.ended:
            job.touch()
        return job.ended

    async def _gave_up(self, worker: Worker, job: Job, since: float, deadline: float) -> bool:
        """Stop what takes too long: gently while it works, else by ending the process. Whether the job has ended."""
        now = time.monotonic()
        limits = {"": self._settings.start_seconds, "opening": self._settings.read_seconds}
        limits["saving"] = self._settings.save_seconds
        if job.stage in limits and now - since > limits[job.stage]:
            await worker.lose()
            what = "writing the result" if job.stage == "saving" else "decoding"
            self._end(job, "failed", Problem(422, f"{what} took more than {limits[job.stage]:g} s, and was stopped"))
            return True
        if job.stage != "working":
            return False
        if now > deadline and job.stop_asked is None:
            job.stop_asked, job.out_of_time = now, True
            await self._tell_to_stop(job)
        patience = self._settings.stop_seconds if job.iterative else min(_SHORT_PATIENCE, self._settings.stop_seconds)
        if job.stop_asked is not None and now - max(job.stop_asked, since) > patience:
            await worker.lose()
            self._end(job, "failed", self._too_long(job)) if job.out_of_time else self._end(job, "cancelled")
            return True
        return False

    async def _tell_to_stop(self, job: Job) -> None:
        for worker in self.workers:
            if self.running.get(worker.name) is job and worker.child is not None:
                with contextlib.suppress(ChildEnded):
                    await worker.child.send({"kind": "cancel", "id": job.id})

    def _too_long(self, job: Job) -> Problem:
        return Problem(422, f"it took more than {job.seconds:g} s, and was stopped", title="Time limit")

    def _end(self, job: Job, state: State, problem: Problem | None = None) -> None:
        if job.ended:
            return
        job.state, job.used = state, time.time()
        job.problem = None if problem is None else problem.as_json()
        for stored in [job.file, *([job.mask] if job.mask is not None else []), *job.pictures.values()]:
            self._store.release(stored)
        self._metrics.count("retouch_jobs_total", task=job.task, state=state)
        self._log(
            "job ended",
            job=job.id,
            task=job.task,
            method=job.method,
            state=state,
            seconds=round(time.time() - job.created, 3),
            problem=None if problem is None else problem.detail,
            request=job.request,
        )
        job.touch()


def result_name(name: str, task: str, format: str) -> str:
    """What a result is called: the picture's name, the task, and the ending of its format."""
    stem, dot, ending = name.rpartition(".")
    own = f".{ending.lower()}" if dot else ""
    usual = suffix_of(format)
    same = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".dib": ".bmp"}.get(own, own) == usual
    return f"{stem if dot and stem else name}-{task}{f'.{ending}' if same else usual}"
