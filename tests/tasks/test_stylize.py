"""Stylize: which method, which size, which colours, which part of the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.color import grey
from retouch.image.errors import OptionError, RetouchError
from retouch.image.files import save
from retouch.image.image import Image
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers import style as solver
from retouch.solvers.chroma import chroma_of
from retouch.solvers.steps import Step
from retouch.tasks.stylize import STYLIZE
from tests.solvers.test_style import Tiny

PHOTO = Image(torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2)
PAINTING = Image(torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1)))
QUICK: dict[str, Any] = {"steps": 4, "effort": "quick", "device": "cpu"}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(solver, "feature_network", lambda name, pooling, on_progress: Tiny(pooling))
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def weight(tmp_path: Path) -> Path:
    arguments = {"scale": 1, "width": 4, "blocks": 1, "norm": "instance"}
    torch.manual_seed(0)
    network = build("transform", arguments)
    card = Card(name="style-test", family="transform", architecture="transform", arguments=arguments, colour="rgb",
                tasks=("stylize",), summary="untrained")  # fmt: skip
    save_weights(tmp_path / "style-test.safetensors", network.state_dict(), card)
    return tmp_path / "style-test.safetensors"


def test_auto_follows_what_is_given(weight: Path) -> None:
    chosen = [
        STYLIZE.choose(0.1, STYLIZE.make_options(**given)).name
        for given in ({"style": PAINTING}, {"model": str(weight)})
    ]
    assert chosen == ["optimize", "transform"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs --style PICTURE, or needs --model NAME"),
        ({"method": "optimize"}, "--method optimize: needs --style PICTURE"),
        ({"method": "transform", "style": PAINTING}, "--method transform: needs --model"),
        ({"style": PAINTING, "model": "x"}, "give --style or --model, not both"),
        ({"second": PAINTING, "model": "x"}, "give --second or --model, not both"),
        ({"second": PAINTING}, "needs --style PICTURE"),
        ({"style": PAINTING, "side": 20}, "--side is at least 32 pixels, or 0, not 20"),
        ({"style": PAINTING, "style_weight": 0.0}, "in 0.001..1000"),
        ({"style": PAINTING, "blend": 1.5}, "in 0..1"),
        ({"style": PAINTING, "steps": 0}, "at least 1|in 1"),
        ({"style": PAINTING, "preserve_color": "luminace"}, "did you mean 'luminance'"),
        ({"style": PAINTING, "features": "vgg61"}, "unknown value of --features 'vgg61'"),
        ({"model": "style-nothing"}, "style-nothing"),
        ({"style": PAINTING, "efort": "quick"}, "did you mean 'effort'"),
    ],
)
def test_wrong_calls_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        retouch.stylize(PHOTO, **given)


def test_a_weight_of_another_task_is_refused() -> None:
    with pytest.raises(OptionError, match="for upscale, not for stylize"):
        retouch.stylize(PHOTO, model="fsrcnn-x2")


def test_masks_of_another_size_and_empty_ones(weight: Path) -> None:
    for given in ({"style": PAINTING}, {"model": weight}):
        with pytest.raises(RetouchError, match="the mask is 9x8 pixels, the picture 64x48"):
            retouch.stylize(PHOTO, mask=torch.ones(8, 9), **given, **({} if "model" in given else QUICK))  # type: ignore[arg-type]
        notes: list[Step] = []
        same = retouch.stylize(PHOTO, mask=torch.zeros(48, 64), on_step=notes.append, **given)  # type: ignore[arg-type]
        assert same.pixels is PHOTO.pixels
        assert any(step.note and "marks nothing" in step.note for step in notes)


@pytest.mark.parametrize("how", ["style", "model"])
def test_outside_the_mask_not_a_bit_changes(how: str, weight: Path) -> None:
    mask = torch.zeros(48, 64)
    mask[10:30, 12:40] = 1
    given: dict[str, Any] = {"style": PAINTING} | QUICK if how == "style" else {"model": weight}
    made = retouch.stylize(PHOTO, mask=mask, **given).pixels
    outside = (mask == 0).expand(3, -1, -1)
    assert torch.equal(made[outside], PHOTO.pixels[outside])
    assert float((made - PHOTO.pixels).abs()[~outside].mean()) > 0.01


def test_a_second_style_takes_what_the_mask_leaves() -> None:
    mask = torch.zeros(48, 64)
    mask[:, :32] = 1
    other = Image(torch.full((3, 40, 40), 0.9))
    made = retouch.stylize(PHOTO, PAINTING, second=other, mask=mask, **QUICK).pixels
    changed = (made - PHOTO.pixels).abs().mean((0, 1))
    assert float(changed[:28].mean()) > 0.005
    assert float(changed[36:].mean()) > 0.005
    mixed = [retouch.stylize(PHOTO, PAINTING, second=other, blend=blend, **QUICK).pixels for blend in (0.0, 1.0)]
    assert torch.allclose(mixed[0], retouch.stylize(PHOTO, PAINTING, **QUICK).pixels, atol=1e-5)
    assert torch.allclose(mixed[1], retouch.stylize(PHOTO, other, **QUICK).pixels, atol=1e-5)


@pytest.mark.parametrize("how", ["style", "model"])
def test_colours_are_kept(how: str, weight: Path) -> None:
    given: dict[str, Any] = {"style": PAINTING} | QUICK if how == "style" else {"model": weight}
    made = retouch.stylize(PHOTO, preserve_color="luminance", **given).pixels
    inside = ((made > 0.001) & (made < 0.999)).all(0)
    assert float((chroma_of(made) - chroma_of(PHOTO.pixels)).abs()[:, inside].max()) < 1e-4
    assert float((grey(made) - grey(PHOTO.pixels)).abs().mean()) > 0.005
    free, kept = (
        retouch.stylize(PHOTO, preserve_color=preserve, **given).pixels.mean((1, 2))
        for preserve in ("off", "histogram")
    )
    wanted = PHOTO.pixels.mean((1, 2))
    assert float((kept - wanted).abs().sum()) <= float((free - wanted).abs().sum()) + 1e-3


def test_in_tiles_the_network_leaves_no_seams(weight: Path) -> None:
    photo = Image(torch.rand(3, 132, 152, generator=torch.Generator().manual_seed(3)))
    whole, tiles = (retouch.stylize(photo, model=weight, device="cpu", tile=tile).pixels for tile in ("off", "96"))
    assert float((whole - tiles).abs().max()) < 0.05  # what bfloat16 rounds, where the device is faster at it
    assert retouch.psnr(whole, tiles) > 45


def test_a_side_paints_it_smaller_and_brings_it_back(weight: Path) -> None:
    for given in ({"style": PAINTING} | QUICK, {"model": weight}):
        made = retouch.stylize(PHOTO, side=32, **given)  # type: ignore[arg-type]
        assert made.pixels.shape == PHOTO.pixels.shape
        assert bool(made.pixels.isfinite().all())


def test_cancelling_returns_the_best_so_far() -> None:
    seen: list[Step] = []

    def listen(step: Step) -> bool:
        seen.append(step)
        return len(seen) < 2

    made = retouch.stylize(PHOTO, PAINTING, on_step=listen, **QUICK | {"steps": 50})
    assert len(seen) == 2
    assert made.pixels.shape == PHOTO.pixels.shape


def test_the_command_writes_a_picture(weight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(PHOTO, tmp_path / "photo.png")
    save(PAINTING, tmp_path / "painting.png")
    photo, painting = str(tmp_path / "photo.png"), str(tmp_path / "painting.png")
    words = ["stylize", photo, "-o", str(tmp_path / "a.png"), "--style", painting, "--steps", "3", "--effort", "quick",
             "--preserve-color", "luminance", "--preview", str(tmp_path / "seen.png"), "--quiet"]  # fmt: skip
    assert main(words) == 0
    assert (tmp_path / "seen.png").exists()
    assert main(["stylize", photo, "-o", str(tmp_path / "b.png"), "--model", str(weight), "--quiet"]) == 0
    for name in ("a.png", "b.png"):
        assert retouch.open(tmp_path / name).pixels.shape == PHOTO.pixels.shape
    assert main(["stylize", photo, "-o", painting, "--style", painting]) == 2
    assert main(["stylize", photo, "-o", str(tmp_path / "c.png"), "--style", str(tmp_path / "none.png")]) == 2
    assert "none.png: no such file" in capsys.readouterr().err
