"""Pictures side by side: a sheet with numbers under it, or a page with a divider to drag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import as_image

if TYPE_CHECKING:
    from retouch.image.image import Image
    from retouch.tasks.base import Source


def compare(
    images: Sequence[Source],
    *,
    titles: Sequence[str] | None = None,
    reference: Source | None = None,
    difference: bool = False,
) -> Image:
    """A sheet of ``images`` side by side.

    ``titles``: one over each. ``reference``: the picture as it should be; it is shown last, and PSNR and SSIM against
    it (RGB, whole picture) are written under those of its size. ``difference``: a second row with what differs from
    the reference, or from the first picture without one. Raises ``OptionError`` for an empty list, or titles that do
    not fit it, and ``RetouchError`` where a difference is asked for between sizes that differ.
    """
    from retouch.image.sheet import difference_map, sheet

    shown = [as_image(image) for image in images]
    if not shown:
        raise OptionError("compare: needs at least one picture")
    names = list(titles) if titles is not None else [f"{number}" for number in range(1, len(shown) + 1)]
    if len(names) != len(shown):
        raise OptionError(f"compare: {len(names)} titles for {len(shown)} pictures")
    captions = ["" for _ in shown]
    yardstick = shown[0]
    if reference is not None:
        yardstick = as_image(reference)
        captions = [_score(image, yardstick) if _alike(image, yardstick) else "" for image in shown]
        shown.append(yardstick)
        names.append("reference")
        captions.append("")
    rows: list[list[Image | None]] = [list(shown)]
    all_captions = [captions]
    if difference:
        others = [image for image in shown if image is not yardstick]
        odd = next((name for name, image in zip(names, shown, strict=True) if not _alike(image, yardstick)), None)
        if odd is not None:
            raise RetouchError(f"{odd}: of another size or another number of channels, so it has no difference")
        if not others:
            raise OptionError("--difference needs two pictures, or a --reference")
        rows.append([difference_map(image, yardstick) if image is not yardstick else None for image in shown])
        all_captions.append(["difference" if image is not yardstick else "" for image in shown])
    return sheet(rows, column_titles=names, captions=all_captions)


def compare_page(images: Sequence[Source], *, titles: Sequence[str], page_title: str = "Before and after") -> str:
    """A self-contained HTML page: the first picture against each of the others, with a divider to drag.

    Raises ``OptionError`` for fewer than two pictures.
    """
    from retouch.image.sheet import before_after_page

    shown = [as_image(image) for image in images]
    if len(shown) < 2:
        raise OptionError("compare: a page needs two pictures, before and after")
    pairs = [(shown[0], image, f"{titles[0]} | {title}") for image, title in zip(shown[1:], titles[1:], strict=True)]
    return before_after_page(pairs, title=page_title)


def _alike(one: Image, other: Image) -> bool:
    return one.pixels.shape == other.pixels.shape


def _score(image: Image, reference: Image) -> str:
    from retouch.metrics import psnr, ssim

    if bool((image.pixels == reference.pixels).all()):
        return "identical"
    ratio = f"{psnr(image, reference):.2f} dB"
    if min(image.height, image.width) < 11:  # the window of SSIM
        return ratio
    return f"{ratio}, SSIM {ssim(image, reference):.4f}"
