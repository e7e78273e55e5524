"""Which file becomes which: everything about a call that can be known, and refused, before the work starts."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retouch.image.errors import OptionError, PictureError
from retouch.image.listing import is_junk, list_folder


@dataclass(frozen=True)
class Job:
    """One picture: read ``source``, write ``target``. ``place``: the source relative to the folder that was named."""

    source: Path
    target: Path
    place: Path


@dataclass
class Plan:
    """What to do, and what was left out.

    ``failures``: (input as typed, reason). ``others``: files of folders that are no pictures. ``finished``: jobs left
    out by ``--skip-existing``. ``many``: whether the output is a folder.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    finished: int = 0
    many: bool = False


def find_pictures(inputs: Sequence[str], readable: Collection[str]) -> list[Path]:
    """The pictures that are named, by themselves, by folder or by pattern, in order and without repetitions.

    Raises ``PictureError`` for the first that is missing.
    """
    found, failures = list_inputs(inputs, readable)
    if failures:
        name, reason = failures[0]
        raise PictureError(f"{name}: {reason}")
    return found


def list_inputs(
    inputs: Sequence[str], readable: Collection[str], recursive: bool = False
) -> tuple[list[Path], list[tuple[str, str]]]:
    """The pictures that are named, as ``find_pictures``, and what failed: (input as typed, reason)."""
    plan = Plan()
    _, found = _expand(inputs, None, readable, recursive, plan)
    return [path for path, _ in found], plan.failures


def make_plan(
    inputs: Sequence[str],
    output: str,
    *,
    readable: Collection[str],
    writable: Collection[str],
    ending: str | None = None,
    same_endings: Collection[str] = (),
    recursive: bool = False,
    skip_existing: bool = False,
    guarded: Iterable[Path] = (),
) -> Plan:
    """Pair every picture with its output; nothing is written.

    ``readable``, ``writable``: file name endings. ``ending``: of the output if ``--format`` asks for one (None keeps
    the input's where it can be written, else PNG); ``same_endings`` are others of that format, which a name may keep.
    ``guarded``: other files that must not be written over (mask, flash).

    Raises ``OptionError`` where the call cannot be right: two inputs for one output, an output that is an input, a file
    where a folder is needed. A missing input is no such error: it is noted in ``failures`` and the others go on.
    """
    plan = Plan()
    folder_named, found = _expand(inputs, Path(output), readable, recursive, plan)
    target = Path(output)
    plan.many = (
        target.is_dir()
        or folder_named
        or len(found) > 1
        or len(inputs) > 1
        or output.endswith(tuple(filter(None, (os.sep, os.altsep))))
    )
    if plan.many:
        _check_folder(target, writable)
        for source, place in found:
            plan.jobs.append(Job(source, target / _rename(place, writable, ending, same_endings), place))
    else:
        _check_file_name(target, writable, ending, same_endings)
        plan.jobs.extend(Job(source, target, place) for source, place in found)
    _check_clashes(plan.jobs)
    _check_inputs_safe(plan.jobs, guarded)
    if skip_existing:
        left = [job for job in plan.jobs if not job.target.exists()]
        plan.finished = len(plan.jobs) - len(left)
        plan.jobs = left
    return plan


