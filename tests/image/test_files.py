"""Opening and saving: what comes back, bit for bit where the format is lossless."""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from retouch.image import files
from retouch.image.errors import OptionError, RetouchError
from retouch.image.files import PictureWarning, check_writable, format_of, identify, open_image, open_mask, save
from retouch.image.image import Image, Metadata

Array = np.ndarray[Any, Any]
INTEGERS: Any = st.sampled_from([np.dtype(np.uint8), np.dtype(np.uint16)])
SRGB = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="a"/></x:xmpmeta>'
XMP_UPRIGHT = XMP.replace(b'"6"', b'"1"')


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    return generator.integers(0, int(np.iinfo(dtype).max) + 1, shape, dtype=dtype)


def smooth(height: int = 48, width: int = 64) -> Array:
    """A picture that lossy formats keep well."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 4 % 256, columns * 3, 255 - rows * 2], axis=-1).astype(np.uint8)


def pillow_exif(orientation: int = 1) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[271] = "Camera maker"
    exif[274] = orientation
    exif.get_ifd(0x8769).update({0x9286: b"ASCII\0\0\0a comment", 0x927C: bytes(range(256)), 0xA002: 64, 0xA003: 48})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.5), 3: "E", 4: (11.0, 34.0, 5.25)})
    return exif


def only(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, PictureWarning)]


def quietly(path: Path) -> Image:
    """Open, and fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return open_image(path)


@settings(max_examples=60)
@given(
    array=arrays.arrays(
        INTEGERS,
        st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    ),
    suffix=st.sampled_from([".png", ".tif"]),
)
def test_png_and_tiff_are_bit_exact(array: Array, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + suffix)
        save(Image.from_array(array), path)
        back = quietly(path)
        info = identify(path)
    np.testing.assert_array_equal(back.to_array(), np.squeeze(array, 2) if array.shape[2] == 1 else array)
    depth = 8 * array.dtype.itemsize
    assert back.metadata.bit_depth == depth
    mode = ["grey", "grey+alpha", "RGB", "RGBA"][array.shape[2] - 1]
    assert info == files.Info(back.metadata.format or "", array.shape[1], array.shape[0], 1, depth, mode)


