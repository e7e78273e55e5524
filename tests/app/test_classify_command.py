"""``retouch classify`` and ``retouch evaluate`` of classifiers: lines, files, exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from retouch.app.cli import main
from retouch.image.files import open_image
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.header import read_card
from retouch.models.load import save_weights
from retouch.networks.build import build

ARGUMENTS = {"classes": 2, "side": 8, "channels": 1, "widths": [1], "hidden": 1}


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tells dark pictures, "0", from bright ones, "1": the alone weight of the catalogue."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    folder = catalogue.user_folder()
    folder.mkdir(parents=True)
    state = build("small-cnn", ARGUMENTS).state_dict()
    for value in state.values():
        value.zero_()
    state["blocks.0.0.weight"][0, 0, 1, 1] = 1  # the network sees -1 to 1
    state["blocks.0.0.bias"] += 1
    state["hidden.0.weight"] += 1 / 9
    state["classify.weight"][1] = 8
    state["classify.bias"][0] = 8
    card = Card(
        name="tiny-light",
        family="classify",
        architecture="small-cnn",
        arguments=ARGUMENTS,
        tasks=("classify",),
        colour="grey",
        summary="small",
        classes=("0", "1"),
    )
    save_weights(folder / "tiny-light.safetensors", state, card)
    return folder / "tiny-light.safetensors"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folders of two classes, one picture among them in the wrong one."""
    for name, levels in (("0", (10, 30, 220)), ("1", (200, 250))):
        folder = tmp_path / "data" / "test" / name
        folder.mkdir(parents=True)
        for level in levels:
            Pillow.fromarray(np.full((9, 11), level, np.uint8)).save(folder / f"{level}.png")
    return tmp_path / "data" / "test"


def test_a_line_a_class(weight: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    code = main(["classify", str(pictures / "0"), "--model", "tiny-light", "--top", "2", "--json", str(out)])
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert [line.split()[2] for line in lines] == ["0", "1", "1", "0", "0", "1"]
    assert lines[0].split()[0].endswith("10.png")
    table = json.loads(out.read_text())
    assert table["model"] == "tiny-light"
    assert [one["labels"][0]["label"] for one in table["images"]] == ["0", "1", "0"]
    assert sum(one["probability"] for one in table["images"][1]["labels"]) == pytest.approx(1, abs=1e-5)


def test_bad_inputs_are_told_and_the_others_go_on(
    weight: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "0" / "broken.png").write_bytes(b"nothing")
    words = ["classify", str(pictures / "0"), "gone.png", str(pictures / "*.jpg"), "--model", str(weight)]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "broken.png: " in shown.err
    assert "gone.png: no such file" in shown.err
    assert "no file fits this pattern" in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.out.splitlines()) == 3 * 2, "there are two classes only"
    assert main(["classify", "gone.png", "--model", str(weight)]) == 1


def test_wrong_calls(weight: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(pictures / "0" / "10.png")
    for words, message in (
        ([one, "--model", "tiny-lihgt"], "did you mean 'tiny-light'?"),
        ([one, "--model", "tiny-light", "--top", "0"], "--top must be at least 1"),
        ([one, "--model", "tiny-light", "--json", str(tmp_path / "no" / "x.json")], "there is no such folder"),
        ([one, "--model", "tiny-light", "--json", one], "this is an input"),
    ):
        before = Path(one).read_bytes()
        assert main(["classify", *words]) == 2
        assert message in capsys.readouterr().err
        assert Path(one).read_bytes() == before


def test_no_picture_is_too_large_without_being_told(
    weight: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(pictures / "1"), "--model", "tiny-light", "--max-pixels", "50"]) == 1
    shown = capsys.readouterr()
    assert shown.err.count("--max-pixels") == 2
    assert not shown.out


def test_evaluate_counts_and_records(
    weight: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "tiny-light", "--data", str(pictures), "--record"]
    assert main([*words, "--json", str(tmp_path / "r.json"), "--sheet", str(tmp_path / "s.png")]) == 0
    shown = capsys.readouterr()
    assert "220.png" in shown.err
    assert "0, taken for 1" in shown.err
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows[:3] == [["0", "1", "right"], ["0", "2", "1", "66.7%"], ["1", "0", "2", "100.0%"]]
    assert "accuracy 0.8000 (4 of 5)" in shown.out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["accuracy"] == 0.8
    assert report["confusion"] == [[2, 1], [0, 2]]
    assert report["class_accuracy"] == pytest.approx(5 / 6, abs=1e-6)
    assert open_image(tmp_path / "s.png").width > 300
    row = read_card(weight).measured[0]
    assert (row.dataset, row.recipe, row.accuracy, row.psnr, row.images) == ("data", "classification", 0.8, None, 5)
    assert main(["models", "show", "tiny-light"]) == 0
    assert "accuracy 0.800" in capsys.readouterr().out
    assert main(["models", "list", "classify"]) == 0
    assert "accuracy 0.800 (data classification)" in capsys.readouterr().out


def test_evaluate_digits_in_mnists_form(weight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    pixels = np.zeros((4, 6, 6), np.uint8)
    pixels[2:] = 255
    for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array([0, 1, 1, 1], np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / f"t10k-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    words = ["evaluate", "tiny-light", "--data", str(folder / "t10k-images-idx3-ubyte.gz"), "--record", "--quiet"]
    assert main(words) == 0
    assert "mnist  accuracy 0.7500" in capsys.readouterr().out
    assert read_card(weight).measured[0].dataset == "mnist"


def test_evaluate_refuses(weight: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(pictures)]
    for words, code, message in (
        (["tiny-light", *data, "--sigma", "5"], 2, "without --scale"),
        (["tiny-light", *data, "--crop", "8"], 2, "takes no --crop"),
        (["tiny-light", *data, "--save", str(tmp_path / "o")], 2, "makes no pictures"),
        (["tiny-light", *data, "--limit", "2", "--record"], 2, "whole data sets"),
        (["imagenet", *data, "--record"], 2, "has no card"),
        (["tiny-light", "--data", str(tmp_path / "gone")], 1, "cannot read the folder"),
    ):
        assert main(["evaluate", *words]) == code
        assert message in capsys.readouterr().err
    (pictures / "0").rename(pictures / "zero")
    assert main(["evaluate", "tiny-light", *data]) == 1
    assert "unknown class 'zero'" in capsys.readouterr().err


def test_evaluate_some(weight: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "tiny-light", "--data", str(pictures), "--limit", "2"]) == 0
    assert "(2 of 2)" in capsys.readouterr().out, "one of each end of the data"


def test_many_classes_are_told_as_pairs() -> None:
    from retouch.evaluation.classes import ClassReport
    from retouch.image.errors import OptionError

    report = ClassReport("m", "d", tuple(f"c{n}" for n in range(30)), {}, 3)
    for truth, told in ((0, 0), (4, 5), (4, 5), (7, 0)):
        report.confusion.add(torch.tensor([truth]), torch.tensor([told]))
    assert [line.split() for line in report.table()] == [
        ["2", "c4,", "taken", "for", "c5"],
        ["1", "c7,", "taken", "for", "c0"],
    ]
    with pytest.raises(OptionError, match="cannot be read"):
        report.picture()
