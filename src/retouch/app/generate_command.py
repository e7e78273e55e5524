"""``retouch generate MODEL -o SHEET.png|FOLDER/``: pictures of nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.app.arguments import parse
from retouch.app.batch import DONE, INTERRUPTED, Interrupt
from retouch.app.progress import Reporter
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Options, option
from retouch.tasks.generate import GenerateOptions

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.solvers.steps import Step

HELP = "make pictures of nothing, by a network that learned what digits or faces look like"


@dataclass(frozen=True, kw_only=True)
class SheetOptions(Options):
    """What is given, and how the pictures are written."""

    pictures: tuple[Path, ...] = option(
        (), "pictures (files or folders) in place of samples: a variational autoencoder gives them back as it would "
        "make them, below each row of them; with --interpolate it goes from each to the next, with --manifold between "
        "four", metavar="PICTURE",
    )  # fmt: skip
    columns: int | None = option(
        None, "pictures side by side on a sheet; by default a square, or a row for each interpolation", minimum=1,
        maximum=10_000, metavar="N",
    )  # fmt: skip
    enlarge: int | None = option(
        None,
        "each pixel becomes so many squared; by default a sheet is made wide enough to look at, single pictures stay",
        minimum=1,
        maximum=64,
        metavar="N",
    )
    quiet: bool = option(False, "say nothing but errors")
    debug: bool = option(False, "show where in the program an error arose")


def run(words: list[str]) -> int:
    """Write the sheet, or the single pictures into a folder; Ctrl-C writes those that are done."""
    values = parse(
        "retouch generate",
        HELP,
        [GenerateOptions, SheetOptions],
        ["--count" if word == "-n" else word for word in words],
        several="MODEL",
        about_inputs="a weight for generate by name ('retouch models list generate' shows them), or its file",
        output="SHEET.png (or another picture format), or FOLDER/ for single pictures",
        single=True,
    )
    options = GenerateOptions(**values[GenerateOptions])
    sheet = SheetOptions(**values[SheetOptions])
    from retouch.image.files import check_writable, open_image
    from retouch.tasks.generate import run as make
    from retouch.tasks.generate import with_pictures

    output = Path(values["output"])
    single = values["output"].endswith(("/", "\\")) or output.is_dir()
    if single and sheet.columns is not None:
        raise OptionError("--columns belongs to a sheet, not to single pictures in a folder")
    if single:
        _make_folder(output)
    else:
        check_writable(output)
    given = [open_image(path) for path in _files(sheet.pictures)]
    options = with_pictures(options, len(given))
    with Reporter(1, quiet=sheet.quiet) as reporter, Interrupt(gentle=True).installed() as interrupt:
        reporter.start(f"generate {values['inputs']}")
        interrupt.listening = True

        def heard(step: Step) -> bool:
            reporter.step(step)
            return not interrupt.asked

        images = make(values["inputs"], options, heard, given)
    if single:
        _write_each(images, output, Path(values["inputs"]).stem, sheet.enlarge or 1)
    else:
        _write_sheet(images, given, output, options, sheet)
    return INTERRUPTED if interrupt.asked else DONE


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetouchError(f"{folder}: cannot make the folder: {error.strerror or error}") from error


def _write_each(images: list[Image], folder: Path, name: str, enlarge: int) -> None:
    from retouch.image.files import save

    digits = max(4, len(str(len(images))))
    for number, image in enumerate(images, 1):
        pixels = image.pixels.repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2)
        save(dataclasses.replace(image, pixels=pixels), folder / f"{name}-{number:0{digits}}.png")


def _write_sheet(
    images: list[Image], given: list[Image], output: Path, options: GenerateOptions, sheet: SheetOptions
) -> None:
    from retouch.image.files import save
    from retouch.tasks.generate import fitted, sheet_of

    columns = sheet.columns or options.columns
    if given and options.interpolate is None and not options.manifold:
        first = images[0]
        shape = (first.channels, first.height, first.width)
        seen = [dataclasses.replace(first, pixels=pixels) for pixels in fitted(given, shape)]
        images = _under(seen, images, columns)
    save(sheet_of(images, columns, sheet.enlarge), output)


def _under(above: list[Image], below: list[Image], columns: int) -> list[Image]:
    """Rows of the one and of the other in turn, the last ones filled up with black."""
    black = dataclasses.replace(above[0], pixels=above[0].pixels * 0)
    rows = []
    for start in range(0, len(below), columns):
        for part in (above[start : start + columns], below[start : start + columns]):
            rows += part + [black] * (columns - len(part))
    return rows


def _files(places: tuple[Path, ...]) -> list[Path]:
    """The picture files that are meant: those named, and those in the folders named."""
    from retouch.app.plan import find_pictures
    from retouch.image.files import READABLE

    return find_pictures([str(place) for place in places], READABLE) if places else []
