"""evaluate --pairs: known label maps, networks that give one colour or what they got, and a made-up feature network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor, nn

from retouch.app.cli import main
from retouch.evaluation import translation, whole
from retouch.evaluation.labels import FACADES, Confusion, colours_of, nearest_label
from retouch.evaluation.options import make_options
from retouch.evaluation.translation import evaluate_translation
from retouch.evaluation.whole import evaluate_all, rounds
from retouch.image.errors import OptionError, PictureError, RetouchError
from retouch.image.files import open_image
from retouch.image.resize import resize
from retouch.metrics import psnr, ssim
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.features import feature_path
from retouch.models.header import read_card
from retouch.models.load import save_weights
from retouch.networks.build import build

WINDOW = FACADES["window"]
MAPS = (
    [("window", 0.5), ("facade", 0.25), ("pillar", 0.25)],
    [("facade", 0.75), ("window", 0.25)],
)
"""What share of the height of each picture has which label, from the top."""


class Blocks(nn.Module):
    """Means of 8 x 8 pixels as 512 activations: red 171 times, green 171 times, blue 170 times."""

    def forward(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        means = nn.functional.avg_pool2d(x, 8)
        return {name: means.repeat_interleave(171, 1)[:, :512] for name in names}


def _save(name: str, architecture: str, arguments: dict[str, Any], network: nn.Module, **card: Any) -> Path:
    path = catalogue.user_folder() / f"{name}.safetensors"
    known: dict[str, Any] = {"family": "pix2pix", "tasks": ("translate",), "colour": "rgb", "summary": "of a test"}
    made = Card(name=name, architecture=architecture, arguments=arguments, **known | card)
    save_weights(path, network.state_dict(), made, store="fp32")
    return path


def pointwise(name: str, colour: tuple[int, int, int] | None = None, **card: Any) -> Path:
    """A weight that gives every pixel this colour, or the pixel that it got."""
    arguments = {"kernels": [1, 1, 1], "widths": [3, 3], "channels": 3}
    network = build("srcnn", arguments)
    for layer in network.body[::2]:  # type: ignore[index, union-attr]
        layer.weight.data.copy_(torch.eye(3).view(3, 3, 1, 1) if colour is None else torch.zeros(3, 3, 1, 1))
        layer.bias.data.zero_()
    if colour is not None:
        network.body[-1].bias.data.copy_(torch.tensor(colour) / 255)  # type: ignore[index, union-attr]
    return _save(name, "srcnn", arguments, network, **card)


def label_map(shares: list[tuple[str, float]], side: int = 16) -> NDArray[np.uint8]:
    rows = [np.full((round(share * side), side, 3), FACADES[name], np.uint8) for name, share in shares]
    return np.concatenate(rows)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pairs of noise and known labels in facades/test, a catalogue of its own, and no feature weights."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    catalogue.user_folder().mkdir(parents=True)
    folder = tmp_path / "all" / "translate" / "facades" / "test"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number, shares in enumerate(MAPS):
        noise = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Pillow.fromarray(np.concatenate((noise, label_map(shares)), 1)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def features(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "load_features", lambda name: Blocks())
    for module in (translation, whole):
        monkeypatch.setattr(module, "feature_path", Path)


def half(file: Path, right: bool) -> Tensor:
    pixels = open_image(file).pixels
    middle = pixels.shape[2] // 2
    return pixels[:, :, middle:] if right else pixels[:, :, :middle]


def last(name: str, data: Path, labels: Any = None, **options: Any) -> Any:
    return list(evaluate_translation(name, data, make_options(device="cpu", **options), labels))[-1]


def test_confusion_by_hand() -> None:
    truth = torch.tensor([[0, 0, 0, 0], [1, 1, 2, 2]])
    result = torch.tensor([[0, 0, 0, 1], [1, 1, 3, 3]])
    confusion = Confusion(5)
    assert confusion.add(truth, result) == 5 / 8
    assert confusion.counts[0].tolist() == [3, 1, 0, 0, 0]
    assert confusion.accuracy == 5 / 8
    assert confusion.class_accuracy == pytest.approx((3 / 4 + 1 + 0) / 3)  # 3 and 4 never truly occur
    assert confusion.iou == pytest.approx((3 / 4 + 2 / 3 + 0 + 0) / 4)  # 3 was given wrongly, of 4 there is nothing
    assert confusion.add(torch.full((2, 4), 4), torch.full((2, 4), 4)) == 1
    assert confusion.accuracy == 13 / 16


def test_pixels_go_to_the_nearest_colour() -> None:
    colours = colours_of(FACADES)
    noise = torch.randint(-20, 21, (12, 3), generator=torch.Generator().manual_seed(0))
    pixels = ((colours + noise).clamp(0, 255) / 255).T.reshape(3, 3, 4)
    label, near = nearest_label(pixels, colours)
    assert label.flatten().tolist() == list(range(12))
    assert near == 1
    assert nearest_label(torch.full((3, 2, 2), 0.5), colours)[1] == 0


def test_the_palette_is_that_of_the_training_pictures(shared_data: Path) -> None:
    files = sorted((shared_data / "translate" / "facades" / "train").glob("*"))[:24]
    if not files:
        pytest.skip("no facades")
    found = torch.zeros(12, dtype=torch.int64)
    for file in files:
        pixels = half(file, right=True)
        values = (pixels * 255).numpy()
        spread = np.max([maximum_filter(v, 5) - minimum_filter(v, 5) for v in values], axis=0)
        flat = torch.from_numpy(spread <= 14)
        colours = colours_of(FACADES)
        label, _ = nearest_label(pixels, colours)
        apart = (pixels * 255 - colours[label].permute(2, 0, 1)).abs().amax(0)[flat]
        assert float((apart <= 16).float().mean()) > 0.97, file.name
        found += torch.bincount(label[flat], minlength=12)
    assert int((found > 100).sum()) == 12


def test_accuracy_worked_out_by_hand(data: Path) -> None:
    pointwise("blue", WINDOW)
    report, outcome = last("blue", data, "facades")
    # every pixel is called window: half of the first picture, and a quarter of the second, is
    assert [score.accuracy for score in report.images] == [0.5, 0.25]
    assert report.confusion.accuracy == pytest.approx(0.375)
    assert report.confusion.class_accuracy == pytest.approx(1 / 3)
    assert report.confusion.iou == pytest.approx(0.375 / 3)
    assert report.frechet is None
    colours = colours_of(FACADES) / 255
    apart = {name: float((colours[index] - torch.tensor(WINDOW) / 255).abs().mean()) for index, name in
             enumerate(FACADES)}  # fmt: skip
    for score, shares in zip(report.images, MAPS, strict=True):
        assert score.l1 == pytest.approx(sum(share * apart[name] for name, share in shares), abs=1e-6)
    assert (outcome.result.pixels * 255).round().flatten(1).T.unique(dim=0).tolist() == [list(WINDOW)]
    assert report.dataset == "facades"


def test_input_is_the_picture_untranslated(data: Path, features: None) -> None:
    report, outcome = last("input", data)
    assert torch.equal(outcome.source.pixels, half(data / "1.png", right=False))
    assert torch.equal(outcome.result.pixels, outcome.source.pixels)
    assert torch.equal(outcome.target.pixels, half(data / "1.png", right=True))
    assert outcome.score.psnr == pytest.approx(psnr(outcome.source, outcome.target))
    assert outcome.score.ssim == pytest.approx(ssim(outcome.source, outcome.target))
    assert outcome.score.l1 == pytest.approx(float((outcome.source.pixels - outcome.target.pixels).abs().mean()))
    assert report.parameters is None
    pointwise("same")
    assert last("same", data)[0].mean.psnr == pytest.approx(report.mean.psnr)
    assert last("same", data)[0].frechet == pytest.approx(report.frechet)


def test_the_card_says_the_direction(data: Path, features: None) -> None:
    for swap in (False, True):
        pointwise("way", recipe={"data": {"swap": swap, "crop": 8, "load": 0}})
        report, outcome = last("way", data)
        assert torch.equal(outcome.source.pixels, half(data / "1.png", right=swap))
        assert torch.equal(outcome.target.pixels, half(data / "1.png", right=not swap))
        assert report.protocol["direction"] == ("B to A" if swap else "A to B")
        assert report.protocol["side"] is None


def test_halves_are_resized_to_the_side_of_training(data: Path, features: None) -> None:
    pointwise("same", recipe={"data": {"crop": 24, "load": 30}})
    report, outcome = last("same", data)
    for image, right in ((outcome.source, False), (outcome.target, True)):
        expected = resize(half(data / "1.png", right)[None], (24, 24), kernel="bicubic")[0].clamp(0, 1)
        assert torch.allclose(image.pixels, expected, atol=0.51 / 255)  # the target is rounded to 8 bits
    assert report.protocol["side"] == 24
    pointwise("odd", recipe={"data": {"crop": "large", "load": 30}})
    with pytest.raises(RetouchError, match=r"its card says .* data.crop = 'large'"):
        last("odd", data)


def test_the_frechet_distance_is_that_of_all_positions(data: Path, features: None) -> None:
    pointwise("same")
    report, _ = last("same", data)
    weights = np.sqrt(np.diag([171.0, 171, 170]))
    sets = []
    for right in (False, True):
        means = [nn.functional.avg_pool2d(half(data / f"{n}.png", right)[None], 8)[0].flatten(1).T for n in range(2)]
        sets.append(torch.cat(means).double().numpy() @ weights)
    (first, second), covariances = sets, [np.cov(x.T) for x in sets]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root.real)
    assert report.frechet == pytest.approx(expected, rel=1e-5)
    assert last("same", data, limit=1)[0].frechet != pytest.approx(expected)


def test_vgg_tells_equal_pictures_from_others(tmp_path: Path) -> None:
    if feature_path(translation.FEATURES) is None:
        pytest.skip("no feature weights: set RETOUCH_FEATURES")
    draw = np.random.default_rng(1)
    noise, other = (draw.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(2))
    for name, right in (("equal", noise), ("other", other), ("black", other * 0)):
        (tmp_path / name).mkdir()
        Pillow.fromarray(np.concatenate((noise, right), 1)).save(tmp_path / name / "0.png")
    equal, other_noise, black = (last("input", tmp_path / name)[0].frechet for name in ("equal", "other", "black"))
    assert equal < 1e-3 * other_noise
    assert other_noise < black / 2


def test_without_feature_weights_it_says_what_to_fetch(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("downloads")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    pointwise("same")
    assert main(["evaluate", "same", "--data", str(data), "--pairs"]) == 1
    error = capsys.readouterr().err
    assert "retouch models fetch vgg16" in error
    assert error.count("\n") == 1
    assert main(["evaluate", "same", "--data", str(data), "--pairs", "--labels", "facades"]) == 0


def test_dropout_that_never_ends_repeats_by_the_seed(data: Path) -> None:
    arguments = {"depth": 3, "width": 4, "dropout": "always"}
    torch.manual_seed(0)
    _save("noisy", "pix2pix-unet", arguments, build("pix2pix-unet", arguments))
    report, outcome = last("noisy", data, "facades")
    before = torch.get_rng_state()  # loading a weight draws from it, running it does not
    again, second = last("noisy", data, "facades")
    assert torch.equal(outcome.result.pixels, second.result.pixels)
    assert report.mean.psnr == again.mean.psnr
    assert not torch.equal(outcome.result.pixels, last("noisy", data, "facades", seed=1)[1].result.pixels)
    alone = next(evaluate_translation("noisy", data, make_options(limit=1, device="cpu"), "facades"))[0]
    assert alone.images[0].psnr == report.images[0].psnr
    assert report.images[0].psnr != report.images[1].psnr
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_pair_or_no_label_map_is_said_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointwise("blue", WINDOW)
    _save("other", "srcnn", {}, build("srcnn", {}), tasks=("denoise",), colour="y")
    pointwise("way", recipe={"data": {"swap": True}})
    odd, empty = tmp_path / "odd", tmp_path / "empty"
    odd.mkdir()
    empty.mkdir()
    Pillow.new("RGB", (17, 16)).save(odd / "a.png")

    def refused(*words: str) -> str:
        code = main(["evaluate", *words])
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return f"{code} {error}"

    there, labels = ["--data", str(data), "--pairs"], ["--labels", "facades"]
    assert "1 " in refused("blue", "--data", str(odd), "--pairs", *labels)[:2]
    assert "a.png: 17 pixels wide" in refused("blue", "--data", str(odd), "--pairs", *labels)
    assert "no picture in this folder" in refused("blue", "--data", str(empty), "--pairs", *labels)
    assert "0.png: its left half is no label map" in refused("way", *there, *labels)
    assert refused("blew", *there, *labels).startswith("2 ")
    assert "did you mean 'blue'" in refused("blew", *there, *labels)
    assert "a weight for denoise, not for translate" in refused("other", *there, *labels)
    assert "--labels belongs to --pairs" in refused("blue", "--data", str(data), *labels)
    assert "takes no --crop" in refused("blue", *there, *labels, "--crop", "8")
    assert "without --scale" in refused("blue", *there, *labels, "--sigma", "25")
    assert "one of --colorize, --pairs and --style" in refused("blue", *there, "--colorize")
    assert "takes no --resume" in refused("blue", *there, "--markdown", str(tmp_path / "x.md"))
    with pytest.raises(OptionError, match="unknown palette 'facade' of --labels; did you mean 'facades'"):
        last("blue", data, "facade")


def test_pictures_too_small_for_the_features(data: Path, features: None, tmp_path: Path) -> None:
    Pillow.new("RGB", (14, 9)).save(tmp_path / "small.png")
    with pytest.raises(PictureError, match=r"small.png: too small for the Fréchet distance"):
        last("input", tmp_path / "small.png")
    Pillow.new("RGB", (16, 8)).save(tmp_path / "one.png")  # one position has no covariance
    report, _ = last("input", tmp_path / "one.png")
    assert json.loads(report.to_json())["frechet"] is None


def test_the_command_writes_json_a_sheet_and_the_results(
    data: Path, features: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pointwise("blue", WINDOW)
    call = ["evaluate", "blue", "--data", str(data), "--pairs", "--json", str(tmp_path / "r.json")]
    assert main([*call, "--labels", "facades", "--sheet", str(tmp_path / "s.png"), "--save", str(tmp_path / "o")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("mean  ")
    assert "accuracy 0.3750" in shown
    assert "class 0.3333  IoU 0.1250" in shown
    written = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert [row["accuracy"] for row in written["images"]] == [0.5, 0.25]
    assert (written["accuracy"], written["class_accuracy"], written["iou"]) == (0.375, 0.333333, 0.125)
    assert written["protocol"]["labels"] == "facades"
    assert "frechet" not in written
    assert open_image(tmp_path / "s.png").channels == 3
    result = open_image(tmp_path / "o" / "1.png")
    assert (result.height, result.width) == (16, 16)
    assert main(call) == 0
    assert "Fréchet" in capsys.readouterr().out
    written = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert written["frechet"] > 0
    assert "accuracy" not in written
    equal = tmp_path / "equal.png"
    Pillow.new("RGB", (32, 16), WINDOW).save(equal)
    assert main(["evaluate", "input", "--data", str(equal), "--pairs", "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text("utf-8"))["psnr"] is None  # infinite


def test_on_the_card_in_the_table_and_in_models(data: Path, features: None, capsys: pytest.CaptureFixture[str]) -> None:
    labels = pointwise("facades-labels", WINDOW, recipe={"data": {"swap": False}})
    photos = pointwise("photos", recipe={"name": "pix2pix-facades", "data": {"swap": True, "crop": 16, "load": 18}})
    pointwise("maps")
    call = ["evaluate", "facades-labels", "--data", str(data), "--pairs", "--labels", "facades", "--record"]
    assert main([*call, "--limit", "1"]) == 2
    assert not read_card(labels).measured
    assert main(call) == 0
    (row,) = read_card(labels).measured
    assert (row.dataset, row.recipe, row.images) == ("facades", "translation", 2)
    assert (row.accuracy, row.class_accuracy, row.iou) == (0.375, 0.33333, 0.125)
    assert row.frechet is None
    capsys.readouterr()
    assert main(["models", "show", "facades-labels"]) == 0
    assert "  facades translation accuracy 0.375  class 0.333  IoU 0.125 " in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert "accuracy 0.375 (facades translation)" in capsys.readouterr().out

    assert [(one.card.name, one.dataset, one.condition) for one in rounds()] == [
        ("facades-labels", "facades/test", {"labels": "facades"}),
        ("photos", "facades/test", {"labels": None}),
    ]
    everything = data.parents[2]  # facades lie in a folder of it
    assert main(["evaluate", "catalogue", "--data", str(everything), "--quiet", "--record"]) == 0
    shown = capsys.readouterr().out
    (row,) = read_card(photos).measured
    assert row.frechet == pytest.approx(last("photos", data)[0].frechet, abs=1e-4)
    assert row.l1 is not None
    assert row.accuracy is None
    assert "| facades | translation | **accuracy 0.375** / class 0.333 / IoU 0.125 | 0.54 / 0.33 / 0.19 |" in shown
    assert f"| facades | translation (16 px) | **Fréchet {row.frechet:.1f}** / L1 {row.l1:.3f} |  |" in shown
    assert "as measured by Yi et al." in shown


def test_the_catalogue_leaves_out_what_lacks_its_features(data: Path) -> None:
    pointwise("facades-labels", WINDOW)
    pointwise("facades-photos", recipe={"data": {"swap": True}})
    missing: list[str] = []
    done = list(evaluate_all(data.parents[1], make_options(device="cpu"), on_missing=missing.append))
    assert [one.card.name for one, _ in done] == ["facades-labels"]
    (line,) = missing
    assert line.startswith("facades-photos: left out")
    assert "retouch models fetch vgg16" in line
