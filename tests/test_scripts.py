"""The demo and the benchmark run and write what they promise; their steps are cut to two."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import retouch
from retouch.solvers.deep_prior import DeepPrior

REPOSITORY = Path(__file__).resolve().parent.parent


def _script(path: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ModuleType:
    original = DeepPrior.resolved
    monkeypatch.setattr(
        DeepPrior, "resolved", lambda self, degradation=None: dataclasses.replace(original(self, degradation), steps=2)
    )
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    monkeypatch.syspath_prepend(str((REPOSITORY / path).parent))  # as for a script that is called
    spec = importlib.util.spec_from_file_location(f"script_{Path(path).stem}", REPOSITORY / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_demo_writes_sheet_page_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script("examples/demo.py", monkeypatch, "--output", str(tmp_path), "--side", "96").main()
    written = {path.name for path in tmp_path.iterdir()}
    kinds = ("damaged", "classical", "retouch", "original")
    assert written >= {f"{number}-{kind}.png" for number in range(1, 5) for kind in kinds}
    sheet = retouch.open(tmp_path / "sheet.png")
    assert sheet.width > 4 * 96
    assert sheet.height > 4 * 96
    page = (tmp_path / "before-after.html").read_text(encoding="utf-8")
    assert page.count("data:image/") >= 8
    original = retouch.open(tmp_path / "2-original.png")
    assert retouch.psnr(retouch.open(tmp_path / "2-damaged.png"), original) < 25


def test_benchmark_writes_speeds_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [
        "--crop",
        "64",
        "--presets",
        "denoise-quick",
        "--steps",
        "2",
        "--rounds",
        "1",
        "--output",
        str(tmp_path),
    ]
    _script("benchmarks/deep_prior.py", monkeypatch, *arguments, "--device", "cpu").main()
    result = json.loads((tmp_path / "results.json").read_text())
    assert [row["variant"] for row in result["speed"]] == [
        "float32",
        "float32 channels_last",
        "bfloat16",
        "bfloat16 channels_last",
    ]
    assert result["speed"][0]["ratio"] == 1
    assert result["curves"][0]["steps"] == 2
    assert result["curves"][0]["points"][-1]["step"] == 2


def test_inference_benchmark_compares_the_ways_of_running_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    arguments = ["--quick", "--networks", "fsrcnn-x2,fsrcnn-s-x3", "--size", "48x40", "--device", "cpu"]
    _script("benchmarks/inference.py", monkeypatch, *arguments, "--output", str(tmp_path)).main()
    result = json.loads((tmp_path / "inference.json").read_text())
    first, second = result["networks"]
    assert first["operations"] == 2 * 12_464 * 48 * 40
    assert second["output"] == [144, 120]
    ways = first["ways"]
    assert {"onnxruntime", "OpenCV dnn", "Retouch, float32", "Retouch, runner, auto"} < set(ways)
    for way, row in ways.items():
        assert row["difference"] < (1e-4 if row["dtype"] == "float32" else 0.05), way
        assert row["times_eager"] * row["seconds"] == pytest.approx(ways[next(iter(ways))]["seconds"])
    assert (tmp_path / "inference.md").read_text().count("| fsrcnn-x2 (48x40) |") == len(ways)


def test_damages_draws_a_picture_and_nine_damages_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "damages.jpg"
    script = _script("examples/damages.py", monkeypatch, str(target), "--side", "64", "--cell", "64")
    script.main()
    sheet = retouch.open(target)
    assert sheet.width > 5 * 64
    assert sheet.height > 2 * 64
    assert target.stat().st_size < 200_000
    assert len(set(script.RECIPES)) == 9


def test_restored_draws_each_damage_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "restored.jpg"
    seen: list[tuple[Any, Any]] = []
    restore = retouch.restore

    def listen(source: Any, **options: Any) -> Any:
        seen.append((source, restore(source, **options)))
        return seen[-1][1]

    monkeypatch.setattr(retouch, "restore", listen)
    _script("examples/restored.py", monkeypatch, str(target), "--side", "128", "--cell", "64").main()
    sheet = retouch.open(target)
    assert sheet.width > 5 * 64
    assert sheet.height > 3 * 64
    assert len(seen) == 5
    assert all(not torch.equal(poor.pixels, mended.pixels) for poor, mended in seen)


def test_deblurred_draws_each_blur_sharpened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deblurred.jpg"
    seen: list[tuple[Any, Any]] = []
    deblur = retouch.deblur

    def listen(source: Any, **options: Any) -> Any:
        seen.append((source, deblur(source, **options)))
        return seen[-1][1]

    monkeypatch.setattr(retouch, "deblur", listen)
    _script("examples/deblurred.py", monkeypatch, str(target), "--side", "224", "--cell", "64").main()
    sheet = retouch.open(target)
    assert sheet.width > 4 * 64
    assert sheet.height > 4 * 64
    assert len(seen) == 8
    assert all(not torch.equal(poor.pixels, sharp.pixels) for poor, sharp in seen)


def test_facades_draws_what_each_method_makes_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.evaluation.labels import FACADES, colours_of, nearest_label

    script = _script("examples/facades.py", monkeypatch, str(tmp_path / "facades.jpg"), "--cell", "64")
    for draw in (script.plain, script.grand, script.shutters):
        assert nearest_label(draw(), colours_of(FACADES))[1] == 1.0, "nothing but the colours of labels"
    calls: list[tuple[str, str]] = []

    def translate(source: Any, model: str, *, direction: str = "forward") -> Any:
        calls.append((model, direction))
        return source.with_pixels(1 - source.pixels)

    monkeypatch.setattr(retouch, "translate", translate)
    script.main()
    assert len(calls) == 12
    assert ("dualgan-facades", "back") in calls
    assert ("pix2pix-facades", "forward") in calls
    sheet = retouch.open(tmp_path / "facades.jpg")
    assert sheet.width > 5 * 64
    assert sheet.height > 3 * 64


def test_blurs_counts_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage import data

    retouch.Image.from_array(data.chelsea()[20:276, 80:336]).save(tmp_path / "a.png")
    script = _script("benchmarks/blurs.py", monkeypatch, "--images", str(tmp_path), "--output", str(tmp_path))
    monkeypatch.setattr(script, "CASES", [script.CASES[0], script.CASES[5]])
    script.main()
    (table,) = tmp_path.glob("*.md")
    text = table.read_text(encoding="utf-8")
    assert "| nothing | 1/1 |" in text
    assert "| movement over 15 pixels | 1/1 | 0.00 px |" in text


def test_the_blur_study_holds_faces_out_trains_six_weights_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for number in range(12):
        retouch.Image(torch.rand(3, 72, 70, generator=torch.Generator().manual_seed(number))).save(
            faces / f"{number:02}.png"
        )
    words = [str(faces), str(tmp_path / "out"), "--others", str(faces), "run.steps=1", "run.batch=2"]
    words += ["network.arguments.width=2", "data.held_out=1", "data.shrink=[1.0]"]
    script = _script("examples/blur_study.py", monkeypatch, *words)
    script.main()
    out = tmp_path / "out"
    assert len(list((out / "faces").iterdir())) == 10
    assert sorted(path.name for path in (out / "held-out").iterdir()) == ["00.png", "10.png"]
    rows = json.loads((out / "study.json").read_text())
    assert len(rows) == 7 * 3 * 2
    blurred = next(row for row in rows if row["weight"] == "(blurred)" and row["blur"] == "gaussian")
    assert blurred["sharpness"] < 0.6
    assert "mixed, L1 + PatchGAN" in (out / "study.md").read_text()
    weight = out / "mixed-l1" / "faces-deblur.safetensors"
    before = weight.stat().st_mtime_ns
    assert (out / "study-resize.jpg").exists()
    assert retouch.open(out / "free.jpg").width > 8 * 128
    script.main()
    assert weight.stat().st_mtime_ns == before, "a second call trains nothing anew"


def test_colours_draws_grey_pictures_in_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "colours.jpg"
    _script("examples/colours.py", monkeypatch, str(target), "--cell", "64").main()
    sheet = retouch.open(target)
    assert sheet.width > 4 * 64
    assert sheet.height > 3 * 64
    third = sheet.height // 3
    colour = [float((row[0] - row[2]).abs().mean()) for row in sheet.pixels.split(third, dim=1)[:3]]
    assert colour[0] < 0.02 < colour[1], "the first row is grey, the second is not"


def test_imagined_draws_every_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.models.card import Card
    from retouch.models.load import save_weights
    from retouch.networks.build import build

    arguments = {"side": 6, "hidden": 3, "latent": 2}
    card = Card(
        name="tiny",
        family="vae",
        architecture="vae",
        arguments=arguments,
        tasks=("generate",),
        colour="grey",
        summary="x",
    )
    weight = tmp_path / "tiny.safetensors"
    save_weights(weight, build("vae", arguments).state_dict(), card)
    target = tmp_path / "imagined.jpg"
    words = [str(target), "--cell", "64", "--models", str(weight), str(weight)]
    _script("examples/imagined.py", monkeypatch, *words).main()
    sheet = retouch.open(target)
    assert sheet.width > 3 * (10 * 6 + 18)
    assert sheet.height > 2 * (10 * 6 + 18)


def test_classified_draws_bars_under_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "classified.png"
    script = _script("examples/classified.py", monkeypatch, str(target), "--cell", "96")

    class Sure:
        def labels(self, image: retouch.Image) -> list[tuple[str, float]]:
            return [("thing", 0.9), ("other", 0.1), ("third", 0.001)]

    monkeypatch.setattr(script, "Classifier", Sure)
    script.main()
    sheet = retouch.open(target)
    assert sheet.width == len(script.PHOTOS) * 96
    bars = sheet.pixels[:, sheet.height * 2 // 3 :]
    assert float((bars[2] - bars[0]).max()) > 0.2, "there is blue"


def test_overfitting_draws_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    for run in ("without", "with"):
        (tmp_path / run).mkdir()
        for name in ("log", "validation"):
            lines = ["step,accuracy,loss", *(f"{step},{0.5 + step / 100},{1 - step / 50}" for step in range(30))]
            (tmp_path / run / f"{name}.csv").write_text("\n".join(lines) + "\n")
    target = tmp_path / "overfitting.png"
    runs = [str(tmp_path / run) for run in ("without", "with")]
    script = _script("examples/overfitting.py", monkeypatch, str(target), *runs, "--cell", "96")
    script.main()
    assert retouch.open(target).width > 4 * 96
    assert script.smooth([0.0, 1.0, 2.0]) == [1.0, 1.0, 1.0]
