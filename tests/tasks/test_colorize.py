"""Colorize: the luma is exact, grey files come back in colour with what belongs to them, the note says which weight."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retouch
from retouch.app.cli import main
from retouch.image.color import grey
from retouch.image.errors import OptionError
from retouch.image.files import identify, open_image
from retouch.image.image import Image, Metadata
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.chroma import chroma_of
from retouch.solvers.steps import Step


@pytest.fixture(autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one small U-Net whose colours are random."""
    from retouch.models import catalogue

    home = tmp_path_factory.getbasetemp() / "colours"
    monkeypatch.setenv("RETOUCH_HOME", str(home))
    monkeypatch.setattr(catalogue, "PACKAGED", home / "none")
    if not (home / "models").exists():
        (home / "models").mkdir(parents=True)
        torch.manual_seed(0)
        arguments: dict[str, Any] = {
            "encoder": "resnet18", "stages": 3, "decoder": [4, 4, 4, 4], "norm": "none", "output": "chroma"
        }  # fmt: skip
        network = build("unet", arguments)
        torch.nn.init.normal_(network.last[0].weight, std=0.1)  # type: ignore[index, union-attr]
        card = Card(
            name="unet-colorize", family="unet", architecture="unet", arguments=arguments, tasks=("colorize",),
            colour="rgb", summary="of a test",
        )  # fmt: skip
        save_weights(home / "models" / "unet-colorize.safetensors", network.state_dict(), card)
    return home / "models"


def _grey(height: int = 40, width: int = 56, seed: int = 0, **metadata: Any) -> Image:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 7, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    return Image(pixels, metadata=Metadata(**metadata))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), strength=st.floats(0, 2), render=st.integers(32, 64),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_the_luma_is_that_of_the_input(height: int, width: int, strength: float, render: int, seed: int) -> None:
    image = _grey(height, width, seed)
    result = retouch.colorize(image, strength=strength, render=render, device="cpu")
    assert result.pixels.shape == (3, height, width)
    assert torch.allclose(grey(result.pixels), image.pixels, atol=3e-6)
    saved = torch.from_numpy(result.to_array(8).copy()).permute(2, 0, 1).float() / 255
    assert float((grey(saved) - image.pixels).abs().max()) <= 0.5 / 255 + 3e-6


def test_strength_zero_is_grey_and_more_is_more_vivid() -> None:
    image = _grey()
    pale, normal, vivid = (retouch.colorize(image, strength=s).pixels for s in (0.0, 0.5, 1.0))
    assert torch.equal(pale, image.pixels.expand(3, -1, -1))
    assert 0 < float(chroma_of(normal).abs().mean()) < float(chroma_of(vivid).abs().mean())


def test_the_colours_of_the_input_do_not_matter_and_are_told() -> None:
    plain = _grey()
    offset = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    tinted = dataclasses.replace(plain, pixels=(plain.pixels * 0.5 + 0.2).expand(3, -1, -1).contiguous())
    moved = tinted.pixels + torch.tensor([0.1, 0.0, -0.1 * 0.299 / 0.114]).view(3, 1, 1) * 0.5
    assert torch.allclose((moved * offset).sum(0), (tinted.pixels * offset).sum(0), atol=1e-6)
    notes: list[str] = []

    def listen(step: Step) -> None:
        notes.extend([step.note] if step.note else [])

    colour = retouch.colorize(dataclasses.replace(tinted, pixels=moved.clamp(0, 1)), on_step=listen)
    assert any("dropped" in note for note in notes)
    notes.clear()
    same = retouch.colorize(tinted, on_step=listen)
    assert not any("dropped" in note for note in notes), "three equal channels are no colour"
    assert torch.allclose(colour.pixels, same.pixels, atol=1e-3)


def test_a_16_bit_grey_file_with_alpha_and_a_grey_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = bytearray(200)
    profile[16:20] = b"GRAY"
    alpha = torch.linspace(0, 1, 56).expand(1, 40, 56).contiguous()
    image = dataclasses.replace(_grey(bit_depth=16, icc=bytes(profile), dpi=(300.0, 300.0)), alpha=alpha)
    image.save(tmp_path / "a.png")
    assert identify(tmp_path / "a.png").mode == "grey+alpha"
    assert main(["colorize", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--render", "32"]) == 0
    before, after = open_image(tmp_path / "a.png"), open_image(tmp_path / "b.png")
    assert (identify(tmp_path / "b.png").bit_depth, identify(tmp_path / "b.png").mode) == (16, "RGBA")
    assert before.alpha is not None
    assert after.alpha is not None
    assert torch.equal(before.alpha, after.alpha)
    assert float((grey(after.pixels) - before.pixels).abs().max()) <= 0.5 / 65535 + 3e-6
    assert after.metadata.icc is None
    assert after.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    assert "its ICC profile is for grey" in capsys.readouterr().err


def test_a_grey_jpeg_comes_back_in_colour(tmp_path: Path) -> None:
    array = (_grey().pixels[0] * 255).byte().numpy()
    PIL.Image.fromarray(array).save(tmp_path / "a.jpg", quality=80)
    assert main(["colorize", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "b.jpg")]) == 0
    with PIL.Image.open(tmp_path / "a.jpg") as before, PIL.Image.open(tmp_path / "b.jpg") as after:
        assert after.mode == "RGB"
        difference = np.abs(np.asarray(after.convert("L"), float) - np.asarray(before, float))
        assert difference.mean() < 2
        assert np.ptp(np.asarray(after), axis=2).max() > 8


def test_the_note_names_the_weight_and_what_was_made_up() -> None:
    packet = retouch.colorize(_grey(), strength=1.5).metadata.xmp
    assert packet is not None
    assert b"task=colorize; model=unet-colorize (sha256 " in packet
    assert b"strength=1.5" in packet
    assert b"compositeWithTrainedAlgorithmicMedia" in packet
    assert retouch.colorize(_grey(), note=False).metadata.xmp is None


def test_wrong_options_and_missing_weights(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--strength must be in 0"):
        retouch.colorize(_grey(), strength=2.5)
    with pytest.raises(OptionError, match="--render"):
        retouch.colorize(_grey(), render=8)
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    with pytest.raises(OptionError, match="retouch train unet-colorize --images"):
        retouch.colorize(_grey(), method="unet")


def test_auto_without_weights_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    with pytest.raises(OptionError, match="no weights of unet here"):
        retouch.colorize(_grey())
