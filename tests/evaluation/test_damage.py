"""``evaluate --recipe``: damaged as files are, by the recipe's seed and the picture's number, before and after."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from retouch.app.cli import main
from retouch.degradations.recipe import Recipe
from retouch.evaluation.options import EvaluateOptions, make_options, resolve
from retouch.evaluation.protocol import describe, evaluate, make_case
from retouch.evaluation.table import table
from retouch.evaluation.whole import check_as_published, record, rounds, with_report
from retouch.image.errors import OptionError, RetouchError
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.header import read_card
from retouch.models.load import save_weights
from retouch.networks.dncnn import DnCNN


@pytest.fixture
def data(tmp_path: Path) -> Path:
    from skimage import data as samples

    folder = tmp_path / "data" / "cbsd68"
    folder.mkdir(parents=True)
    photo = samples.astronaut()
    for number, (top, left) in enumerate(((0, 150), (120, 180), (300, 60))):
        Pillow.fromarray(photo[top : top + 60, left : left + 72]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A colour network for noise with fresh weights, whose card says that it restores, alone in a catalogue."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    arguments = {"depth": 3, "width": 4, "channels": 3}
    card = Card(
        name="tiny", family="tiny", architecture="dncnn", arguments=arguments, tasks=("restore", "denoise"),
        colour="rgb", summary="small", sigma=(0.0, 55.0),
    )  # fmt: skip
    folder = catalogue.user_folder()
    folder.mkdir(parents=True)
    path = folder / "tiny.safetensors"
    torch.manual_seed(0)
    save_weights(path, DnCNN(**arguments).state_dict(), card)
    return path


def test_before_and_after_by_an_independent_library(data: Path, tmp_path: Path) -> None:
    file, saved = tmp_path / "r.json", tmp_path / "out"
    call = ["evaluate", "nlm", "--data", str(data), "--recipe", "damage-noise", "--json", str(file)]
    assert main([*call, "--save", str(saved), "--quiet"]) == 0
    content = json.loads(file.read_text())
    assert content["recipe"] == "damage-noise"
    assert content["protocol"]["task"] == "denoise"  # what 'restore' has no method for, the next task does
    assert content["protocol"]["recipe_seed"] == 104
    for index, row in enumerate(content["images"]):
        original = np.asarray(Pillow.open(data / f"{index}.png"))
        result = np.asarray(Pillow.open(saved / f"{index}.png"))
        damaged = make_case(data / f"{index}.png", index, EvaluateOptions(recipe="damage-noise")).measurement
        bytes_ = (damaged.pixels.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(original, result), abs=1e-4)
        assert row["input_psnr"] == pytest.approx(peak_signal_noise_ratio(original, bytes_), abs=1e-4)
        wang: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        kept = structural_similarity(original, bytes_, channel_axis=2, full=True, **wang)[1][5:-5, 5:-5].mean()
        assert row["input_ssim"] == pytest.approx(kept, abs=1e-4)
        assert row["gain"] == pytest.approx(row["psnr"] - row["input_psnr"], abs=1e-5)
        assert "lpips" not in row
    for key in ("psnr", "input_psnr", "input_ssim", "gain"):
        assert content[key] == pytest.approx(np.mean([row[key] for row in content["images"]]), abs=1e-5)
    assert content["gain"] > 0.5


def test_the_damage_is_of_recipe_seed_and_number_and_fits_a_file(data: Path) -> None:
    path = data / "0.png"
    options = EvaluateOptions(recipe="damage-text")
    first = make_case(path, 3, options).measurement.pixels
    assert torch.equal(first, make_case(path, 3, EvaluateOptions(recipe="damage-text", seed=9)).measurement.pixels)
    assert not torch.equal(first, make_case(path, 4, options).measurement.pixels)
    torch.testing.assert_close(first * 255, (first * 255).round())
    photo = make_case(path, 3, options).reference.pixels
    generator = torch.Generator().manual_seed(101 * 1_000_003 + 3)
    by_hand = Recipe.read("damage-text")(photo[None], generator)[0]
    torch.testing.assert_close(first, (by_hand.clamp(0, 1) * 255).round() / 255)


def test_a_recipe_without_a_seed_takes_that_of_the_options(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('help = "x"\n[[step]]\nkind = "gaussian_noise"\nsigma = 20\n')
    one, other = (
        make_case(data / "0.png", 0, EvaluateOptions(recipe=str(file), seed=seed)).measurement.pixels for seed in (1, 2)
    )
    assert not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert describe(EvaluateOptions(recipe=str(file)))["recipe"] == "mine"
    assert "gaussian_noise (sigma 20)" in describe(EvaluateOptions(recipe=str(file)))["degradation"]


def test_input_gains_nothing_and_a_faultless_picture_is_no_error(data: Path, tmp_path: Path) -> None:
    report = evaluate("input", data, recipe="damage-jpeg")
    assert report.gain == 0
    assert report.psnr == report.input_psnr
    file = tmp_path / "nothing.toml"
    file.write_text('[[step]]\nkind = "brightness"\nshift = 0.0\n')
    whole = evaluate("input", data, recipe=str(file), resume=tmp_path / "r.json")
    assert whole.psnr == math.inf
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["gain"] is None
    assert content["psnr"] is content["input_psnr"] is None
    again = evaluate("input", data, recipe=str(file), resume=tmp_path / "r.json")
    assert again.input_psnr == math.inf


class Flat(nn.Module):
    """Stands for LPIPS: how far the means of two pictures are apart."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("nothing", torch.zeros(1))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a.mean() - b.mean()).abs()