@settings(max_examples=15)
@given(
    array=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_float_tiff_is_bit_exact(array: Array) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.tiff")
        save(Image.from_array(array), path)
        back = quietly(path)
    assert back.metadata.bit_depth == 32
    np.testing.assert_array_equal(back.to_array(), np.squeeze(array, 2) if array.shape[2] == 1 else array)


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_is_bit_exact_and_grey_stays_grey(tmp_path: Path, channels: int) -> None:
    array = noise(7, 5, channels)
    save(Image.from_array(array), tmp_path / "a.bmp")
    back = quietly(tmp_path / "a.bmp")
    np.testing.assert_array_equal(back.to_array(), array.squeeze())


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_of_quality_100_is_bit_exact_where_visible_or_not(tmp_path: Path, channels: int) -> None:
    array = noise(9, 11, channels)
    save(Image.from_array(array), tmp_path / "a.webp", quality=100)
    np.testing.assert_array_equal(quietly(tmp_path / "a.webp").to_array(), array)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".jpg", 4), (".webp", 16), (".avif", 12)])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str, tolerance: int, channels: int) -> None:
    array = smooth()[:, :, 1 : 1 + channels] if channels == 1 else smooth() // 2
    save(Image.from_array(array), tmp_path / ("a" + suffix))
    back = quietly(tmp_path / ("a" + suffix))
    assert back.channels == (3 if suffix == ".webp" else channels)  # WebP has no grey
    difference = np.abs(back.to_array().reshape(48, 64, -1).astype(int) - array)
    assert difference.mean() < tolerance / 4
    assert difference.max() <= tolerance


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_lossy_alpha(tmp_path: Path, suffix: str) -> None:
    array = np.dstack([smooth() // 2, smooth()[:, :, 1]])
    save(Image.from_array(array), tmp_path / ("a" + suffix))
    back = quietly(tmp_path / ("a" + suffix))
    assert back.alpha is not None
    assert np.abs(back.to_array()[:, :, 3].astype(int) - array[:, :, 3]).max() <= 12


@pytest.mark.parametrize("suffix", sorted(files.WRITABLE))
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_pixel(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / ("one" + suffix)
    save(Image.from_array(np.full((1, 1, channels), 255, np.uint8)), path)
    back = quietly(path)
    assert (back.height, back.width) == (1, 1)
    assert float(back.pixels.min()) > 0.97
    assert identify(path).format == back.metadata.format == format_of(path)


def test_16_bit_rgba_png_with_everything(tmp_path: Path) -> None:
    array = noise(6, 10, 4, dtype=np.uint16)
    exif = pillow_exif().tobytes()[6:]
    save(Image.from_array(array, Metadata(None, 16, SRGB, exif, XMP_UPRIGHT, (300.0, 150.0))), tmp_path / "a.png")
    once = quietly(tmp_path / "a.png")
    save(once, tmp_path / "b.png")
    twice = quietly(tmp_path / "b.png")
    np.testing.assert_array_equal(twice.to_array(), array)
    assert twice.metadata.icc == SRGB
    assert twice.metadata.xmp == XMP_UPRIGHT
    assert twice.metadata.exif == once.metadata.exif
    assert twice.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    with PIL.Image.open(tmp_path / "b.png") as other:  # an independent reader agrees
        other.load()
        assert other.info["icc_profile"] == SRGB
        assert other.info["xmp"] == XMP_UPRIGHT
        assert other.getexif()[271] == "Camera maker"
        assert other.getexif().get_ifd(0x8825)[2] == (48.0, 12.0, 30.5)
        # the size that EXIF states is that of the picture written
        assert (other.getexif().get_ifd(0x8769)[0xA002], other.getexif().get_ifd(0x8769)[0xA003]) == (10, 6)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_gps_and_orientation_keeps_its_settings(tmp_path: Path, progressive: bool) -> None:
    source = tmp_path / "a.jpg"
    options: dict[str, Any] = {"quality": 71, "subsampling": 1, "progressive": progressive, "dpi": (240, 240)}
    PIL.Image.fromarray(smooth()).save(source, exif=pillow_exif(6).tobytes(), xmp=XMP, icc_profile=SRGB, **options)
    image = quietly(source)
    with JpegImageFile(source) as picture:
        upright = np.asarray(PIL.ImageOps.exif_transpose(picture))
        tables = picture.quantization
    np.testing.assert_array_equal(image.to_array(), upright)
    assert (image.height, image.width) == (64, 48)
    save(image, tmp_path / "b.jpg")
    with JpegImageFile(tmp_path / "b.jpg") as picture:
        exif = picture.getexif()
        assert picture.size == (48, 64)
        assert exif[274] == 1
        assert exif[271] == "Camera maker"
        assert exif.get_ifd(0x8825)[4] == (11.0, 34.0, 5.25)
        assert exif.get_ifd(0x8769)[0x927C] == bytes(range(256))
        assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (48, 64)
        turned = {slot: np.reshape(table, (8, 8)).T.flatten().tolist() for slot, table in tables.items()}
        assert {slot: list(table) for slot, table in picture.quantization.items()} == turned
        assert get_sampling(picture) == 1
        assert bool(picture.info.get("progressive")) == progressive
        assert picture.info["icc_profile"] == SRGB
        assert picture.info["xmp"] == XMP_UPRIGHT
        assert picture.info["dpi"] == (240, 240)
    again = quietly(tmp_path / "b.jpg")
    assert torch.mean(torch.abs(again.pixels - image.pixels)) < 0.01


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_what_was_a_jpeg_is_hardly_changed_by_saving_it_again(tmp_path: Path, orientation: int) -> None:
    """The blocks are cut and rounded as before, which for a picture that was turned wants turned tables."""
    source = tmp_path / "a.jpg"
    PIL.Image.fromarray(noise(64, 48, 3)).save(
        source, quality=80, subsampling=0, exif=pillow_exif(orientation).tobytes()
    )
    image = quietly(source)
    save(image, tmp_path / "b.jpg")
    change = (quietly(tmp_path / "b.jpg").pixels - image.pixels).abs() * 255
    assert change.mean() < 1  # 4 where the tables are not turned


def test_jpeg_quality_and_subsampling(tmp_path: Path) -> None:
    image = Image.from_array(smooth())
    found = {}
    for quality in (None, 89, 90, 20):
        save(image, tmp_path / "a.jpg", quality=quality)
        with JpegImageFile(tmp_path / "a.jpg") as picture:
            sampling = get_sampling(picture)
            found[quality] = (sampling, picture.quantization[0][0])
    assert [found[q][0] for q in (None, 89, 90, 20)] == [0, 2, 0, 2]
    assert found[None][1] < found[89][1] < found[20][1]  # coarser steps at lower quality
    with pytest.raises(OptionError, match="--quality"):
        save(image, tmp_path / "a.jpg", quality=101)


def test_colour_made_of_a_grey_jpeg_is_not_subsampled(tmp_path: Path) -> None:
    PIL.Image.fromarray(smooth()[:, :, 0]).save(tmp_path / "grey.jpg", quality=60)
    grey = quietly(tmp_path / "grey.jpg")
    assert grey.channels == 1
    save(grey.with_pixels(torch.from_numpy(smooth()).permute(2, 0, 1) / 255), tmp_path / "colour.jpg")
    with PIL.Image.open(tmp_path / "colour.jpg") as picture:
        assert picture.mode == "RGB"
        assert get_sampling(picture) == 0


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_applies_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / ("a" + suffix)
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(noise(5, 8, 3)).save(path, exif=exif, **options)
    with PIL.Image.open(path) as picture:
        expected = np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGB"))
    image = quietly(path)
    # Pillow and imagecodecs bring AVIF decoders of their own, which may round differently
    np.testing.assert_allclose(image.to_array().astype(int), expected, atol=2 if suffix == ".avif" else 0)
    save(image, tmp_path / ("b" + suffix), quality=100 if suffix == ".webp" else None)
    again = quietly(tmp_path / ("b" + suffix))
    assert (again.height, again.width) == expected.shape[:2]
    if suffix not in (".jpg", ".avif"):
        np.testing.assert_array_equal(again.to_array(), expected)


def test_orientation_in_xmp_counts_only_where_exif_has_none(tmp_path: Path) -> None:
    array = noise(5, 8, 3)
    PIL.Image.fromarray(array).save(tmp_path / "a.webp", xmp=XMP, lossless=True)
    image = quietly(tmp_path / "a.webp")
    np.testing.assert_array_equal(image.to_array(), np.rot90(array, -1))
    assert image.metadata.xmp == XMP_UPRIGHT
    PIL.Image.fromarray(array).save(tmp_path / "b.webp", xmp=XMP, exif=pillow_exif(1), lossless=True)
    np.testing.assert_array_equal(quietly(tmp_path / "b.webp").to_array(), array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_keeps_exif_directories(tmp_path: Path, dtype: Any, byteorder: str) -> None:
    exif = pillow_exif()
    exif.endian = byteorder
    array = noise(6, 9, 3, dtype=dtype)
    depth = 8 * np.dtype(dtype).itemsize
    metadata = Metadata(None, depth, SRGB, exif.tobytes()[6:], XMP_UPRIGHT, (72.0, 96.0))
    save(Image.from_array(array, metadata), tmp_path / "a.tif")
    save(quietly(tmp_path / "a.tif"), tmp_path / "b.tif")
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), array)  # the libraries still read it
        with tifffile.TiffFile(tmp_path / name) as tiff:
            tags = tiff.pages.first.tags
            assert tags[34675].value == SRGB
            assert tags[700].value == XMP_UPRIGHT
            assert tags[271].value == "Camera maker"
            assert tags[34665].value["MakerNote"] == bytes(range(256))
            assert tags[34665].value["PixelXDimension"] == 9
            assert tags[34853].value["GPSLatitude"] == (48, 1, 12, 1, 61, 2)
            assert tags[282].value[0] / tags[282].value[1] == 72
    save(quietly(tmp_path / "b.tif"), tmp_path / "c.png")
    assert quietly(tmp_path / "c.png").metadata.exif == quietly(tmp_path / "b.tif").metadata.exif


def test_avif_keeps_metadata(tmp_path: Path) -> None:
    exif = pillow_exif(8).tobytes()[6:]
    save(Image.from_array(smooth(), Metadata(exif=exif, icc=SRGB, xmp=XMP)), tmp_path / "a.avif")
    image = quietly(tmp_path / "a.avif")
    assert (image.height, image.width) == (48, 64)
    assert image.metadata.icc == SRGB
    with PIL.Image.open(tmp_path / "a.avif") as picture:
        assert 274 not in picture.getexif() or picture.getexif()[274] == 1
        assert picture.getexif().get_ifd(0x8769)[0x927C] == bytes(range(256))


@pytest.mark.parametrize(
    ("suffix", "metadata", "channels", "expected"),
    [
        (".jpg", Metadata(bit_depth=16), 3, ["16-bit is written as 8-bit: JPEG"]),
        (".webp", Metadata(bit_depth=32), 3, ["floating point is written as 8-bit: WEBP"]),
        (".png", Metadata(bit_depth=32), 3, ["floating point is written as 16-bit: PNG"]),
        (".jpg", Metadata(), 4, ["composited over white: JPEG"]),
        (".bmp", Metadata(icc=SRGB, xmp=XMP), 4, ["composited over white: BMP", "ICC profile, XMP dropped: BMP"]),
        (".png", Metadata(exif=b"nonsense"), 3, ["EXIF block is damaged"]),
        (".png", Metadata(icc=SRGB[:16] + b"GRAY" + SRGB[20:]), 3, ["ICC profile is for GRAY"]),
        (".jpg", Metadata(xmp=b"x" * 70000), 3, ["XMP of 70000 bytes is dropped"]),
        (".bmp", Metadata(), 3, []),
        (".png", Metadata(bit_depth=16, icc=SRGB), 4, []),
    ],
)
def test_what_is_lost_is_said(
    tmp_path: Path, suffix: str, metadata: Metadata, channels: int, expected: list[str]
) -> None:
    image = Image.from_array(noise(5, 6, channels), metadata)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(image, tmp_path / ("a" + suffix))
    found = only(caught)
    assert len(found) == len(expected) == len(caught)
    for text, message in zip(expected, found, strict=True):
        assert text in message
        assert message.startswith(str(tmp_path / ("a" + suffix)) + ": ")


def test_alpha_is_composited_over_white(tmp_path: Path) -> None:
    array = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [100, 0, 200, 51]]], np.uint8)
    with pytest.warns(PictureWarning, match="white"):
        save(Image.from_array(array), tmp_path / "a.bmp")
    np.testing.assert_array_equal(
        quietly(tmp_path / "a.bmp").to_array(), [[[255, 255, 255], [0, 0, 0], [224, 204, 244]]]
    )


