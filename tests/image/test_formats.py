"""Reading what other programs write: every layout, kind and colour space of each format."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
import tifffile

from retouch.image import files
from retouch.image.errors import OptionError
from retouch.image.files import PictureWarning, identify, open_image, save
from retouch.image.image import Image

Array = np.ndarray[Any, Any]
SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    return generator.integers(0, int(np.iinfo(dtype).max) + 1, shape, dtype=dtype)


def quietly(path: Path) -> Image:
    """Open, and fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_image(path)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 16), "compression": "adobe_deflate", "predictor": True},
        {"compression": "lzw", "rowsperstrip": 5},
        {"compression": "zstd"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"planarconfig": "separate", "rowsperstrip": 7},
    ],
)
def test_tiff_layouts(tmp_path: Path, options: dict[str, Any]) -> None:
    array = noise(33, 41, 3, dtype=np.uint16)
    data = array.transpose(2, 0, 1) if "planarconfig" in options else array
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    np.testing.assert_array_equal(quietly(tmp_path / "a.tif").to_array(), array)


def test_tiff_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    grey = noise(7, 9)
    tifffile.imwrite(path, grey, photometric="miniswhite")
    np.testing.assert_array_equal(quietly(path).to_array(), 255 - grey)
    tifffile.imwrite(path, grey > 99, photometric="minisblack")
    np.testing.assert_array_equal(quietly(path).to_array(), (grey > 99) * np.uint8(255))
    table = noise(3, 256, dtype=np.uint16)
    tifffile.imwrite(path, grey, photometric="palette", colormap=table)
    np.testing.assert_array_equal(quietly(path).to_array(), (table >> 8)[:, grey].transpose(1, 2, 0))
    half = noise(7, 9, dtype=np.float16)
    tifffile.imwrite(path, half, photometric="minisblack")
    np.testing.assert_array_equal(quietly(path).to_array(), half.astype(np.float32))
    tifffile.imwrite(path, half.astype(np.float64), photometric="minisblack")
    with pytest.warns(PictureWarning, match="64-bit"):
        image = open_image(path)
    assert image.metadata.bit_depth == 32
    twelve = noise(7, 9, dtype=np.uint16) >> 4
    tifffile.imwrite(path, twelve, photometric="minisblack", bitspersample=12)
    image = quietly(path)
    assert image.metadata.bit_depth == 16
    np.testing.assert_allclose(image.pixels[0].numpy(), twelve / 4095, atol=1e-6)


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    premultiplied = np.array([[[64, 32, 0, 128], [0, 0, 0, 0], [255, 10, 3, 255]]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    found = quietly(tmp_path / "a.tif").to_array()
    np.testing.assert_array_equal(found, [[[128, 64, 0, 128], [0, 0, 0, 0], [255, 10, 3, 255]]])


def test_extra_channels_are_dropped_with_a_warning(tmp_path: Path) -> None:
    array = noise(4, 5, 5)
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified", "unassalpha"], planarconfig="contig"
    )
    with pytest.warns(PictureWarning, match="beside colour and alpha"):
        image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.to_array(), array[:, :, [0, 1, 2, 4]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_kind_equals_pillow(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.fromarray(noise(9, 13, 3) if mode != "I;16" else noise(9, 13, dtype=np.uint16))
    if mode == "P":
        picture = picture.quantize(7)
    elif mode != "I;16":
        picture = picture.convert(mode)
    picture.save(tmp_path / "a.png")
    target = {"1": "L", "P": "RGB"}.get(mode, mode)
    expected = np.asarray(picture if target == mode else picture.convert(target))
    np.testing.assert_array_equal(quietly(tmp_path / "a.png").to_array(), expected)


@pytest.mark.parametrize(("mode", "transparent"), [("P", 3), ("L", 5), ("RGB", (1, 2, 3))])
def test_transparent_colour_becomes_alpha(tmp_path: Path, mode: str, transparent: Any) -> None:
    array = noise(9, 13, 3) % 7 if mode == "RGB" else noise(9, 13) % 7
    array[2, 3] = transparent
    picture = PIL.Image.fromarray(array)
    if mode == "P":
        picture.putpalette(bytes(noise(21).tolist()))
    picture.save(tmp_path / "a.png", transparency=transparent)
    with PIL.Image.open(tmp_path / "a.png") as reference:
        expected = np.asarray(reference.convert("LA" if mode == "L" else "RGBA"))
    assert 0 in expected[:, :, -1]
    np.testing.assert_array_equal(quietly(tmp_path / "a.png").to_array(), expected)


def test_gif_of_one_frame_and_palette_bmp(tmp_path: Path) -> None:
    palette = PIL.Image.fromarray(noise(9, 13, 3)).quantize(7)
    expected = np.asarray(palette.convert("RGB"))
    for name in ("a.gif", "a.bmp"):
        palette.save(tmp_path / name)
        np.testing.assert_array_equal(quietly(tmp_path / name).to_array(), expected)
        assert identify(tmp_path / name).mode == "palette"
    palette.save(tmp_path / "t.gif", transparency=2)
    image = quietly(tmp_path / "t.gif")
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha[0].numpy() == 0, np.asarray(palette) == 2)
    with pytest.raises(OptionError, match=r"\.gif"):
        save(image, tmp_path / "out.gif")


def test_10_bit_avif_keeps_its_depth(tmp_path: Path) -> None:
    import imagecodecs

    array = noise(48, 64, 3, dtype=np.uint16) >> 6
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(array, level=100, bitspersample=10))
    image = quietly(tmp_path / "a.avif")
    assert identify(tmp_path / "a.avif").bit_depth == 10
    assert image.metadata.bit_depth == 16
    expected = imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes()) / 1023
    np.testing.assert_allclose(image.pixels.numpy().transpose(1, 2, 0), expected, atol=1e-6)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_jpeg_without_profile(tmp_path: Path, adobe: bool) -> None:
    inks = PIL.Image.new("CMYK", (16, 8), (0, 200, 255, 10))  # little cyan, much magenta and yellow: red
    buffer = io.BytesIO()
    inks.save(buffer, "JPEG", quality=100)
    data = buffer.getvalue()
    if not adobe:  # by custom such a file is not stored inverted: store what an inverting writer would not
        PIL.Image.new("CMYK", (16, 8), (255, 55, 0, 245)).save(buffer := io.BytesIO(), "JPEG", quality=100)
        data = buffer.getvalue()
        start = data.index(b"\xff\xee")
        data = data[:start] + data[start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0] :]
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.warns(PictureWarning, match="CMYK is converted to sRGB by the plain formula"):
        image = open_image(tmp_path / "a.jpg")
    expected = np.asarray(inks.convert("RGB"))[0, 0] / 255
    np.testing.assert_allclose(image.pixels[:, 4, 4].numpy(), expected, atol=0.02)
    assert image.metadata.icc is None
    save(image, tmp_path / "b.jpg")
    assert quietly(tmp_path / "b.jpg").channels == 3


