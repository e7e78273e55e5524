"""What ``retouch serve`` takes: time until it answers, memory, a large photograph's way in, small pictures a second.

Starts a server of its own, with the page and one worker on the CPU, and asks it over the loop. Wall-clock seconds mean
little on a machine that has other work; the seconds of the processor, of the server and the processes it starts, are
given beside them. Memory is what is resident, added up over the processes (pages that they share are counted twice).
Linux only, since it reads /proc.

Prints a Markdown table, and writes it as serving.md with all numbers as serving.json.

    python benchmarks/serving.py --output benchmarks/results
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL.Image

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Row:
    """One thing that was measured; megabytes of the server alone and of all processes after it."""

    what: str
    seconds: float
    processor_seconds: float
    server_mb: float
    all_mb: float


class Served:
    """A server process and those it starts."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "retouch", "serve", "--port", "0", "--device", "cpu", "--quiet"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[^/ ]+", self.process.stdout.readline())
        assert found is not None
        self.url = found[0]

    def pids(self) -> list[int]:
        """The server, and its children as they are now."""
        own = self.process.pid
        return [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]

    def processor_seconds(self) -> float:
        """Of the server and its children, those that have ended too."""
        total = 0
        for number, pid in enumerate(self.pids()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15] if number == 0 else fields[11:13]))
        return total / _TICKS

    def megabytes(self) -> list[float]:
        """Of each process."""
        return [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6 for pid in self.pids()]

    def call(self, path: str, data: bytes | None = None, kind: str = "application/octet-stream") -> bytes:
        """POST ``data``, or GET."""
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind} if data is not None else {})
        with urllib.request.urlopen(request, timeout=600) as answer:
            body: bytes = answer.read()
            return body

    def json(self, path: str, data: bytes | None = None, kind: str = "application/octet-stream") -> Any:
        return json.loads(self.call(path, data, kind))


def photograph(width: int, height: int) -> bytes:
    """A JPEG of that size, with as much detail as a photograph."""
    import skimage.data

    picture = PIL.Image.fromarray(skimage.data.astronaut()).resize((width, height), PIL.Image.Resampling.BICUBIC)
    noise = PIL.Image.effect_noise((width, height), 12).convert("RGB")
    file = io.BytesIO()
    PIL.Image.blend(picture, noise, 0.15).save(file, "JPEG", quality=92)
    return file.getvalue()


@contextmanager
def serving() -> Iterator[Served]:
    """A server that is gone after the block."""
    served = Served()
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.wait(60)


def measure(requests: int) -> list[Row]:
    """All rows, from the start of a server on."""
    large, small = photograph(6000, 4000), photograph(256, 256)
    rows: list[Row] = []
    with serving() as served:

        def row(what: str, work: Callable[[], object], began: float | None = None, before: float | None = None) -> None:
            before = served.processor_seconds() if before is None else before
            began = time.monotonic() if began is None else began
            work()
            seconds, memory = time.monotonic() - began, served.megabytes()
            rows.append(Row(what, seconds, served.processor_seconds() - before, memory[0], sum(memory)))

        def page() -> None:
            assert served.json("/readyz") == {"status": "ready"}
            assert b"<" in served.call("/")
            assert served.json("/api/v1/tasks")["tasks"]

        def job(options: dict[str, object], file: str) -> None:
            told = {"task": "upscale", "file": file, "options": options}
            job = served.json("/api/v1/jobs", json.dumps(told).encode(), "application/json")
            events = served.call(f"/api/v1/jobs/{job['id']}/events").decode()
            assert '"state": "done"' in events, events[-2000:]
            served.call(f"/api/v1/jobs/{job['id']}/result")

        row("start, until the page and the list of tasks are there", page, served.began, 0.0)
        files: list[str] = []
        row("a 24-megapixel JPEG sent, checked, its preview made", lambda: _send(served, large, files))
        row("the same again, with the decoder's process running", lambda: _send(served, large, files))
        row("its preview fetched", lambda: served.call(f"/api/v1/files/{files[0]}/preview"))
        _send(served, small, files)
        row("the first job, 256x256 to 512x512, which starts the worker", lambda: job({"method": "bicubic"}, files[-1]))
        row("the second", lambda: job({"method": "bicubic"}, files[-1]))
        path = "/api/v1/upscale?method=bicubic"
        with ThreadPoolExecutor(8) as pool:
            many = [small] * requests
            row(
                f"{requests} such pictures there and back, 8 at a time",
                lambda: list(pool.map(lambda data: served.call(path, data), many)),
            )
    return rows


def _send(served: Served, data: bytes, files: list[str]) -> None:
    files.append(served.json("/api/v1/files", data)["id"])


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| | seconds | of the processor | server, MB | all processes, MB |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row.what} | {row.seconds:.2f} | {row.processor_seconds:.2f} | {row.server_mb:.0f} | {row.all_mb:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=None, help="folder for serving.md and serving.json")
    parser.add_argument("--requests", type=int, default=40, help="small pictures that are sent")
    arguments = parser.parse_args()
    rows = measure(arguments.requests)
    text = table(rows)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "serving.md").write_text(text, encoding="utf-8")
        told = {"machine": platform.machine(), "cores": os.cpu_count(), "rows": [asdict(row) for row in rows]}
        (arguments.output / "serving.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