@pytest.mark.parametrize("suffix", sorted(files.WRITABLE))
def test_stripping_leaves_the_profile_only(tmp_path: Path, suffix: str) -> None:
    metadata = Metadata(None, 8, SRGB, pillow_exif().tobytes()[6:], XMP, (300.0, 300.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(Image.from_array(smooth(), metadata), tmp_path / ("a" + suffix), strip_metadata=True)
    back = open_image(tmp_path / ("a" + suffix)).metadata
    assert (back.exif, back.xmp) == (None, None)
    assert back.icc == (None if suffix in (".bmp", ".dib") else SRGB)
    data = (tmp_path / ("a" + suffix)).read_bytes()
    assert b"Camera maker" not in data
    assert b"a comment" not in data


def test_mask_rule(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    save(Image.from_array(np.array([[0, 127, 128, 255]], np.uint8)), path)
    mask = open_mask(path)
    assert mask.dtype == torch.float32
    assert mask.tolist() == [[[0, 0, 1, 1]]]
    # drawn into the alpha: black strokes on a transparent ground
    save(Image.from_array(np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [255, 255, 255, 100]]], np.uint8)), path)
    assert open_mask(path).tolist() == [[[1, 0, 0]]]
    # opaque everywhere: luma decides; green is brighter than red and blue
    save(Image.from_array(np.array([[[0, 255, 0, 255], [255, 0, 0, 255], [0, 0, 255, 250]]], np.uint8)), path)
    assert open_mask(path).tolist() == [[[1, 0, 0]]]
    save(Image.from_array(np.full((2, 3, 3), 0.5, np.float32)), tmp_path / "m.tif")
    assert open_mask(tmp_path / "m.tif").tolist() == [[[1, 1, 1], [1, 1, 1]]]


