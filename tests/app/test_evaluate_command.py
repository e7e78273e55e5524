"""``--record`` and ``catalogue`` refuse before the work, in one line, and leave the weight as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from retouch.app.cli import main
from retouch.evaluation import protocol
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.header import read_card
from retouch.models.load import save_weights
from retouch.networks.dncnn import DnCNN


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network for grey noise of sigma 25, alone in a catalogue of its own."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    arguments = {"depth": 3, "width": 4}
    card = Card(
        name="tiny-s25",
        family="dncnn",
        architecture="dncnn",
        arguments=arguments,
        tasks=("denoise",),
        colour="each",
        summary="small",
        sigma=(25.0, 25.0),
    )
    folder = catalogue.user_folder()
    folder.mkdir(parents=True)
    path = folder / "tiny-s25.safetensors"
    torch.manual_seed(0)
    save_weights(path, DnCNN(**arguments).state_dict(), card)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "bsd68"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(2)
    for number in range(2):
        Pillow.fromarray(draw.integers(0, 256, (24, 20), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    "flags", [["--limit", "1"], ["--crop", "16"], ["--grey"], ["--blind"], ["--clip-noise"], ["--ensemble"]]
)
def test_record_refuses_before_the_work(
    flags: list[str], weight: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_work(*_: object) -> None:
        raise AssertionError("a picture was read")

    monkeypatch.setattr(protocol, "make_case", no_work)
    before = weight.read_bytes()
    assert main(["evaluate", "tiny-s25", "--data", str(data), "--record", "--sigma", "25", *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{flags[0]}: a card and the table hold numbers by the published protocol only" in error
    assert weight.read_bytes() == before


def test_record_refuses_one_picture(weight: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "tiny-s25", "--data", str(data / "0.png"), "--record"]) == 2
    assert "is one picture, not a data set" in capsys.readouterr().err
    assert not read_card(weight).measured


def test_catalogue_refuses_parts(weight: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "catalogue", "--data", str(data.parent), "--limit", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--limit: " in error


def test_record_by_name_and_by_path(weight: Path, data: Path) -> None:
    for name in ("tiny-s25", str(weight)):
        assert main(["evaluate", name, "--data", str(data), "--record", "--quiet", "--device", "cpu"]) == 0
        (row,) = read_card(weight).measured
        assert (row.dataset, row.sigma, row.images, row.protocol["clip_noise"]) == ("bsd68", 25.0, 2, False)
