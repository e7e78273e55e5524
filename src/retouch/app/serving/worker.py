"""The process that does the jobs of one device: it opens, runs the task, saves, and tells the server how it goes."""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.app.batch import reason_of
from retouch.app.progress import duration
from retouch.app.serving.pipe import ServerPipe, without_path
from retouch.app.serving.problems import in_http_words, option_in
from retouch.app.serving.store import suffix_of
from retouch.image.errors import Cancelled, OptionError, RetouchError
from retouch.models import memory
from retouch.tasks import TASKS
from retouch.tasks.base import MethodOptions, fields_of

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Step

PREVIEW_SIDE = 1600
"""The longer side of the pictures that show the work as it stands, at most."""

_TELL_SECONDS = 0.2  # progress more often than this is no news


def main(device: str) -> None:
    """Do one job after the other on ``device`` until the server closes the pipe."""
    memory.keep()
    cancelled: set[str] = set()

    def hear(message: dict[str, Any]) -> bool:
        if message["kind"] == "cancel":
            cancelled.add(message["id"])
            return True
        return False

    pipe = ServerPipe(hear)
    from retouch.image import files  # noqa: F401  what the first job would wait for
    from retouch.models.device import pick_device
    from retouch.solvers import steps  # noqa: F401

    try:
        found = pick_device(device)
    except (RetouchError, RuntimeError) as error:
        pipe.say("failed", status=500, detail=str(error))
        return
    pipe.say("ready", device=found.type)
    while True:
        _Work(pipe, pipe.next(), device, cancelled).do()


class _Work:
    """One job: ``{"id", "task", "options", "source", "name", "pictures", "mask", "folder", "format", "max_pixels"}``.

    ``pictures``: by option, the second pictures; these and ``mask`` are ``[path, name]``. What comes of it is
    ``folder/result``, the newest picture of the work as it stands ``folder/preview``.
    """

    def __init__(self, pipe: ServerPipe, job: dict[str, Any], device: str, cancelled: set[str]) -> None:
        self._pipe, self._job, self._device, self._cancelled = pipe, job, device, cancelled
        self._folder = Path(job["folder"])
        self._told = 0.0
        self._icc: bytes | None = None
        self._names = {job["source"]: job["name"]}

    @property
    def _is_cancelled(self) -> bool:
        return self._job["id"] in self._cancelled

    def do(self) -> None:
        """Do it, and say ``done``, ``cancelled`` or ``failed``; the notes on the way."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from retouch.image.files import PictureWarning

                warnings.simplefilter("always", PictureWarning)
                warnings.showwarning = lambda message, *rest, **named: self._note(str(message))
                self._run()
        except Cancelled:
            self._pipe.say("cancelled")
        except OptionError as error:
            known = fields_of(TASKS[self._job["task"]].options)
            self._fail(422, str(error), option=option_in(str(error), known))
        except RetouchError as error:
            self._fail(422, str(error))
        except Exception as error:  # whatever it is, the next job must find this process well
            traceback.print_exception(error, file=sys.stderr)
            self._fail(500, reason_of(error).removesuffix(" (--debug shows more)"))
        finally:
            self._cancelled.discard(self._job["id"])

    def _fail(self, status: int, detail: str, **more: Any) -> None:
        self._pipe.say("failed", status=status, detail=in_http_words(self._by_name(detail)), **more)

    def _note(self, text: str) -> None:
        self._pipe.say("note", text=in_http_words(self._by_name(text)))

    def _by_name(self, text: str) -> str:
        for path, name in [*self._names.items(), (str(self._folder / "result"), self._job["name"])]:
            text = without_path(text, path, name)
        return text

    def _open(self, path: str, name: str) -> Image:
        from retouch.image.files import open_image

        self._names[path] = name
        return open_image(path, max_pixels=self._job["max_pixels"])

    def _run(self) -> None:
        from retouch.image.files import open_mask, save

        job, task = self._job, TASKS[self._job["task"]]
        self._pipe.say("stage", stage="opening")
        image = self._open(job["source"], job["name"])
        self._icc = image.metadata.icc
        values: dict[str, Any] = dict(job["options"])
        for option, (path, name) in job["pictures"].items():
            values[option] = self._open(path, name)
        if job["mask"] is not None:
            path, name = job["mask"]
            self._names[path] = name
            values["mask"] = open_mask(path, max_pixels=job["max_pixels"])
        if issubclass(task.options, MethodOptions):
            values["device"] = self._device
        options = task.make_options(**values)
        method = task.choose(image.megapixels, options)
        self._pipe.say("stage", stage="working", method=method.name, iterative=method.iterative)
        began = time.monotonic()
        result = task.perform(method, image, options, self._on_step)
        how = f"{task.name} by {method.name}" if len(task.methods) > 1 else task.name
        stopped = self._is_cancelled
        self._note(f"{how}{', stopped early' if stopped else ''}: {duration(time.monotonic() - began)}")
        kind = _format(job["format"], image)
        del image, options, values
        self._pipe.say("stage", stage="saving")
        target = self._folder / "result"
        save(result, target, format=kind)
        self._pipe.say(
            "done",
            width=result.width,
            height=result.height,
            format=kind,
            bytes=target.stat().st_size,
            cancelled=stopped,
        )

    def _on_step(self, step: Step) -> bool:
        if step.note:
            self._note(step.note)
        now = time.monotonic()
        if step.index > 0 and (now - self._told >= _TELL_SECONDS or step.index == step.total):
            self._told = now
            self._pipe.say(
                "progress", index=step.index, total=step.total, seconds_left=step.seconds_left, note=step.stage
            )
        if step.preview is not None and not self._is_cancelled:
            self._preview(step.preview)
        return not self._is_cancelled

    def _preview(self, image: Image) -> None:
        from retouch.app.serving.reader import write_picture
        from retouch.image.raster import to_pillow

        picture = to_pillow(image, flatten=False)
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), reducing_gap=2.0)
        try:
            media_type = write_picture(picture, self._folder / "preview", self._icc)
        except OSError:
            return  # a full disk: the work matters more than its preview, and saving will tell
        self._pipe.say("preview", type=media_type)


def _format(wanted: str | None, image: Image) -> str:
    """The format to write: the one asked for, else the picture's own, PNG where that cannot be written."""
    from retouch.image.files import WRITABLE, format_of

    own = image.metadata.format or "PNG"
    if wanted is not None:
        return format_of(f"x.{wanted}")
    return own if suffix_of(own) in WRITABLE else "PNG"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto")
