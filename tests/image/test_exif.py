"""EXIF blocks: patched in place, moved without a changed byte, and never trusted."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.image import exif
from retouch.image.exif import MalformedError, Tag

THUMBNAIL = b"\xff\xd8" + bytes(range(1, 200)) + b"\xff\xd9"


def block(order: str, *, orientation: int = 6, after: bytes = b"") -> bytes:
    """An EXIF block with a second directory and a thumbnail, ``after`` behind it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    second = 8 + 2 + 2 * 12 + 4
    thumbnail = second + 2 + 2 * 12 + 4
    first = struct.pack(order + "H", 2)
    first += struct.pack(order + "HHI4s", 271, 2, 4, b"Abc\0")
    first += struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0) + struct.pack(order + "I", second)
    ifd1 = struct.pack(order + "H", 2) + struct.pack(order + "HHII", 513, 4, 1, thumbnail)
    ifd1 += struct.pack(order + "HHII", 514, 4, 1, len(THUMBNAIL)) + bytes(4)
    return head + first + ifd1 + THUMBNAIL + after


@pytest.mark.parametrize("order", ["<", ">"])
def test_clean_sets_orientation_and_erases_the_thumbnail(order: str) -> None:
    reader = PIL.Image.Exif()
    reader.load(block(order))
    assert reader.get_ifd(PIL.ExifTags.IFD.IFD1)[514] == len(THUMBNAIL)
    cleaned, orientation = exif.clean(block(order))
    assert orientation == 6
    assert THUMBNAIL[2:-2] not in cleaned
    assert len(cleaned) == len(block(order)) - len(THUMBNAIL)
    reader = PIL.Image.Exif()
    reader.load(cleaned)
    assert (reader[271], reader[274]) == ("Abc", 1)
    assert reader.get_ifd(PIL.ExifTags.IFD.IFD1) == {}  # no second directory
    kept, _ = exif.clean(block(order, after=b"MakerNote data"))  # what follows keeps its offset
    assert len(kept) == len(block(order, after=b"MakerNote data"))
    assert kept.endswith(b"MakerNote data")
    assert THUMBNAIL[2:-2] not in kept
    assert exif.clean(cleaned) == (cleaned, 1)


@pytest.mark.parametrize("stored", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(stored: int) -> None:
    cleaned, orientation = exif.clean(block("<", orientation=stored))
    assert orientation == 1
    assert exif.clean(cleaned)[0] == cleaned


@pytest.mark.parametrize("order", ["<", ">"])
def test_without_orientation_moves_nothing_else(order: str) -> None:
    full = exif.clean(block(order))[0]
    less = exif.without_orientation(full)
    assert less is not None
    assert len(less) == len(full)
    reader = PIL.Image.Exif()
    reader.load(less)
    assert dict(reader) == {271: "Abc"}
    alone = exif.make_block([Tag(274, 3, 1, struct.pack("<H", 1))], "<")
    assert exif.without_orientation(alone) is None


def test_size_is_set_where_it_is_stated_even_if_it_needs_more_bits() -> None:
    picture = PIL.Image.Exif()
    picture[256] = 10
    picture.get_ifd(0x8769).update({0xA002: 10, 0xA003: 20, 0x9286: b"note"})
    changed = exif.resized(picture.tobytes()[6:], 70000, 5)
    reader = PIL.Image.Exif()
    reader.load(changed)
    assert reader[256] == 70000
    assert 257 not in reader
    assert reader.get_ifd(0x8769) == {0xA002: 70000, 0xA003: 5, 0x9286: b"note"}


TAGS = st.lists(
    st.builds(
        lambda code, kind, values: Tag(code, kind, len(values), b"".join(values)),
        st.integers(1000, 30000),
        st.just(7),
        st.lists(st.binary(min_size=1, max_size=1), min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda tag: tag.code,
)


@given(tags=TAGS, below=TAGS, order=st.sampled_from(["<", ">"]))
def test_tags_come_back_from_a_block(tags: list[Tag], below: list[Tag], order: exif.ByteOrder) -> None:
    below = [t for t in below if t.code not in exif.STRUCTURAL]
    tags = [t for t in tags if t.code not in exif.STRUCTURAL]
    if below:
        tags = [*tags, Tag(exif.GPS_POINTER, 4, 1, bytes(4), tuple(sorted(below, key=lambda t: t.code)))]
    if not tags:
        return
    notes: list[str] = []
    found_order, found = exif.block_tags(exif.make_block(tags, order), notes)
    assert found_order == order
    assert notes == []

    def plain(ts: list[Tag]) -> list[tuple[int, int, int, bytes | None, tuple[Tag, ...] | None]]:
        ts = sorted(ts, key=lambda t: t.code)
        return [(t.code, t.kind, t.count, None if t.children else t.data, t.children) for t in ts]

    assert plain(found) == plain(tags)


def test_pointers_that_run_in_circles_end() -> None:
    entries = [(exif.EXIF_POINTER, 8), (exif.GPS_POINTER, 8), (exif.INTEROP_POINTER, 8)]
    circle = b"II*\0\x08\0\0\0" + struct.pack("<H", 3)
    circle += b"".join(struct.pack("<HHII", code, 4, 1, at) for code, at in entries) + bytes(4)
    notes: list[str] = []
    assert exif.block_tags(circle, notes)[1] == []
    assert 0 < len(notes) < 50


def test_a_directory_that_names_the_same_megabyte_again_and_again_is_bounded() -> None:
    count, size = 600, 1 << 20
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", count)
    data = head + b"".join(struct.pack("<HHII", 1000 + i, 7, size, 8000) for i in range(count)) + bytes(size + 8000)
    notes: list[str] = []
    tags = exif.block_tags(data, notes)[1]
    assert sum(len(t.data) for t in tags) <= 1 << 24
    assert len(notes) == count - len(tags)


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_blocks_are_dropped_not_fatal(data: st.DataObject) -> None:
    whole = block(data.draw(st.sampled_from(["<", ">"])), after=b"x" * 20)
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, min(len(damaged), 80) - 1))] = data.draw(st.integers(0, 255))
    notes: list[str] = []
    kept, _, orientation = exif.settle(bytes(damaged), None, notes)
    assert 1 <= orientation <= 8
    assert (kept is None) == (bool(notes) or not damaged)
    if kept is not None:
        exif.resized(kept, 3, 4)
        exif.without_orientation(kept)
        exif.block_tags(kept, notes)


