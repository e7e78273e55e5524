"""Pixel recursive super-resolution as a method of ``upscale``: one size, many pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.errors import OptionError
from retouch.image.image import Image
from retouch.image.resize import bicubic
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.tasks import TASKS

SMALL = {
    "size": 32, "levels": 4, "width": 4, "blocks": 1, "prior_width": 6, "layers": 1, "kernel": 3, "first": 3, "head": 6
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    return folder


@pytest.fixture
def weight(home: Path) -> str:
    torch.manual_seed(0)
    network = build("pixel-recursive", SMALL)
    card = Card(name="tiny-faces", family="pixel-recursive", architecture="pixel-recursive", arguments=SMALL,
                tasks=("upscale",), colour="rgb", summary="of a test", scales=(4,))  # fmt: skip
    save_weights(home / "tiny-faces.safetensors", network.state_dict(), card, store="fp32")
    return "tiny-faces"


def face(channels: int = 3, side: int = 8, alpha: bool = False) -> Image:
    generator = torch.Generator().manual_seed(0)
    opacity = torch.rand(1, side, side, generator=generator) if alpha else None
    return Image(torch.rand(channels, side, side, generator=generator), opacity)


@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (3, True)])
def test_draws_by_the_seed(weight: str, channels: int, alpha: bool) -> None:
    picture = face(channels, alpha=alpha)
    one = retouch.upscale(picture, scale=4, model=weight, device="cpu", seed=1)
    assert one.pixels.shape == (channels, 32, 32)
    assert (one.alpha is not None) == alpha
    same = retouch.upscale(picture, scale=4, method="pixel-recursive", device="cpu", seed=1)
    assert torch.equal(one.pixels, same.pixels)
    other = retouch.upscale(picture, scale=4, model=weight, device="cpu", seed=2)
    assert not torch.equal(one.pixels, other.pixels)
    sure = [
        retouch.upscale(picture, scale=4, model=weight, device="cpu", seed=seed, temperature=0.1).pixels
        for seed in (1, 2)
    ]
    assert float((sure[0] - sure[1]).abs().mean()) < float((one.pixels - other.pixels).abs().mean())
    if channels == 3:
        assert set((one.pixels * 3).round(decimals=4).unique().tolist()) <= {0, 1, 2, 3}


def test_other_scales_are_resized_and_said(weight: str) -> None:
    steps: list[Step] = []
    drawn = retouch.upscale(face(), scale=4, model=weight, device="cpu")
    half = retouch.upscale(face(), scale=2, model=weight, device="cpu", on_step=lambda step: steps.append(step))
    assert torch.allclose(half.pixels, bicubic(drawn.pixels[None], (16, 16))[0].clamp(0, 1))
    assert any(step.note == "drawn 4 times larger, then resized; --scale 4 keeps it as drawn" for step in steps)
    assert [step.index for step in steps if step.preview is not None] == list(range(1, 33))
    assert retouch.upscale(face(), scale=6.5, model=weight, device="cpu").pixels.shape == (3, 52, 52)


def test_cancelled_it_is_drawn_so_far_and_interpolated_below(weight: str) -> None:
    whole = retouch.upscale(face(), scale=4, model=weight, device="cpu").pixels
    made = retouch.upscale(face(), scale=4, model=weight, device="cpu", on_step=lambda step: step.index < 10).pixels
    assert torch.equal(made[:, :10], whole[:, :10])
    assert torch.allclose(made[:, 10:], bicubic(face().pixels[None], (32, 32))[0, :, 10:].clamp(0, 1))


@pytest.mark.parametrize(("height", "width"), [(9, 8), (1, 1), (64, 64)])
def test_other_sizes_are_refused(weight: str, height: int, width: int) -> None:
    with pytest.raises(OptionError, match=f"takes pictures of 8x8 pixels, .* not of {width}x{height}"):
        retouch.upscale(Image(torch.rand(3, height, width)), scale=4, model=weight, device="cpu")


def test_a_weight_of_another_architecture_under_its_name(home: Path) -> None:
    arguments = {"scale": 4, "width": 4, "shrunk": 2, "depth": 0}
    card = Card(name="false", family="pixel-recursive", architecture="fsrcnn", arguments=arguments, tasks=("upscale",),
                colour="y", summary="of a test", scales=(4,))  # fmt: skip
    save_weights(home / "false.safetensors", build("fsrcnn", arguments).state_dict(), card, store="fp32")
    with pytest.raises(OptionError, match="false: a weight of fsrcnn, not of pixel-recursive"):
        retouch.upscale(face(), scale=4, model="false", device="cpu")


def test_without_weights_it_says_how_to_get_them(home: Path) -> None:
    with pytest.raises(OptionError, match="no weights of pixel-recursive here: retouch train pixel-recursive-faces "):
        retouch.upscale(face(), scale=4, method="pixel-recursive")


def test_auto_never_draws(weight: str) -> None:
    task = TASKS["upscale"]
    chosen = task.choose(6.4e-5, task.make_options(device="cpu", budget=1e9, scale=4))
    assert chosen.name != "pixel-recursive"
    assert min(task.methods, key=lambda method: method.rank).name == "pixel-recursive"


def test_as_it_is_typed(weight: str, tmp_path: Path) -> None:
    face().save(tmp_path / "face.png")
    out = tmp_path / "large.png"
    words = ["upscale", str(tmp_path / "face.png"), "-o", str(out), "--model", weight, "--scale", "4", "--quiet"]
    assert main(words) == 0
    made = retouch.open(out)
    assert made.pixels.shape == (3, 32, 32)
    assert made.metadata.xmp is not None
    assert b"compositeWithTrainedAlgorithmicMedia" in made.metadata.xmp
    assert b"pixel-recursive" in made.metadata.xmp
