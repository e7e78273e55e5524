"""Frames written one after the other, as an animation or as the files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.image.image import Image

if TYPE_CHECKING:
    import PIL.Image

ANIMATED = (".webp", ".png", ".gif")
"""Endings of the animations that can be written: WebP, animated PNG, GIF."""


def check_animation(path: str | Path) -> None:
    """Raise ``OptionError`` if ``save_animation`` could not write there: another ending, no folder to write into."""
    path = Path(path)
    if path.suffix.lower() not in ANIMATED:
        raise OptionError(f"{path}: {unknown('ending of an animation', path.suffix, ANIMATED)}")
    if path.is_dir():
        raise OptionError(f"{path}: this is a folder")
    if not path.parent.is_dir():
        raise OptionError(f"{path}: there is no folder {path.parent}")


def save_animation(
    frames: Iterable[Image], path: str | Path, *, rate: float = 12.0, quality: int = 85, back: bool = False
) -> int:
    """Write an animation that runs for ever; how many frames it has.

    ``path``: ends in .webp, .png (animated PNG) or .gif (256 colours). ``rate``: frames a second. ``quality``: of WebP,
    1..100. ``back``: the frames run back again after the last. The file appears whole or not at all; the metadata of
    the frames is left out. Frames are held at 8 bits until the last is there. Raises ``OptionError`` for another
    ending, a rate or a quality out of range, or no frames; ``RetouchError`` where it cannot be written.
    """
    path = Path(path)
    check_animation(path)
    if not 0.1 <= rate <= 60:
        raise OptionError(f"--rate must be in 0.1..60, not {rate:g}")
    if not 1 <= quality <= 100:
        raise OptionError(f"--quality must be in 1..100, not {quality}")
    pictures = [_picture(frame) for frame in frames]
    if not pictures:
        raise OptionError(f"{path}: an animation needs at least one frame")
    if back:
        pictures += pictures[-2:0:-1]
    first, *rest = pictures
    kind = {".webp": "WEBP", ".png": "PNG", ".gif": "GIF"}[path.suffix.lower()]
    options: dict[str, int | bool] = {"quality": quality, "method": 4} if kind == "WEBP" else {}
    try:
        with replacing(path) as partial:
            first.save(partial, kind, save_all=True, append_images=rest, duration=round(1000 / rate), loop=0, **options)
    except OSError as error:
        raise RetouchError(f"{path}: cannot be written: {error.strerror or error}") from error
    return len(pictures)


def _picture(frame: Image) -> PIL.Image.Image:
    import PIL.Image

    shown = PIL.Image.fromarray(frame.to_array(8))
    return shown if shown.mode in ("RGB", "RGBA") else shown.convert("RGBA" if "A" in shown.getbands() else "RGB")
