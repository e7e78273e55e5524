"""``retouch compare A B... -o SHEET.png|PAGE.html``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.app.arguments import parse
from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Options, option

if TYPE_CHECKING:
    from retouch.image.image import Image

HELP = "show pictures side by side, or on a page with a divider to drag"


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """The options of ``compare``."""

    reference: Path | None = option(
        None, "the picture as it should be: PSNR and SSIM against it go under those of its size", metavar="PICTURE"
    )
    difference: bool = option(False, "a second row that shows what differs")
    max_pixels: int | None = option(
        None, "refuse pictures of more pixels, before decoding them", minimum=1, metavar="N"
    )
    quiet: bool = option(False, "say nothing but errors")
    debug: bool = option(False, "show where in the program an error arose")


def run(words: list[str]) -> int:
    """Write the sheet or the page. A picture that cannot be read fails the whole: a sheet with a gap misleads."""
    values = parse(
        "retouch compare",
        HELP,
        [CompareOptions],
        words,
        several="PICTURE",
        about_inputs="pictures; on a page the first is 'before'",
        output="SHEET.png (or another picture format) or PAGE.html",
    )
    options = CompareOptions(**values[CompareOptions])
    output = Path(values["output"])
    from retouch.app.batch import open_picture
    from retouch.app.plan import find_pictures, same_file
    from retouch.image.files import READABLE, check_writable, save
    from retouch.tasks.compare import compare, compare_page

    is_page = output.suffix.lower() in (".html", ".htm")
    if is_page and options.difference:
        raise OptionError("--difference belongs to a sheet, not to a page")
    paths = find_pictures(values["inputs"], READABLE)
    extra = [options.reference] if options.reference is not None else []
    for path in paths + extra:
        if same_file(path, output):
            raise OptionError(f"--output {output}: this is an input ({path}); it would be written over, choose another")
    check_writable(output, format="png" if is_page else None)
    images: list[Image] = [open_picture(path, options.max_pixels) for path in paths]
    names = [path.name for path in paths]
    titles = names if len(set(names)) == len(names) else [str(path) for path in paths]
    reference = open_picture(options.reference, options.max_pixels) if options.reference is not None else None
    if is_page:
        if reference is not None:
            images.append(reference)
            titles.append("reference")
        _write_text(output, compare_page(images, titles=titles))
    else:
        save(compare(images, titles=titles, reference=reference, difference=options.difference), output)
    return 0


def _write_text(path: Path, text: str) -> None:
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RetouchError(f"{path}: cannot be written: {error.strerror or error}") from error
