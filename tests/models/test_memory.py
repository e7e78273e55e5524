"""What a process of ours keeps of the memory it has used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_TWICE = """
import resource, sys, torch
from retouch.models import memory
before = memory.is_kept()
kept = memory.keep() if "keep" in sys.argv else False
assert not before and memory.is_kept() == kept
def layers():
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.zeros(16 * 2**20).add_(1).relu()  # 64 MB, as a layer of a tile
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
print(kept, min(layers() for _ in range(6)))  # small things between two layers may cost a run or two their place
"""


def _run(*words: str, **own: str) -> tuple[str, int]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", _TWICE, *words], env=environment | own, stdout=subprocess.PIPE, text=True, check=True
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is another one")
def test_memory_of_a_layer_is_there_for_the_next() -> None:
    pages = 8 * 64 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    kept, faults = _run("keep")
    if kept == "False":
        pytest.skip("not glibc")
    assert faults < pages / 2
    _, without = _run()
    assert without >= faults  # both may be few where the system hands out huge pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_what_the_caller_has_set_stays(name: str) -> None:
    kept, _ = _run("keep", **{name: "1000000"})
    assert kept == "False"
