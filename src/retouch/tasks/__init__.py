"""What people ask for, one verb a file. ``TASKS`` holds them all; every interface is made from it."""

from __future__ import annotations

from retouch.tasks.base import Task
from retouch.tasks.degrade import DEGRADE
from retouch.tasks.dejpeg import DEJPEG
from retouch.tasks.denoise import DENOISE
from retouch.tasks.inpaint import INPAINT
from retouch.tasks.relight import RELIGHT
from retouch.tasks.upscale import UPSCALE

TASKS: dict[str, Task] = {task.name: task for task in (DENOISE, INPAINT, UPSCALE, DEJPEG, RELIGHT, DEGRADE)}
"""Every task by name, in the order in which people see them."""
