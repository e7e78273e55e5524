"""``open_preview``: what ``open_image`` gives, small, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile

from retouch.image.errors import PictureError
from retouch.image.files import open_image, open_preview


def _write(path: Path, orientation: int = 1, height: int = 60, width: int = 90, mode: str = "RGB") -> Path:
    rows, columns = np.mgrid[0:height, 0:width]
    array = np.stack([rows * 255 / height, columns * 255 / width, 90 + 0 * rows, 255 - columns], -1).astype(np.uint8)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    picture = PIL.Image.fromarray(array[..., : len(mode)], mode) if mode != "L" else PIL.Image.fromarray(array[..., 1])
    picture.save(path, exif=exif)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_it_is_the_picture(tmp_path: Path, name: str, mode: str) -> None:
    if mode == "RGBA" and name in ("a.jpg", "a.bmp"):
        pytest.skip("holds no alpha")
    path = _write(tmp_path / name, mode=mode)
    whole, preview = open_image(path), open_preview(path, 1000)
    assert (preview.width, preview.height) == preview.picture.size == (whole.width, whole.height) == (90, 60)
    made = np.asarray(preview.picture)
    assert (made == whole.to_array(8)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [1000, 30])
def test_it_is_upright(tmp_path: Path, orientation: int, side: int) -> None:
    path = _write(tmp_path / "a.jpg", orientation)
    whole, preview = open_image(path), open_preview(path, side)
    assert (preview.width, preview.height) == (whole.width, whole.height)
    assert max(preview.picture.size) == min(side, 90)
    assert (preview.picture.width > preview.picture.height) == (whole.width > whole.height)
    small = np.asarray(
        PIL.Image.fromarray(whole.to_array(8)).resize(preview.picture.size, PIL.Image.Resampling.BOX), float
    )
    assert np.abs(np.asarray(preview.picture, float) - small).mean() < 4


def test_a_large_jpeg_is_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.image import pillow

    sizes = []
    original = pillow.Canvas
    monkeypatch.setattr(pillow, "Canvas", lambda *size, **how: sizes.append(size[:2]) or original(*size, **how))
    path = _write(tmp_path / "a.jpg", 6, 1201, 1603)
    preview = open_preview(path, 400)
    assert (preview.width, preview.height, preview.picture.size) == (1201, 1603, (300, 400))
    assert sizes == [(301, 401)]
    open_preview(path, 900)
    assert sizes[1] == (1201, 1603)  # a half of it would be too small


def test_sixteen_bits_and_a_profile(tmp_path: Path) -> None:
    deep = np.full((8, 8, 3), 32768, np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    assert open_preview(tmp_path / "a.png", 8).picture.getpixel((0, 0)) == (128, 128, 128)
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 8), 0.5, np.float32))
    assert open_preview(tmp_path / "a.tif", 4).picture.size == (4, 4)
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.new("RGB", (5, 5)).save(tmp_path / "a.jpg", icc_profile=profile)
    assert open_preview(tmp_path / "a.jpg", 5).icc == profile


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_what_is_no_picture_is_refused(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path / name, height=200, width=300)
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(PictureError, match=name):
        open_preview(path, 32)


def test_the_limit_and_several_frames(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="--max-pixels"):
        open_preview(_write(tmp_path / "a.png"), 32, max_pixels=100)
    frames = [PIL.Image.new("L", (9, 9), value) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="holds 2 frames"):
        open_preview(tmp_path / "a.gif", 32)


def test_it_needs_no_torch(tmp_path: Path) -> None:
    paths = [str(_write(tmp_path / name)) for name in ("a.jpg", "a.png", "a.webp", "a.tif", "a.bmp")]
    code = (
        "import sys\nfrom retouch.image.files import identify, open_preview\n"
        "for path in sys.argv[1:]:\n    identify(path), open_preview(path, 20)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
