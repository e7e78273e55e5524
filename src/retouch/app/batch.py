"""Run a task over files and folders: open, restore, save, go on with the next; nothing half-written, nothing lost."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from retouch.app.invented_map import MapOptions, check_map, map_path, write_map
from retouch.app.plan import Job, Plan, make_plan, same_file
from retouch.app.progress import Reporter, duration
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import MethodOptions, Options, Task, fields_of, option

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener, Step

_ENDINGS = {"jpeg": ".jpg", "tiff": ".tif"}
_LEFTOVER = re.compile(r"\.retouch-(\d+)-[0-9a-f]+\.tmp|\..+\.(\d+)\.part")
DONE, SOME_FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class FileOptions(Options):
    """How files are found, read and written; every task takes these."""

    recursive: bool = option(False, "look into the folders inside a folder too")
    skip_existing: bool = option(False, "leave out pictures whose output is there already, so a stopped run goes on")
    format: Literal["same", "png", "jpeg", "tiff", "webp", "avif", "bmp"] = option(
        "same", "file format of the output; 'same' goes by the name of the output"
    )
    quality: int | None = option(
        None, "of JPEG, WebP and AVIF; by default like the input's", minimum=1, maximum=100, metavar="N"
    )
    strip_metadata: bool = option(False, "leave EXIF, XMP and the rest out of the output; the colour profile stays")
    max_pixels: int | None = option(
        None, "refuse pictures of more pixels, before decoding them", minimum=1, metavar="N"
    )
    quiet: bool = option(False, "say nothing but errors")
    debug: bool = option(False, "show where in the program an error arose")


@dataclass(frozen=True, kw_only=True)
class WatchOptions(Options):
    """For tasks with methods that iterate."""

    preview: Path | None = option(
        None, "picture file that shows the work as it stands, written anew every few seconds", metavar="FILE"
    )
    keep_on_interrupt: bool = option(False, "Ctrl-C writes the best result so far before it stops")


@dataclass
class Interrupt:
    """Ctrl-C while a batch runs.

    ``gentle``: the first one only asks, by ``asked``, where a method listens; the second, or any other, raises
    ``KeyboardInterrupt`` at once.
    """

    gentle: bool = False
    asked: bool = False
    listening: bool = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.gentle and self.listening and not self.asked:
            self.asked = True
            return
        raise KeyboardInterrupt

    @contextmanager
    def installed(self) -> Iterator[Interrupt]:
        """Listens to Ctrl-C inside the block; does nothing on other than the main thread, which gets no signals."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)


def run_batch(
    task: Task,
    options: Options,
    inputs: Sequence[str],
    output: str,
    files: FileOptions,
    watch: WatchOptions | None = None,
    maps: MapOptions | None = None,
) -> int:
    """Do the task on every picture; the exit code.

    0: all done. 1: some inputs failed, each told on standard error, the rest finished. 130: stopped by Ctrl-C; what was
    finished stays. Raises ``OptionError`` where the call is wrong, before any work starts.
    """
    watch, maps = watch or WatchOptions(), maps or MapOptions()
    _check_options(task, options)
    plan = plan_files(inputs, output, files, guarded=_pictures_among(options))
    _check_watch(plan, options, watch)
    others = [] if watch.preview is None else [watch.preview]
    check_map(plan, maps, [*_pictures_among(options), *others])
    reporter = Reporter(len(plan.jobs), quiet=files.quiet)
    for name, reason in plan.failures:
        reporter.fail(name, reason)
    batch = _Batch(task, options, files, watch, maps, plan, reporter)
    with reporter, Interrupt(gentle=watch.keep_on_interrupt or _keeps_state(options)).installed() as interrupt:
        return batch.run(interrupt)


