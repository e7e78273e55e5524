"""Files that are broken, forged or not pictures at all: one line of refusal, never another exception."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from retouch.image.errors import PictureError
from retouch.image.files import PictureWarning, identify, open_image, open_mask, save
from retouch.image.image import Image, Metadata


def refused(path: str | Path, text: str, **options: Any) -> None:
    with pytest.raises(PictureError) as caught:
        open_image(path, **options)
    message = str(caught.value)
    assert text in message, message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300


def encode(kind: str, array: np.ndarray[Any, Any] | None = None, **options: Any) -> bytes:
    if array is None:
        array = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def test_what_is_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "is empty")
    (tmp_path / "text.png").write_text("This is no picture.\n" * 10)
    refused(tmp_path / "text.png", "is not a picture of a known format")
    refused(tmp_path / "none.png" / "x.png", "no such file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        refused(tmp_path / "pipe.png", "is not a regular file")
    for function in (open_mask, identify):
        with pytest.raises(PictureError, match="no such file"):
            function(tmp_path / "none.png")
    with pytest.raises(PictureError) as caught:
        open_image(tmp_path / "two\nlines.png")
    assert "\n" not in str(caught.value)


def test_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(png(50000, 50000, chunk(b"IDAT", b"")))
    refused(path, "50000 x 50000 pixels (2500.0 million) are more than the limit of 200 million; --max-pixels")
    assert identify(path).width == 50000  # the header alone is no danger

    jpeg = encode("JPEG")
    at = jpeg.index(b"\xff\xc0")
    path.write_bytes(jpeg[: at + 5] + struct.pack(">HH", 65000, 65000) + jpeg[at + 9 :])
    refused(path, "--max-pixels")

    bmp = bytearray(encode("BMP"))
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    path.write_bytes(bmp)
    refused(path, "--max-pixels")

    gif = bytearray(encode("GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    path.write_bytes(gif)
    refused(path, "--max-pixels")

    webp = bytearray(encode("WEBP", lossless=True))
    assert webp[12:16] == b"VP8L"
    webp[21:25] = struct.pack("<I", (struct.unpack("<I", webp[21:25])[0] & 0xF0000000) | 0x0FFFFFFF)
    path.write_bytes(webp)
    refused(path, "16384 x 16384", max_pixels=100_000_000)

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((4, 4), np.uint8))
    tiff = buffer.getvalue()
    for code in (256, 257):
        at = tiff.index(struct.pack("<HHI", code, 4, 1))
        tiff = tiff[: at + 8] + struct.pack("<I", 100000) + tiff[at + 12 :]
    path.write_bytes(tiff)
    refused(path, "--max-pixels")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif", ".bmp"])
def test_the_limit_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a" + suffix)
    save(Image.from_array(np.zeros((20, 30, 3), np.uint8)), path)
    assert open_image(path, max_pixels=600).width == 30
    refused(path, "30 x 20 pixels", max_pixels=599)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_truncated(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    data = encode(kind, **options)
    path = tmp_path / "a"
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        refused(path, "a: ")
    path.write_bytes(data[:-8])
    refused(path, "a: ")
    path.write_bytes(data)
    assert open_image(path).width == 50


def test_tiff_truncated_inside_its_strips(tmp_path: Path) -> None:
    # tifffile writes the directory first: cutting the end off leaves it whole
    array = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for options in ({}, {"compression": "adobe_deflate"}, {"rowsperstrip": 8}, {"tile": (16, 16)}):
        tifffile.imwrite(tmp_path / "a.tif", array, **options)
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data[:-100])
        refused(tmp_path / "a.tif", "truncated")


def several(kind: str) -> bytes:
    frames = [PIL.Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 100, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_animations_and_several_pages_are_refused_with_their_number(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(several(kind))
    refused(path, "holds 3 frames")
    assert identify(path).frames == 3


def test_a_thumbnail_page_is_no_frame(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.full((4, 4), 9, np.uint8), subfiletype=1)
        writer.write(np.full((16, 16), 77, np.uint8))
    assert identify(tmp_path / "a.tif").frames == 1
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").to_array(), np.full((16, 16), 77))


def test_values_that_are_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    values = np.full((5, 5), 0.5, np.float32)
    for bad, text in ((np.nan, "NaN"), (np.inf, "infinite"), (7.5, "0..1, found 0.5..7.5"), (-3.0, "found -3..0.5")):
        values[2, 3] = bad
        tifffile.imwrite(path, values)
        refused(path, text)
    values[2, 3] = 1 + 5e-4  # rounding of some resize: clipped
    tifffile.imwrite(path, values)
    assert float(open_image(path).pixels.max()) == 1
    for dtype, text in (
        (np.int32, "32-bit signed"),
        (np.complex64, "complex"),
        (np.uint32, "32-bit"),
        (np.int8, "8-bit"),
    ):
        tifffile.imwrite(path, np.zeros((5, 5), dtype))
        refused(path, text)
    tifffile.imwrite(path, np.zeros((4, 5, 5), np.uint8), photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    refused(path, "volume")
    PIL.Image.new("LAB", (4, 4)).save(path)
    refused(path, "photometric 8")


def test_png_chunk_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 13)))
    huge = zlib.compress(bytes(100_000_000), 9)
    path.write_bytes(png(4, 4, chunk(b"iCCP", b"x\0\0" + huge), pixels))
    with pytest.warns(PictureWarning, match="ICC profile is damaged or too large"):
        assert open_image(path).metadata.icc is None
    path.write_bytes(png(4, 4, chunk(b"zTXt", b"Raw profile type exif\0\0" + huge), pixels))
    with pytest.warns(PictureWarning, match="EXIF block is damaged"):
        assert open_image(path).metadata.exif is None
    path.write_bytes(png(4, 4, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + huge), pixels))
    with pytest.warns(PictureWarning, match="XMP packet is damaged or too large"):
        assert open_image(path).metadata.xmp is None
    path.write_bytes(png(4, 4, chunk(b"eXIf", b"rubbish"), pixels))
    with pytest.warns(PictureWarning, match="EXIF block is damaged"):
        assert open_image(path).width == 4


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (png(0, 4, chunk(b"IDAT", b"")), "has no pixels"),
        (png(4, 4), "holds no pixel data"),
        (png(4, 4, chunk(b"IDAT", zlib.compress(bytes(20)))), "Not enough image data"),
        (png(4, 4, chunk(b"IDAT", zlib.compress(bytes(52))), depth=5), "does not exist"),
        (png(4, 4, chunk(b"ABcD", b""), chunk(b"IDAT", zlib.compress(bytes(52)))), "unknown critical chunk"),
        (png(4, 4, chunk(b"IDAT", zlib.compress(bytes(52))), chunk(b"tRNS", bytes(6))), "out of place"),
        (
            png(4, 4, chunk(b"tRNS", bytes(6))[:-1] + b"x", chunk(b"IDAT", zlib.compress(bytes(52)))),
            "tRNS chunk is dam",
        ),
        (png(4, 4, chunk(b"IDAT", zlib.compress(bytes(52)))[:-1] + b"x"), "CRC"),
        (png(4, 4, chunk(b"tRNS", bytes(5)), chunk(b"IDAT", zlib.compress(bytes(52)))), "malformed"),
        (png(4, 4, chunk(b"tRNS", b"\0"), chunk(b"IDAT", b""), colour=3), "tRNS chunk is malformed"),
        (png(4, 4, chunk(b"PLTE", bytes(770)), chunk(b"IDAT", b""), colour=3), "PLTE chunk is malformed"),
        (b"\x89PNG\r\n\x1a\n", "header is cut off"),
    ],
)
def test_damaged_png(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", text)


def test_a_palette_that_is_only_suggested_is_skipped(tmp_path: Path) -> None:
    data = zlib.compress(bytes([0, 9, 8, 7]))
    (tmp_path / "a.png").write_bytes(png(1, 1, chunk(b"PLTE", bytes(6)), chunk(b"IDAT", data)))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png").to_array(), [[[9, 8, 7]]])


def test_a_gamma_that_nobody_applies_is_said(tmp_path: Path) -> None:
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 13)))
    (tmp_path / "a.png").write_bytes(png(4, 4, chunk(b"gAMA", struct.pack(">I", 100000)), pixels))
    with pytest.warns(PictureWarning, match="gamma of 1 is not applied"):
        open_image(tmp_path / "a.png")


def seeds() -> list[tuple[str, bytes]]:
    """Name and bytes of small files of every format and several layouts, with metadata where the format holds it."""
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    exif.get_ifd(0x8769)[0x9286] = b"comment" * 9
    exif.get_ifd(0x8825)[1] = "N"
    more: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": b"p" * 200}
    array = np.random.default_rng(1).integers(0, 256, (20, 27, 3), dtype=np.uint8)
    found = [("PNG", encode("PNG", array, **more)), ("JPEG", encode("JPEG", array, **more))]
    found += [("JPEG", encode("JPEG", array, progressive=True)), ("TIFF", encode("TIFF", array, **more))]
    found += [("WEBP", encode("WEBP", array, **more)), ("WEBP", encode("WEBP", array, lossless=True))]
    found += [(kind, encode(kind, array)) for kind in ("AVIF", "BMP", "GIF")]
    palette, cmyk = io.BytesIO(), io.BytesIO()
    PIL.Image.fromarray(array).quantize(9).save(palette, "PNG", transparency=3)
    PIL.Image.fromarray(array).convert("CMYK").save(cmyk, "JPEG")
    found += [("PNG", palette.getvalue()), ("JPEG", cmyk.getvalue())]
    layouts: list[dict[str, Any]] = [
        {"tile": (16, 16), "compression": "adobe_deflate", "predictor": True},
        {"compression": "lzw", "rowsperstrip": 3},
        {"compression": "zstd"},
        {"bigtiff": True},
    ]
    for layout in layouts:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, photometric="rgb", **layout)
        found.append(("TIFF", buffer.getvalue()))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array / np.float32(255), photometric="rgb", compression="adobe_deflate", predictor=True)
    return [*found, ("TIFF", buffer.getvalue())]


def mutate(data: bytes, random_: random.Random) -> bytes:
    if random_.random() < 0.3:
        return data[: random_.randrange(1, len(data))]
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 5, 20))):
        # half of the damage goes where the headers are
        at = random_.randrange(len(changed) if random_.random() < 0.5 else min(len(changed), 200))
        changed[at] = random_.choice((0, 255, random_.randrange(256), changed[at] ^ 1 << random_.randrange(8)))
    return bytes(changed)


def fuzz(folder: Path, rounds: int) -> tuple[int, int]:
    """Open mutated files; any exception but ``PictureError`` passes through. Returns how many opened, were refused."""
    opened = rejected = 0
    messages: set[str] = set()
    random_ = random.Random(20)
    path = folder / "fuzz"
    for _, data in seeds():
        for _ in range(rounds):
            path.write_bytes(mutate(data, random_))
            try:
                image = open_image(path, max_pixels=4_000_000)
            except PictureError as error:
                messages.add(str(error))
                rejected += 1
            else:
                assert image.pixels.isfinite().all()
                opened += 1
    assert all(m.startswith(f"{path}: ") and "\n" not in m for m in messages)
    return opened, rejected


def test_damage_gives_a_picture_or_a_refusal_and_nothing_on_standard_error(tmp_path: Path) -> None:
    # In a process of its own, where a crash inside a decoder is seen and what the C libraries print can be read.
    program = (
        "import sys, warnings, torch\nfrom pathlib import Path\n"
        "torch.set_num_threads(1)\nwarnings.simplefilter('ignore')\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from test_hostile_files import fuzz\nprint(*fuzz(Path({str(tmp_path)!r}), 25))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    opened, rejected = map(int, done.stdout.split())
    assert opened > 50
    assert rejected > 100


@pytest.mark.parametrize("error", [MemoryError(), struct.error("x"), zlib.error("y"), KeyError("z"), SyntaxError("s")])
def test_whatever_a_decoder_raises_becomes_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import imagecodecs

    def fail(*_: Any, **__: Any) -> None:
        raise error

    save(Image.from_array(np.zeros((4, 4), np.uint8)), tmp_path / "a.png")
    monkeypatch.setattr(imagecodecs, "png_decode", fail)
    refused(tmp_path / "a.png", "not enough memory" if isinstance(error, MemoryError) else "cannot be read")


def test_metadata_of_a_refused_picture_warns_nothing(tmp_path: Path) -> None:
    save(Image.from_array(np.zeros((4, 4), np.uint8), Metadata(icc=b"p" * 300)), tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:-20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(tmp_path / "a.png", "truncated")


@pytest.mark.parametrize("make", [lambda d: d + b"trailing rubbish" * 9, lambda d: d])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_bytes_behind_the_picture_do_no_harm(tmp_path: Path, kind: str, make: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a").write_bytes(make(encode(kind)))
    assert open_image(tmp_path / "a").height == 40
