"""Deblur: which kernel is used, what is told, tiles, and what comes back untouched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from skimage import data
from torch import Tensor

import retouch
from retouch.app.cli import main
from retouch.degradations.blur import convolve, defocus_kernel, gaussian_kernel, motion_kernel
from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.metrics import psnr
from retouch.solvers.steps import Step
from retouch.tasks.deblur import DEBLUR, kernel_of, parse_kernel


def _photo(side: int = 128) -> Tensor:
    x = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)[None].float() / 255
    return resize(x, (256, 256))[0, :, 20 : 20 + side, 60 : 60 + side].clamp(0, 1).contiguous()


def _blurred(x: Tensor, kernel: Tensor) -> Image:
    return Image((convolve(x[None], kernel)[0].clamp(0, 1) * 255).round() / 255)


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("gaussian:1.6", gaussian_kernel(1.6)),
        ("motion:15@30", motion_kernel(15, 30)),
        ("motion:9", motion_kernel(9, 0)),
        ("defocus:3", defocus_kernel(3)),
    ],
)
def test_kernels_by_words(text: str, kernel: Tensor) -> None:
    options = DEBLUR.make_options(kernel=text)
    found = kernel_of(Image(torch.rand(3, 8, 8)), options)
    assert found is not None
    torch.testing.assert_close(found, kernel)


@pytest.mark.parametrize(
    "text", ["gaussian", "gaussian:", "gaussian:x", "gaussian:1@3", "box:3", "motion:0.5", "defocus:nan", "motion:9@x",
             "gaussian:1e9", "motion:15@1000", ""],
)  # fmt: skip
def test_words_that_are_no_kernel(text: str) -> None:
    with pytest.raises(OptionError, match="--kernel"):
        parse_kernel(text)
    with pytest.raises(OptionError, match="--kernel"):
        DEBLUR.make_options(kernel=text)


def test_a_picture_of_the_kernel_loses_its_dark_ground() -> None:
    kernel = motion_kernel(7, 90).float()
    plane = torch.full((3, 11, 5), 0.002)
    plane[:, 2:9, 2] += kernel[:, 0] / kernel.max() * 0.9
    options = DEBLUR.make_options(kernel_picture=Image(plane))
    found = kernel_of(Image(torch.rand(3, 8, 8)), options)
    assert found is not None
    assert int((found > 0).sum()) == 7
    with pytest.raises(OptionError, match="either"):
        DEBLUR.make_options(kernel_picture=Image(plane), kernel="gaussian:1")
    with pytest.raises(OptionError, match="all 0"):
        kernel_of(Image(torch.rand(3, 8, 8)), DEBLUR.make_options(kernel_picture=Image(torch.zeros(3, 5, 5))))


@pytest.mark.parametrize("method", ["plug-and-play", "wiener", "richardson-lucy"])
@pytest.mark.parametrize("kernel", [None, "motion:15@37"])
def test_movement_is_taken_back_given_or_found(method: str, kernel: str | None) -> None:
    x = _photo()
    seen = _blurred(x, motion_kernel(15, 37))
    made = retouch.deblur(seen, method=method, kernel=kernel)
    gain = psnr(made.pixels, x) - psnr(seen.pixels, x)
    assert gain > {"plug-and-play": 6, "wiener": 2.5, "richardson-lucy": 1.5}[method]


def test_auto_is_plug_and_play_and_beats_the_filters() -> None:
    x = _photo()
    seen = _blurred(x, gaussian_kernel(1.6))
    auto, wiener = (psnr(retouch.deblur(seen, method=method).pixels, x) for method in ("auto", "wiener"))
    assert auto > psnr(seen.pixels, x) + 3
    assert auto > wiener + 0.5


@pytest.mark.parametrize("method", ["plug-and-play", "wiener", "richardson-lucy", "deep-prior"])
def test_a_sharp_picture_comes_back_bit_for_bit(method: str) -> None:
    image = Image(_photo())
    notes: list[str] = []

    def listen(step: Step) -> None:
        notes.append(step.note or "")

    made = retouch.deblur(image, method=method, on_step=listen)
    assert made.pixels is image.pixels
    assert any("no blur found" in text for text in notes)


def test_what_was_found_is_told() -> None:
    notes: list[str] = []

    def listen(step: Step) -> None:
        notes.append(step.note or "")

    retouch.deblur(_blurred(_photo(), motion_kernel(15, 37)), method="wiener", on_step=listen)
    assert any("a movement over 15 pixels" in text for text in notes)


def test_tiles_leave_hardly_a_trace() -> None:
    """A deconvolution reaches further than any tile's border; what differs is small, and nowhere a seam."""
    seen = _blurred(_photo(230)[:, :140], gaussian_kernel(1.6))
    for method in ("wiener", "plug-and-play"):
        options = {"kernel": "gaussian:1.6", "method": method, "sigma": 1.0}
        whole = retouch.deblur(seen, **options, tile="off").pixels  # type: ignore[arg-type]
        tiled = retouch.deblur(seen, **options, tile="180").pixels  # type: ignore[arg-type]
        assert psnr(tiled, whole) > 38


def test_a_listener_ends_the_work_with_what_there_is() -> None:
    seen = _blurred(_photo(), gaussian_kernel(1.6))
    steps: list[Step] = []

    def listen(step: Step) -> bool:
        if step.note is None:
            steps.append(step)
        return len(steps) < 2

    made = retouch.deblur(seen, kernel="gaussian:1.6", method="plug-and-play", on_step=listen)
    assert [step.index for step in steps] == [1, 2]
    assert steps[0].preview is not None
    assert made.pixels.shape == seen.pixels.shape


def test_the_network_is_noted_and_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from retouch.models import catalogue

    seen = _blurred(_photo(), gaussian_kernel(1.6))
    made = retouch.deblur(seen, kernel="gaussian:1.6")
    assert made.metadata.xmp is not None
    assert b"unet-restore" in made.metadata.xmp
    assert b"gaussian:1.6" in made.metadata.xmp
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path)
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    with pytest.raises(OptionError, match="retouch train unet-restore"):
        retouch.deblur(seen, method="plug-and-play")
    task = DEBLUR.choose(0.01, DEBLUR.make_options(device="cpu", budget=10.0))
    assert task.name == "wiener"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = _blurred(_photo(), motion_kernel(15, 37))
    seen = dataclasses.replace(seen, alpha=torch.full((1, 128, 128), 0.5))
    seen.save(tmp_path / "a.png")
    call = ["deblur", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--method", "wiener"]
    assert main([*call, "--kernel", "motion:15@37"]) == 0
    made = open_image(tmp_path / "b.png")
    assert made.alpha is not None
    assert psnr(made.pixels, _photo()) > psnr(seen.pixels, _photo()) + 2.5
    assert main([*call, "--kernel", "motion"]) == 2
    assert "motion:15@30" in capsys.readouterr().err
    point = Image((motion_kernel(15, 37) / motion_kernel(15, 37).max()).float()[None])
    point.save(tmp_path / "point.png")
    assert main([*call, "--kernel-picture", str(tmp_path / "point.png")]) == 0
    assert psnr(open_image(tmp_path / "b.png").pixels, _photo()) > psnr(seen.pixels, _photo()) + 2.5
    assert main([*call, "--kernel-picture", str(tmp_path / "none.png")]) == 2