def test_formats_and_suffixes(tmp_path: Path) -> None:
    assert files.WRITABLE < files.READABLE
    assert ".gif" in files.READABLE - files.WRITABLE
    assert format_of("A.JPG") == "JPEG"
    for name in ("a.jgp", "a", "a.gif"):
        with pytest.raises(OptionError, match="suffix"):
            format_of(name)
    image = Image.from_array(noise(4, 4, 3))
    save(image, tmp_path / "odd.name", format="TIF")
    assert identify(tmp_path / "odd.name").format == "TIFF"
    np.testing.assert_array_equal(quietly(tmp_path / "odd.name").to_array(), image.to_array())  # content decides
    with pytest.raises(OptionError, match="did you mean 'webp'"):
        save(image, tmp_path / "a.png", format="wepb")


def test_save_keeps_links_and_permissions(tmp_path: Path) -> None:
    image = Image.from_array(noise(4, 4, 3))
    umask = os.umask(0o027)
    try:
        save(image, tmp_path / "new.png")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o640
    (tmp_path / "new.png").chmod(0o604)
    (tmp_path / "link.png").symlink_to(tmp_path / "new.png")
    save(Image.from_array(noise(2, 2, 3)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o604
    assert identify(tmp_path / "new.png").width == 2
    with pytest.raises(RetouchError, match="exists already"):
        save(image, tmp_path / "new.png", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.png", "new.png"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Image.from_array(noise(4, 4, 3)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RetouchError, match=r"a\.png: the disk is full"):
        save(Image.from_array(noise(9, 9, 3)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before

    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(Image.from_array(noise(9, 9, 3)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_unwritable_targets_are_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    cases = {
        tmp_path / "none" / "a.png": "there is no folder",
        tmp_path / "file" / "a.png": "there is no folder",
        tmp_path / "folder.png": "is a folder",
        tmp_path / "a.xyz": "suffix",
        Path("/dev/null"): "suffix",
    }
    for path, text in cases.items():
        with pytest.raises(RetouchError, match=text) as caught:
            check_writable(path)
        assert "\n" not in str(caught.value)
        with pytest.raises(RetouchError, match=text):
            save(Image.from_array(noise(2, 2)), path)
    check_writable(tmp_path / "fine.png")
    check_writable(tmp_path / "fine", format="png")
    with pytest.raises(RetouchError, match="not a regular file"):
        check_writable("/dev/null", format="png")
    assert not (tmp_path / "fine.png").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write and read everywhere")
def test_permissions(tmp_path: Path) -> None:
    save(Image.from_array(noise(2, 2)), tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(RetouchError, match="permission denied"):
        open_image(tmp_path / "a.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(RetouchError, match="not writable"):
        check_writable(tmp_path / "locked" / "a.png")


def test_sides_that_a_format_cannot_hold(tmp_path: Path) -> None:
    long = Image(torch.zeros(1, 1, 16384))
    with pytest.raises(RetouchError, match="WEBP holds at most 16383 a side"):
        save(long, tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []
    save(long, tmp_path / "a.jpg")
    assert identify(tmp_path / "a.jpg").width == 16384
