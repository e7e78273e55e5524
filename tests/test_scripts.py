"""The demo and the benchmark run and write what they promise; their steps are cut to two."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
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


def _calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Any, dict[str, Any], Any]]:
    """What from now on goes into ``retouch.name``, its options, and what comes out, call by call."""
    seen: list[tuple[Any, dict[str, Any], Any]] = []
    called = getattr(retouch, name)

    def listen(source: Any, **options: Any) -> Any:
        seen.append((source, options, called(source, **options)))
        return seen[-1][2]

    monkeypatch.setattr(retouch, name, listen)
    return seen


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
    seen = _calls(monkeypatch, "restore")
    _script("examples/restored.py", monkeypatch, str(target), "--side", "128", "--cell", "64").main()
    sheet = retouch.open(target)
    assert sheet.width > 5 * 64
    assert sheet.height > 3 * 64
    assert len(seen) == 5
    assert all(not torch.equal(poor.pixels, mended.pixels) for poor, _, mended in seen)


def test_enlarged_draws_each_method_beside_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "enlarged.jpg"
    script = _script("examples/enlarged.py", monkeypatch, str(target), "--side", "64", "--cell", "64")
    monkeypatch.setattr(script, "CASES", (("chelsea", (64, 112)),))
    seen = _calls(monkeypatch, "upscale")
    script.main()
    assert [options["method"] for _, options, _ in seen] == list(script.METHODS)
    assert len({tuple(made.pixels.shape) for *_, made in seen}) == 1
    assert len({float(made.pixels.double().sum()) for *_, made in seen}) == len(seen), "no method twice"
    assert retouch.open(target).width > (len(seen) + 2) * 64


def test_a_sheet_for_the_documentation_is_no_wider_than_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = _script("examples/sheets.py", monkeypatch)
    drawn = retouch.Image(torch.rand(3, 100, 2 * sheets.WIDEST))
    sheets.write(drawn, tmp_path / "wide.jpg")
    sheets.write(drawn, tmp_path / "wide.png")
    small = retouch.open(tmp_path / "wide.jpg")
    assert (small.width, small.height) == (sheets.WIDEST, 50)
    assert retouch.open(tmp_path / "wide.png").width == drawn.width, "only a JPEG is for the documentation"


def test_deblurred_draws_each_blur_sharpened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "deblurred.jpg"
    seen = _calls(monkeypatch, "deblur")
    _script("examples/deblurred.py", monkeypatch, str(target), "--side", "224", "--cell", "64").main()
    sheet = retouch.open(target)
    assert sheet.width > 4 * 64
    assert sheet.height > 4 * 64
    assert len(seen) == 8
    assert all(not torch.equal(poor.pixels, sharp.pixels) for poor, _, sharp in seen)


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


def test_defaults_draws_what_each_task_does_when_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script("examples/defaults.py", monkeypatch, str(tmp_path / "damaged.png"), "--side", "64", "--cell", "48")
    monkeypatch.setattr(script, "CASES", script.CASES[:1] + script.CASES[-2:-1])
    script.main()
    drawn = retouch.open(tmp_path / "damaged.png")
    assert drawn.width > 2 * 48
    assert drawn.height > 3 * 48
    photo = tmp_path / "photo.png"
    retouch.Image(torch.rand(3, 40, 70)).save(photo)
    words = ("--photos", str(photo), "--side", "32", "--cell", "48")
    script = _script("examples/defaults.py", monkeypatch, str(tmp_path / "mine.png"), *words)
    monkeypatch.setattr(script, "ON_PHOTOS", {"one": (script.ON_PHOTOS["denoise"][0], 1)})
    script.main()
    assert retouch.open(tmp_path / "mine.png").width > 2 * 48


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
    assert retouch.open(out / "free.jpg").width == 900
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


def test_dreams_draws_what_networks_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def made(source: Any, **options: Any) -> Any:
        calls.append(options)
        return source.with_pixels(1 - source.pixels)

    def drawn(network: str, options: Any) -> tuple[list[Any], list[str]]:
        words = (options.class_ or options.channel).replace(";", ",").split(",")
        return [retouch.Image(torch.rand(3, 32, 32)) for _ in words], words

    for name, rows in (("dreams", 5), ("guided", 4), ("visualized", 4), ("inverted", 2)):
        target = tmp_path / f"{name}.jpg"
        words = [str(target), "--show", name, "--side", "64", "--cell", "64"]
        script = _script("examples/dreams.py", monkeypatch, *words)
        monkeypatch.setattr(retouch, "dream", made)
        monkeypatch.setattr(retouch, "invert", made)
        monkeypatch.setattr(script, "visualizations", drawn)
        script.main()
        assert retouch.open(target).height > rows * 64
    assert len(calls) == 4 * 4 + 3 * 2 + 2 * 3
    assert sum("guide" in options for options in calls) == 3
    assert {options["method"] for options in calls if "method" in options} == {"tv", "deep-prior"}


def test_corners_trains_three_ways_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "t10k"):
        pixels = torch.randint(256, (6, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.numpy().tobytes())
    target = tmp_path / "corners.jpg"
    words = [str(tmp_path), str(target), "--folder", str(tmp_path / "runs"), "--steps", "2"]
    script = _script("examples/corners.py", monkeypatch, *words)
    monkeypatch.setattr(script, "_BATCH", 2)
    script.main()
    told = capsys.readouterr().out
    assert [f"| {way} |" in told for way in ("L2", "cross-entropy", "pixel recursive")] == [True] * 3
    assert retouch.open(target).width == 900
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(kept) == 3
    script.main()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == kept
    with pytest.raises(SystemExit, match="no train-images-idx3-ubyte of MNIST there"):
        script.read(tmp_path / "runs", "train")


def test_corners_knows_one_digit_from_two(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script("examples/corners.py", monkeypatch, "digits", "sheet")
    digits = script.written()
    assert digits.shape == (5, 1, 12, 12)
    assert all(20 <= int(digit.sum()) <= 90 for digit in digits)
    middle, first, second = script.placed(digits)
    assert torch.equal(middle.roll((-6, -6), (2, 3)), first)
    assert torch.equal(first.roll((12, 12), (2, 3)), second)
    white = float(digits.mean()) / 4
    assert script.measured(first, digits) == (0.0, 1.0)
    assert script.measured(second, digits) == (0.0, 1.0)
    assert script.measured((first + second) / 2, digits) == (pytest.approx(white / 2), 0.0)
    assert script.measured(first + second, digits) == (pytest.approx(white), 0.0)
    assert script.measured(0 * first, digits) == (pytest.approx(white), 0.0)


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


def _with_styles(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Whatever is painted comes back negative; what was asked for."""
    asked: list[dict[str, Any]] = []

    def stylize(image: Any, style: Any = None, **options: Any) -> Any:
        asked.append({"style": style} | options)
        return image.with_pixels(1 - image.pixels)

    monkeypatch.setattr(retouch, "stylize", stylize)
    return asked


