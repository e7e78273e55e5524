"""``retouch generate``: sheets, folders, exit codes; ``retouch evaluate`` and ``models`` of what generates."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.models.card import Card, Measured
from retouch.models.header import read_card
from retouch.models.load import rewrite_card, save_weights
from retouch.networks.build import build
from retouch.tasks.generate import fitted
from retouch.training.recipe import read_recipe


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed weight that makes pictures of 28 pixels, with the recipe of digits."""
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    arguments = {"hidden": 4, "latent": 2}
    recipe = read_recipe("vae-digits-784", ["network.arguments={ hidden = 4, latent = 2 }"])
    card = Card(
        name="tiny", family="vae", architecture="vae", arguments=arguments, tasks=("generate",), colour="grey",
        summary="tiny", recipe=recipe.table(),
    )  # fmt: skip
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(folder / "tiny.safetensors", build("vae", arguments).state_dict(), card)
    return "tiny"


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    path.write_bytes(gzip.compress(head + pixels.tobytes()))
    return path


def test_pictures_above_what_the_network_makes_of_them(tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for number in range(3):
        retouch.Image(torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(number))).save(
            folder / f"{number}.png"
        )
    path = tmp_path / "sheet.png"
    words = ["generate", tiny, "-o", str(path), "--pictures", str(folder), "--columns", "2", "--enlarge", "1"]
    assert main(words) == 0
    sheet = retouch.open(path)
    assert (sheet.width, sheet.height) == (2 * 28 + 2, 4 * 28 + 6)
    pictures = [retouch.open(file) for file in sorted(folder.iterdir())]
    rows = [sheet.pixels[:, 30 * row : 30 * row + 28] for row in range(4)]
    assert torch.allclose(rows[0][..., :28], fitted(pictures, (1, 28, 28))[0], atol=1 / 254)
    assert torch.allclose(rows[1][..., 30:], retouch.generate(tiny, pictures=pictures)[1].pixels, atol=1 / 254)
    assert torch.allclose(rows[2][..., :28], fitted(pictures, (1, 28, 28))[2], atol=1 / 254)
    assert main(["generate", tiny, "-o", f"{tmp_path}/each/", "--pictures", str(folder / "0.png")]) == 0
    assert main(["generate", tiny, "-o", str(path), "--pictures", str(folder), "--manifold"]) == 2
    assert main(["generate", tiny, "-o", str(path), "--pictures", str(tmp_path / "none.png")]) in (1, 2)


def test_a_sheet(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert main(["generate", tiny, "-o", str(path), "-n", "6", "--columns", "3", "--enlarge", "1"]) == 0
    sheet = retouch.open(path)
    assert (sheet.width, sheet.height, sheet.channels) == (3 * 28 + 4, 2 * 28 + 2, 1)
    assert sheet.metadata.xmp is not None
    assert main(["generate", tiny, "-o", str(path), "--count", "2", "--interpolate", "5", "--enlarge", "1"]) == 0
    assert retouch.open(path).width == 5 * 28 + 8
    assert main(["generate", tiny, "-o", str(path), "-n", "9", "--manifold"]) == 0
    assert retouch.open(path).width == 3 * 28 * 4 + 4


def test_single_pictures(tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert main(["generate", tiny, "-o", f"{folder}/", "-n", "3", "--quiet"]) == 0
    assert [path.name for path in sorted(folder.iterdir())] == [f"tiny-000{n}.png" for n in (1, 2, 3)]
    first = retouch.generate(tiny, count=1)[0]
    assert torch.allclose(retouch.open(folder / "tiny-0001.png").pixels, first.pixels, atol=0.5 / 255)
    assert main(["generate", tiny, "-o", str(folder), "-n", "1", "--enlarge", "2"]) == 0  # a folder that is there
    assert retouch.open(folder / "tiny-0001.png").width == 56


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["fsrcnn-x2", "-o", "{}/x.png"], 2, "a weight for upscale, not for generate"),
        (["tiny", "-o", "{}/nowhere/x.png"], 1, "nowhere"),
        (["tiny", "-o", "{}/x.gif"], 2, "x.gif"),
        (["tiny", "-o", "{}/", "--columns", "3"], 2, "--columns belongs to a sheet"),
        (["tiny", "-o", "{}/x.png", "--manifold", "--interpolate", "3"], 2, "one of --interpolate and --manifold"),
        (["tiny", "-o", "{}/x.png", "--temperature", "-1"], 2, "--temperature must be in 0..10"),
        (["tinny", "-o", "{}/x.png"], 2, "did you mean 'tiny'"),
    ],
)
def test_wrong_calls(
    words: list[str], code: int, told: str, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *(word.format(tmp_path) for word in words)]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_it_is_measured_and_its_card_shows_it(
    tiny: str, digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    assert main(["evaluate", tiny, "--data", str(digits), "--record", "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["dataset"] == "mnist t10k"
    assert found["images"] == found["total"] == 6
    assert found["nats"] == pytest.approx(found["reconstruction"] + found["divergence"], rel=1e-6)
    assert f"nats {found['nats']:.4f}" in capsys.readouterr().out
    row = read_card(tmp_path / "home" / "models" / "tiny.safetensors").measured[0]
    assert row.nats == pytest.approx(found["nats"], abs=1e-4)
    assert row.psnr is None
    assert row.recipe == "generation"
    assert main(["models", "show", tiny]) == 0
    assert f"mnist t10k generation {row.nats:.2f} nats  reconstruction" in capsys.readouterr().out
    assert main(["models", "list", "generate"]) == 0
    listed = capsys.readouterr().out
    assert f"{row.nats:.2f} nats" in listed
    assert "fsrcnn" not in listed
    assert main(["models", "verify", tiny]) == 0
    assert main(["evaluate", tiny, "--data", str(digits), "--sheet", str(tmp_path / "x.png")]) == 2
    assert main(["evaluate", tiny, "--data", str(digits), "--sigma", "25"]) == 2
    assert main(["evaluate", tiny, "--data", str(digits), "--limit", "3", "--record"]) == 2


def test_rows_without_psnr_are_shown(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "home" / "models" / "tiny.safetensors"
    rows = (
        Measured(dataset="faces", images=9, recipe="generation", frechet=12.34),
        Measured(dataset="mnist t10k", images=9, sigma=127.5, psnr=21.5),
    )
    card = read_card(path)
    rewrite_card(path, card.with_measured(rows[0]).with_measured(rows[1]))
    assert main(["models", "show", tiny]) == 0
    shown = capsys.readouterr().out
    assert "Fréchet 12.3" in shown
    assert "21.50 dB  (9 pictures)" in shown
    from retouch.evaluation.table import table

    text = table([(read_card(path), 1000)])
    assert "**Fréchet 12.3**" in text
    assert "**21.50**" in text
