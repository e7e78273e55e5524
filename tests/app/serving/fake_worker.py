"""Stands for a worker, without torch: what it does with a job is told by the job's seed, so that tests can be quick.

It copies the picture, with a few steps and previews. With seed 90001 it does so slowly, and heeds a cancel. 90002: it
kills itself with SIGKILL in the middle. 90003: it hangs while it opens. 90004: it hangs while it works, and heeds
nothing. 90005: it fails with a wrong option. 90006: it says something that is no JSON.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from retouch.app.serving.pipe import ServerPipe

_FOREVER = 600.0


def main() -> None:
    cancelled: set[str] = set()

    def hear(message: dict[str, Any]) -> bool:
        if message["kind"] == "cancel":
            cancelled.add(message["id"])
        return message["kind"] == "cancel"

    pipe = ServerPipe(hear)
    print("libraries like to print")  # which must harm nothing
    pipe.say("ready", device="cpu")
    while True:
        work(pipe, pipe.next(), cancelled)


def work(pipe: ServerPipe, job: dict[str, Any], cancelled: set[str]) -> None:
    seed = job["options"].get("seed", 0) - 90_000
    folder = Path(job["folder"])
    pipe.say("stage", stage="opening")
    if seed == 3:
        time.sleep(_FOREVER)
    pipe.say("stage", stage="working", method="fake", iterative=seed not in range(2, 7))
    pipe.say("note", text="worked by the stand-in")
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 4:
        time.sleep(_FOREVER)
    if seed == 5:
        pipe.say("failed", status=422, detail="strength is too strong", option="strength")
        return
    if seed == 6:
        os.write(pipe._answers.fileno(), b"Segmentation fault\n")
        time.sleep(_FOREVER)
    total = 1000 if seed == 1 else 3
    for index in range(1, total + 1):
        pipe.say("progress", index=index, total=total, seconds_left=(total - index) * 0.05, note=None)
        shutil.copyfile(job["source"], folder / "next")
        (folder / "next").replace(folder / "preview")  # it is there whole or not at all
        pipe.say("preview", type="image/png")
        if job["id"] in cancelled:
            break
        if seed == 1:
            time.sleep(0.05)
    pipe.say("stage", stage="saving")
    shutil.copyfile(job["source"], folder / "result")
    size = (folder / "result").stat().st_size
    kind = (job["format"] or "png").upper()
    pipe.say("done", width=8, height=6, format=kind, bytes=size, cancelled=job["id"] in cancelled)


if __name__ == "__main__":
    assert sys.argv[1] in ("auto", "cpu")
    main()
