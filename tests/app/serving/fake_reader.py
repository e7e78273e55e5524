"""The true reader, with two pictures it cannot stand: one named hang.png hangs it, one named crash.png ends it."""

from __future__ import annotations

import os
import time
from typing import Any

from retouch.app.serving import reader

_answer = reader.answer


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["name"] == "hang.png":
        time.sleep(600)
    if request["name"] == "crash.png":
        os.abort()
    return _answer(request)


if __name__ == "__main__":
    reader.answer = answer
    reader.main()