def cmyk_profile() -> bytes:
    """An ICC profile of a press whose magenta is a neutral grey of L* = 50, and whose other inks but black do nothing.

    ICC.1:2001-04: header (6.1), tag table (6.2), lut8Type (6.5.7) with two grid points an ink.
    """
    lightness = [0 if black else 128 if magenta else 255 for _c in (0, 1) for magenta in (0, 1) for _y in (0, 1)
                 for black in (0, 1)]  # fmt: skip
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += ramp * 4 + b"".join(bytes([value, 128, 128]) for value in lightness) + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"none\0\0\0\0"
    description = b"desc" + bytes(4) + struct.pack(">I", 6) + b"press\0" + bytes(78 + 2)
    body, table, offset = b"", b"", 128 + 4 + 4 * 12
    for name, data in ((b"desc", description), (b"cprt", text), (b"wtpt", white), (b"A2B0", lut)):
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I", offset + len(body)) + bytes(4) + b"\2\x10\0\0" + b"prtrCMYKLab " + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 4) + table + body


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_by_its_profile(tmp_path: Path, suffix: str) -> None:
    inks = np.zeros((8, 24, 4), np.uint8)
    inks[:, 8:16, 1] = 255
    inks[:, 16:, 3] = 255
    if suffix == ".jpg":
        PIL.Image.frombytes("CMYK", (24, 8), inks.tobytes()).save(
            tmp_path / "a.jpg", quality=100, icc_profile=cmyk_profile()
        )
    else:
        tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", iccprofile=cmyk_profile())
    with pytest.warns(PictureWarning, match="by its profile, which is dropped"):
        image = open_image(tmp_path / ("a" + suffix))
    assert image.metadata.icc is None
    found = image.pixels[:, 4, [4, 12, 20]].numpy() * 255
    # paper is white, L* = 50 is 119 in sRGB, black is black; the plain formula would make the second magenta
    np.testing.assert_allclose(found, np.array([[255, 119, 0]] * 3), atol=3)


