"""What people ask for, one verb a file. ``TASKS`` holds them all; every interface is made from it."""

from __future__ import annotations

from retouch.tasks.base import Task
from retouch.tasks.colorize import COLORIZE
from retouch.tasks.deblur import DEBLUR
from retouch.tasks.degrade import DEGRADE
from retouch.tasks.dejpeg import DEJPEG
from retouch.tasks.denoise import DENOISE
from retouch.tasks.dream import DREAM
from retouch.tasks.inpaint import INPAINT
from retouch.tasks.invert import INVERT
from retouch.tasks.relight import RELIGHT
from retouch.tasks.restore import RESTORE
from retouch.tasks.stylize import STYLIZE
from retouch.tasks.translate import TRANSLATE
from retouch.tasks.upscale import UPSCALE

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        RESTORE,
        DENOISE,
        DEBLUR,
        INPAINT,
        UPSCALE,
        DEJPEG,
        COLORIZE,
        TRANSLATE,
        STYLIZE,
        RELIGHT,
        DREAM,
        INVERT,
        DEGRADE,
    )
}
"""Every task by name, in the order in which people see them."""