def test_not_a_block() -> None:
    for junk in (b"", b"II*\0", b"JUNKJUNKJUNKJUNK", b"II*\0\xff\0\0\0" + bytes(20)):
        with pytest.raises(MalformedError):
            exif.clean(junk)


@pytest.mark.parametrize(
    "text",
    [b'<a tiff:Orientation="8"/>', b"<a tiff:Orientation = '8' b='1'/>", b"<tiff:Orientation> 8</tiff:Orientation>"],
)
def test_xmp_orientation(text: bytes) -> None:
    cleaned, orientation = exif.clean_xmp(text)
    assert orientation == 8
    assert cleaned == text.replace(b"8", b"1")


def test_a_thumbnail_that_pillow_finds_is_gone() -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG", exif=b"Exif\0\0" + block("<"))
    with PIL.Image.open(io.BytesIO(buffer.getvalue())) as picture:
        assert picture.getexif().get_ifd(PIL.ExifTags.IFD.IFD1)[514] == len(THUMBNAIL)
        cleaned, _, orientation = exif.settle(picture.info["exif"], None, [])
    assert orientation == 6
    assert cleaned is not None
    assert THUMBNAIL[2:-2] not in cleaned


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("after", [b"", b"x"])
def test_software_is_named_behind_everything_else(order: str, after: bytes) -> None:
    before = exif.clean(block(order, after=b"MakerNote" + after))[0]
    named = exif.with_software(before, "Retouch 1")
    assert named[8 : len(before)] == before[8:], "nothing that an offset points to has moved"
    reader = PIL.Image.Exif()
    reader.load(named)
    assert dict(reader) == {271: "Abc", 274: 1, 305: "Retouch 1"}
    assert exif.with_software(named, "Another") == named, "the first name stays"


def test_software_of_a_few_letters_and_of_a_full_block() -> None:
    reader = PIL.Image.Exif()
    reader.load(exif.with_software(block("<"), "R"))
    assert reader[305].rstrip("\0") == "R"
    full = block("<", after=bytes(65527 - len(block("<"))))
    assert exif.with_software(full, "Retouch 1") == full, "a JPEG could no longer hold it"
    for data in (b"", b"II*\0", block("<")[:9]):
        with pytest.raises(MalformedError):
            exif.with_software(data, "R")