def test_lpips_of_both_and_a_report_taken_up_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch import metrics

    monkeypatch.setattr(metrics, "load_lpips", lambda device="cpu": Flat())
    file = tmp_path / "dim.toml"
    file.write_text('[[step]]\nkind = "contrast"\nfactor = 0.5\n')
    report = evaluate("input", data, recipe=str(file), lpips=True, device="cpu", resume=tmp_path / "r.json")
    for score in report.images:
        case = np.asarray(Pillow.open(data / score.name), dtype=float) / 255
        assert score.lpips == pytest.approx(abs(0.5 * (case.mean() - 0.5)), abs=2e-3)
        assert score.input_lpips == score.lpips
    again = evaluate("input", data, recipe=str(file), lpips=True, device="cpu", resume=tmp_path / "r.json")
    assert again.lpips == pytest.approx(report.lpips, abs=1e-6)
    assert again.input_ssim == pytest.approx(report.input_ssim, abs=1e-6)
    assert evaluate("bicubic", data, scale=2, lpips=True, device="cpu").input_lpips is None
    with pytest.raises(RetouchError, match="differs"):
        evaluate("input", data, recipe=str(file), lpips=True, seed=4, device="cpu", resume=tmp_path / "r.json")


def test_the_task_of_a_name(weight: Path) -> None:
    def task_of(name: str, **values: Any) -> str:
        return resolve(name, make_options(recipe="damage-blur", **values))[1].task.name

    assert task_of("auto") == "restore"
    assert task_of("input") == "restore"
    assert task_of("nlm") == "denoise"
    assert task_of("reapply") == "dejpeg"
    assert task_of("deep-prior", verb="dejpeg") == "dejpeg"
    assert task_of("tiny") == "restore"
    assert task_of("tiny", verb="denoise") == "denoise"
    assert task_of(str(weight)) == "restore"
    with pytest.raises(OptionError, match="for restore, denoise, not for dejpeg"):
        task_of("tiny", verb="dejpeg")
    with pytest.raises(OptionError, match="did you mean"):
        task_of("nml")
    for values, message in (
        ({"recipe": "damage-text", "sigma": 25}, "exactly one of .*--recipe"),
        ({"verb": "restore"}, "--verb belongs to --recipe"),
        ({"recipe": "damage-text", "verb": "restroe"}, "did you mean 'restore'"),
        ({"recipe": "damage-txt"}, "did you mean 'damage-text'"),
        ({"only": "text"}, "--only belongs to --recipe"),
        ({"recipe": "damage-text", "verb": "denoise", "only": "text"}, "--only belongs to --recipe"),
        ({"recipe": "nowhere.toml"}, "nowhere.toml: cannot read the recipe"),
    ):
        with pytest.raises(OptionError, match=message):
            make_options(**values)


def test_restore_is_asked_for_what_it_may_mend(data: Path, weight: Path) -> None:
    subject, options = resolve("tiny", make_options(recipe="damage-text", only="text"))
    asked = options.task_options(subject)
    assert getattr(asked, "only", None) == "text"
    assert describe(options)["only"] == "text"
    subject, options = resolve("nlm", make_options(recipe="damage-noise"))
    assert not hasattr(options.task_options(subject), "only")  # of denoise


def test_a_recipe_that_makes_pictures_smaller_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "half.toml"
    file.write_text('[[step]]\nkind = "downsample"\nfactor = 2\n')
    with pytest.raises(OptionError, match="changes the size"):
        make_options(recipe=str(file))


def test_rows_go_on_the_card_and_into_the_table(weight: Path, data: Path) -> None:
    for recipe in ("damage-noise", "damage-jpeg", "damage-noise"):
        report = evaluate("tiny", data, recipe=recipe, crop=48, device="cpu", verb="denoise")
        card = record(weight, report)
    assert card == read_card(weight)
    assert [(row.dataset, row.recipe, row.images) for row in card.measured] == [
        ("cbsd68", "damage-jpeg", 3),
        ("cbsd68", "damage-noise", 3),
    ]
    row = card.measured[1]
    assert row.input_psnr == pytest.approx(24.7, abs=0.6)  # sigma 15: 24.61 dB, a little more where it is clipped
    assert row.protocol["crop"] == 48
    assert row.lpips is None
    text = table([(card, 1000)])
    assert f"| damage-noise (48 px) | **{row.psnr:.2f}** / {row.ssim:.4f} |  |  | {row.input_psnr:.2f} / " in text
    assert "(input)" in text
    scores = [dataclasses.replace(score, lpips=0.25, input_lpips=0.5) for score in report.images]
    seen = with_report(card, dataclasses.replace(report, images=scores))
    text = table([(seen, 1000)])
    assert "/ LPIPS 0.250 |" in text
    assert "/ LPIPS 0.500 (input)" in text


def test_what_stands_beside_published_numbers_may_not_be_cropped(weight: Path) -> None:
    check_as_published({"crop": 256, "recipe": "damage-text"})
    with pytest.raises(OptionError, match="--limit"):
        check_as_published({"limit": 3, "recipe": "damage-text"})
    with pytest.raises(OptionError, match="--crop"):
        check_as_published({"crop": 256, "recipe": None})
    found = [(one.dataset, one.condition) for one in rounds() if "recipe" in one.condition]
    assert len(found) == 5
    assert all(name == "cbsd68" and condition["crop"] == 256 for name, condition in found)
    for _, condition in found:
        assert Recipe.read(condition["recipe"]).seed is not None


def test_a_sheet_shows_both_numbers(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    call = ["evaluate", "bilateral", "--data", str(data), "--recipe", "damage-text", "--limit", "2"]
    assert main([*call, "--sheet", str(sheet)]) == 0
    assert Pillow.open(sheet).size[0] > 200
    shown = capsys.readouterr()
    assert "gain" in shown.out
    assert "dB" in shown.err
