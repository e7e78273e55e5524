"""``retouch visualize NETWORK --layer L --channel N|--class NAME -o OUT``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from retouch.app.arguments import parse
from retouch.app.batch import DONE, INTERRUPTED, Interrupt
from retouch.app.progress import Reporter, duration
from retouch.image.errors import OptionError
from retouch.tasks.base import Options, option
from retouch.tasks.visualize import VisualizeOptions, arranged, visualizations

HELP = "draw what a channel or a class of a trained network looks for"


@dataclass(frozen=True, kw_only=True)
class DrawOptions(Options):
    """How ``visualize`` and ``zoom`` talk."""

    quiet: bool = option(False, "say nothing but errors")
    debug: bool = option(False, "show where in the program an error arose")


def run(words: list[str]) -> int:
    """Draw one picture, or a sheet of several. Ctrl-C writes what is there after a first, and stops at a second."""
    values = parse(
        "retouch visualize",
        HELP,
        [VisualizeOptions, DrawOptions],
        words,
        several="NETWORK",
        about_inputs="vgg16, vgg19, alexnet, resnet18, resnet34, resnet50, efficientnet-lite0, or auto",
        output="the picture, or the sheet of several",
        single=True,
    )
    from retouch.image.files import check_writable, save

    output = Path(values["output"])
    check_writable(output)
    if output.is_dir():
        raise OptionError(f"--output {output}: this is a folder")
    options = VisualizeOptions(**values[VisualizeOptions])
    began = time.monotonic()
    reporter = Reporter(1, quiet=values[DrawOptions]["quiet"])
    with reporter, Interrupt(gentle=True, listening=True).installed() as interrupt:
        reporter.start(values["inputs"])

        def on_step(step: object) -> bool:
            reporter.listener(step)  # type: ignore[arg-type]
            return not interrupt.asked

        made, titles = visualizations(values["inputs"], options, on_step)
        save(arranged(made, titles), output)
        reporter.say(f"{', '.join(titles)} -> {output} ({duration(time.monotonic() - began)})")
        return INTERRUPTED if interrupt.asked else DONE
