"""``retouch train`` and ``retouch find-lr``: whole calls, and how they end where something is wrong."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retouch.app.cli import main
from retouch.models.load import load_weights
from retouch.training import fit as room

RECIPE = """
help = "tiny"
network = { name = "fsrcnn", arguments = { scale = 2, width = 4, shrunk = 2, depth = 1 } }
card = { family = "tiny", tasks = ["upscale"], colour = "y", summary = "tiny", scales = [2] }
optimizer = { rate = 1e-3 }

[data]
crop = 16
channels = "y"
[[data.degradation]]
[[data.degradation.step]]
kind = "downsample"
factor = 2

[run]
steps = 6
batch = 2
precision = "fp32"
log_every = 1
save_every = 2
validate_every = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``tiny.toml``, six pictures in ``photos``, and an empty folder ``empty``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "photos").mkdir()
    (tmp_path / "empty").mkdir()
    rng = np.random.default_rng(3)
    for index in range(6):
        scene = np.kron(rng.integers(0, 256, (5, 6, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        Pillow.fromarray(scene).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path


def _call(words: str) -> int:
    return main([*words.split(), "--device", "cpu", "--workers", "0"])


def test_trains_into_its_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("train tiny.toml --images photos") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    said = " ".join(shown.err.split())
    assert "tiny: 6 of 6 pictures decoded" in said
    assert "tiny: step 3: validation" in said
    assert "runs/tiny/tiny.safetensors: 6 steps, best validation" in said
    assert load_weights(here / "runs" / "tiny" / "tiny.safetensors").card.steps == 6
    assert _call("train tiny.toml --images photos") == 0
    assert "goes on from step 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "train tiny.toml run.steps=2 name=other --images photos empty --quiet --folder made",
        "train tiny.toml --images photos empty run.steps=2 name=other --quiet --folder made",
        "train --images photos empty --folder made tiny.toml run.steps=2 name=other --quiet",
        "train tiny.toml run.steps=2 --quiet --images photos name=other --folder made",
    ],
)
def test_replaced_values_may_stand_anywhere(here: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert _call(words) == 0
    assert capsys.readouterr().err == ""
    assert load_weights(here / "made" / "other.safetensors").card.steps == 2


def test_a_folder_with_an_equals_sign_is_a_folder(here: Path) -> None:
    (here / "photos").rename(here / "year=2026")
    assert _call("train tiny.toml --images year=2026 --quiet run.steps=2") == 0


def test_a_value_longer_than_any_file_name(here: Path) -> None:
    steps = ", ".join(['{kind="gaussian_noise"}'] * 20 + ['{kind="downsample", factor=2}'])
    words = ["train", "tiny.toml", "--images", "photos", "--quiet", "run.steps=1", "--folder", "long"]
    assert main([*words, f"data.degradation=[{{step=[{steps}]}}]"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("train --images photos", 2, "needs at least 1 RECIPE"),
        ("train tiny.toml --images run.steps=5", 2, "--images needs at least one folder"),
        ("train fsrcn-x2 --images photos", 2, "unknown training recipe 'fsrcn-x2'; did you mean 'fsrcnn-x2'?"),
        ("train nowhere.toml --images photos", 2, "nowhere.toml: cannot read the recipe: No such file or directory"),
        ("train tiny.toml --images empty", 1, "empty: no picture there"),
        ("train tiny.toml --images nowhere", 1, "nowhere: cannot read the folder of pictures: No such file"),
        ("train tiny.toml data.crop=32 --images photos", 1, "0.png: 36x30 is smaller than the crop of 32 pixels"),
        ("train tiny.toml --images photos run.stps=5", 2, "tiny: run: unknown key 'stps'; did you mean 'steps'?"),
        ("train tiny.toml rum.steps=5 --images photos", 2, "unknown key 'rum'; did you mean 'run'?"),
        ("train tiny.toml run.steps=many --images photos", 2, "run: steps: must be a whole number, not 'many'"),
        ("train tiny.toml steps --images photos", 2, "'steps': a recipe's value is replaced by key=value"),
        ("train tiny.toml network.name=fsrcn --images photos", 2, "unknown network 'fsrcn'; did you mean 'fsrcnn'?"),
        ("train tiny.toml network.start=none.safetensors --images photos", 1, "none.safetensors"),
        ("train tiny.toml run.precision=fp16 --images photos", 2, "fp16 is for CUDA devices only"),
        ("train tiny.toml --images photos --folder tiny.toml", 1, "tiny.toml: cannot make the run folder"),
        ("find-lr --images photos", 2, "needs at least 1 RECIPE"),
        ("find-lr tiny.toml --images empty", 1, "empty: no picture there"),
        ("find-lr tiny.toml --images photos --lowest 1 --highest 1", 2, "--lowest 1.0 must be below --highest 1.0"),
        ("find-lr tiny.toml --images photos --steps 5", 2, "--steps must be in 10..100000, not 5"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, code: int, message: str
) -> None:
    assert _call(f"{words} --quiet") == code
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("retouch: ")
    assert message in lines[0]


def test_a_run_folder_of_something_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("train tiny.toml --images photos --quiet run.steps=2") == 0
    assert _call("train tiny.toml --images photos --quiet run.steps=3") == 2
    assert "is of another run: recipe.run.steps was 2, now 3" in capsys.readouterr().err
    assert _call("train tiny.toml --images photos --quiet run.steps=3 --fresh") == 0
    (here / "runs" / "tiny" / "checkpoint.pt").write_bytes(b"nothing")
    assert _call("train tiny.toml --images photos --quiet run.steps=3") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_corrupt_pictures_are_named_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (here / "photos" / "x.jpg").write_bytes(b"")
    for _ in range(2):
        assert _call("train tiny.toml --images photos --quiet") == 0
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2
        assert "data: " in lines[0]
        assert lines[0].endswith("; left out")
        assert "2.png" in lines[0]
        assert "x.jpg" in lines[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_the_step_at_work(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    true = room.Trainer.run_step

    def stepped(self: room.Trainer) -> object:
        if self.step == 2:
            os.kill(os.getpid(), number)
        return true(self)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(room.Trainer, "run_step", stepped)
        assert _call("train tiny.toml --images photos") == 130
    assert "runs/tiny: stopped after 3 steps; the same call goes on from there" in capsys.readouterr().err
    assert signal.getsignal(number) is before
    assert _call("train tiny.toml --images photos") == 0
    assert "goes on from step 3" in capsys.readouterr().err
    with (here / "runs" / "tiny" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == list("123456")


def test_finds_a_rate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert _call("find-lr tiny.toml --images photos --steps 30 --output plot.png --quiet") == 0
    shown = capsys.readouterr()
    rate = float(shown.out)
    assert 1e-6 <= rate <= 1
    assert f"optimizer.rate={shown.out.strip()}: where the loss is least; see plot.png" in shown.err
    with Pillow.open(here / "plot.png") as plot:
        assert plot.format == "PNG"
    with (here / "plot.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["rate"]) for row in rows]
    assert rates[0] == pytest.approx(1e-6)
    assert rates == sorted(rates)
    assert any(abs(value / rate - 1) < 0.01 or abs(value / rate - 10) < 0.1 for value in rates)
    assert not (here / "runs").exists()


@pytest.mark.parametrize("verb", ["train", "find-lr"])
def test_help_names_the_recipes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "fsrcnn-x2" in shown
    assert "--images" in shown


# -- two kinds of pictures

TRANSLATION = """
help = "tiny translation"
network = { name = "resnet-generator", arguments = { blocks = 1, width = 4 } }
card = { family = "tiny", tasks = ["translate"], colour = "rgb", summary = "tiny" }
data = { source = "paired", crop = 16 }
objective = { arguments = { losses = [{ name = "l1" }] } }
run = { steps = 2, batch = 2, precision = "fp32" }
"""


@pytest.fixture
def kinds(here: Path) -> Path:
    """Beside the others ``pairs.toml``, and a second folder of six pictures, of which one has no partner."""
    (here / "pairs.toml").write_text(TRANSLATION)
    (here / "others").mkdir()
    for path in sorted((here / "photos").iterdir()):
        Pillow.open(path).transpose(Pillow.Transpose.FLIP_TOP_BOTTOM).save(here / "others" / path.name)
    (here / "others" / "5.png").rename(here / "others" / "alone.png")
    return here


def test_two_folders_or_files_with_both(kinds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("train pairs.toml --images photos --targets others") == 0
    told = capsys.readouterr().err
    assert "5.png: no picture of this name in others; left out" in told
    assert "alone.png: no picture of this name in photos; left out" in told
    assert load_weights(kinds / "runs" / "pairs" / "pairs.safetensors").card.data == ("photos", "others")
    assert _call("train pairs.toml --pairs photos --folder beside --quiet") == 0
    assert (kinds / "beside" / "pairs.safetensors").exists()
    assert _call("find-lr pairs.toml --pairs photos --steps 10 --output lr.png") == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train pairs.toml --images photos --targets empty", "empty: no picture there"),
        ("train pairs.toml --images photos --pairs photos", "--pairs stands in place of --images and --targets"),
        ("train tiny.toml --pairs photos", "--pairs is for recipes of pictures of two kinds"),
        ("train tiny.toml --images photos --targets others", "--targets is for recipes of pictures of two kinds"),
        (
            "train pairs.toml --images photos --targets others --validate photos",
            "--validate is for recipes that degrade",
        ),
    ],
)
def test_kinds_refused(kinds: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert _call(line) in (1, 2)
    assert message in capsys.readouterr().err
