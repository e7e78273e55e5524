"""Batches: what fails fails alone, a killed run goes on, Ctrl-C leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retouch.app.batch import FileOptions, Interrupt, WatchOptions, clear_leftovers, run_batch
from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.solvers.steps import Listener, Step
from retouch.tasks.base import Method, MethodOptions, Task, option


@dataclass(frozen=True, kw_only=True)
class NegativeOptions(MethodOptions):
    """A task made up for these tests."""

    second: Image | None = option(None, "a picture", kind="picture")


def _negative(image: Image, options: NegativeOptions, on_step: Listener | None) -> Image:
    assert on_step is not None
    on_step(Step(1, 1))
    return image.with_pixels(1 - image.pixels)


def _fade(image: Image, options: NegativeOptions, on_step: Listener | None) -> Image:
    """Darker with every step, until told to stop."""
    assert on_step is not None
    pixels = image.pixels
    for index in range(1, 101):
        pixels = pixels * 0.99
        if on_step(Step(index, 100, 1.0, 0.5, preview=image.with_pixels(pixels))) is False:
            break
    if options.state is not None:
        options.state.write_text(f"{index}")
    return image.with_pixels(pixels)


def _method(name: str, run: object, iterative: bool = False) -> Method:
    return Method(name, "", "", "", lambda m, d, o: 0.0, 0, run, iterative)  # type: ignore[arg-type]


NEGATIVE = Task(
    "negative", "invert", NegativeOptions, (_method("negative", _negative), _method("fade", _fade, iterative=True))
)


def _picture(path: Path, value: int = 40, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.full((side, side, 3), value, np.uint8)).save(path)
    return path


def _value(path: Path) -> int:
    return int(np.asarray(Pillow.open(path))[0, 0, 0])


def _run(
    *inputs: Path | str, out: Path | str, method: str = "negative", watch: WatchOptions | None = None, **files: object
) -> int:
    options = NegativeOptions(method=method)
    names = [str(name) for name in inputs]
    return run_batch(NEGATIVE, options, names, str(out), FileOptions(**files), watch)  # type: ignore[arg-type]


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        _picture(tmp_path / "in" / f"{number}.png", 10 * number)
    assert _run(tmp_path / "in", out=tmp_path / "new" / "out") == 0
    assert [_value(tmp_path / "new/out" / f"{number}.png") for number in range(3)] == [255, 245, 235]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1] == "3 done"


def test_a_bad_picture_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _picture(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"no picture at all")
    _picture(tmp_path / "in/c.png")
    assert _run(tmp_path / "in", tmp_path / "none.png", out=tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    errors = capsys.readouterr().err
    assert errors.count("b.png: ") == 1
    assert f"{tmp_path}/none.png: no such file" in errors
    assert errors.splitlines()[-1] == "2 done, 2 failed"
    assert "Traceback" not in errors


def test_quiet_says_nothing_but_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _picture(tmp_path / "in/a.png")
    assert _run(tmp_path / "in", out=tmp_path / "out", quiet=True) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "in/b.png").touch()
    assert _run(tmp_path / "in", out=tmp_path / "out", quiet=True) == 1
    assert capsys.readouterr().err.splitlines() == [f"{tmp_path}/in/b.png: is empty"]


def test_an_unexpected_error_is_one_line_and_with_debug_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(image: Image, options: NegativeOptions, on_step: Listener | None) -> Image:
        raise ZeroDivisionError("over\nnought")

    task = Task("negative", "", NegativeOptions, (_method("broken", broken),))
    _picture(tmp_path / "a.png")
    for debug in (False, True):
        arguments = [str(tmp_path / "a.png")], str(tmp_path / "x.png"), FileOptions(debug=debug)
        assert run_batch(task, NegativeOptions(), *arguments) == 1
        errors = capsys.readouterr().err
        assert "a.png: unexpected ZeroDivisionError: over nought" in errors
        assert ("Traceback" in errors) == debug
    assert not (tmp_path / "x.png").exists()


def test_second_pictures_come_from_a_folder_by_name(tmp_path: Path) -> None:
    seen: list[float] = []

    def look(image: Image, options: NegativeOptions, on_step: Listener | None) -> Image:
        assert options.second is not None
        seen.append(round(float(options.second.pixels.mean()) * 255))
        return image

    task = Task("negative", "", NegativeOptions, (_method("look", look),))
    for name, value in (("a", 1), ("b", 2), ("c", 3)):
        _picture(tmp_path / f"in/{name}.png", 0)
        if name != "c":
            _picture(tmp_path / f"second/{name}.{'png' if name == 'a' else 'bmp'}", value)
    options = NegativeOptions(second=tmp_path / "second")  # type: ignore[arg-type]
    assert run_batch(task, options, [str(tmp_path / "in")], str(tmp_path / "out"), FileOptions()) == 1
    assert seen == [1, 2]
    assert not (tmp_path / "out/c.png").exists()


def test_preview_and_state_of_a_method_that_iterates(tmp_path: Path) -> None:
    _picture(tmp_path / "in/a.png", 200)
    options = NegativeOptions(method="fade", state=tmp_path / "states")
    watch = WatchOptions(preview=tmp_path / "now.png")
    assert run_batch(NEGATIVE, options, [str(tmp_path / "in")], str(tmp_path / "out"), FileOptions(), watch) == 0
    assert _value(tmp_path / "now.png") == _value(tmp_path / "out/a.png") == round(200 * 0.99**100)
    assert (tmp_path / "states/a.png.state").read_text() == "100"


@pytest.mark.parametrize(("flag", "reason"), [("preview", "input or an output"), ("state", "input or an output")])
def test_preview_and_state_may_not_fall_on_the_input(tmp_path: Path, flag: str, reason: str) -> None:
    picture = _picture(tmp_path / "a.png")
    before = picture.read_bytes()
    options = NegativeOptions(method="fade", state=picture if flag == "state" else None)
    watch = WatchOptions(preview=picture if flag == "preview" else None)
    with pytest.raises(OptionError, match=reason):
        run_batch(NEGATIVE, options, [str(picture)], str(tmp_path / "x.png"), FileOptions(), watch)
    assert picture.read_bytes() == before


def test_a_preview_that_cannot_be_written_does_not_stop_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(tmp_path / "a.png")
    (tmp_path / "now.png").mkdir()
    assert _run(tmp_path / "a.png", out=tmp_path / "x.png", method="fade",
                watch=WatchOptions(preview=tmp_path / "now.png")) == 0  # fmt: skip
    assert capsys.readouterr().err.count("--preview: ") == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    picture = _picture(tmp_path / "a.png")
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(OptionError, match="not writable"):
        _run(picture, out=tmp_path / "out/x.png")


def test_an_output_below_a_file(tmp_path: Path) -> None:
    picture = _picture(tmp_path / "a.png")
    with pytest.raises(OptionError, match="--output"):
        _run(picture, out=picture / "x.png")
    with pytest.raises(OptionError, match="cannot make this folder"):
        _run(picture, out=f"{picture}/deep/")


def test_leftovers_of_dead_processes_go_and_others_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [f".retouch-{dead.pid}-0123abcd.tmp", f".a.state.{dead.pid}.part"]
    stay = [f".retouch-{os.getpid()}-0123abcd.tmp", f".a.state.{os.getpid()}.part", ".profile", "a.tmp", ".x.part"]
    for name in gone + stay:
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


_SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import test_batch as here
from retouch.app.batch import FileOptions, WatchOptions, run_batch
from retouch.tasks.base import Task
from retouch.solvers.steps import Step

def slow(image, options, on_step):
    print("begun", flush=True)
    for index in range(1, 5000):
        time.sleep({pause})
        if index >= {steps} or on_step(Step(index, {steps})) is False:
            break
    return image.with_pixels(1 - image.pixels)

task = Task("negative", "", here.NegativeOptions, (here._method("slow", slow, iterative=True),))
sys.exit(run_batch(task, here.NegativeOptions(), [{source!r}], {output!r},
                   FileOptions(skip_existing=True), WatchOptions(keep_on_interrupt={keep})))
"""


