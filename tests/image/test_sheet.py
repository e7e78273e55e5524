"""Sheets: every picture stands where it should, as it is, and nothing that people pass breaks the layout."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from retouch.image.image import Image
from retouch.image.sheet import difference_map, sheet

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def _noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Image:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.from_array(array if channels > 1 else array[:, :, 0])


def _rgb(image: Image) -> np.ndarray[Any, Any]:
    array = image.to_array(8, alpha=False)
    return np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else array


def _find(page: Image, part: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Where ``part`` stands on the page, exactly once."""
    canvas = _rgb(page)
    height, width = part.shape[:2]
    corners = np.argwhere((canvas[: -height + 1 or None, : -width + 1 or None] == part[0, 0]).all(axis=2))
    found = [(y, x) for y, x in corners if np.array_equal(canvas[y : y + height, x : x + width], part)]
    assert len(found) == 1
    return int(found[0][0]), int(found[0][1])


def test_pictures_stand_in_rows_and_columns_unchanged() -> None:
    pictures = [[_noise(200, 200, seed=10 * r + c) for c in range(3)] for r in range(2)]
    page = sheet(pictures, gap=10)
    places = [[_find(page, _rgb(image)) for image in row] for row in pictures]
    for row in places:
        assert len({y for y, _ in row}) == 1
        assert [b[1] - a[1] for a, b in itertools.pairwise(row)] == [210, 210]
    assert places[1][0][0] - places[0][0][0] == 210
    assert [x for _, x in places[0]] == [x for _, x in places[1]]
    assert page.channels == 3
    assert page.metadata.bit_depth == 8


def test_a_small_picture_is_enlarged_pixel_by_pixel() -> None:
    small, large = _noise(50, 64, seed=1), _noise(200, 256, seed=2)
    page = sheet([[small, large]])
    y, x = _find(page, _rgb(small).repeat(4, axis=0).repeat(4, axis=1))
    assert _find(page, _rgb(large)) == (y, x + 256 + 12)


def test_a_small_picture_grows_no_larger_than_the_others_of_its_row() -> None:
    """Another row leaves room to enlarge it seven times, but beside its original it is seen at the original's size."""
    small, original, large = _noise(64, 64, seed=1), _noise(256, 256, seed=2), _noise(300, 450, seed=3)
    page = sheet([[small, original], [large]])
    _find(page, _rgb(small).repeat(4, axis=0).repeat(4, axis=1))
    _find(page, _rgb(original))
    _find(page, _rgb(large))


def test_a_large_picture_is_shrunk_to_the_cell() -> None:
    flat = Image(torch.full((3, 900, 1200), 0.4))
    canvas = _rgb(sheet([[flat]], cell=300))
    ys, xs = np.where((canvas == 102).all(axis=2))
    assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (225, 300)


def test_grey_is_drawn_grey_and_transparency_as_a_checkerboard() -> None:
    grey = _noise(192, 192, channels=1)
    _find(sheet([[grey]]), _rgb(grey))
    clear = Image(torch.zeros(3, 192, 192), torch.zeros(1, 192, 192))
    canvas = _rgb(sheet([[clear]], background=BLACK))
    assert set(np.unique(canvas)) == {0, 204, 255}
    half = Image(torch.zeros(3, 192, 192), torch.ones(1, 192, 192))
    assert set(np.unique(_rgb(sheet([[half]])))) == {0, 255}


def test_words_make_room_and_are_drawn() -> None:
    picture = Image(torch.full((3, 192, 192), 0.5))
    bare = sheet([[picture]])
    for words in (
        {"column_titles": ["one"]},
        {"row_titles": ["row"]},
        {"captions": [["under"]]},
        {"title": "All of it"},
    ):
        page = sheet([[picture]], **words)  # type: ignore[arg-type]
        assert page.height + page.width > bare.height + bare.width
        canvas = _rgb(page)
        ys, xs = np.where(canvas.max(axis=2) < 110)  # the dark of letters; the picture is 128
        assert len(ys) > 20
        on_picture = (canvas == 128).all(axis=2)
        top, left = np.argwhere(on_picture).min(axis=0)
        if "captions" in words:
            assert ys.min() > top + 191
        elif "row_titles" in words:
            assert xs.max() < left
        else:
            assert ys.max() < top


def test_words_suit_the_background() -> None:
    picture = Image(torch.full((3, 192, 192), 0.5))
    dark = _rgb(sheet([[picture]], captions=[["under"]], background=BLACK))
    light = _rgb(sheet([[picture]], captions=[["under"]], background=WHITE))
    assert (dark[-40:].max(), light[-40:].min()) == (198, 82)


def test_words_stay_off_the_neighbours() -> None:
    """However long, a title or a caption is cut to its column and changes no pixel of a picture."""
    pictures = [_noise(192, 192, seed=s) for s in range(2)]
    long = "a_file_name_without_any_space_that_goes_on_and_on_and_on_and_on_and_on_and_on_and_on_and_on.jpeg"
    text = "many words " * 40
    page = sheet([pictures], column_titles=[long, text], captions=[[text, long]], row_titles=[text], title=text)
    places = [_find(page, _rgb(picture)) for picture in pictures]
    assert places[1][1] - places[0][1] == 192 + 12
    between = _rgb(page)[:, places[0][1] + 192 : places[1][1]]
    below = between[places[0][0] :]
    assert (below == 255).all()


