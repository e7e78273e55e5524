"""The pictures of a training folder, decoded once into a memory-mapped file so that decoding starves no device."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouch.image.errors import PictureError, PictureWarning, RetouchError
from retouch.image.listing import list_folder

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Entry:
    """One picture: where its bytes begin in the file, and its shape (channels, height, width)."""

    name: str
    start: int
    shape: tuple[int, int, int]


class Pictures:
    """Decoded pictures, ``pictures[i]`` -> uint8 ``(C, H, W)``, C = 1 or 3, without alpha, rounded to 8 bits.

    With ``cache`` a memory map that workers and processes share; else every access decodes its file. Picklable.
    """

    def __init__(self, files: Sequence[Path], entries: Sequence[Entry], cache: Path | None) -> None:
        self.files, self.entries, self.cache = list(files), list(entries), cache
        self._map: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        entry = self.entries[index]
        if self.cache is None:
            return _decode(self.files[index])
        if self._map is None:
            self._map = np.memmap(self.cache, np.uint8, "r")
        size = entry.shape[0] * entry.shape[1] * entry.shape[2]
        return self._map[entry.start : entry.start + size].reshape(entry.shape)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}  # every process maps the file by itself

    @property
    def fingerprint(self) -> str:
        """Of names and sizes: two runs with the same one saw the same pictures, in the same order."""
        text = json.dumps([(entry.name, entry.shape) for entry in self.entries])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def only(self, chosen: Sequence[int]) -> Pictures:
        """Some of them."""
        return Pictures([self.files[i] for i in chosen], [self.entries[i] for i in chosen], self.cache)


def find_pictures(folders: Sequence[Path]) -> list[Path]:
    """The picture files of ``folders`` and the folders in them, in a fixed order; a file stands for itself.

    Raises ``RetouchError`` for a folder that cannot be read, or where there is no picture at all.
    """
    from retouch.image.files import READABLE

    found: list[Path] = []
    for folder in folders:
        if folder.is_file():
            found.append(folder)
            continue
        try:
            found += list_folder(folder, READABLE, recursive=True).pictures
        except OSError as error:
            raise RetouchError(f"{folder}: cannot read the folder of pictures: {error.strerror or error}") from error
    if not found:
        raise RetouchError(f"{', '.join(map(str, folders)) or 'no folder given'}: no picture there")
    return found


def load_pictures(
    files: Sequence[Path], cache: Path | None, *, on_skip: Callable[[str], None], on_progress: Progress | None = None
) -> Pictures:
    """Decode ``files``. Those that cannot be read are left out, and ``on_skip`` is told why, once each.

    ``cache``: the memory-mapped file, with an index beside it; one that was made of the same files (paths, sizes,
    dates) is used again. None decodes only to learn the sizes. Raises ``RetouchError`` if none can be read or the disk
    is full.
    """
    index = cache.with_suffix(".json") if cache is not None else None
    origin = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    if cache is not None and index is not None and cache.exists() and index.exists():
        try:
            table = json.loads(index.read_text())
            size = sum(math.prod(shape) for _, _, shape in table["entries"])
            if table["origin"] == origin and cache.stat().st_size == size:
                for reason in table["skipped"]:
                    on_skip(f"{reason}; left out")
                entries = [Entry(name, start, tuple(shape)) for name, start, shape in table["entries"]]
                return Pictures([files[i] for i in table["kept"]], entries, cache)
        except (ValueError, KeyError, TypeError):
            pass  # an index that another version or a crash left; made anew
    entries, kept, skipped, start = [], [], [], 0
    target = cache.with_name(f"{cache.name}.{os.getpid()}.part") if cache is not None else None
    try:
        with open(target or os.devnull, "wb") as out:  # noqa: PTH123
            for number, file in enumerate(files):
                try:
                    pixels = _decode(file)
                except PictureError as error:
                    skipped.append(str(error))
                    on_skip(f"{error}; left out")
                    continue
                entries.append(Entry(file.name, start, (pixels.shape[0], pixels.shape[1], pixels.shape[2])))
                kept.append(number)
                out.write(pixels.tobytes())
                start += pixels.size
                if on_progress is not None:
                    on_progress(number + 1, len(files))
        if not entries:
            raise RetouchError(f"{files[0].parent}: none of its {len(files)} pictures can be read")
        if cache is not None and target is not None and index is not None:
            index.unlink(missing_ok=True)  # a kill between the two must not leave the new pixels with the old index
            target.replace(cache)
            rows = [(entry.name, entry.start, entry.shape) for entry in entries]
            index.write_text(json.dumps({"origin": origin, "kept": kept, "skipped": skipped, "entries": rows}))
    except OSError as error:
        raise RetouchError(f"{cache}: cannot keep the decoded pictures: {error.strerror or error}") from error
    finally:
        if target is not None:
            target.unlink(missing_ok=True)
    return Pictures([files[i] for i in kept], entries, cache)


def _decode(file: Path) -> NDArray[np.uint8]:
    from retouch.image.files import open_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)  # what metadata could not be read does not matter here
        pixels = open_image(file).pixels
    made: NDArray[np.uint8] = (pixels * 255).round().byte().numpy()
    return made
