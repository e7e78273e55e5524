"""The command line: what it shows, and whole calls from file to file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageCms

import retouch
from retouch.app.cli import main
from retouch.image.files import identify, open_image
from retouch.image.image import Image
from retouch.tasks import TASKS

_RNG = np.random.default_rng(2)


def _photo(path: Path, height: int = 40, width: int = 56, **options: object) -> Path:
    """A smooth scene with an edge and a little noise."""
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    ramp[:, width // 2 :] *= 0.6
    array = np.clip(ramp + _RNG.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)
    Pillow.fromarray(array).save(path, **options)
    return path


# -- help


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in [*TASKS, "classify", "compare", "evaluate", "methods", "serve"]:
        assert f"\n  {verb} " in shown
    assert main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("retouch ")


@pytest.mark.parametrize("verb", [*TASKS, "classify", "compare", "evaluate", "methods", "serve"])
def test_help_of_every_command(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"usage: retouch {verb}" in capsys.readouterr().out


def test_help_shows_only_what_makes_sense(capsys: pytest.CaptureFixture[str]) -> None:
    shown: dict[str, str] = {}
    for verb in ("denoise", "upscale", "degrade"):
        main([verb, "--help"])
        shown[verb] = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--sigma N" in shown["denoise"]
    assert "(in 0..255)" in shown["denoise"]
    assert "default: 60.0 s" in shown["denoise"]
    assert "--keep-on-interrupt" in shown["denoise"]
    assert "--sigma" not in shown["upscale"]
    assert "(in 1..16; default: 2)" in shown["upscale"]
    for flag in ("--method", "--effort", "--tile", "--preview", "--state", "--device"):
        assert flag not in shown["degrade"]
    assert "--seed" in shown["degrade"]


@pytest.mark.parametrize("method", ["deep-prior", "nlm", "bicubic"])
def test_help_of_a_method(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([method, "--help"]) == 0
    shown = capsys.readouterr().out
    for task in TASKS.values():
        has_it = any(m.name == method for m in task.methods)
        assert (f"retouch {task.name} --method {method}" in shown) == has_it
    assert "cost" in shown
    assert "prefer it" in shown


def test_methods_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "inpaint"]) == 0
    shown = capsys.readouterr().out
    assert "denoise" not in shown
    for method in TASKS["inpaint"].methods:
        assert method.name in shown
    assert "a megapixel on this" in shown
    assert main(["methods"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in TASKS if name != "degrade")


def test_an_option_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "a.png", "-o", "b.png", "--sigm", "3"]) == 2
    errors = capsys.readouterr().err
    assert "--sigm" in errors
    assert "Perhaps you meant" in errors


# -- whole calls


def test_round_trip_of_a_deep_picture_with_alpha_and_profile(tmp_path: Path) -> None:
    pixels = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    image = Image(pixels, torch.rand(1, 20, 30))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    from dataclasses import replace

    image = replace(image, metadata=replace(image.metadata, bit_depth=16, icc=profile))
    image.save(tmp_path / "a.png")
    assert main(["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--method", "nlm"]) == 0
    before, after = open_image(tmp_path / "a.png"), open_image(tmp_path / "x.png")
    info = identify(tmp_path / "x.png")
    assert (info.bit_depth, info.mode) == (16, "RGBA")
    assert after.metadata.icc == profile
    assert before.alpha is not None
    assert after.alpha is not None
    assert torch.equal(before.alpha, after.alpha)
    assert not torch.equal(before.pixels, after.pixels)


def test_round_trip_of_a_jpeg_with_exif_gps_and_orientation(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)
    _photo(tmp_path / "a.jpg", exif=exif, quality=80)
    assert main(["denoise", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "x.jpg"), "--method", "nlm"]) == 0
    with Pillow.open(tmp_path / "x.jpg") as after:
        assert after.size == (40, 56)  # stored upright now
        tags = after.getexif()
        assert tags.get(0x0112, 1) == 1
        assert tags[0x010F] == "Maker"
        assert tags.get_ifd(0x8825)[1] == "N"
        assert tags.get_ifd(0x8825)[2] == (48.0, 12.0, 30.0)
        with Pillow.open(tmp_path / "a.jpg") as before:
            tables = before.quantization  # type: ignore[attr-defined]
            turned = {n: [table[8 * (i % 8) + i // 8] for i in range(64)] for n, table in tables.items()}
            assert turned != tables
            assert after.quantization == turned  # type: ignore[attr-defined]


def test_strip_metadata(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x010F] = "Maker"
    _photo(tmp_path / "a.jpg", exif=exif)
    call = ["denoise", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "x.jpg"), "--method", "nlm", "--strip-metadata"]
    assert main(call) == 0
    assert open_image(tmp_path / "x.jpg").metadata.exif is None


def test_what_a_format_cannot_hold_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Pillow.fromarray(_RNG.integers(0, 256, (20, 20, 4), dtype=np.uint8)).save(tmp_path / "a.png")
    assert main(["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.jpg"), "--method", "nlm"]) == 0
    assert "alpha" in capsys.readouterr().err


def test_format_and_quality(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _photo(tmp_path / "in/a.png")
    sizes = []
    for quality in ("30", "95"):
        out = tmp_path / quality
        call = ["upscale", str(tmp_path / "in"), "-o", str(out), "--method", "bicubic", "--format", "webp"]
        assert main([*call, "--quality", quality]) == 0
        assert identify(out / "a.webp").format == "WEBP"
        sizes.append((out / "a.webp").stat().st_size)
    assert sizes[0] < sizes[1]


def test_inpaint_a_folder_with_a_folder_of_masks(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _photo(tmp_path / name)
    (tmp_path / "masks").mkdir()
    boxes = {"a": (slice(5, 12), slice(3, 20)), "b": (slice(20, 28), slice(30, 44))}
    for name, box in boxes.items():
        mask = np.zeros((40, 56), np.uint8)
        mask[box] = 255
        Pillow.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    call = ["inpaint", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--mask", str(tmp_path / "masks")]
    assert main([*call, "--method", "telea"]) == 0
    for name, box in boxes.items():
        before, after = (np.asarray(Pillow.open(tmp_path / folder / f"{name}.png")) for folder in ("in", "out"))
        changed = (before != after).any(axis=2)
        inside = np.zeros_like(changed)
        inside[box] = True
        assert changed.any()
        assert not (changed & ~inside).any()


def test_names_that_begin_with_a_dash_come_after_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _photo(Path("-a.png"))
    assert main(["upscale", "-o", "x.png", "--method", "bicubic", "--", "-a.png"]) == 0
    assert Path("x.png").exists()


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    _photo(tmp_path / "a.png")
    for name, seed in (("1.png", "4"), ("2.png", "4"), ("3.png", "5")):
        call = ["degrade", str(tmp_path / "a.png"), "-o", str(tmp_path / name), "--noise", "20", "--seed", seed]
        assert main(call) == 0
    first, second, third = ((tmp_path / f"{n}.png").read_bytes() for n in (1, 2, 3))
    assert first == second != third


def test_a_pair_of_pictures_is_relit(tmp_path: Path) -> None:
    dark, flash = _photo(tmp_path / "dark.png"), _photo(tmp_path / "flash.png")
    call = ["relight", str(dark), "--flash", str(flash), "-o", str(tmp_path / "x.png"), "--method", "guided-filter"]
    assert main(call) == 0
    assert Pillow.open(tmp_path / "x.png").size == (56, 40)


@pytest.mark.parametrize(
    ("own", "seen"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=["ours", "a number of the caller", "a policy of the caller"],
)
def test_threads_that_wait_leave_the_processor_to_others(tmp_path: Path, own: dict[str, str], seen: str) -> None:
    call = ["degrade", str(_photo(tmp_path / "a.png")), "-o", str(tmp_path / "b.png"), "--noise", "20"]
    told = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-m", "retouch", *call],
        env=told | own | {"OMP_DISPLAY_ENV": "verbose"},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch does not have its threads from GNU's library")
    assert f"GOMP_SPINCOUNT = '{seen}'" in done.stderr


_TWENTY_STEPS = """
import dataclasses, sys, torch
from retouch.app.cli import main
from retouch.solvers import deep_prior, steps
torch.set_num_threads(1)
preset = deep_prior.DeepPrior.resolved
deep_prior.DeepPrior.resolved = lambda self, degradation=None: dataclasses.replace(preset(self, degradation), steps=20)
loop = steps.Loop.__init__
steps.Loop.__init__ = lambda self, **options: loop(self, **options, save_seconds=0.0)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 there")
def test_a_deep_prior_killed_goes_on_from_its_state_to_the_same_picture(tmp_path: Path) -> None:
    _photo(tmp_path / "a.png", 20, 24)
    state = tmp_path / "run.state"
    call = ["denoise", str(tmp_path / "a.png"), "--method", "deep-prior", "--effort", "quick", "--sigma", "12"]

    def start(out: str, *more: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", _TWENTY_STEPS, *call, "-o", str(tmp_path / out), *more]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    whole = start("whole.png")
    killed = start("killed.png", "--state", str(state))
    while not state.exists() and killed.poll() is None:
        time.sleep(0.005)
    killed.kill()
    killed.wait()
    assert state.exists()
    assert not (tmp_path / "killed.png").exists()
    again = start("killed.png", "--state", str(state))
    for process in (again, whole):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert not state.exists()
    assert (tmp_path / "killed.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_state_of_another_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(tmp_path / "a.png", 20, 24)
    state = tmp_path / "run.state"
    other = Image(torch.rand(3, 20, 24))
    retouch.denoise(other, method="deep-prior", effort="quick", sigma=5, state=state, on_step=lambda step: False)
    assert state.exists()
    call = ["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--method", "deep-prior"]
    assert main([*call, "--effort", "quick", "--state", str(state)]) == 1
    assert "belongs to another picture" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("over nought")

    monkeypatch.setattr("retouch.evaluation.protocol.run_evaluation", broken)
    call = ["evaluate", "input", "--data", str(tmp_path), "--sigma", "5"]
    assert main(call) == 1
    assert capsys.readouterr().err == "retouch: unexpected ZeroDivisionError: over nought (--debug shows more)\n"
    assert main([*call, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


# -- compare


def _compare(*words: str | Path) -> int:
    return main(["compare", *map(str, words)])


def test_compare_makes_a_sheet_and_a_page(tmp_path: Path) -> None:
    one, two = _photo(tmp_path / "one.png"), _photo(tmp_path / "two.png")
    assert _compare(one, two, "-o", tmp_path / "sheet.png") == 0
    plain = Pillow.open(tmp_path / "sheet.png").size
    assert plain[0] >= 2 * 56
    assert _compare(one, two, "-o", tmp_path / "more.png", "--reference", one, "--difference") == 0
    more = Pillow.open(tmp_path / "more.png").size
    assert more[0] > plain[0]
    assert more[1] > plain[1]
    assert _compare(one, two, "-o", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "one.png" in page
    assert "data:image/" in page


def test_scores_under_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.image import sheet as module

    seen: dict[str, object] = {}
    drawn = module.sheet
    monkeypatch.setattr(module, "sheet", lambda rows, **options: seen.update(options) or drawn(rows, **options))
    reference = Image(torch.full((3, 16, 16), 0.5))
    off = Image(torch.full((3, 16, 16), 0.6))  # 20 dB
    tiny = Image(torch.zeros(3, 4, 4))
    retouch.compare([reference, off, tiny], reference=reference, titles=["a", "b", "c"])
    captions = seen["captions"]
    assert isinstance(captions, list)
    first, second, third, last = captions[0]
    assert (first, third, last) == ("identical", "", "")
    assert second.startswith("20.00 dB, SSIM 0.9")
    retouch.compare([tiny], reference=Image(torch.full((3, 4, 4), 0.1)))
    assert seen["captions"] == [["20.00 dB", ""]]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["ONE", "-o", "OUT.html"], 2, "needs two pictures"),
        (["ONE", "NONE", "-o", "OUT.png"], 1, "no such file"),
        (["ONE", "SMALL", "-o", "OUT.png", "--difference"], 1, "of another size"),
        (["ONE", "-o", "OUT.png", "--difference"], 2, "needs two pictures"),
        (["ONE", "SMALL", "-o", "OUT.html", "--difference"], 2, "belongs to a sheet"),
    ],
)
def test_compare_refuses(
    words: list[str], code: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "ONE": str(_photo(tmp_path / "one.png")),
        "SMALL": str(_photo(tmp_path / "small.png", 10, 10)),
        "NONE": str(tmp_path / "none.png"),
    }
    filled = [places.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in words]
    assert _compare(*filled) == code
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
