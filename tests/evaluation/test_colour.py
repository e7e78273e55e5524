"""evaluate --colorize: a weight that tints everything alike, on pictures of that tint, has no error but rounding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from retouch.app.cli import main
from retouch.evaluation.colour import evaluate_colours
from retouch.evaluation.options import make_options
from retouch.image.errors import OptionError, PictureError
from retouch.image.files import open_image
from retouch.image.image import Image, Metadata
from retouch.metrics import chroma_error, colourfulness
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.solvers.chroma import chroma_of, with_chroma

_TINT = torch.tensor([0.6, 0.5, 0.35]).view(3, 1, 1)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures of one tint, and a weight that gives every pixel that tint."""
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    (tmp_path / "home" / "models").mkdir(parents=True)
    arguments = {"kernels": [1, 1, 1], "widths": [1, 1], "channels": 3}
    network = build("srcnn", arguments)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    network.body[-1].bias.data.copy_(_TINT.flatten())  # type: ignore[index, union-attr]
    card = Card(
        name="tint", family="unet", architecture="srcnn", arguments=arguments, tasks=("colorize",), colour="rgb",
        summary="of a test",
    )  # fmt: skip
    save_weights(tmp_path / "home" / "models" / "tint.safetensors", network.state_dict(), card, store="fp32")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        luma = torch.rand(1, 20, 24, generator=torch.Generator().manual_seed(seed)) * 0.4 + 0.3
        tinted = with_chroma(luma, chroma_of(_TINT).expand(2, 20, 24))
        Image(tinted, metadata=Metadata(bit_depth=8)).save(folder / f"{seed}.png")
    return folder


def test_the_numbers_are_those_of_the_metrics(data: Path) -> None:
    found = list(evaluate_colours("tint", data, make_options(device="cpu")))
    report = found[-1][0]
    assert [score.name for score in report.images] == ["0.png", "1.png"]
    original = open_image(data / "0.png")
    first = report.images[0]
    assert first.error < 0.8  # of rounding to 8 bits, twice
    assert first.grey_error == pytest.approx(chroma_error(torch.zeros(1, 20, 24) + 0.5, original), abs=0.05)
    assert first.grey_error > 10
    assert first.original == pytest.approx(colourfulness(original))
    assert first.colourful == pytest.approx(first.original, rel=0.05)
    assert report.mean.error == pytest.approx(sum(score.error for score in report.images) / 2)


def test_crop_limit_and_what_is_refused(data: Path, tmp_path: Path) -> None:
    report, outcome = list(evaluate_colours("tint", data, make_options(crop=12, limit=1)))[-1]
    assert len(report.images) == 1
    assert (outcome.result.height, outcome.result.width) == (12, 12)
    with pytest.raises(PictureError, match="smaller than --crop 21"):
        next(evaluate_colours("tint", data, make_options(crop=21)))
    Image(torch.rand(1, 8, 8)).save(tmp_path / "grey.png")
    with pytest.raises(PictureError, match="is grey"):
        next(evaluate_colours("tint", tmp_path / "grey.png", make_options()))
    with pytest.raises(OptionError, match="unknown method 'tintt'"):
        next(evaluate_colours("tintt", data, make_options()))


def test_the_command_prints_writes_json_and_a_sheet(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", "tint", "--data", str(data), "--colorize", "--json", str(tmp_path / "r.json")]
    assert main([*call, "--sheet", str(tmp_path / "s.png"), "--save", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("mean  ab error ")
    written = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert written["error"] < written["grey_error"]
    assert [row["name"] for row in written["images"]] == ["0.png", "1.png"]
    assert written["protocol"]["task"] == "colorize"
    assert open_image(tmp_path / "s.png").channels == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    assert main([*call, "--sigma", "15"]) == 2
    assert main([*call, "--markdown", str(tmp_path / "t.md")]) == 2


def test_on_the_card_and_in_the_table(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = tmp_path / "all"
    everything.mkdir()
    folder = data.rename(everything / "cbsd68")
    call = ["evaluate", "tint", "--data", str(folder), "--colorize"]
    assert main([*call, "--record", "--limit", "1"]) == 2
    assert main([*call, "--record"]) == 0
    (row,) = catalogue.load("tint").card.measured
    report = list(evaluate_colours("tint", folder, make_options(device="cpu")))[-1][0]
    assert (row.dataset, row.recipe, row.images) == ("cbsd68", "grey", 2)
    assert row.chroma_error == pytest.approx(report.mean.error, abs=1e-4)
    assert row.input_chroma_error == pytest.approx(report.mean.grey_error, abs=1e-4)
    assert row.original_colourfulness == pytest.approx(report.mean.original, abs=1e-4)
    assert row.psnr == pytest.approx(report.mean.psnr, abs=1e-4)
    assert row.input_psnr is not None
    assert row.psnr > row.input_psnr + 10  # all colours are right, none is
    capsys.readouterr()
    assert main(["evaluate", "catalogue", "--data", str(everything), "--quiet"]) == 0
    assert f"| cbsd68 | grey | **{row.psnr:.2f}** / {row.ssim:.4f} / ab error {row.chroma_error:.2f} |" in (
        capsys.readouterr().out
    )
