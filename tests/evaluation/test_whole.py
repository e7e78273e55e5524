"""Weights measured: names, the condition a card leaves no choice of, what goes on the card, the table."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import retouch
from retouch.app.cli import main
from retouch.evaluation.options import make_options, resolve
from retouch.evaluation.protocol import describe, evaluate, make_case, measure
from retouch.evaluation.report import Report, Score
from retouch.evaluation.table import BEGIN, END, published, put_into, table
from retouch.evaluation.whole import check_as_published, evaluate_all, record, rounds
from retouch.image.color import luma
from retouch.image.errors import OptionError, RetouchError
from retouch.image.resize import resize
from retouch.models import catalogue
from retouch.models.card import Card, Measured
from retouch.models.header import read_card
from retouch.models.load import read_tensors, save_weights
from retouch.networks.fsrcnn import FSRCNN

README = Path(__file__).parents[2] / "README.md"


def small_card(name: str = "tiny-x2", **changes: object) -> Card:
    arguments = {"scale": 2, "width": 2, "shrunk": 2, "depth": 0, "initial": "interpolation"}
    card = Card(
        name=name,
        family="fsrcnn",
        architecture="fsrcnn",
        arguments=arguments,
        tasks=("upscale",),
        colour="y",
        summary="linear interpolation",
        scales=(2,),
    )
    return dataclasses.replace(card, **changes)  # type: ignore[arg-type]


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weight that interpolates linearly, alone in a catalogue of its own."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    network = FSRCNN(2, width=2, shrunk=2, depth=0, initial="interpolation")
    with torch.no_grad():
        network.deconvolution.weight[1:] = 0
    folder = catalogue.user_folder()
    folder.mkdir(parents=True)
    path = folder / "tiny-x2.safetensors"
    save_weights(path, network.state_dict(), small_card(), store="fp32")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    folder = tmp_path / "data" / "set5"
    folder.mkdir(parents=True)
    for number in range(3):
        smooth = np.cumsum(draw.normal(size=(31, 40, 3)), axis=1) * 12 + 128
        Pillow.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_weight_measures_as_worked_out_by_hand(weight: Path, data: Path) -> None:
    report = evaluate("tiny-x2", data, device="cpu")  # the scale is the card's
    assert (report.model, report.scale, len(report.images)) == ("tiny-x2", 2, 3)
    for file, score in zip(sorted(data.iterdir()), report.images, strict=True):
        pixels = torch.from_numpy(np.asarray(Pillow.open(file)).copy()).permute(2, 0, 1).float() / 255
        pixels = pixels[:, :30, :]
        y = luma(pixels)
        small = resize(y[None], scale=0.5)[0, 0].double()
        # a deconvolution with the tent 1/2 1 1/2: even places copy, odd ones lie half way, and zeros beyond the border
        padded = torch.nn.functional.pad(small, (0, 1, 0, 1))
        large = torch.zeros(30, 40, dtype=torch.float64)
        large[::2, ::2] = small
        large[::2, 1::2] = (padded[:-1, :-1] + padded[:-1, 1:]) / 2
        large[1::2] = (torch.cat((large[::2], torch.zeros(1, 40))) / 2).unfold(0, 2, 1).sum(-1)
        error = (large * 255).clamp(0, 255).round() - (y[0].double() * 255).round()
        expected = 10 * math.log10(255**2 / float(error[2:-2, 2:-2].square().mean()))
        assert score.psnr == pytest.approx(expected, abs=1e-3), file.name


def test_names(weight: Path) -> None:
    by_name, options = resolve("tiny-x2", make_options())
    assert by_name.card is not None
    assert options.scale == 2
    by_path, _ = resolve(str(weight), make_options(scale=3))
    assert by_path.card is not None
    assert resolve("bicubic", make_options(scale=2))[0].card is None
    assert resolve("fsrcnn", make_options(scale=2))[0].card is None
    with pytest.raises(OptionError, match="did you mean 'tiny-x2'"):
        resolve("tiny-x3", make_options(scale=2))
    with pytest.raises(OptionError, match="exactly one of"):
        resolve("bicubic", make_options())
    with pytest.raises(OptionError, match="for upscale, not for denoise"):
        resolve("tiny-x2", make_options(sigma=25))
    several = small_card("several", scales=(2, 3))
    save_weights(weight.with_name("several.safetensors"), read_tensors(weight), several, store="fp32")
    with pytest.raises(OptionError, match="it does several"):
        resolve("several", make_options())


def test_numbers_go_on_the_card_and_nothing_else_changes(weight: Path, data: Path) -> None:
    before = read_tensors(weight)
    report = evaluate("tiny-x2", data, device="cpu")
    card = record(weight, report)
    assert card == read_card(weight)
    assert [(row.dataset, row.scale, row.images) for row in card.measured] == [("set5", 2, 3)]
    assert card.measured[0].psnr == pytest.approx(report.psnr, abs=1e-4)
    assert card.measured[0].protocol["shave"] == 2
    after = read_tensors(weight)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(record(weight, report).measured) == 1  # the same condition again takes the old row's place
    part = evaluate("tiny-x2", data, device="cpu", limit=2)
    recorded = weight.read_bytes()
    with pytest.raises(OptionError, match=r"--limit: .* whole data sets"):
        record(weight, part)
    with pytest.raises(OptionError, match=r"--crop: .* whole pictures"):
        record(weight, evaluate("tiny-x2", data, device="cpu", crop=20))
    report.images.pop()
    with pytest.raises(RetouchError, match="not 2 of 3 pictures"):
        record(weight, report)
    assert weight.read_bytes() == recorded


def test_the_mean_of_eight_views_is_measured_where_there_is_a_network(weight: Path, data: Path) -> None:
    once, eight = (evaluate("tiny-x2", data, device="cpu", ensemble=ensemble) for ensemble in (False, True))
    assert eight.protocol == once.protocol | {"ensemble": True}
    case = make_case(data / "0.png", 0, make_options(scale=2))
    expected = retouch.upscale(case.measurement, scale=2, model="tiny-x2", ensemble=True, device="cpu")
    assert eight.images[0].psnr == pytest.approx(measure(expected, case.reference, make_options(scale=2))[0], abs=1e-6)
    assert eight.psnr != pytest.approx(once.psnr, abs=1e-4)
    assert evaluate("fsrcnn", data, scale=2, device="cpu", ensemble=True).psnr == pytest.approx(eight.psnr)
    for name in ("bicubic", "auto", "input"):
        with pytest.raises(OptionError, match="--ensemble is for trained networks"):
            resolve(name, make_options(scale=2, ensemble=True))


def test_every_departure_from_the_protocol_is_seen_in_options_and_in_reports() -> None:
    departures = {"crop": 20, "limit": 1, "grey": True, "clip_noise": True, "blind": True, "ensemble": True}
    check_as_published(dataclasses.asdict(make_options(sigma=25)))
    check_as_published(describe(make_options(sigma=25)))
    for name, value in departures.items():
        options = make_options(sigma=25, **{name: value})
        for values in (dataclasses.asdict(options), describe(options)):
            with pytest.raises(OptionError, match=f"--{name.replace('_', '-')}: "):
                check_as_published(values)


def test_reports_say_how_many_numbers_were_learned(weight: Path, data: Path) -> None:
    learned = read_card(weight).parameters
    assert learned == sum(tensor.numel() for tensor in read_tensors(weight).values())
    for name, expected in (("tiny-x2", learned), (str(weight), learned), ("fsrcnn", learned), ("bicubic", None)):
        report = evaluate(name, data / "0.png", scale=2, device="cpu")
        assert (report.parameters, json.loads(report.to_json())["parameters"]) == (expected, expected)
    # a second weight of the family for the same scale: which one ran is not for the report to guess
    save_weights(weight.with_name("b.safetensors"), read_tensors(weight), small_card("b"), store="fp32")
    assert evaluate("fsrcnn", data / "0.png", scale=2, device="cpu").parameters is None


def test_the_catalogue_is_measured_on_what_is_there(weight: Path, data: Path) -> None:
    missing: list[str] = []
    done = list(evaluate_all(data.parent, make_options(device="cpu"), on_missing=missing.append))
    assert [(one.card.name, one.dataset, one.condition) for one, _ in done] == [("tiny-x2", "set5", {"scale": 2})]
    assert len(missing) == 1
    assert "set14" in missing[0]
    with pytest.raises(RetouchError, match="nothing to measure"):
        list(evaluate_all(data, make_options(device="cpu")))


def test_which_sets_a_card_belongs_to(weight: Path) -> None:
    tensors = read_tensors(weight)
    cards = {
        "grey": small_card("grey", tasks=("denoise",), colour="each", sigma=(25.0, 25.0), scales=()),
        "blind": small_card("blind", tasks=("denoise",), colour="rgb", sigma=(0.0, 55.0), scales=()),
        "blocks": small_card("blocks", tasks=("dejpeg",), quality=(5, 30), scales=()),
    }
    for name, card in cards.items():
        save_weights(weight.with_name(f"{name}.safetensors"), tensors, card, store="fp32")
    found = {name: [(one.dataset, *one.condition.values()) for one in rounds([name])] for name in cards}
    assert found["grey"] == [("bsd68", 25.0), ("set12", 25.0)]
    assert found["blind"] == [("cbsd68", 15.0), ("cbsd68", 25.0), ("cbsd68", 50.0)]
    assert found["blocks"] == [("classic5", 10), ("classic5", 20), ("classic5", 30)]


def test_commands(weight: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["evaluate", "catalogue", "--data", str(data.parent), "--quiet", "--markdown", str(document)]
    assert main([*words, "--json", str(tmp_path / "all.json"), "--record", "--device", "cpu"]) == 0
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| weight |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "37.00 / 0.9558" in text  # what FSRCNN's paper prints stands beside
    reports = json.loads((tmp_path / "all.json").read_text())
    assert [(r["model"], r["dataset"], r["scale"]) for r in reports] == [("tiny-x2", "set5", 2)]
    assert read_card(weight).measured
    capsys.readouterr()
    for wrong, said in (
        (["evaluate", "bicubic", "--data", str(data), "--scale", "2", "--record"], "--record needs a weight"),
        (["evaluate", "bicubic", "--data", str(data), "--scale", "2", "--markdown", "x"], "--markdown belongs"),
        (["evaluate", "catalogue", "--data", str(data), "--scale", "2"], "the cards say"),
    ):
        assert main(wrong) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main(["evaluate", str(weight), "--data", str(data), "--quiet"]) == 0


def test_table_and_document(tmp_path: Path) -> None:
    row = Measured(dataset="set5", scale=3, psnr=33.0, ssim=0.91, images=5, seconds_per_megapixel=0.254)
    text = table([(dataclasses.replace(small_card("fsrcnn-x3"), measured=(row,), parameters=12809), 29_674)])
    expected = "**33.00** / 0.9100 | 33.16 / 0.9140 | 35.07 | 30.39 / 0.8682 | 0.25 | 12,809 | 30 kB |"
    assert f"| `fsrcnn-x3` | set5 | x3 | {expected}" in text
    assert "Published: fsrcnn: Dong" in text
    assert "best: HAT" in text
    noise = Measured(dataset="bsd68", sigma=25.0, psnr=29.2, ssim=0.83, images=68)
    blocks = Measured(dataset="classic5", quality=10, psnr=29.3, ssim=0.80, images=5)
    other = small_card("d", family="dncnn-3", tasks=("denoise", "dejpeg"), measured=(noise, blocks))
    text_of_other = table([(other, 1_000_000)])
    assert "| bsd68 | s25 | **29.20** / 0.8300 |  | 29.50 | 28.57 (BM3D) |  |" in text_of_other
    assert "| classic5 | q10 | **29.30** / 0.8000 | 29.40 | 30.27 | 27.82 (input) |" in text_of_other
    assert "bm3d: Dabov" in text_of_other
    assert table([]) == table([(small_card(), 1)]) == ""
    assert published("fsrcnn", "set5", "x5") is None
    assert str(published("srgan", "set5", "x4")) == "29.40"
    put_into(tmp_path / "new.md", text)
    assert (tmp_path / "new.md").read_text() == text
    (tmp_path / "half.md").write_text(BEGIN)
    with pytest.raises(RetouchError, match="both be there"):
        put_into(tmp_path / "half.md", text)


def test_seconds_a_megapixel_are_the_median_of_what_the_method_made(tmp_path: Path) -> None:
    report = Report("m", "d", 2, None, None, {}, total=3)
    assert report.seconds_per_megapixel is None
    report.images = [Score("a", 30, 0.9, 2.0, megapixels=0.5), Score("b", 30, 0.9, 1.0, megapixels=0.5)]
    report.images.append(Score("c", 30, 0.9, 9.0, megapixels=0.5))  # the first of a session loads the weights
    assert report.seconds_per_megapixel == 4.0
    report.write(tmp_path / "r.json")
    again = Report("m", "d", 2, None, None, {}, total=3)
    again.take_over(tmp_path / "r.json")
    assert again.images == report.images
    again.images = [Score("a", 30, 0.9, 2.0)]  # a report of before
    assert again.seconds_per_megapixel is None
    assert "seconds_per_megapixel" not in json.loads(again.to_json())


def test_the_readme_shows_the_cards_of_the_packaged_weights() -> None:
    """`retouch evaluate catalogue --record --markdown README.md` writes both; this holds them together."""
    weights = [(read_card(path), path.stat().st_size) for path in catalogue.weight_files(catalogue.PACKAGED)]
    shown = README.read_text(encoding="utf-8")
    between = shown.partition(BEGIN)[2].partition(END)[0]
    assert between.lstrip("\n") == table(weights)
