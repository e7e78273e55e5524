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
    """How the pictures are written."""

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
    from retouch.image.files import check_writable
    from retouch.tasks.generate import run as make

    output = Path(values["output"])
    single = values["output"].endswith(("/", "\\")) or output.is_dir()
    if single and sheet.columns is not None:
        raise OptionError("--columns belongs to a sheet, not to single pictures in a folder")
    if single:
        _make_folder(output)
    else:
        check_writable(output)
    with Reporter(1, quiet=sheet.quiet) as reporter, Interrupt(gentle=True).installed() as interrupt:
        reporter.start(f"generate {values['inputs']}")
        interrupt.listening = True

        def heard(step: Step) -> bool:
            reporter.step(step)
            return not interrupt.asked

        images = make(values["inputs"], options, heard)
    if single:
        _write_each(images, output, Path(values["inputs"]).stem, sheet.enlarge or 1)
    else:
        _write_sheet(images, output, options, sheet)
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


def _write_sheet(images: list[Image], output: Path, options: GenerateOptions, sheet: SheetOptions) -> None:
    from retouch.image.files import save
    from retouch.tasks.generate import sheet_of

    save(sheet_of(images, sheet.columns or options.columns, sheet.enlarge), output)
