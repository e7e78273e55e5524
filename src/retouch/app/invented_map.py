"""``--invented``: where the map of a picture goes, and its writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.app.plan import Job, Plan, same_file
from retouch.image.errors import OptionError
from retouch.tasks.base import Method, Options, Task, option

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener


@dataclass(frozen=True, kw_only=True)
class MapOptions(Options):
    """For tasks whose result can be held against its input."""

    invented: Path | None = option(
        None,
        "write a map of where and how much the result departs from what the input can prove; for several pictures a "
        "folder, NAME-invented.png in it. Trained networks run up to three times more for it",
        metavar="MAP.png",
    )


def check_map(plan: Plan, options: MapOptions, guarded: Iterable[Path]) -> None:
    """Refuse, before any work, a map that cannot be written or would fall on another file. Makes no folder."""
    path = options.invented
    if path is None:
        return
    from retouch.image.files import WRITABLE

    if plan.many:
        if path.exists() and not path.is_dir():
            raise OptionError(f"--invented {path}: for several pictures this must be a folder, and it is a file")
        if not path.exists() and path.suffix.lower() in WRITABLE:
            raise OptionError(f"--invented {path}: for several pictures this must be a folder")
    elif path.suffix.lower() not in WRITABLE:
        raise OptionError(f"--invented {path}: needs an ending such as .png")
    elif not path.parent.is_dir():
        raise OptionError(f"--invented {path}: there is no folder {path.parent}")
    taken = [*(p for job in plan.jobs for p in (job.source, job.target)), *guarded]
    for job in plan.jobs:
        target = map_path(plan, options, job)
        if any(same_file(target, other) for other in taken if other.name == target.name):
            raise OptionError(f"--invented {target}: this file is an input or an output")


def map_path(plan: Plan, options: MapOptions, job: Job) -> Path:
    """Where the map of a job goes; of two pictures that differ in their ending only, each keeps it in the name."""
    assert options.invented is not None
    if not plan.many:
        return options.invented
    place = job.place
    alike = sum(other.place.with_suffix("") == place.with_suffix("") for other in plan.jobs)
    return options.invented / place.with_name(f"{place.stem if alike < 2 else place.name}-invented.png")


def write_map(
    target: Path,
    image: Image,
    result: Image,
    task: Task,
    method: Method,
    options: Any,
    on_step: Listener | None,
) -> str:
    """Measure, write the picture; the numbers in one line."""
    from retouch.image.files import save
    from retouch.tasks.invented import measure

    found = measure(image, result, task, method, options, on_step)
    target.parent.mkdir(parents=True, exist_ok=True)
    save(found.picture(result), target)
    return found.describe()
