"""dream, zoom, invert and visualize, as functions and as commands, over a small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.networks.layers import NamedLayers
from retouch.tasks import looking
from retouch.tasks.visualize import arranged, parse_channels


@pytest.fixture(autouse=True)
def _tiny(tiny_everywhere: NamedLayers) -> None:
    """No published weights."""


def picture(height: int = 32, width: int = 40) -> Image:
    return Image(torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture().save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def difference(one: Image, other: Image) -> float:
    return float((one.pixels - other.pixels).abs().mean())


def test_dream_heeds_its_options() -> None:
    image = picture()
    plain = retouch.dream(image, steps=2)
    assert difference(plain, image) > 0.005
    assert difference(retouch.dream(image, steps=2, strength=0.1), image) < 0.5 * difference(plain, image)
    changed: list[dict[str, Any]] = [
        {"layer": "conv1"}, {"layer": "relu4_3:1"}, {"layer": "relu4_3,conv1=0.5"}, {"octaves": 1}, {"smooth": 2},
        {"seed": 1}, {"guide": picture(16, 16)}, {"side": 16}, {"octave_scale": 2.0},
    ]  # fmt: skip
    for options in changed:
        assert difference(retouch.dream(image, steps=2, **options), plain) > 1e-4, options
    xmp = plain.metadata.xmp
    assert xmp is not None
    assert b"compositeWithTrainedAlgorithmicMedia" in xmp


def test_wrong_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'alexnet'"):
        retouch.dream(picture(), network="alxnet")
    with pytest.raises(OptionError, match="did you mean 'relu4_3'"):
        retouch.dream(picture(), layer="relu4_4")
    with pytest.raises(OptionError, match="did you mean 'relu4_3'"):
        retouch.invert(picture(), layer="relu4_4")
    with pytest.raises(OptionError, match=r"channels 0\.\.5, not 9"):
        retouch.dream(picture(), layer="relu4_3:9")
    with pytest.raises(OptionError, match="did you mean 'tv'"):
        retouch.invert(picture(), method="tvv")


def test_zoom_is_lazy_and_checked_at_once() -> None:
    frames = retouch.zoom(picture(), 1000, steps=1, octaves=1)
    assert next(frames).pixels.shape == (3, 32, 40)
    for frames_, scale in ((0, 1.1), (1, 0.5), (1, 3.0)):
        with pytest.raises(OptionError, match=r"--(frames|scale)"):
            retouch.zoom(picture(), frames_, scale=scale)
    with pytest.raises(OptionError, match="--state"):
        retouch.zoom(picture(), 1, state=Path("x"))


def test_inverting_comes_nearer_with_either_method() -> None:
    image = picture()
    grey = difference(image, image.with_pixels(torch.full_like(image.pixels, 0.5)))
    assert difference(retouch.invert(image, method="tv", layer="conv1", steps=120, variation=0.01), image) < 0.6 * grey
    assert retouch.invert(image, method="deep-prior", effort="quick", steps=2).pixels.shape == image.pixels.shape


def test_visualize_draws_one_or_a_sheet() -> None:
    one = retouch.visualize(layer="relu4_3", channel=3, side=32, steps=2)
    assert one.pixels.shape == (3, 32, 32)
    several = retouch.visualize(layer="relu4_3", channel=[0, 3, 5], side=32, steps=2)
    assert several.width > 2 * 32
    assert difference(one, retouch.visualize(layer="relu4_3", channel="3", side=32, steps=2)) == 0
    with pytest.raises(OptionError, match="did you mean 'layer'"):
        retouch.visualize(layr="relu4_3")
    with pytest.raises(OptionError, match="neither --layer nor --channel"):
        retouch.visualize(class_name="goldfish", channel=1)
    with pytest.raises(OptionError, match="only efficientnet-lite0"):
        retouch.visualize("vgg16", class_name="goldfish")
    with pytest.raises(OptionError, match="did you mean 'goldfish'"):
        retouch.visualize(class_name="goldfihs")


def test_channels_are_read() -> None:
    assert parse_channels("7") == (7,)
    assert parse_channels("3, 5,11-14") == (3, 5, 11, 12, 13, 14)
    for text in ("", "a", "3-", "-3", "5-3", "1,,2", "0-99", ",".join(["0-30"] * 3)):
        with pytest.raises(OptionError, match="--channel"):
            parse_channels(text)


def test_sheets_are_nearly_square() -> None:
    pictures = [picture(32, 32)] * 9
    drawn = arranged(pictures, [str(n) for n in range(9)])
    assert 0.5 < drawn.width / drawn.height < 1.5
    assert arranged(pictures[:1], ["0"]) is pictures[0]


def test_auto_takes_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retouch.models.features.is_here", lambda name: True)
    assert looking.pick_network("auto") == "vgg16"
    monkeypatch.setattr("retouch.models.features.is_here", lambda name: False)
    assert looking.pick_network("auto") == "efficientnet-lite0"
    assert looking.pick_network("alexnet") == "alexnet"


# -- commands


def test_dream_and_invert_as_commands(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert main(["dream", str(photo), "-o", str(out), "--steps", "1", "--layer", "conv1", "--guide", str(photo)]) == 0
    assert retouch.open(out).pixels.shape == (3, 32, 40)
    assert main(["invert", str(photo), "-o", str(out), "--method", "tv", "--steps", "2"]) == 0
    assert main(["dream", str(photo), "-o", str(out), "--layer", "conv7"]) in (1, 2)
    assert main(["dream", str(photo), "-o", str(out), "--network", "vgg61"]) == 2


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.png"])
def test_zoom_writes_an_animation(photo: Path, tmp_path: Path, name: str) -> None:
    words = ["zoom", str(photo), "-o", str(tmp_path / name), "--frames", "3", "--steps", "1", "--size", "16", "--quiet"]
    assert main(words) == 0
    with PIL.Image.open(tmp_path / name) as found:
        assert found.size == (20, 16)
        assert getattr(found, "n_frames", 1) == 3


def test_zoom_writes_frames_into_a_folder(photo: Path, tmp_path: Path) -> None:
    words = ["zoom", str(photo), "-o", f"{tmp_path}/frames/", "--frames", "2", "--steps", "1", "--quiet"]
    assert main(words) == 0
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == ["frame-00001.png", "frame-00002.png"]
    assert main(words) == 1, "frames that are there are not written over"


def test_zoom_refuses_what_means_nothing(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.gif")
    assert main(["zoom", str(photo), "-o", str(tmp_path / "a.mp4")]) == 2
    assert main(["zoom", str(photo), "-o", str(photo)]) == 2
    assert main(["zoom", str(photo), "-o", out, "--state", "x"]) == 2
    assert main(["zoom", str(tmp_path / "none.png"), "-o", out]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not Path(out).exists()


def test_visualize_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    words = ["visualize", "vgg16", "--side", "32", "--steps", "2", "-o", str(out), "--layer", "conv2"]
    assert main([*words, "--channel", "1,2"]) == 0
    assert "conv2:1, conv2:2" in capsys.readouterr().err
    assert retouch.open(out).width > 64
    for wrong in (["--channel", "99"], ["--channel", "x"], ["--class", "goldfihs"]):
        assert main([*words, *wrong]) == 2
    assert main(["visualize", "vgg61", "-o", str(out)]) == 2
    assert main(["visualize", "vgg16", "-o", str(tmp_path / "out.xyz")]) == 2
    assert "--class" in _help(capsys)


def _help(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["visualize", "--help"]) == 0
    return capsys.readouterr().out