def _slow(folder: Path, *, pause: float, steps: int, keep: bool = False) -> subprocess.Popen[str]:
    code = _SLOW.format(
        tests=str(Path(__file__).parent),
        pause=pause,
        steps=steps,
        keep=keep,
        source=f"{folder}/in",
        output=f"{folder}/out",
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(process: subprocess.Popen[str], times: int) -> None:
    assert process.stdout is not None
    for _ in range(times):
        assert process.stdout.readline() == "begun\n"


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 there")
def test_kill_9_and_again_does_every_file_once(tmp_path: Path) -> None:
    for number in range(6):
        _picture(tmp_path / "in" / f"{number}.png", 30 * number)
    process = _slow(tmp_path, pause=0.02, steps=3)
    _wait_for(process, 3)  # two are finished, the third is under way
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # as if it had died while it wrote the third
    (tmp_path / f"out/.retouch-{process.pid}-00000000.tmp").write_bytes(b"half a picture")
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    assert 2 <= len(finished) < 6
    again = _slow(tmp_path, pause=0, steps=1)
    _, errors = again.communicate()
    assert again.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{number}.png" for number in range(6)]
    assert [_value(tmp_path / f"out/{number}.png") for number in range(6)] == [255 - 30 * n for n in range(6)]
    assert all(path.stat().st_mtime_ns == at for path, at in finished.items())
    assert errors.splitlines()[-1] == f"{6 - len(finished)} done, {len(finished)} there already"


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c(tmp_path: Path, keep: bool) -> None:
    for number in range(3):
        _picture(tmp_path / "in" / f"{number}.png", 30 * number)
    process = _slow(tmp_path, pause=0.05, steps=1000, keep=keep)
    _wait_for(process, 1)
    time.sleep(0.3)  # into the steps
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left == (["0.png"] if keep else [])
    if keep:
        assert open_image(tmp_path / "out/0.png").pixels.unique().tolist() == [1.0]


def test_the_first_ctrl_c_asks_and_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run in the background
    interrupt = Interrupt(gentle=True, listening=True)
    with interrupt.installed():
        assert signal.getsignal(signal.SIGINT) is not before
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_method_that_does_not_listen_is_stopped_at_once() -> None:
    with Interrupt(gentle=True, listening=False).installed(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