def test_styles_draws_photographs_in_each_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _with_styles(monkeypatch)
    painting = tmp_path / "painting.png"
    retouch.Image(torch.rand(3, 40, 50)).save(painting)
    words = [str(tmp_path / "styles.jpg"), "--cell", "64", "--style", str(painting)]
    _script("examples/styles.py", monkeypatch, *words).main()
    assert len(asked) == 12 + 4
    assert {call["model"] for call in asked if "model" in call} == {
        f"style-{name}" for name in ("starry-night", "great-wave", "scream", "shipwreck")
    }
    sheet = retouch.open(tmp_path / "styles.jpg")
    assert sheet.width > 5 * 64
    assert sheet.height > 4 * 64


def test_the_benchmark_of_styles_holds_optimisers_and_a_network_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    class Features(nn.Module):
        def forward(self, x: torch.Tensor, names: Any) -> dict[str, torch.Tensor]:
            return {name: (x * (1 + number)).sin() for number, name in enumerate(names)}

    monkeypatch.setattr("retouch.solvers.style.feature_network", lambda *about: Features())
    painting = tmp_path / "painting.png"
    retouch.Image(torch.rand(3, 40, 50)).save(painting)
    words = ["--style", str(painting), "--side", "32", "--steps", "5", "--output", str(tmp_path), "--model", "x"]
    script = _script("benchmarks/styles.py", monkeypatch, *words)
    asked = _with_styles(monkeypatch)
    script.main()
    text = (tmp_path / "styles.md").read_text(encoding="utf-8")
    assert "| L-BFGS, float32 | 5 |" in text
    assert "+0.0%" in text
    assert "| --effort normal |" in text
    assert len(asked) == 6


