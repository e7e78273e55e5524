"""Pictures for people: a comparison sheet with titles and captions, and a map of what differs.

The before/after page lives in ``page.py`` and is reachable from here too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from retouch.image.image import Image, Metadata
from retouch.image.page import before_after_page

if TYPE_CHECKING:
    import PIL.Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

__all__ = ["before_after_page", "difference_map", "sheet"]

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

_SMALLEST_CELL, _LARGEST_CELL = 192, 512
_ZOOM_COLOUR: Colour = (255, 176, 0)
_CHECKS = 8  # side of the squares behind a transparent picture, in pixels
_MOST_PIXELS = 400_000_000


def sheet(
    rows: Sequence[Sequence[Image | None]],
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] | None = None,
    title: str = "",
    cell: int | None = None,
    gap: int = 12,
    background: Colour = (255, 255, 255),
    zoom: Box | Sequence[Box] | None = None,
) -> Image:
    """Pictures in rows and columns with words around them, as one RGB Image of 8 bits.

    ``rows``: the pictures, None for an empty place; rows may differ in length. ``column_titles``: one over each
    column; ``row_titles``: one beside each row; ``captions``: one under each picture, in the shape of ``rows``. All may
    be shorter than what they label. ``cell``: the longest side that a picture is drawn with, in pixels (by default
    that of the largest picture, within 192..512): a larger picture is shrunk with antialiasing. The largest of
    a row sets how large its row is drawn, and smaller ones are enlarged towards that by a whole factor, pixel by pixel,
    so that nothing is smoothed that was not. ``gap``: pixels between the pictures, twice that between rows with
    captions. ``background``: RGB in 0..255; the words are drawn dark or light to suit it. ``zoom``: a box
    (left, top, right, bottom) in fractions of a picture, one for all or one a row; it is outlined, and drawn enlarged
    under the picture. Transparent pictures lie on a checkerboard.

    Raises ``ValueError`` for no picture at all, a cell under 16 pixels, a box outside the picture, or a sheet of more
    than 400 megapixels.
    """
    rows = [list(row) for row in rows]
    pictures = [image for row in rows for image in row if image is not None]
    if not pictures:
        raise ValueError("a sheet needs at least one picture")
    if cell is None:
        longest = max(max(image.height, image.width) for image in pictures)
        cell = min(max(longest, _SMALLEST_CELL), _LARGEST_CELL)
    if cell < 16 or gap < 0:
        raise ValueError(f"a sheet needs cells of at least 16 pixels and a gap of at least 0, not {cell} and {gap}")
    boxes = _boxes(zoom, len(rows))
    columns = max(len(row) for row in rows)
    if columns * len(rows) * (cell + gap) ** 2 > _MOST_PIXELS:
        raise ValueError(f"{len(rows)}x{columns} cells of {cell} pixels make a sheet that is too large")
    drawn = [
        [None if image is None else _draw(image, _fitted(row, cell), box) for image in row]
        for row, box in zip(rows, boxes, strict=True)
    ]
    layout = _Layout(drawn, cell, gap, background, column_titles, row_titles, captions or (), title)
    return Image.from_array(np.asarray(layout.paint()), Metadata(format="PNG", bit_depth=8))


def difference_map(a: Image, b: Image, *, gain: float = 5.0) -> Image:
    """Where and how ``a`` differs from ``b``: ``0.5 + gain * (a - b) / 2`` for each channel, clipped to [0, 1].

    Mid-grey is equal, brighter means that ``a`` is brighter, and a tint shows an error of colour. An error of
    ``1 / gain`` of the range saturates. The gain is fixed, so that maps beside each other can be compared.
    Raises ``ValueError`` if sizes or channels differ.
    """
    if a.pixels.shape != b.pixels.shape:
        raise ValueError(f"pictures differ in size: {tuple(a.pixels.shape)} and {tuple(b.pixels.shape)}")
    return Image((a.pixels - b.pixels).mul_(gain / 2).add_(0.5).clamp_(0, 1), metadata=Metadata(bit_depth=8))


def _boxes(zoom: Box | Sequence[Box] | None, count: int) -> list[Box | None]:
    if zoom is None:
        return [None] * count
    boxes = [cast(Box, zoom)] * count if isinstance(zoom[0], (int, float)) else list(cast("Sequence[Box]", zoom))
    for left, top, right, bottom in boxes:
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            box = (left, top, right, bottom)
            raise ValueError(f"a zoom box is (left, top, right, bottom) in fractions of the picture, not {box}")
    if len(boxes) != count:
        raise ValueError(f"{len(boxes)} zoom boxes for {count} rows")
    return list(boxes)


def _fitted(row: Sequence[Image | None], cell: int) -> int:
    """The longest side of the row's largest picture as drawn: no more than ``cell``, a whole multiple if enlarged."""
    longest = max((max(image.height, image.width) for image in row if image is not None), default=cell)
    return min(cell, longest * max(1, cell // longest))


def _draw(image: Image, cell: int, box: Box | None) -> PIL.Image.Image:
    """The picture as it stands in its cell, RGB, with its zoomed part below it."""
    import PIL.Image
    import PIL.ImageDraw

    whole = _flat(image)
    longest = max(whole.size)
    if longest > cell:
        size = (max(1, round(whole.width * cell / longest)), max(1, round(whole.height * cell / longest)))
        picture = whole.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    else:
        factor = cell // longest
        picture = whole.resize((whole.width * factor, whole.height * factor), PIL.Image.Resampling.NEAREST)
    if box is None:
        return picture
    left, top, right, bottom = box
    part = (left * whole.width, top * whole.height, right * whole.width, bottom * whole.height)
    height = max(1, round(picture.width * (part[3] - part[1]) / (part[2] - part[0])))
    if height > 2 * picture.height:  # a tall thin box would make a tower
        raise ValueError(f"the zoom box {box} is too tall: its enlargement would be {picture.width}x{height} pixels")
    # pixel by pixel where it is enlarged; a part of a large picture that shrinks is antialiased
    grows = picture.width >= part[2] - part[0]
    method = PIL.Image.Resampling.NEAREST if grows else PIL.Image.Resampling.LANCZOS
    enlarged = whole.resize((picture.width, height), method, box=part)
    stroke = max(2, cell // 160)
    for canvas, frame in (
        (picture, [left * picture.width, top * picture.height, right * picture.width, bottom * picture.height]),
        (enlarged, [0.0, 0.0, enlarged.width, enlarged.height]),
    ):
        corners = (round(frame[0]), round(frame[1]), round(frame[2]) - 1, round(frame[3]) - 1)
        if corners[2] > corners[0] and corners[3] > corners[1]:
            PIL.ImageDraw.Draw(canvas).rectangle(corners, outline=_ZOOM_COLOUR, width=stroke)
    both = PIL.Image.new("RGB", (picture.width, picture.height + height))
    both.paste(picture, (0, 0))
    both.paste(enlarged, (0, picture.height))
    return both


def _flat(image: Image) -> PIL.Image.Image:
    """RGB of 8 bits, over a checkerboard where the picture is transparent."""
    import PIL.Image

    picture = PIL.Image.fromarray(image.to_array(8, alpha=False)).convert("RGB")
    if image.alpha is None:
        return picture
    row, column = (np.arange(side) // _CHECKS for side in (image.height, image.width))
    checks = np.where((row[:, None] + column[None, :]) % 2, np.uint8(255), np.uint8(204))
    alpha = np.rint(image.alpha[0].numpy() * np.float32(255)).astype(np.uint8)
    return PIL.Image.composite(picture, PIL.Image.fromarray(checks).convert("RGB"), PIL.Image.fromarray(alpha))


class _Words:
    """Text of one size: broken into lines that fit a width, measured, and drawn."""

    def __init__(self, size: int, lines: int) -> None:
        import PIL.Image
        import PIL.ImageDraw
        from PIL import ImageFont

        try:
            self.font: Font = ImageFont.load_default(size=size)
            self.outline = True
        except ImportError:  # Pillow without FreeType has one bitmap font, of Latin-1
            self.font, self.outline = ImageFont.load_default(), False
        self.lines = lines
        self.ruler = PIL.ImageDraw.Draw(PIL.Image.new("L", (1, 1)))
        _, top, _, bottom = self.ruler.textbbox((0, 0), "Ågjpq", font=self.font)
        self.line_height = round((bottom - min(0, top)) * 1.15)

    def clean(self, text: str) -> str:
        """On one line, without what cannot be printed; a letter that the font lacks loses its accent or its shape."""
        text = " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split())
        if self.outline:
            return "".join(c if c.isascii() or self.has(c) else self.plain(c) for c in text)
        return text.encode("latin-1", "replace").decode("latin-1")

    def has(self, letter: str) -> bool:
        """Whether the font draws it otherwise than something that no font has."""
        return bytes(self.font.getmask(letter)) != bytes(self.font.getmask("\uffff"))

    @staticmethod
    def plain(letter: str) -> str:
        """Without accents if that is ASCII, else as it is, which the font shows as an empty box."""
        bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
        return bare if bare.isascii() else letter

    def width(self, text: str) -> float:
        return self.ruler.textlength(text, font=self.font)

    def fit(self, text: str, width: float) -> list[str]:
        """Lines no wider than ``width``; a word that is too long, or a rest, loses its middle to an ellipsis."""
        words = self.clean(text).split(" ")
        lines: list[str] = []
        while words and words[0]:
            if len(lines) == self.lines - 1:
                return [*lines, self.shorten(" ".join(words), width)]
            line = words.pop(0)
            while words and self.width(f"{line} {words[0]}") <= width:
                line += f" {words.pop(0)}"
            lines.append(self.shorten(line, width))
        return lines

    def shorten(self, text: str, width: float) -> str:
        """The longest head and tail around an ellipsis that fit: the end of a file name matters as much."""
        if self.width(text) <= width:
            return text
        low, high = 0, len(text) - 1
        while low < high:
            kept = (low + high + 1) // 2
            if self.width(self._ends(text, kept)) <= width:
                low = kept
            else:
                high = kept - 1
        return self._ends(text, low)

    @staticmethod
    def _ends(text: str, kept: int) -> str:
        tail = kept // 2
        return f"{text[: kept - tail].rstrip()}...{text[len(text) - tail :].lstrip()}"

    def height(self, lines: list[str]) -> int:
        return len(lines) * self.line_height

    def draw(self, canvas: ImageDraw, lines: list[str], centre: float, top: float, colour: Colour) -> None:
        for number, line in enumerate(lines):
            left = centre - self.width(line) / 2
            canvas.text((round(left), round(top + number * self.line_height)), line, fill=colour, font=self.font)


class _Layout:
    """Where everything stands: columns as wide as their widest picture, rows as high as their highest."""

    def __init__(
        self,
        drawn: list[list[PIL.Image.Image | None]],
        cell: int,
        gap: int,
        background: Colour,
        column_titles: Sequence[str],
        row_titles: Sequence[str],
        captions: Sequence[Sequence[str]],
        title: str,
    ) -> None:
        self.drawn, self.gap, self.background = drawn, gap, background
        self.margin = max(gap, 12)
        self.text_gap = max(6, cell // 40)
        size = min(max(13, round(cell / 17)), 26)  # readable when the sheet is seen at half its size
        self.heading, self.label = _Words(round(size * 1.5), 2), _Words(size, 2)
        self.note = _Words(max(12, round(size * 0.88)), 3)
        columns = max(len(row) for row in drawn)
        least = min(cell, 96)  # so that captions under narrow pictures stay readable
        self.widths = [
            max([least, *(row[c].width for row in drawn if c < len(row) and row[c] is not None)])  # type: ignore[union-attr]
            for c in range(columns)
        ]
        self.heights = [max([0, *(p.height for p in row if p is not None)]) for row in drawn]
        self.titles = [self.label.fit(_at(column_titles, c), self.widths[c]) for c in range(columns)]
        self.sides = [self.label.fit(_at(row_titles, r), max(self.heights[r], 64)) for r in range(len(drawn))]
        self.captions = [
            [self.note.fit(_at(_at(captions, r), c), self.widths[c]) for c in range(columns)] for r in range(len(drawn))
        ]
        inner = sum(self.widths) + gap * (columns - 1)
        self.heading_lines = self.heading.fit(title, inner)

    def paint(self) -> PIL.Image.Image:
        """The sheet."""
        import PIL.Image
        import PIL.ImageDraw

        gap, margin = self.gap, self.margin
        row_gap = 2 * gap if any(any(row) for row in self.captions) else gap  # a caption belongs to what is above it
        side = max(self.label.height(lines) for lines in self.sides)
        left = margin + (side + self.text_gap if side else 0)
        head = max(self.label.height(lines) for lines in self.titles)
        top = margin + self.heading.height(self.heading_lines) + (self.text_gap if self.heading_lines else 0)
        notes = [max(self.note.height(lines) for lines in row) for row in self.captions]
        notes = [height + self.text_gap if height else 0 for height in notes]
        bands = [
            max(picture, self.label.width(max(lines, key=len, default="")) if lines else 0) + note
            for picture, note, lines in zip(self.heights, notes, self.sides, strict=True)
        ]
        start = top + (head + self.text_gap if head else 0)
        width = left + sum(self.widths) + gap * (len(self.widths) - 1) + margin
        height = round(start + sum(bands) + row_gap * (len(bands) - 1) + margin)
        canvas = PIL.Image.new("RGB", (width, height), self.background)
        pen = PIL.ImageDraw.Draw(canvas)
        light = sum(c * w for c, w in zip(self.background, (0.299, 0.587, 0.114), strict=True)) > 127
        strong: Colour = (24, 24, 27) if light else (244, 244, 245)
        soft: Colour = (82, 82, 91) if light else (190, 190, 198)

        self.heading.draw(pen, self.heading_lines, left + (width - margin - left) / 2, margin, strong)
        centres = []
        x = float(left)
        for column in self.widths:
            centres.append(x + column / 2)
            x += column + gap
        for lines, centre in zip(self.titles, centres, strict=True):
            self.label.draw(pen, lines, centre, start - self.text_gap - self.label.height(lines), strong)
        y = float(start)
        for r, row in enumerate(self.drawn):
            tall = bands[r] - notes[r]
            self._beside(canvas, self.sides[r], margin + (side - self.label.height(self.sides[r])) / 2, y, tall, strong)
            for c, picture in enumerate(row):
                if picture is None:
                    continue
                above = (tall - picture.height) / 2
                canvas.paste(picture, (round(centres[c] - picture.width / 2), round(y + above)))
                under = y + above + picture.height + self.text_gap
                self.note.draw(pen, self.captions[r][c], centres[c], under, soft)
            y += bands[r] + row_gap
        return canvas

    def _beside(
        self, canvas: PIL.Image.Image, lines: list[str], left: float, top: float, tall: float, colour: Colour
    ) -> None:
        """A row title, turned to read upwards."""
        import PIL.Image
        import PIL.ImageDraw

        if not lines:
            return
        length = max(round(tall), 1)
        ribbon = PIL.Image.new("RGB", (length, self.label.height(lines)), self.background)
        self.label.draw(PIL.ImageDraw.Draw(ribbon), lines, length / 2, 0, colour)
        canvas.paste(ribbon.transpose(PIL.Image.Transpose.ROTATE_90), (round(left), round(top)))


def _at(values: Sequence[str] | Sequence[Sequence[str]], index: int) -> str:
    return values[index] if index < len(values) else ""  # type: ignore[return-value]
