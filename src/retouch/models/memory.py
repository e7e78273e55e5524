"""What memory a process that runs networks keeps for itself."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

LAYER = 224 * 2**20
"""Bytes that the widest layer of a tile may have, for its memory to be kept."""

_TRIM, _MAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
_LARGEST = 256 * 2**20  # bytes: layers of tiles are smaller, whole pictures of many megapixels are larger
_KEPT = 2**31 - 1  # bytes, the most that can be asked for


@cache
def keep() -> bool:
    """Let the C library keep what is freed, up to 2 GB, for the next layer; whether it does. Once for a process.

    By default glibc takes tensors above 32 MB from the system each time and gives them back, and the system clears
    them page by page: of the time of ``residual-x2`` in float32 that was a third. For a process that runs networks, not
    for one that waits, as what was once used stays with it; the commands and the server's worker call it, a program
    that uses the library may. Nothing is done where the caller has set a threshold (``MALLOC_TRIM_THRESHOLD_``,
    ``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES``), nor by another C library.
    """
    own = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"} & {*os.environ}
    if own or not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all([library.mallopt(_MAP, _LARGEST), library.mallopt(_TRIM, _KEPT)])


def is_kept() -> bool:
    """Whether ``keep`` was called, and could do it."""
    return keep.cache_info().currsize > 0 and keep()