def _expand(
    inputs: Sequence[str], output: Path | None, readable: Collection[str], recursive: bool, plan: Plan
) -> tuple[bool, list[tuple[Path, Path]]]:
    """Whether a folder or a pattern was named, and (file, its place below what was named) without repetitions."""
    found: dict[str, tuple[Path, Path]] = {}
    several = False

    def add(path: Path, place: Path) -> None:
        found.setdefault(_absolute(path), (path, place))

    def add_folder(folder: Path, typed: str) -> None:
        try:
            listing = list_folder(folder, readable, recursive=recursive, leave_out=[output] if output else [])
        except OSError as error:
            plan.failures.append((typed, f"cannot read the folder: {error.strerror or error}"))
            return
        plan.others += listing.others
        if not listing.pictures:
            deeper = "" if recursive else " (--recursive looks into its folders)"
            plan.failures.append((typed, f"no picture in this folder{deeper}"))
        for path in listing.pictures:
            add(path, path.relative_to(folder))

    for typed in inputs:
        path = Path(typed)
        if path.is_dir():
            several = True
            add_folder(path, typed)
        elif path.is_file():
            add(path, Path(path.name))
        elif path.exists():
            plan.failures.append((typed, "not a regular file"))
        elif glob.has_magic(typed):
            root = _fixed_part(typed)
            matches = [Path(match) for match in sorted(glob.glob(typed, recursive=True))]  # noqa: PTH207  Path.glob needs a root
            places = {match: match.relative_to(root) for match in matches if not _inside(match, output)}
            places = {match: place for match, place in places.items() if not any(map(is_junk, place.parts))}
            if not places:
                plan.failures.append((typed, "no file fits this pattern"))
            for match, place in places.items():
                if match.is_dir():
                    several = True
                    if "**" not in typed:
                        add_folder(match, str(match))
                elif match.suffix.lower() in readable:
                    add(match, place)
                else:
                    plan.others += 1
        else:
            plan.failures.append((typed, "no such file" if not path.is_symlink() else "a link to nothing"))
    return several, list(found.values())


def _fixed_part(pattern: str) -> Path:
    """The folder before the first wildcard of a pattern."""
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[: min(fixed, len(parts) - 1)])


def _absolute(path: Path) -> str:
    """Without '..' and without following links: two links to one file are two files for the output."""
    return os.path.abspath(path)  # noqa: PTH100


def _inside(path: Path, folder: Path | None) -> bool:
    if folder is None or not folder.is_dir():
        return False
    return Path(_absolute(path)).is_relative_to(_absolute(folder))


def _rename(place: Path, writable: Collection[str], ending: str | None, same_endings: Collection[str]) -> Path:
    suffix = place.suffix.lower()
    if ending is not None:
        return place if suffix in same_endings else place.with_suffix(ending)
    return place if suffix in writable else place.with_suffix(".png")


def _check_folder(target: Path, writable: Collection[str]) -> None:
    if target.exists() and not target.is_dir():
        raise OptionError(f"--output {target}: for several pictures this must be a folder, and it is a file")
    if not target.exists() and target.suffix.lower() in writable:
        raise OptionError(f"--output {target}: for several pictures this must be a folder; end it with / if it is one")


def _check_file_name(
    target: Path, writable: Collection[str], ending: str | None, same_endings: Collection[str]
) -> None:
    suffix = target.suffix.lower()
    if suffix not in writable:
        kinds = ", ".join(sorted(writable))
        raise OptionError(f"--output {target}: needs an ending ({kinds}), or a / at its end if it is a folder")
    if ending is not None and suffix not in same_endings:
        raise OptionError(f"--output {target}: its ending contradicts --format {ending.lstrip('.')}")


def _check_clashes(jobs: Sequence[Job]) -> None:
    folds_case = sys.platform in ("win32", "darwin")
    sources: dict[str, Path] = {}
    for job in jobs:
        key = _absolute(job.target)
        other = sources.setdefault(key.casefold() if folds_case else key, job.source)
        if other is not job.source:
            raise OptionError(f"{other} and {job.source} would both be written to {job.target}; do them in two calls")


def _check_inputs_safe(jobs: Sequence[Job], guarded: Iterable[Path]) -> None:
    keep: dict[object, Path] = {}
    for path in [job.source for job in jobs] + list(guarded):
        for key in _names(path):
            keep[key] = path
    for job in jobs:
        for key in _names(job.target):
            if key in keep:
                raise OptionError(
                    f"--output {job.target}: this is an input ({keep[key]}); it would be written over, choose another"
                )


def _names(path: Path) -> list[object]:
    """What tells that two paths are one file: the resolved path, and for existing files device and inode."""
    names: list[object] = [os.path.realpath(path)]
    try:
        status = path.stat()
    except OSError:
        return names
    if status.st_ino and path.is_file():
        names.append((status.st_dev, status.st_ino))
    return names


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by links of any kind; a file that does not exist is its resolved path."""
    return not set(_names(one)).isdisjoint(_names(other))
