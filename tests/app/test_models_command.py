"""``retouch models``: what it prints, what it writes, how it ends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from retouch.app.cli import main
from retouch.app.models_command import trained_for
from retouch.models import catalogue, features
from retouch.models.card import Card, Measured
from retouch.models.load import load_weights, rewrite_card, save_weights
from retouch.networks.build import build

SMALL = {"scale": 2, "width": 4, "shrunk": 2, "depth": 1}
CARD = Card(
    name="one-x2", family="fsrcnn", architecture="fsrcnn", arguments=SMALL, tasks=("upscale",), colour="y",
    summary="[a] small network", scales=(2,), steps=1200, recipe={"optimiser": {"name": "adam", "rate": 0.001}},
    measured=(Measured(dataset="Set5", psnr=36.512, ssim=0.95123, images=5, scale=2),),
)  # fmt: skip


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One packaged weight, ``one-x2``, and an empty home."""
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    folder = tmp_path / "packaged"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "PACKAGED", folder)
    save_weights(folder / "one-x2.safetensors", build("fsrcnn", SMALL).state_dict(), CARD)
    return folder


def test_overview_and_wrong_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--help"]) == 0
    assert "verify" in capsys.readouterr().out
    assert main(["models"]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["models", "lst"]) == 2
    assert "did you mean 'list'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "show", "verify", "export", "convert", "install", "fetch"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", command, "--help"]) == 0
    assert f"retouch models {command}" in capsys.readouterr().out


def test_list(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (packaged / "broken.safetensors").write_bytes(b"x")
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr()
    row = next(line for line in shown.out.splitlines() if line.startswith("one-x2"))
    parameters = f"{sum(p.numel() for p in build('fsrcnn', SMALL).parameters()):,}"
    assert row.split()[1:4] == ["upscale", "x2", parameters]
    assert "36.51 dB (Set5 x2)" in row
    assert "packaged" in row
    assert "not here yet (retouch models fetch vgg16: 553.4 MB)" in shown.out
    (line,) = shown.err.splitlines()
    assert "broken.safetensors: truncated" in line


def test_list_for_programs_and_by_task(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["origin"], row["bytes"]) == (
        "one-x2", "packaged", (packaged / "one-x2.safetensors").stat().st_size
    )  # fmt: skip
    assert main(["models", "list", "denoise"]) == 0
    assert "No weights here" in capsys.readouterr().out
    assert main(["models", "list", "denoize"]) == 2


def test_show(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "one-x2"]) == 0
    shown = capsys.readouterr().out
    for words in ("[a] small network", "fsrcnn(depth=1, scale=2", "1,200 steps", "36.51 dB  SSIM 0.9512  (5 pictures)",
                  "optimiser.rate = 0.001"):  # fmt: skip
        assert words in shown
    assert main(["models", "show", "one-x2", "--json"]) == 0
    read = Card.from_json(capsys.readouterr().out, "here")
    assert read == catalogue.read_card(packaged / "one-x2.safetensors")
    assert main(["models", "show", "one-x3"]) == 2


def test_show_tells_what_was_mended_and_how_it_was_before(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = Measured(dataset="cbsd68", psnr=32.1, ssim=0.9, images=68, recipe="damage-noise", input_psnr=24.82)
    weight = packaged / "one-x2.safetensors"
    rewrite_card(weight, dataclasses.replace(catalogue.read_card(weight), measured=(row,)))
    assert main(["models", "show", "one-x2"]) == 0
    line = "  cbsd68 damage-noise  32.10 dB  SSIM 0.9000  (68 pictures, 24.82 dB before)"
    assert line in capsys.readouterr().out.splitlines()


def test_show_draws_the_curves_of_the_training(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight = packaged / "one-x2.safetensors"
    curves = {"step": [10, 20, 30], "round_trip": [0.4, 0.2, 0.1], "rate": [1.0, 1.0, 1.0]}
    rewrite_card(weight, dataclasses.replace(catalogue.read_card(weight), curves=curves))
    assert catalogue.read_card(weight).curves == curves
    assert main(["models", "show", "one-x2"]) == 0
    shown = capsys.readouterr().out
    assert "  round_trip        █▃▁  0.4 -> 0.1\n" in shown
    assert "  rate" not in shown


def test_verify(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    data = (packaged / "one-x2.safetensors").read_bytes()
    (packaged / "flipped.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (packaged / "cut.safetensors").write_bytes(data[:-1])
    capsys.readouterr()
    assert main(["models", "verify"]) == 1
    shown = capsys.readouterr()
    assert "one-x2.safetensors: sound" in shown.out
    assert any("flipped.safetensors: its tensors have the SHA-256" in line for line in shown.err.splitlines())
    assert any("cut.safetensors: truncated" in line for line in shown.err.splitlines())
    assert main(["models", "verify", "one-x2"]) == 0


def test_export(packaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert main(["models", "export", "one-x2", "-o", str(tmp_path / "one.onnx")]) == 0
    assert "onnxruntime differs from torch by at most" in capsys.readouterr().out
    assert (tmp_path / "one.onnx").stat().st_size > 1000
    assert main(["models", "export", "one-x2", "-o", str(tmp_path / "one.pt")]) == 2


def test_convert_install_and_find(packaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build("fsrcnn", SMALL)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "c.pth")
    target = tmp_path / "mine-x2.safetensors"
    call = [
        "models",
        "convert",
        str(tmp_path / "c.pth"),
        "scale=2",
        "width=4",
        "shrunk=2",
        "depth=1",
        "-o",
        str(target),
    ]
    call += ["--architecture", "fsrcnn", "--task", "upscale", "--colour", "y", "--scales", "2", "--sigma", "0", "5"]
    assert main(call) == 0
    assert "measure it with retouch evaluate" in capsys.readouterr().out
    card = load_weights(target).card
    assert (card.name, card.arguments, card.tasks, card.scales, card.sigma) == (
        "mine-x2", SMALL, ("upscale",), (2,), (0.0, 5.0)
    )  # fmt: skip
    assert main(["models", "install", str(target)]) == 0
    assert catalogue.find("mine-x2") == tmp_path / "home" / "models" / "mine-x2.safetensors"
    assert main(["models", "install", str(target)]) == 1
    assert main(["models", "install", str(target), "--replace"]) == 0
    capsys.readouterr()
    assert main([*call[:3], "wdth=3", *call[3:]]) == 2
    assert "did you mean 'width'?" in capsys.readouterr().err
    assert main([*call[:3], "alone", *call[3:]]) == 2
    assert main([*call[:9], "--architecture", "fsrcnn", "--task", "fly", "--colour", "y"]) == 2
    assert "unknown task 'fly'" in capsys.readouterr().err


def test_fetch(packaged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "vgg"]) == 2
    monkeypatch.setattr(features, "SOURCE", "http://127.0.0.1:1/")
    monkeypatch.setenv("no_proxy", "*")
    assert main(["models", "fetch", "vgg16"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "vgg16" in line and "put" in line]
    assert "vgg16-397923af.pth" in line


def test_trained_for_in_words() -> None:
    from dataclasses import replace

    assert trained_for(CARD) == "x2"
    assert trained_for(replace(CARD, scales=(), sigma=(25, 25))) == "sigma 25"
    assert (
        trained_for(replace(CARD, scales=(2, 3), sigma=(0, 55.5), quality=(5, 99)))
        == "x2 x3 sigma 0..55.5 quality 5..99"
    )
