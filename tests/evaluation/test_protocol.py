"""The protocols: golden rows of the literature, and what each one promises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from retouch.app.cli import main
from retouch.evaluation.options import EvaluateOptions
from retouch.evaluation.protocol import Outcome, evaluate, make_case, measure
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image

_GOLDEN = [
    # data set, scale, PSNR, SSIM: computed with an independent clone of MATLAB's imresize; Set5 is the literature's
    ("set5", 2, 33.66, 0.9299),
    ("set5", 3, 30.39, 0.8682),
    ("set5", 4, 28.42, 0.8104),
    ("set14", 2, 30.23, 0.8687),
    ("set14", 3, 27.54, 0.7736),
    ("set14", 4, 26.00, 0.7019),
]


@pytest.mark.parametrize(("name", "scale", "psnr", "ssim"), _GOLDEN)
def test_bicubic_has_the_numbers_of_the_papers(
    shared_data: Path, name: str, scale: int, psnr: float, ssim: float
) -> None:
    report = evaluate("bicubic", shared_data / "test" / name, scale=scale)
    assert report.psnr == pytest.approx(psnr, abs=0.01)
    assert report.ssim == pytest.approx(ssim, abs=0.0005)
    assert len(report.images) == (5 if name == "set5" else 14)


@pytest.mark.parametrize(("quality", "psnr"), [(10, 27.82), (20, 30.12), (30, 31.48), (40, 32.43)])
def test_jpeg_as_it_is(shared_data: Path, quality: int, psnr: float) -> None:
    assert evaluate("input", shared_data / "test" / "classic5", quality=quality).psnr == pytest.approx(psnr, abs=0.006)


@pytest.mark.parametrize(("clip", "psnr"), [(False, 20.18), (True, 20.48)])
def test_noise_as_it_is(shared_data: Path, clip: bool, psnr: float) -> None:
    report = evaluate("input", shared_data / "test" / "bsd68", sigma=25, clip_noise=clip, limit=24)
    # clipped noise depends on how many dark and bright pixels the first 24 of the 68 pictures have
    assert report.psnr == pytest.approx(psnr, abs=0.02 if not clip else 0.15)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path / "tiny"
    folder.mkdir()
    for number in range(3):
        ramp = np.linspace(0, 255, 33)[None, :, None] * np.ones((30, 1, 3))
        array = np.clip(ramp + rng.normal(0, 30, (30, 33, 3)), 0, 255)
        Pillow.fromarray(array.astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "readme.txt").touch()
    return folder


def test_noise_is_that_of_seed_and_index_whatever_else_is_measured(data: Path) -> None:
    options = EvaluateOptions(sigma=25)
    path = data / "0.png"
    first = make_case(path, 0, options)
    assert torch.equal(first.measurement.pixels, make_case(path, 0, options).measurement.pixels)
    assert not torch.equal(first.measurement.pixels, make_case(path, 1, options).measurement.pixels)
    other = EvaluateOptions(sigma=25, seed=1)
    assert not torch.equal(first.measurement.pixels, make_case(path, 0, other).measurement.pixels)


def test_noise_leaves_the_range_unless_clipped(data: Path) -> None:
    path = data / "0.png"
    free = make_case(path, 0, EvaluateOptions(sigma=50)).measurement.pixels
    clipped = make_case(path, 0, EvaluateOptions(sigma=50, clip_noise=True)).measurement.pixels
    assert float(free.min()) < 0
    assert float(free.max()) > 1
    assert torch.equal(free.clamp(0, 1), clipped)


def test_the_output_of_a_denoiser_is_clipped(data: Path) -> None:
    outcomes: list[Outcome] = []
    evaluate("nlm", data, sigma=50, limit=2, on_outcome=outcomes.append)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert 0 <= float(outcome.image.pixels.min()) <= float(outcome.image.pixels.max()) <= 1
        assert type(outcome.image) is Image


def test_super_resolution_crops_to_a_multiple(data: Path) -> None:
    case = make_case(data / "0.png", 0, EvaluateOptions(scale=4))
    assert case.reference.pixels.shape == (3, 28, 32)
    assert case.measurement.pixels.shape == (3, 7, 8)


def test_crop_takes_the_middle(data: Path) -> None:
    whole = make_case(data / "0.png", 0, EvaluateOptions(sigma=0)).reference.pixels
    middle = make_case(data / "0.png", 0, EvaluateOptions(sigma=0, crop=10)).reference.pixels
    assert torch.equal(middle, whole[:, 10:20, 11:21])
    with pytest.raises(RetouchError, match="smaller than --crop"):
        make_case(data / "0.png", 0, EvaluateOptions(sigma=0, crop=31))


def test_grey_is_the_rounded_studio_range_luma(data: Path) -> None:
    case = make_case(data / "0.png", 0, EvaluateOptions(quality=90, grey=True))
    rgb = np.asarray(Pillow.open(data / "0.png")).astype(float)
    expected = np.rint(16 + (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255)
    assert np.array_equal((case.reference.pixels[0] * 255).numpy().round(), expected)
    assert case.measurement.channels == 1


def test_equal_pictures_are_infinitely_alike_and_json_says_null(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    report = evaluate("input", data, sigma=0, resume=file)
    assert report.psnr == math.inf
    content = json.loads(file.read_text())
    assert content["psnr"] is None
    assert content["ssim"] == pytest.approx(1)


def test_a_picture_smaller_than_the_window_has_no_ssim() -> None:
    image = Image(torch.rand(3, 8, 8))
    psnr, ssim = measure(image, image, EvaluateOptions(sigma=5))
    assert psnr == math.inf
    assert math.isnan(ssim)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "exactly one"),
        ({"scale": 2, "sigma": 25}, "exactly one"),
        ({"scale": 2, "clip_noise": True}, "belongs to --sigma"),
        ({"sigma": -1}, "must be"),
        ({"sigmas": 3}, "did you mean 'sigma'"),
        ({"scale": 1}, "in 2..8"),
    ],
)
def test_wrong_options(data: Path, options: dict[str, float], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        evaluate("auto", data, **options)


def test_data_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(RetouchError, match="cannot read the data set"):
        evaluate("bicubic", tmp_path / "none", scale=2)
    with pytest.raises(RetouchError, match="no picture"):
        evaluate("bicubic", tmp_path, scale=2)
    with pytest.raises(OptionError, match="did you mean 'bicubic'"):
        evaluate("bicubik", tmp_path, scale=2)


def test_json_has_the_promised_form(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    call = ["evaluate", "bicubic", "--data", str(data), "--scale", "2", "--json", str(file)]
    assert main([*call, "--save", str(tmp_path / "out")]) == 0
    content = json.loads(file.read_text())
    assert {"model", "dataset", "scale", "sigma", "quality", "psnr", "ssim", "images", "protocol"} <= set(content)
    assert (content["model"], content["dataset"], content["scale"]) == ("bicubic", "tiny", 2)
    assert content["sigma"] is content["quality"] is None
    assert [image["name"] for image in content["images"]] == ["0.png", "1.png", "2.png"]
    for key in ("psnr", "ssim"):
        assert content[key] == pytest.approx(np.mean([image[key] for image in content["images"]]), abs=1e-5)
    assert content["protocol"]["shave"] == 2
    assert Pillow.open(tmp_path / "out" / "1.png").size == (32, 30)
    shown = capsys.readouterr()
    assert shown.out.startswith("mean ")
    assert f"{content['psnr']:.2f} dB" in shown.out
    assert "2.png" in shown.err


def test_a_stopped_evaluation_goes_on_to_the_same_report(data: Path, tmp_path: Path) -> None:
    whole = evaluate("nlm", data, sigma=25)
    file = tmp_path / "r.json"

    class StopError(Exception):
        pass

    def stop_at_the_second(outcome: Outcome) -> None:
        if outcome.case.name == "1.png":
            raise StopError

    with pytest.raises(StopError):
        evaluate("nlm", data, sigma=25, resume=file, on_outcome=stop_at_the_second)
    assert len(json.loads(file.read_text())["images"]) == 2
    done: list[str] = []
    report = evaluate("nlm", data, sigma=25, resume=file, on_outcome=lambda outcome: done.append(outcome.case.name))
    assert done == ["2.png"]
    assert report.psnr == pytest.approx(whole.psnr, abs=1e-5)
    assert report.ssim == pytest.approx(whole.ssim, abs=1e-5)


def test_resuming_another_evaluation_is_refused(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    evaluate("input", data, sigma=25, resume=file)
    with pytest.raises(RetouchError, match="sigma differs"):
        evaluate("input", data, sigma=15, resume=file)
    with pytest.raises(RetouchError, match="protocol differs"):
        evaluate("input", data, sigma=25, seed=3, resume=file)
    file.write_text("{}")
    with pytest.raises(RetouchError, match="not a report"):
        evaluate("input", data, sigma=25, resume=file)


def test_without_resume_the_old_report_is_replaced(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    for sigma in ("10", "20"):
        assert main(["evaluate", "input", "--data", str(data), "--sigma", sigma, "--json", str(file), "--quiet"]) == 0
    assert json.loads(file.read_text())["sigma"] == 20
    assert main(["evaluate", "input", "--data", str(data), "--sigma", "5", "--resume", "--json", str(file)]) == 1