def plan_files(inputs: Sequence[str], output: str, files: FileOptions, guarded: Sequence[Path] = ()) -> Plan:
    """Pair inputs and outputs, clear away what killed runs left, and see that every output can be written.

    Raises ``OptionError`` as ``make_plan`` does, and where an output folder cannot be made or written to.
    """
    from retouch.image import files as picture_files

    ending, same = None, []
    if files.format != "same":
        ending = _ENDINGS.get(files.format, f".{files.format}")
        same = [e for e in picture_files.WRITABLE if picture_files.format_of(f"x{e}") == files.format.upper()]
    plan = make_plan(
        inputs,
        output,
        readable=picture_files.READABLE,
        writable=picture_files.WRITABLE,
        ending=ending,
        same_endings=same,
        recursive=files.recursive,
        skip_existing=files.skip_existing,
        guarded=guarded,
    )
    for folder in sorted({job.target.parent for job in plan.jobs}):
        if plan.many:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OptionError(f"--output {folder}: cannot make this folder: {error.strerror or error}") from error
        clear_leftovers(folder)
    for job in {job.target.parent: job for job in plan.jobs}.values():
        try:
            picture_files.check_writable(job.target)
        except RetouchError as error:
            raise OptionError(f"--output {error}") from error
    return plan


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed runs left in a folder; those whose process still lives are kept."""
    if not folder.is_dir():
        return
    for path in folder.glob(".*"):
        match = _LEFTOVER.fullmatch(path.name)
        if match and not is_alive(int(match[1] or match[2])):
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number, as far as can be known."""
    if os.name == "nt":  # there, os.kill(pid, 0) would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _check_options(task: Task, options: Options) -> None:
    """What can be refused before a picture is opened: an unknown method, a device that is not here, a missing file."""
    if isinstance(options, MethodOptions):
        from retouch.models.device import pick_device

        task.named(options)
        pick_device(options.device)
    for path in _pictures_among(options):
        if not path.exists():
            raise OptionError(f"{path}: no such file")


def _pictures_among(options: Options) -> list[Path]:
    """The files that options name."""
    kinds = fields_of(type(options))
    named = [getattr(options, name) for name, field in kinds.items() if field.kind in ("picture", "mask")]
    return [path for path in named if isinstance(path, Path)]


def _keeps_state(options: Options) -> bool:
    return isinstance(options, MethodOptions) and options.state is not None


def _check_watch(plan: Plan, options: Options, watch: WatchOptions) -> None:
    """Neither the preview nor the state may fall on an input or an output."""
    state = options.state if isinstance(options, MethodOptions) else None
    if state is not None and plan.many and state.exists() and not state.is_dir():
        raise OptionError(f"--state {state}: for several pictures this must be a folder, and it is a file")
    for flag, path in (("--preview", watch.preview), ("--state", state)):
        if path is None or (flag == "--state" and plan.many):
            continue
        if not path.parent.is_dir():
            raise OptionError(f"{flag} {path}: there is no folder {path.parent}")
        for other in [p for job in plan.jobs for p in (job.source, job.target)] + _pictures_among(options):
            if same_file(path, other):
                raise OptionError(f"{flag} {path}: this file is an input or an output")
    if watch.preview is not None:
        from retouch.image.files import WRITABLE

        if watch.preview.suffix.lower() not in WRITABLE:
            raise OptionError(f"--preview {watch.preview}: needs an ending such as .png or .jpg")


