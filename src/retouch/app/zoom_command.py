"""``retouch zoom PHOTO -o OUT.webp|OUT.gif|OUT.png|FOLDER/``: a dream that is fallen into."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.app.arguments import parse
from retouch.app.batch import DONE, INTERRUPTED, Interrupt
from retouch.app.progress import Reporter, duration
from retouch.app.visualize_command import DrawOptions
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Options, option
from retouch.tasks.dream import DreamOptions, zoom

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Step

HELP = "dream into a picture, frame after frame, as an animation"
_OF_ONE_PICTURE = ("state", "budget", "method", "note")  # options of ``dream`` that mean nothing here


@dataclass(frozen=True, kw_only=True)
class ZoomOptions(Options):
    """The options of ``zoom`` beside those of ``dream``."""

    frames: int = option(60, "how many frames are dreamt", minimum=1, maximum=100_000, metavar="N")
    scale: float = option(1.05, "how much each frame enlarges the one before", minimum=1, maximum=2, metavar="N")
    rate: float = option(12.0, "frames a second of the animation", minimum=0.1, maximum=60, metavar="N")
    size: int = option(
        512, "short side of the frames at most, 0 for the picture's own", minimum=0, maximum=8192, unit="px",
        metavar="N",
    )  # fmt: skip
    back: bool = option(False, "the animation runs back again after the last frame")


def run(words: list[str]) -> int:
    """Write the animation, or the frames into a folder as they are made. Ctrl-C ends it with the frames that are there.

    A folder's frames are numbered PNG files, from which any program makes a video.
    """
    values = parse(
        "retouch zoom",
        HELP,
        [ZoomOptions, DreamOptions, DrawOptions],
        words,
        several="PHOTO",
        about_inputs="the picture",
        output="an animation (.webp, .png, .gif), or a folder for the frames",
        single=True,
    )
    output = Path(values["output"])
    folder = not output.suffix or output.is_dir() or values["output"].endswith("/")
    from retouch.app.batch import open_picture
    from retouch.app.plan import same_file
    from retouch.image.animation import check_animation, save_animation

    source = Path(values["inputs"])
    if folder:
        _make(output)
    else:
        check_animation(output)
        if same_file(source, output):
            raise OptionError(f"--output {output}: this is the input; it would be written over, choose another")
    options = ZoomOptions(**values[ZoomOptions])
    chosen = _dream_options(values[DreamOptions])
    image = _fitted(open_picture(source, None), options.size)
    began = time.monotonic()
    reporter = Reporter(1, quiet=values[DrawOptions]["quiet"])
    with reporter, Interrupt(gentle=True, listening=True).installed() as interrupt:
        reporter.start(values["inputs"])

        def on_step(step: Step) -> bool:
            reporter.step(step)
            return not interrupt.asked

        frames = zoom(image, options.frames, scale=options.scale, on_step=on_step, **chosen)
        if folder:
            count = sum(1 for _ in _written(frames, output))
        else:
            count = save_animation(frames, output, rate=options.rate, back=options.back)
        reporter.say(f"{source} -> {output} ({count} frames, {duration(time.monotonic() - began)})")
        return INTERRUPTED if interrupt.asked else DONE


def _dream_options(values: dict[str, Any]) -> dict[str, Any]:
    """What ``zoom`` hands on to ``dream``; the guide opened, and what was left at its default left out."""
    from retouch.image.files import open_image

    defaults = {field.name: field.default for field in fields(DreamOptions)}
    chosen = {name: value for name, value in values.items() if value != defaults[name]}
    for name in _OF_ONE_PICTURE:
        if name in chosen:
            raise OptionError(f"--{name}: not an option of zoom, but of dream")
    if "guide" in chosen:
        chosen["guide"] = open_image(chosen["guide"])
    return chosen


def _fitted(image: Image, size: int) -> Image:
    from retouch.image.resize import resize

    shorter = min(image.height, image.width)
    if not size or shorter <= size:
        return image
    target = (round(image.height * size / shorter), round(image.width * size / shorter))
    alpha = None if image.alpha is None else resize(image.alpha[None], target).clamp(0, 1)[0]
    return image.with_pixels(resize(image.pixels[None], target), alpha)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--output {folder}: cannot make this folder: {error.strerror or error}") from error
    if any(folder.glob("frame-*.png")):
        raise RetouchError(f"{folder}: holds frames already; choose another folder, or empty it")


def _written(frames: Iterator[Image], folder: Path) -> Iterator[Path]:
    for number, frame in enumerate(frames, 1):
        path = folder / f"frame-{number:05}.png"
        frame.save(path)
        yield path