def test_cmyk_with_a_profile_that_is_none(tmp_path: Path) -> None:
    PIL.Image.new("CMYK", (16, 8), (0, 200, 255, 10)).save(tmp_path / "a.jpg", icc_profile=SRGB)
    with pytest.warns(PictureWarning, match="cannot be used"):
        image = open_image(tmp_path / "a.jpg")
    assert image.metadata.icc is None
    assert image.channels == 3


def test_cmyk_tiff(tmp_path: Path) -> None:
    inks = noise(6, 7, 4)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    with pytest.warns(PictureWarning, match="CMYK"):
        image = open_image(tmp_path / "a.tif")
    expected = np.asarray(PIL.Image.frombytes("CMYK", (7, 6), inks.tobytes()).convert("RGB"))
    np.testing.assert_array_equal(image.to_array(), expected)


def test_the_further_pictures_of_a_phone_jpeg_are_named(tmp_path: Path) -> None:
    first, second = (PIL.Image.fromarray(noise(16, 16, 3, seed=n)) for n in (1, 2))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=100, subsampling=0)
    with pytest.warns(PictureWarning, match="further pictures"):
        image = open_image(tmp_path / "a.jpg")
    assert np.abs(image.to_array().astype(int) - np.asarray(first)).mean() < 3
    assert image.metadata.jpeg is not None
    assert identify(tmp_path / "a.jpg") == files.Info("JPEG", 16, 16, 1, 8, "RGB")


def test_ycbcr_tiff_comes_out_as_rgb(tmp_path: Path) -> None:
    array = np.full((32, 32, 3), (200, 30, 10), np.uint8)
    PIL.Image.fromarray(array).convert("YCbCr").save(tmp_path / "a.tif", compression="jpeg")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.photometric == tifffile.PHOTOMETRIC.YCBCR
    np.testing.assert_allclose(quietly(tmp_path / "a.tif").to_array().astype(int), array, atol=6)


def test_interlaced_png(tmp_path: Path) -> None:
    # Adam7 of 2 x 2: the first pass holds the corner, the sixth its neighbour, the seventh the second row
    data = zlib.compress(bytes([0, 10, 0, 20, 0, 30, 40]))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1)), (b"IDAT", data), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(p)) + k + p + struct.pack(">I", zlib.crc32(k + p)) for k, p in parts]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    np.testing.assert_array_equal(quietly(tmp_path / "a.png").to_array(), [[10, 20], [30, 40]])


def test_old_exif_in_png_text(tmp_path: Path) -> None:
    save(Image.from_array(noise(4, 6, 3)), tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "Camera maker"
    block = exif.tobytes()
    text = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode()))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    image = quietly(tmp_path / "a.png")
    assert (image.height, image.width) == (6, 4)
    assert image.metadata.exif is not None
    assert b"Camera maker" in image.metadata.exif