def _photographs(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    for number in range(count):
        noise = torch.rand(3, side, side, generator=torch.Generator().manual_seed(number))
        retouch.Image(noise).save(folder / f"{number:02}.png")


@pytest.mark.parametrize("task", ["upscale", "denoise"])
def test_candidates_learn_for_the_same_time_and_are_judged_on_what_none_has_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    _photographs(tmp_path / "pictures", 5, 40)
    own, rival = ("residual-sr", "safmn") if task == "upscale" else ("residual-unet", "nafnet")
    words = ["--images", str(tmp_path / "pictures"), "--task", task, "--networks", f"{own},{rival}", "--seconds", "0.3"]
    words += ["--rate", f"{rival}=5e-4", "--held-out", "2", "--rounds", "1", "--size", "24x16"]
    words += ["--output", str(tmp_path), "stage.0.run.batch=1"]
    words += ["stage.0.data.crop=16", "data.shrink=[1.0]", "run.precision=fp32"]
    script = _script("benchmarks/candidates.py", monkeypatch, *words)
    learned: list[list[str]] = []
    samples_of = script.samples_of

    def seen(pictures: Any, recipe: Any) -> Any:
        learned.append([entry.name for entry in pictures.entries])
        return samples_of(pictures, recipe)

    monkeypatch.setattr(script, "samples_of", seen)
    script.main()
    result = json.loads((tmp_path / "candidates.json").read_text())
    first, second = result["candidates"]
    assert [first["name"], second["name"]] == [own, rival]
    assert first["rate"] != second["rate"] == 5e-4
    assert len(result["held_out"]) == 2
    assert all(len(names) == 3 and not set(names) & set(result["held_out"]) for names in learned)
    assert all(row["steps"] >= 1 and row["seconds"] > 0 and 3 < row["psnr"] < 60 for row in (first, second))
    assert 0 < first["cpu_megapixels_per_second"] < float("inf")
    assert first["cpu_dtype"] in ("float32", "bfloat16")
    if task == "upscale":
        assert second["parameters"] == 227_820
        products = 3 * 36 * 9 + 36 * 12 * 9 + 8 * (36 * 72 * 9 + 72 * 36 + 36 * 36 + 81 * (1 + 1 / 4 + 1 / 16 + 1 / 64))
        assert second["gflop_per_megapixel"] == pytest.approx(2 * products / 4 / 1e3)
    else:
        assert result["untouched"] == pytest.approx(20.17, abs=0.3)  # of sigma 25
    text = (tmp_path / "candidates.md").read_text()
    assert text.count(f"| {rival} | {second['parameters']:,} |") == 1


def test_candidates_as_published_and_wrong_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _photographs(tmp_path / "pictures", 2, 40)
    words = ["--images", str(tmp_path / "pictures"), "--rate", "unet=1"]
    script = _script("benchmarks/candidates.py", monkeypatch, *words)
    ours, theirs = (script.make_task("upscale", 2, [], published=published) for published in (False, True))
    assert ours.networks["imdn"].arguments == {"scale": 2, "skip": "bicubic"}
    assert theirs.networks["imdn"].arguments == {"scale": 2}
    assert ours.networks["residual-sr"] == theirs.networks["residual-sr"] == ours.recipe.network
    with pytest.raises(SystemExit):
        script.main()


def test_training_benchmark_counts_what_a_step_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _photographs(tmp_path / "pictures", 2, 128)
    words = ["--images", str(tmp_path / "pictures"), "--recipes", "fsrcnn-x2,unet-denoise", "--steps", "2"]
    words += ["--side", "64", "--device", "cpu", "--output", str(tmp_path)]
    words += ["run.batch=2", "data.crop=32", "data.shrink=[1.0]", "run.precision=fp32"]
    _script("benchmarks/training.py", monkeypatch, *words).main()
    rows = json.loads((tmp_path / "training.json").read_text())["recipes"]
    assert [row["name"] for row in rows] == [
        "fsrcnn-x2",
        *(f"unet-denoise-{stage}" for stage in ("small", "large", "psnr", "grown", "wide")),
    ]
    forwards, first = 2 * 12_464 * 2 * 16 * 16, 2 * 56 * 25 * 2 * 16 * 16
    # backwards each product is made twice, but for those of the first layer: nobody asks what its picture should be
    assert rows[0]["operations"] == 3 * forwards - first
    for row, batch in zip(rows, (2, 2, 8, 8, 8, 5), strict=True):
        assert 0 < row["samples"] <= 1
        assert row["images_per_second"] * row["seconds_per_step"] == pytest.approx(batch)
        assert row["gflops"] * row["seconds_per_step"] == pytest.approx(row["operations"] / 1e9)
    assert (tmp_path / "training.md").read_text().count("| unet-denoise-large | 96 | 8 | float32 |") == 1


def test_training_benchmark_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _photographs(tmp_path / "pictures", 1, 16)
    words = ["--images", str(tmp_path / "pictures"), "--recipes", "fsrcnn-x9", "--side", "8", "--device", "cpu"]
    with pytest.raises(SystemExit):
        _script("benchmarks/training.py", monkeypatch, *words).main()
    assert "'fsrcnn-x9'; did you mean 'fsrcnn-x" in capsys.readouterr().err


def test_the_busy_benchmark_times_both_ways_idle_and_beside_loops_that_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script("benchmarks/busy.py", monkeypatch)
    loops: list[str] = []
    runs: list[tuple[int, str]] = []

    class Loop:
        def __init__(self, words: list[str]) -> None:
            loops.append("runs")

        def kill(self) -> None:
            loops.append("ended")

    def run(words: list[str], env: dict[str, str], **_: Any) -> None:
        folder = Path(words[words.index("upscale") + 1])
        assert len(list(folder.glob("*.png"))) >= 10
        runs.append((loops.count("runs"), env.get("GOMP_SPINCOUNT", "ours")))

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr(script.subprocess, "Popen", Loop)
    script.main()
    cores = os.cpu_count() or 1
    assert {*runs} == {(0, "ours"), (0, "300000"), (cores, "ours"), (cores, "300000")}
    assert loops == ["runs"] * cores + ["ended"] * cores
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(tuple(script.WAYS))]
    assert len(told) == 2
    assert all(float(word) > 0 for line in told for word in line.split()[-2:])
