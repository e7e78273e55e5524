"""The pictures of a training folder, decoded once into a memory-mapped file so that decoding starves no device.

A file of MNIST's form ("...-idx3-ubyte", also gzipped) stands for all the pictures in it.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import json
import math
import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retouch.image.errors import PictureError, PictureWarning, RetouchError
from retouch.image.listing import list_folder

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Entry:
    """One picture: where its bytes begin in the cache, and its shape (channels, height, width).

    ``label``: what it shows: the name of its folder, or its digit. ``number``: its place in a file that holds many.
    """

    name: str
    start: int
    shape: tuple[int, int, int]
    label: str = ""
    number: int = 0


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
            file = self.files[index]
            return _many(file)[0][entry.number][None] if is_idx(file) else _decode(file)
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

    @property
    def labels(self) -> list[str]:
        """What there is to see in them: every label, once, sorted."""
        return sorted({entry.label for entry in self.entries})

    def only(self, chosen: Sequence[int]) -> Pictures:
        """Some of them."""
        return Pictures([self.files[i] for i in chosen], [self.entries[i] for i in chosen], self.cache)


def find_pictures(folders: Sequence[Path]) -> list[Path]:
    """The picture files of ``folders`` and the folders in them, in a fixed order; a file stands for itself.

    Of MNIST's files a folder stands for those of training: the test pictures (t10k) must be named. Raises
    ``RetouchError`` for a folder that cannot be read, or where there is no picture at all.
    """
    from retouch.image.files import READABLE

    found: list[Path] = []
    for folder in folders:
        if folder.is_file():
            found.append(folder)
            continue
        try:
            digits = [path for path in sorted(folder.iterdir()) if is_idx(path) and not path.name.startswith("t10k")]
            found += digits + list_folder(folder, READABLE, recursive=True).pictures
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
            size = sum(math.prod(entry[2]) for entry in table["entries"])
            if table["origin"] == origin and cache.stat().st_size == size:
                for reason in table["skipped"]:
                    on_skip(f"{reason}; left out")
                rows = table["entries"]
                entries = [Entry(name, at, tuple(shape), label, place) for name, at, shape, label, place in rows]
                return Pictures([files[i] for i in table["kept"]], entries, cache)
        except (ValueError, KeyError, TypeError):
            pass  # an index that another version or a crash left; made anew
    entries, kept, skipped, start = [], [], [], 0
    target = cache.with_name(f"{cache.name}.{os.getpid()}.part") if cache is not None else None
    try:
        with open(target or os.devnull, "wb") as out:  # noqa: PTH123
            for number, file in enumerate(files):
                try:
                    if is_idx(file):
                        several, labels = _many(file)
                    else:
                        several, labels = _decode(file)[None], [file.parent.name]
                except PictureError as error:
                    skipped.append(str(error))
                    on_skip(f"{error}; left out")
                    continue
                shape = several.shape[1:] if several.ndim == 4 else (1, *several.shape[1:])
                for place, label in enumerate(labels):
                    name = file.name if len(labels) == 1 else f"{file.name} {place}"
                    entries.append(Entry(name, start, (shape[0], shape[1], shape[2]), label, place))
                    kept.append(number)
                    start += math.prod(shape)
                out.write(several.tobytes())
                if on_progress is not None:
                    on_progress(number + 1, len(files))
        if not entries:
            raise RetouchError(f"{files[0].parent}: none of its {len(files)} pictures can be read")
        if cache is not None and target is not None and index is not None:
            index.unlink(missing_ok=True)  # a kill between the two must not leave the new pixels with the old index
            target.replace(cache)
            rows = [dataclasses.astuple(entry) for entry in entries]
            index.write_text(json.dumps({"origin": origin, "kept": kept, "skipped": skipped, "entries": rows}))
    except OSError as error:
        raise RetouchError(f"{cache}: cannot keep the decoded pictures: {error.strerror or error}") from error
    finally:
        if target is not None:
            target.unlink(missing_ok=True)
    return Pictures([files[i] for i in kept], entries, cache)


def is_idx(file: Path) -> bool:
    """Whether a file is called as those of MNIST that hold pictures are."""
    return file.name.endswith(("-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte", ".idx3-ubyte.gz"))


def read_idx(file: Path) -> NDArray[np.uint8]:
    """The bytes of a file of MNIST's form: two zeros, 8 for bytes, the number of dimensions, these, and the data.

    LeCun, Cortes, Burges, "The MNIST database of handwritten digits". Raises ``PictureError`` for anything else.
    """
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise PictureError(f"{file}: cannot be read: {error}") from error
    head = 4 + 4 * (data[3] if len(data) > 3 else 0)
    if len(data) < head or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4:
        raise PictureError(f"{file}: not a file of MNIST's form (idx, bytes)")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, head, 4))
    if len(data) - head != math.prod(shape):
        raise PictureError(f"{file}: {len(data) - head} bytes, where its head says {' x '.join(map(str, shape))}")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


@functools.lru_cache(maxsize=2)
def _many(file: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """``(N, H, W)``, and their labels, "" where there is no file of labels beside that of pictures."""
    pictures = read_idx(file)
    if pictures.ndim != 3 or not pictures.size:
        raise PictureError(f"{file}: holds no grey pictures")
    beside = file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1"))
    if beside == file or not beside.is_file():
        return pictures, [""] * len(pictures)
    labels = read_idx(beside)
    if labels.shape != pictures.shape[:1]:
        raise PictureError(f"{beside}: {labels.size} labels for {len(pictures)} pictures")
    return pictures, [str(label) for label in labels.tolist()]


def _decode(file: Path) -> NDArray[np.uint8]:
    from retouch.image.files import open_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)  # what metadata could not be read does not matter here
        pixels = open_image(file).pixels
    made: NDArray[np.uint8] = (pixels * 255).round().byte().numpy()
    return made


def shuffled(count: int, seed: int) -> list[int]:
    """The numbers below ``count`` in an order that only ``seed`` decides on."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def divided(
    pictures: Pictures, held_out: Callable[[int], int], seed: int, smallest: int = 0
) -> tuple[Pictures, Pictures]:
    """The pictures to learn from, and those held out, of which none is among the first, though it were given twice.

    ``held_out``: how many, from the number of different pictures. Drawn by ``seed`` among those with both sides of at
    least ``smallest`` pixels; there may be fewer.
    """
    spots = [(file, entry.number) for file, entry in zip(pictures.files, pictures.entries, strict=True)]
    first = {spot: index for index, spot in reversed(list(enumerate(spots)))}
    large = [i for i in shuffled(len(spots), seed) if min(pictures.entries[i].shape[1:]) >= smallest]
    chosen = set(list(dict.fromkeys(spots[i] for i in large))[: held_out(len(first))])
    rest = [i for i, spot in enumerate(spots) if spot not in chosen]
    return pictures.only(rest), pictures.only(sorted(first[spot] for spot in chosen))
