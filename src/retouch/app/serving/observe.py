"""What the people who run a server see: one line of JSON an event, and numbers for Prometheus."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0)
_HELP = {
    "retouch_requests_total": ("counter", "HTTP requests by route and status."),
    "retouch_request_seconds": ("histogram", "Time from a request's first byte to its answer's last."),
    "retouch_jobs_total": ("counter", "Jobs that ended, by task and how."),
    "retouch_job_seconds": ("histogram", "Time that workers spent on a job."),
    "retouch_workers_lost_total": ("counter", "Workers that were killed or died."),
    "retouch_readers_lost_total": ("counter", "Decoder processes that hung or died."),
}


class Log:
    """Writes events as JSON, one a line. ``quiet``: warnings and errors only."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet

    def __call__(self, event: str, *, level: str = "info", **values: object) -> None:
        """Write one event. ``level``: "info", "warning" or "error"."""
        if self._quiet and level == "info":
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": moment, "level": level, "event": event}
        line |= {name: value for name, value in values.items() if value is not None}
        stream = self._stream if self._stream is not None else sys.stderr
        stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        stream.flush()


Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms, and gauges that are asked when somebody looks."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._histograms: dict[str, dict[Labels, list[float]]] = defaultdict(dict)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.began = time.time()
        self.gauge("retouch_uptime_seconds", "Time since the start.", lambda: time.time() - self.began)
        self.gauge("retouch_memory_bytes", "Memory of the server process itself.", resident_bytes)

    def count(self, name: str, **labels: str) -> None:
        """One more."""
        self._counters[name][tuple(sorted(labels.items()))] += 1

    def observe(self, name: str, value: float, **labels: str) -> None:
        """One more value of a histogram."""
        row = self._histograms[name].setdefault(tuple(sorted(labels.items())), [0.0] * (len(_BUCKETS) + 2))
        for index, bound in enumerate(_BUCKETS):
            if value <= bound:
                row[index] += 1
        row[-2] += value
        row[-1] += 1

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """A number that is read when it is asked for."""
        self._gauges[name] = (help, value)

    def text(self) -> str:
        """Everything in Prometheus' text format, version 0.0.4."""
        lines = []
        for name, rows in self._counters.items():
            lines += _header(name)
            lines += [f"{name}{_braces(dict(labels))} {value:g}" for labels, value in rows.items()]
        for name, histograms in self._histograms.items():
            lines += _header(name)
            for labels, row in histograms.items():
                for bound, value in zip([*map(str, _BUCKETS), "+Inf"], [*row[:-2], row[-1]], strict=True):
                    lines.append(f"{name}_bucket{_braces(dict(labels) | {'le': bound})} {value:g}")
                lines.append(f"{name}_sum{_braces(dict(labels))} {row[-2]:.6f}")
                lines.append(f"{name}_count{_braces(dict(labels))} {row[-1]:g}")
        for name, (about, ask) in self._gauges.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", f"{name} {ask():.10g}"]
        return "\n".join(lines) + "\n"


def _header(name: str) -> list[str]:
    kind, about = _HELP[name]
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def resident_bytes() -> float:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            return float(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0.0
