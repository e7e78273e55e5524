"""How near a style is come to: the photograph counts 1, the painting 0."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.evaluation import painted
from retouch.evaluation.options import EvaluateOptions
from retouch.evaluation.painted import evaluate_painted
from retouch.image.errors import OptionError
from retouch.image.files import save
from retouch.image.image import Image
from retouch.models.card import Card
from retouch.models.header import read_card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.networks.vgg import VGGFeatures

LEARNED = {"scale": 1, "width": 2, "blocks": 1, "norm": "instance"}


def _random_vgg(name: str) -> VGGFeatures:
    torch.manual_seed(0)
    return VGGFeatures(16)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(painted, "feature_network", _random_vgg)
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    (tmp_path / "set").mkdir()
    for number in range(2):
        pixels = torch.rand(3, 30 + number, 44, generator=torch.Generator().manual_seed(number))
        save(Image(pixels), tmp_path / "set" / f"{number}.png")
    save(Image(torch.rand(3, 50, 40)), tmp_path / "painting.png")
    digest = hashlib.sha256((tmp_path / "painting.png").read_bytes()).hexdigest()
    recipe: dict[str, Any] = {"objective": {"arguments": {"picture": "painting.png", "sha256": digest}}}
    card = Card(name="style-a", family="transform", architecture="transform", arguments=LEARNED, tasks=("stylize",),
                colour="rgb", summary="untrained", recipe=recipe)  # fmt: skip
    save_weights(tmp_path / "style-a.safetensors", build("transform", LEARNED).state_dict(), card)
    return tmp_path


def _evaluate(data: Path, monkeypatch: pytest.MonkeyPatch, paint: Any) -> painted.PaintedScore:
    monkeypatch.setattr(painted, "stylize", lambda image, model, device: paint(image))
    weight, painting = str(data / "style-a.safetensors"), data / "painting.png"
    *_, (report, _) = evaluate_painted(weight, data / "set", painting, EvaluateOptions(device="cpu"))
    assert len(report.images) == report.total == 2
    return report.mean


def test_the_photograph_itself_keeps_all_of_both(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _evaluate(data, monkeypatch, lambda image: image)
    assert found.style == pytest.approx(1, abs=1e-3)
    assert found.content == pytest.approx(0, abs=1e-5)


def test_the_painting_has_the_style_and_not_the_content(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painting = retouch.open(data / "painting.png").pixels

    def paint(image: Image) -> Image:
        large = torch.nn.functional.interpolate(painting[None], scale_factor=6.4)[0]
        return image.with_pixels(large[:, : image.height, : image.width])

    found = _evaluate(data, monkeypatch, paint)
    assert found.style < 0.7
    assert found.content > 0.005


def test_the_command_prints_writes_and_records(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight = str(data / "style-a.safetensors")
    words = ["evaluate", weight, "--data", str(data / "set"), "--style", str(data / "painting.png"), "--device", "cpu"]
    assert main([*words, "--json", str(data / "a.json"), "--sheet", str(data / "a.png"), "--record"]) == 0
    report = json.loads((data / "a.json").read_text())
    assert report["protocol"]["painting"] == "painting.png"
    assert len(report["images"]) == 2
    (row,) = read_card(weight).measured
    assert (row.dataset, row.recipe, row.images) == ("set", "style", 2)
    assert row.style == pytest.approx(report["style"], abs=1e-5)
    assert retouch.open(data / "a.png").width > 256
    assert "mean" in capsys.readouterr().out
    assert main(["models", "show", weight]) == 0
    assert f"style {row.style:.3f}" in capsys.readouterr().out


def test_wrong_calls_are_refused(data: Path) -> None:
    options = EvaluateOptions(device="cpu")
    with pytest.raises(OptionError, match="not for stylize"):
        next(iter(evaluate_painted("fsrcnn-x2", data / "set", data / "painting.png", options)))
    with pytest.raises(OptionError, match=r"learned from painting.png, another file"):
        next(iter(evaluate_painted(str(data / "style-a.safetensors"), data / "set", data / "set" / "0.png", options)))
    words = ["evaluate", str(data / "style-a.safetensors"), "--data", str(data / "set"), "--style", "x.png"]
    for more in (["--pairs"], ["--crop", "8"], ["--scale", "2"], ["--resume"]):
        assert main([*words, *more]) == 2
