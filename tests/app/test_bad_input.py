"""Every row of the design's table of bad input, through the command line."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from retouch.app.cli import main

_RNG = np.random.default_rng(0)
_METHODS = (["denoise", "--method", "nlm"], ["upscale", "--method", "bicubic"])


def _save(path: Path, array: np.ndarray, **options: object) -> Path:
    Pillow.fromarray(array).save(path, **options)
    return path


def _good(path: Path, side: int = 24) -> Path:
    return _save(path, _RNG.integers(0, 256, (side, side, 3), dtype=np.uint8))


def _truncated_png(path: Path) -> None:
    _good(path)
    path.write_bytes(path.read_bytes()[:-200])


def _truncated_jpeg(path: Path) -> None:
    _save(path, _RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), format="JPEG", quality=95)
    path.write_bytes(path.read_bytes()[:-800])


def _bomb(path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def _animated(path: Path) -> None:
    frames = [Pillow.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (0, 128, 255)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def _nan_tiff(path: Path) -> None:
    pixels = np.full((16, 16, 3), 0.5, np.float32)
    pixels[3, 4, 1] = np.nan
    tifffile.imwrite(path, pixels, photometric="rgb")


def _bright_tiff(path: Path) -> None:
    tifffile.imwrite(path, np.full((16, 16, 3), 7.5, np.float32), photometric="rgb")


_REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated PNG": ("bad.png", _truncated_png, ""),
    "truncated JPEG": ("bad.jpg", _truncated_jpeg, ""),
    "empty": ("bad.png", lambda path: path.touch(), "is empty"),
    "text": ("bad.png", lambda path: path.write_text("good morning\n" * 9), "not a picture"),
    "random bytes": ("bad.tif", lambda path: path.write_bytes(_RNG.bytes(999)), "not a picture"),
    "bomb": ("bad.png", _bomb, "--max-pixels"),
    "animated": ("bad.gif", _animated, "3 frames"),
    "NaN": ("bad.tif", _nan_tiff, "NaN"),
    "float out of range": ("bad.tif", _bright_tiff, "0..1"),
}


@pytest.mark.parametrize("row", _REFUSED)
def test_refused_in_one_line_and_the_others_go_on(row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, make, reason = _REFUSED[row]
    bad = tmp_path / name
    make(bad)
    good = _good(tmp_path / "good.png")
    out = tmp_path / "out"
    assert main(["upscale", str(bad), str(good), "-o", str(out), "--method", "bicubic"]) == 1
    assert [path.name for path in out.iterdir()] == ["good.png"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{bad}: ")]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "unexpected" not in lines[0]


def test_larger_than_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = _good(tmp_path / "a.png", 24)
    call = ["upscale", str(picture), "-o", str(tmp_path / "x.png"), "--method", "bicubic", "--max-pixels"]
    assert main([*call, "575"]) == 1
    assert "--max-pixels raises it" in capsys.readouterr().err
    assert main([*call, "576"]) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3), (13, 17)])
@pytest.mark.parametrize("verb", _METHODS, ids=lambda verb: verb[0])
def test_small_and_odd_sizes_give_the_exact_size(tmp_path: Path, size: tuple[int, int], verb: list[str]) -> None:
    picture = _save(tmp_path / "a.png", _RNG.integers(0, 256, (*size, 3), dtype=np.uint8))
    assert main([*verb, str(picture), "-o", str(tmp_path / "x.png"), "--quiet"]) == 0
    factor = 2 if verb[0] == "upscale" else 1
    assert Pillow.open(tmp_path / "x.png").size == (size[1] * factor, size[0] * factor)


def _grey(path: Path) -> None:
    _save(path, _RNG.integers(0, 256, (20, 24), dtype=np.uint8))


def _palette(path: Path) -> None:
    Pillow.fromarray(_RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)).quantize(8).save(path)


def _cmyk(path: Path) -> None:
    Pillow.fromarray(_RNG.integers(0, 256, (20, 24, 4), dtype=np.uint8), mode="CMYK").save(path)


_KINDS: dict[str, tuple[str, Callable[[Path], object], tuple[str, int, int]]] = {
    # file, how it is made, and (format, channels, bits) of what must come out
    "grey": ("a.png", _grey, ("PNG", 1, 8)),
    "grey with alpha": ("a.png", lambda p: _save(p, _RNG.integers(0, 256, (20, 24, 2), dtype=np.uint8)), ("PNG", 2, 8)),
    "palette": ("a.png", _palette, ("PNG", 3, 8)),
    "CMYK": ("a.jpg", _cmyk, ("JPEG", 3, 8)),
    "16-bit grey": ("a.png", lambda p: _save(p, _RNG.integers(0, 65536, (20, 24), dtype=np.uint16)), ("PNG", 1, 16)),
    "16-bit colour": (
        "a.tif",
        lambda p: tifffile.imwrite(p, _RNG.integers(0, 65536, (20, 24, 3), dtype=np.uint16), photometric="rgb"),
        ("TIFF", 3, 16),
    ),
    "float": (
        "a.tif",
        lambda p: tifffile.imwrite(p, _RNG.random((20, 24, 3), dtype=np.float32), photometric="rgb"),
        ("TIFF", 3, 32),
    ),
}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("verb", _METHODS, ids=lambda verb: verb[0])
def test_every_kind_of_picture_keeps_its_kind(kind: str, verb: list[str], tmp_path: Path) -> None:
    from retouch.image.files import identify, open_image

    name, make, (file_format, channels, bits) = _KINDS[kind]
    make(tmp_path / name)
    out = tmp_path / f"out-{name}"
    assert main([*verb, str(tmp_path / name), "-o", str(out), "--quiet"]) == 0
    info, image = identify(out), open_image(out)
    assert (info.format, image.channels + (image.alpha is not None), info.bit_depth) == (file_format, channels, bits)


@pytest.mark.parametrize("value", [0, 77, 255])
@pytest.mark.parametrize("verb", [*_METHODS, ["dejpeg", "--method", "tv"]], ids=lambda verb: verb[0])
def test_pictures_of_one_colour_stay_so(value: int, verb: list[str], tmp_path: Path) -> None:
    _save(tmp_path / "a.png", np.full((20, 24, 3), value, np.uint8))
    assert main([*verb, str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--quiet"]) == 0
    assert np.unique(np.asarray(Pillow.open(tmp_path / "x.png"))).tolist() == [value]


@pytest.mark.parametrize(
    ("mask", "code", "reason"),
    [
        (np.full((10, 24), 255, np.uint8), 1, "the mask is 24x10 pixels, the picture 24x24"),
        (np.zeros((24, 24), np.uint8), 0, "the mask marks nothing"),
        (np.full((24, 24), 255, np.uint8), 1, "the mask marks the whole picture"),
    ],
    ids=["other size", "empty", "full"],
)
def test_masks(mask: np.ndarray, code: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = _good(tmp_path / "a.png")
    marks = _save(tmp_path / "mask.png", mask)
    call = ["inpaint", str(picture), "--mask", str(marks), "-o", str(tmp_path / "x.png"), "--method", "telea"]
    assert main(call) == code
    assert reason in capsys.readouterr().err
    assert (tmp_path / "x.png").exists() == (code == 0)
    if code == 0:
        assert np.array_equal(np.asarray(Pillow.open(tmp_path / "x.png")), np.asarray(Pillow.open(picture)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["denoise", "IN/a.png", "-o", "IN/a.png"], "this is an input"),
        (["denoise", "IN", "-o", "IN"], "this is an input"),
        (["denoise", "IN/a.png", "-o", "IN/none/x.png"], "there is no folder"),
        (["denoise", "IN/a.png", "-o", "IN/x.bmpp"], "needs an ending"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--method", "nml"], "did you mean 'nlm'?"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--sigma", "-1"], "--sigma must be in 0..255, not -1"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--sigma", "nan"], "--sigma must be"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--quality", "0"], "--quality must be in 1..100"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--tile", "many"], "--tile must be"),
        (["denoise", "IN/a.png", "-o", "OUT.png", "--format", "jpeg"], "contradicts --format"),
        (["upscale", "IN/a.png", "-o", "OUT.png", "--scale", "17"], "--scale must be in 1..16"),
        (["inpaint", "IN/a.png", "-o", "OUT.png", "--mask", "IN/none.png"], "none.png: no such file"),
        (["inpaint", "IN/a.png", "-o", "IN/m.png", "--mask", "IN/m.png"], "this is an input"),
        (["degrade", "IN/a.png", "-o", "OUT.png"], "nothing to do"),
        (["degrade", "IN/a.png", "-o", "OUT.png", "--recipe", "old-foto"], "did you mean 'old-photo'?"),
        (["degrade", "IN/a.png", "-o", "OUT.png", "--recipe", "old-photo", "--noise", "5"], "exclude each other"),
        (["denoise", "-o", "OUT.png"], "needs at least 1 PHOTO"),
        (["evaluate", "bicubic", "--data", "IN"], "exactly one of"),
        (["evaluate", "bicubik", "--data", "IN", "--scale", "2"], "did you mean 'bicubic'?"),
        (["compare", "IN/a.png", "-o", "IN/a.png"], "this is an input"),
        (["restor"], "unknown command 'restor'"),
        (["nlm", "IN/a.png"], "is a method, not a command"),
        (["methods", "denoize"], "did you mean 'denoise'?"),
    ],
)
def test_wrong_calls_end_with_2_before_any_work(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    _good(tmp_path / "in/a.png")
    _good(tmp_path / "in/m.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    words = [word.replace("IN", f"{tmp_path}/in").replace("OUT", f"{tmp_path}/out") for word in words]
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert reason in errors
    assert "Traceback" not in errors
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


@pytest.mark.skipif(os.name == "nt" or not Path("/dev/full").exists(), reason="no full device")
def test_an_output_that_is_a_device_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.png").symlink_to("/dev/full")
    assert main(["denoise", str(_good(tmp_path / "a.png")), "-o", str(tmp_path / "x.png"), "--method", "nlm"]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_a_disk_that_is_full_harms_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = _good(tmp_path / "x.png")
    before = old.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["denoise", str(_good(tmp_path / "a.png")), "-o", str(old), "--method", "nlm"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert old.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "x.png"]


def test_debug_shows_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").touch()
    call = ["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--method", "nlm"]
    assert main(call) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main([*call, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
