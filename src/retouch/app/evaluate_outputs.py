"""What ``retouch evaluate`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retouch.tasks.base import Options, option


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Options):
    """Where the pictures come from and what is written."""

    data: Path = option(help="folder of pictures, or one picture", metavar="DIR")
    json: Path | None = option(None, "write the report there, anew after each picture", metavar="FILE")
    resume: bool = option(False, "go on with the evaluation that --json holds a part of")
    sheet: Path | None = option(None, "picture sheet: degraded, method, original", metavar="FILE")
    save: Path | None = option(None, "folder for the outputs of the method", metavar="DIR")
    record: bool = option(False, "for a weight: put the means on its card, in its own file")
    markdown: Path | None = option(
        None, "for 'catalogue': the table; between its marks, in a document that has them", metavar="FILE"
    )
    colorize: bool = option(
        False, "how near the colours come that NAME gives to the grey versions: the error in CIE ab, and colourfulness"
    )
    pairs: bool = option(
        False,
        "DIR holds pairs side by side: how near the weight NAME, or 'input', comes to one half from the other, in the "
        "direction of its card",
    )
    labels: Literal["facades"] | None = option(
        None, "with --pairs: what should come out are label maps in these colours, and is measured as such"
    )
    style: Path | None = option(
        None,
        "for a weight that paints in a style: the picture that has it; how near the style comes, and the content stays",
        metavar="PICTURE",
    )
    quiet: bool = option(False, "print the means only")
    debug: bool = option(False, "show where in the program an error arose")
