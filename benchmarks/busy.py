"""What `retouch upscale` of a folder costs on a busy machine, as `retouch` waits and as OpenMP does by itself.

Whole processes, one after the other in one run: on the machine as it is, and beside as many endless loops as it has
cores. What is told is the ratio to the first time, and between the two ways of waiting.

    python benchmarks/busy.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import skimage.data

import retouch
from retouch.image.image import Image

WAYS = {"as retouch has it": {}, "OpenMP's default": {"GOMP_SPINCOUNT": "300000"}}


def main() -> None:
    """Print the table."""
    told = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        small.mkdir()
        for number, top in enumerate(range(0, 172, 14)):  # a dozen of small pictures: many short waits
            part = skimage.data.chelsea()[top : top + 128, 100:228]
            retouch.save(Image.from_array(part), small / f"{number}.png")
        words = [sys.executable, "-m", "retouch", "upscale", str(small), "-o", str(large), "--scale", "4"]

        def seconds(way: dict[str, str]) -> float:
            began = time.perf_counter()
            subprocess.run(words, env=told | way, check=True, stderr=subprocess.DEVNULL)
            return time.perf_counter() - began

        seconds({})  # reads what the disk has to give
        idle = {name: min(seconds(way) for _ in range(3)) for name, way in WAYS.items()}
        loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
        try:
            busy = {name: min(seconds(way) for _ in range(2)) for name, way in WAYS.items()}
        finally:
            for loop in loops:
                loop.kill()
    print(f"{'':20}{'idle':>8}{'busy':>8}   times the first, {os.cpu_count()} cores")
    first = next(iter(idle.values()))
    for name in WAYS:
        print(f"{name:20}{idle[name] / first:>8.2f}{busy[name] / first:>8.2f}")


if __name__ == "__main__":
    main()