@dataclass
class _Batch:
    task: Task
    options: Options
    files: FileOptions
    watch: WatchOptions
    maps: MapOptions
    plan: Plan
    reporter: Reporter

    def run(self, interrupt: Interrupt) -> int:
        done, failed = 0, len(self.plan.failures)
        stopped = False
        for job in self.plan.jobs:
            self.reporter.start(str(job.source))
            interrupt.listening = False
            try:
                self._do(job, interrupt)
                done += 1
            except KeyboardInterrupt:
                stopped = True
            except Exception as error:  # one bad picture must not stop the others
                failed += 1
                self.reporter.fail(str(job.source), reason_of(error))
                if self.files.debug:
                    self.reporter.say("".join(traceback.format_exception(error)))
            if stopped or interrupt.asked:
                stopped = True
                break
        self._sum_up(done, failed, stopped)
        return INTERRUPTED if stopped else SOME_FAILED if failed else DONE

    def _sum_up(self, done: int, failed: int, stopped: bool) -> None:
        plan = self.plan
        if not (plan.many or failed or stopped or plan.finished or plan.others):
            return
        words = [f"{done} done"]
        if plan.finished:
            words.append(f"{plan.finished} there already")
        if plan.others:
            words.append(f"{plan.others} other files left out")
        if failed:
            words.append(f"{failed} failed")
        if stopped:
            words.append("stopped by Ctrl-C")
        self.reporter.say(", ".join(words))

    def _do(self, job: Job, interrupt: Interrupt) -> None:
        began = time.monotonic()
        with _warnings_to(self.reporter):
            result, how = self._restore(job, interrupt)  # the input is freed when this returns, before the saving
            self._save(result, job.target)
        self.reporter.say(f"{self.reporter.label} -> {job.target} ({how}, {duration(time.monotonic() - began)})")

    def _restore(self, job: Job, interrupt: Interrupt) -> tuple[Image, str]:
        options = dataclasses.replace(self.options, **self._opened(job))
        image = open_picture(job.source, self.files.max_pixels)
        method = self.task.choose(image.megapixels, options)
        interrupt.listening = method.iterative
        result = self.task.perform(method, image, options, self._listener(interrupt))
        if interrupt.asked and not self.watch.keep_on_interrupt:
            raise KeyboardInterrupt  # the state file is written; the picture was not asked for
        if self.maps.invented is not None:
            target = map_path(self.plan, self.maps, job)
            told = write_map(target, image, result, self.task, method, options, self._listener(interrupt))
            self.reporter.say(f"{self.reporter.label} -> {target} ({told})")
        return result, method.name

    def _opened(self, job: Job) -> dict[str, Any]:
        """The options that differ from picture to picture: the second pictures, opened, and the state file."""
        from retouch.image.files import open_mask

        values: dict[str, Any] = {}
        for name, field in fields_of(type(self.options)).items():
            value = getattr(self.options, name)
            if not isinstance(value, Path):
                continue
            if field.kind == "picture":
                values[name] = open_picture(_partner(value, job), self.files.max_pixels)
            elif field.kind == "mask":
                values[name] = open_mask(_partner(value, job))
            elif field.kind == "state" and self.plan.many:
                state = value / job.place.with_name(job.place.name + ".state")
                state.parent.mkdir(parents=True, exist_ok=True)
                values[name] = state
        return values

    def _listener(self, interrupt: Interrupt) -> Listener:
        trouble = False

        def on_step(step: Step) -> bool:
            nonlocal trouble
            self.reporter.step(step)
            if step.preview is not None and self.watch.preview is not None and not trouble:
                try:
                    self._save(step.preview, self.watch.preview, preview=True)
                except (RetouchError, OSError) as error:
                    trouble = True  # told once; the work matters more than its preview
                    self.reporter.say(f"--preview: {reason_of(error)}")
            return not interrupt.asked

        return on_step

    def _save(self, image: Image, path: Path, *, preview: bool = False) -> None:
        from retouch.image.files import save

        if preview:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                save(image, path)
            return
        save(image, path, quality=self.files.quality, strip_metadata=self.files.strip_metadata)


def open_picture(path: Path, max_pixels: int | None) -> Image:
    """Open with the limit that was asked for, or the default one."""
    from retouch.image.files import open_image

    return open_image(path) if max_pixels is None else open_image(path, max_pixels=max_pixels)


def _partner(named: Path, job: Job) -> Path:
    """The second picture that goes with a job: the file named, or that of the same name in the folder named."""
    if not named.is_dir():
        return named
    exact = named / job.place
    if exact.is_file():
        return exact
    folder = exact.parent
    alike = sorted(p for p in folder.iterdir() if p.stem == job.place.stem and p.is_file()) if folder.is_dir() else []
    if len(alike) == 1:
        return alike[0]
    found = "several files" if alike else "no file"
    raise RetouchError(f"{found} of its name in {named}")


@contextmanager
def _warnings_to(reporter: Reporter) -> Iterator[None]:
    """What the image room warns of (metadata that a format cannot hold) becomes a line; the rest is no news."""
    from retouch.image.files import PictureWarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        reporter.say(f"{reporter.label}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", PictureWarning)
        warnings.showwarning = show
        yield


def reason_of(error: BaseException) -> str:
    """Why a picture failed, in one line."""
    if isinstance(error, RetouchError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; try a smaller --tile, or --device cpu"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text} (--debug shows more)"
