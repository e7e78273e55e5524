"""A before/after page: one HTML file with the pictures in it and a divider to drag; works without network."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from importlib import resources

from retouch.image.errors import PictureError
from retouch.image.image import Image

_KINDS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")  # what every browser shows
_LOSSLESS_PIXELS = 4_000_000
_WEBP_SIDE = 16383


def before_after_page(
    pairs: Sequence[tuple[Image | bytes, Image | bytes, str]],
    *,
    title: str = "Before and after",
    labels: tuple[str, str] = ("before", "after"),
) -> str:
    """The text of an HTML file that shows each pair (before, after, name) under a divider.

    The divider follows mouse, touch and the arrow keys (Shift for larger steps, Home and End for the ends); wheel and
    pinch zoom at the pointer, + - 0 1 too; several pairs are chosen from a strip or with [ and ]. Two pictures of
    different sizes are laid over each other at the size of the larger one.

    An Image is embedded with 8 bits a channel, its ICC profile and its alpha: as PNG up to 4 megapixels, above that as
    WebP of quality 95, which is about a tenth as long. ``bytes`` are a PNG, JPEG, WebP, AVIF, GIF or BMP file, embedded
    as it is. Raises ``ValueError`` if there is no pair, and ``PictureError`` for bytes that are no such file.
    """
    if not pairs:
        raise ValueError("a before/after page needs at least one pair")
    figures = []
    for before, after, name in pairs:
        images = "".join(
            f'<img{" class=clear" if _clear(picture) else ""} alt="{html.escape(label)}" src="{_embedded(picture)}">\n'
            for picture, label in ((before, labels[0]), (after, labels[1]))
        )
        figures.append(f"<figure>\n{images}<figcaption>{html.escape(name)}</figcaption>\n</figure>")
    values = {
        "title": html.escape(title),
        "before": html.escape(labels[0]),
        "after": html.escape(labels[1]),
        "figures": "\n".join(figures),
    }
    template = resources.files("retouch.image").joinpath("page.html").read_text(encoding="utf-8")
    # in one pass, so that a name that looks like a placeholder stays a name
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _clear(picture: Image | bytes) -> bool:
    return isinstance(picture, Image) and picture.alpha is not None


def _embedded(picture: Image | bytes) -> str:
    """The picture as a ``data:`` address."""
    import PIL.Image

    if isinstance(picture, bytes):
        try:
            kind = PIL.Image.open(io.BytesIO(picture), formats=_KINDS).format or ""
        except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
            raise PictureError(f"a before/after page takes {', '.join(_KINDS)} files: {error}") from error
        return _address(kind, picture)
    small = picture.height * picture.width <= _LOSSLESS_PIXELS or max(picture.height, picture.width) > _WEBP_SIDE
    kind = "PNG" if small else "WEBP"
    options = {} if small else {"quality": 95, "method": 2}
    stream = io.BytesIO()
    PIL.Image.fromarray(picture.to_array(8)).save(stream, kind, icc_profile=picture.metadata.icc, **options)
    return _address(kind, stream.getvalue())


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode('ascii')}"