@settings(max_examples=25)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_drawn(title: str, caption: str) -> None:
    page = sheet([[Image(torch.zeros(1, 8, 8))]], column_titles=[title], captions=[[caption]], row_titles=[caption])
    assert page.width < 400


def test_an_accent_that_the_font_lacks_costs_no_letter() -> None:
    """Whatever the font holds, an accented letter is not drawn as the box that stands for one it lacks."""
    picture = Image(torch.zeros(1, 8, 8))
    accented, boxed = (_rgb(sheet([[picture]], column_titles=[letter])) for letter in ("ü", "中"))
    assert not np.array_equal(accented, boxed)


def test_works_without_freetype(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ImageFont.load_default_imagefont

    def bitmap(size: float | None = None) -> Any:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return real()

    monkeypatch.setattr(ImageFont, "load_default", bitmap)
    page = sheet([[Image(torch.full((3, 192, 192), 0.5))]], column_titles=["é ł 中"], captions=[["x"]])
    assert (_rgb(page) < 110).any()


def test_empty_places_and_ragged_rows() -> None:
    a, b, c = (_noise(192, 192, seed=s) for s in range(3))
    page = sheet([[a, None, b], [c]])
    (top, left), (_, right), (bottom, under) = (_find(page, _rgb(image)) for image in (a, b, c))
    assert left == under
    assert bottom > top
    assert right - left == 2 * 12 + 192 + 96  # an empty column has the least width


def test_the_zoomed_part_is_enlarged_below() -> None:
    picture = _noise(200, 200, seed=4)
    box = (0.25, 0.5, 0.5, 0.75)
    canvas = _rgb(sheet([[picture]], zoom=box))
    margin = 12
    part = _rgb(picture)[100:150, 50:100].repeat(4, axis=0).repeat(4, axis=1)
    found = canvas[margin + 200 : margin + 400, margin : margin + 200]
    inner = slice(4, -4)  # within the frame
    assert np.array_equal(found[inner, inner], part[inner, inner])
    amber = (canvas == (255, 176, 0)).all(axis=2)
    assert amber[margin + 100, margin + 50 : margin + 100].all()
    assert not amber[margin + 90, margin : margin + 200].any()
    assert amber[margin + 200, margin : margin + 200].all()


def test_one_zoom_box_a_row() -> None:
    rows = [[_noise(200, 200, seed=s)] for s in range(2)]
    page = sheet(rows, zoom=[(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)])
    for (image,), quarter in zip(rows, (np.s_[4:96, 4:96], np.s_[104:196, 104:196]), strict=True):
        _find(page, _rgb(image)[quarter].repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 700), (2000, 7)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    page = sheet(
        [[Image(torch.rand(1, *size)), Image(torch.rand(3, 20, 30))]], captions=[["a", "b"]], zoom=(0, 0, 1, 1)
    )
    assert page.width < 1200
    assert page.height < 2200


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "at least one picture"),
        ([[None]], {}, "at least one picture"),
        ([[1]], {"cell": 8}, "cells of at least"),
        ([[1]], {"gap": -1}, "cells of at least"),
        ([[1]], {"zoom": (0.5, 0, 0.5, 1)}, "zoom box is"),
        ([[1]], {"zoom": (0, 0, 1.5, 1)}, "zoom box is"),
        ([[1]], {"zoom": (0, 0, 0.01, 1)}, "too tall"),
        ([[1], [1]], {"zoom": [(0, 0, 1, 1)]}, "1 zoom boxes for 2 rows"),
        ([[1]], {"cell": 100_000}, "too large"),
    ],
)
def test_refuses(rows: list[list[int | None]], options: dict[str, Any], message: str) -> None:
    picture = Image(torch.rand(3, 20, 20))
    with pytest.raises(ValueError, match=message):
        sheet([[picture if place else None for place in row] for row in rows], **options)


def test_difference_map_by_hand() -> None:
    a = torch.tensor([0.5, 0.6, 0.4, 1.0, 0.5]).view(1, 1, 5)
    b = torch.tensor([0.5, 0.5, 0.5, 0.0, 0.7]).view(1, 1, 5)
    difference = difference_map(Image(a), Image(b), gain=4)
    assert torch.allclose(difference.pixels.flatten(), torch.tensor([0.5, 0.7, 0.3, 1.0, 0.1]))
    assert torch.equal(a.flatten()[:1], torch.tensor([0.5]))  # neither is written to


def test_difference_map_keeps_the_channels_apart() -> None:
    a, b = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    a[0] = 0.1
    assert torch.allclose(difference_map(Image(a), Image(b)).pixels[:, 0, 0], torch.tensor([0.75, 0.5, 0.5]))


def test_difference_map_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        difference_map(Image(torch.rand(3, 4, 4)), Image(torch.rand(1, 4, 4)))
