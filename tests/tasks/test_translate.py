"""Translate: which weight, which way, at which size, and the noise that pix2pix draws when it is used."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.errors import OptionError, RetouchError
from retouch.image.files import open_image
from retouch.image.image import Image, Metadata
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.tasks.translate import TRANSLATE, trained_for

_NETWORKS: dict[str, dict[str, Any]] = {
    "pix2pix": {"name": "pix2pix-unet", "arguments": {"depth": 3, "width": 4}},
    "cyclegan": {"name": "resnet-generator", "arguments": {"blocks": 1, "width": 4}},
    "dualgan": {"name": "pix2pix-unet", "arguments": {"depth": 2, "width": 4, "first": 5, "dropout": "none"}},
}


def _save(folder: Path, name: str, family: str, seed: int, side: int = 0) -> Path:
    torch.manual_seed(seed)
    made = _NETWORKS[family]
    network = build(made["name"], made["arguments"])
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    card = Card(
        name=name, family=family, architecture=made["name"], arguments=made["arguments"], tasks=("translate",),
        colour="rgb", summary="of a test", recipe={"data": {"load": side, "crop": side}},
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / f"{name}.safetensors", network.state_dict(), card)
    return folder / f"{name}.safetensors"


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "models"
    for number, family in enumerate(_NETWORKS):
        _save(folder, family, family, number)
        _save(folder, f"{family}-back", family, 10 + number)
    _save(folder, "small", "pix2pix", 5, side=32)
    return folder


def _picture(height: int = 45, width: int = 61, channels: int = 3) -> Image:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, 5, 7, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    return Image(pixels, metadata=Metadata(format="PNG"))


@pytest.mark.parametrize("family", list(_NETWORKS))
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (17, 16), (45, 61)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size(family: str, height: int, width: int, channels: int) -> None:
    image = _picture(height, width, channels)
    made = retouch.translate(image, family)
    assert made.pixels.shape == image.pixels.shape
    assert bool(torch.isfinite(made.pixels).all())
    if min(height, width) > 16:
        assert not torch.allclose(made.pixels, image.pixels, atol=0.05)


def test_the_network_is_run_as_it_is() -> None:
    """Of a weight without dropout: what comes out is the network's output."""
    from retouch.models.catalogue import load

    image = _picture(48, 64)
    with torch.no_grad():
        expected = load("dualgan").network(image.pixels[None])[0]
    torch.testing.assert_close(retouch.translate(image, "dualgan").pixels, expected.clamp(0, 1), atol=0.02, rtol=0)


def test_the_seed_repeats_the_dropout() -> None:
    image = _picture()
    before = torch.random.get_rng_state()
    first, again, other = (retouch.translate(image, "pix2pix", seed=seed).pixels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random numbers are its own"


def test_the_direction_takes_the_weight_of_the_way_back(weights: Path) -> None:
    image = _picture()
    back = retouch.translate(image, "dualgan", direction="back").pixels
    assert torch.equal(back, retouch.translate(image, "dualgan-back").pixels)
    assert not torch.allclose(back, retouch.translate(image, "dualgan").pixels, atol=0.01)
    by_file = retouch.translate(image, weights / "dualgan.safetensors", direction="back").pixels
    assert torch.equal(by_file, back)
    with pytest.raises(OptionError, match="small-back"):
        retouch.translate(image, "small", direction="back")
    with pytest.raises(RetouchError, match=r"small-back\.safetensors: there is no such file"):
        retouch.translate(image, weights / "small.safetensors", direction="back")


def test_the_side_is_that_of_the_learning_unless_told_otherwise() -> None:
    image = _picture(90, 120)
    notes: list[str] = []

    def listen(step: Step) -> None:
        notes.append(step.note or "")

    made = retouch.translate(image, "small", on_step=listen).pixels
    assert any("seen at 43x32 pixels" in text for text in notes)
    assert made.shape == image.pixels.shape
    assert torch.equal(made, retouch.translate(image, "small", side=32).pixels)
    own = retouch.translate(image, "small", side=0).pixels
    assert torch.equal(own, retouch.translate(image, "small", side=90).pixels)
    assert not torch.allclose(own, made, atol=0.02)


def test_what_a_card_says_of_the_side() -> None:
    from retouch.models.catalogue import load

    assert trained_for(load("small").card) == (False, 32)
    assert trained_for(load("pix2pix").card) == (False, 0)
    assert trained_for(None) == (False, 0)
    wrong = dataclasses.replace(load("small").card, recipe={"data": {"load": 1, "crop": "x"}})
    with pytest.raises(RetouchError, match=r"small: its card says"):
        trained_for(wrong)


def test_weights_of_another_kind() -> None:
    with pytest.raises(OptionError, match="not for translate"):
        retouch.translate(_picture(), "fsrcnn-x2")
    with pytest.raises(OptionError, match="did you mean 'cyclegan'"):
        retouch.translate(_picture(), "cyclgan")
    with pytest.raises(OptionError, match="needs model"):
        TRANSLATE.make_options()
    with pytest.raises(OptionError, match="is a weight of pix2pix, not of --method cyclegan"):
        retouch.translate(_picture(), "pix2pix", method="cyclegan")


def test_tiles_are_blended() -> None:
    made = retouch.translate(_picture(150, 200), "cyclegan", tile="128")
    assert made.pixels.shape == (3, 150, 200)


def test_the_command(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _picture().save(tmp_path / "a.png")
    call = ["translate", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png")]
    assert main([*call, "--model", str(weights / "cyclegan.safetensors")]) == 0
    forward = open_image(tmp_path / "b.png")
    assert forward.metadata.xmp is not None
    assert b"cyclegan" in forward.metadata.xmp
    assert main([*call, "--model", "cyclegan", "--direction", "back"]) == 0
    assert not torch.equal(open_image(tmp_path / "b.png").pixels, forward.pixels)
    assert main(call) == 2
    assert "--model" in capsys.readouterr().err
