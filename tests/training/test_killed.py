"""A training that is killed, and trainings on two processes, from the outside: as calls of ``retouch train``."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from retouch.app.cli import main
from retouch.training.fit import fit
from retouch.training.recipe import TrainingRecipe

RecipeMaker = Callable[..., TrainingRecipe]
STEPS = 80
LONG = {"run.steps": STEPS, "run.batch": 8, "run.validate_every": 1000, "data.crop": 32, "data.held_out": 0}
GAN = {
    "critic": {"name": "fsrcnn", "arguments": {"scale": 1, "width": 4, "shrunk": 2, "depth": 1}},
    "objective": {"name": "adversarial", "arguments": {"losses": [{"name": "l1"}], "weight": 0.1}},
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def _write(recipe: TrainingRecipe, file: Path) -> Path:
    """The recipe as TOML; every value as JSON has it is TOML, but for tables."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in item.items()) + " }"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return json.dumps(item)

    file.write_text("".join(f"{key} = {value(item)}\n" for key, item in recipe.table().items()))
    return file


def _log(run: Path) -> list[dict[str, str]]:
    """The whole rows of the log as it stands."""
    try:
        text = (run / "log.csv").read_text()
    except OSError:
        return []
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
    for row in rows:
        del row["images_per_second"]
    return rows


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _wait_for(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the log of ``run`` has the row of ``step``."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        rows = _log(run)
        if rows and int(rows[-1]["step"]) >= step:
            return
        time.sleep(0.002)
    raise AssertionError(f"step {step} was never logged: {process.communicate(timeout=10)}")


def _checkpoint(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return state


def _largest_difference(one: Path, other: Path) -> float:
    networks = [_checkpoint(run)["networks"] for run in (one, other)]
    assert networks[0].keys() == networks[1].keys()
    return max(
        float((value - networks[1][name][key]).abs().max())
        for name, tensors in networks[0].items()
        for key, value in tensors.items()
    )


def test_killed_and_called_again(tiny: RecipeMaker, photographs: Path, tmp_path: Path) -> None:
    recipe = str(_write(tiny(LONG), tmp_path / "tiny.toml"))

    def words(name: str) -> list[str]:
        return [
            "train",
            recipe,
            "--images",
            str(photographs),
            "--folder",
            str(tmp_path / name),
            "--device",
            "cpu",
            "--quiet",
        ]

    assert main(words("whole")) == 0
    with subprocess.Popen(
        [sys.executable, "-m", "retouch", *words("killed")], env=_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_for(tmp_path / "killed", 7, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    step = _checkpoint(tmp_path / "killed")["step"]
    assert 6 <= step <= STEPS - 20
    assert main(words("killed")) == 0
    whole, found = _log(tmp_path / "whole"), _log(tmp_path / "killed")
    assert len(whole) == STEPS
    assert found[step : step + 20] == whole[step : step + 20]
    assert found == whole
    assert _largest_difference(tmp_path / "whole", tmp_path / "killed") == 0


# -- two processes


def _torchrun(*words: str) -> list[str]:
    start = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
    return [sys.executable, "-m", "torch.distributed.run", *start, *words]


DRIVER = """
import os
import sys
from pathlib import Path
from retouch.training.distributed import leave, place
from retouch.training.fit import fit
from retouch.training.recipe import read_recipe

folder, images = Path(sys.argv[1]), Path(sys.argv[2])
for name in ("supervised", "adversarial"):
    assert fit(read_recipe(folder / f"{name}.toml"), [images], folder / name, device="cpu", workers=0).finished
# one process alone is asked to stop, once
asked = lambda step: not (step.index == 3 and place().rank == 1)
recipe = read_recipe(folder / "supervised.toml")
result = fit(recipe, [images], folder / "stopped", device="cpu", workers=0, on_step=asked)
assert (result.steps, result.finished) == (3, False), result
leave()
sys.stdout.flush()
os._exit(0)  # as the command does
"""


@pytest.fixture(scope="module")
def pair(tiny: RecipeMaker, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes in "supervised" and "adversarial", and one that stopped after step 3 in "stopped"."""
    folder = tmp_path_factory.mktemp("pair")
    _write(tiny(LONG | {"run.accumulate": 2}), folder / "supervised.toml")
    _write(tiny(LONG | GAN | {"run.steps": 20}), folder / "adversarial.toml")
    (folder / "driver.py").write_text(DRIVER)
    call = _torchrun(str(folder / "driver.py"), str(folder), str(photographs))
    done = subprocess.run(call, env=_environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("name", "steps"), [("supervised", STEPS), ("adversarial", 20)])
def test_two_processes_equal_one_with_the_joined_batch(
    tiny: RecipeMaker, photographs: Path, tmp_path: Path, pair: Path, name: str, steps: int
) -> None:
    recipe = tiny(LONG | ({"run.accumulate": 2} if name == "supervised" else GAN | {"run.steps": 20}))
    assert fit(recipe, [photographs], tmp_path / "one", device="cpu", workers=0).steps == steps
    assert _checkpoint(pair / name)["step"] == steps
    assert _largest_difference(pair / name, tmp_path / "one") < 1e-5
    one, two = _log(tmp_path / "one"), _log(pair / name)
    assert [row["rate"] for row in one] == [row["rate"] for row in two]
    assert one[-1]["loss"] != two[-1]["loss"]  # two processes did share the batch: the first logs its own part


def test_stopped_together(pair: Path) -> None:
    assert _checkpoint(pair / "stopped")["step"] == 3
    assert _log(pair / "stopped") == _log(pair / "supervised")[:3]


def test_a_killed_process_is_survived(photographs: Path, tmp_path: Path, pair: Path) -> None:
    words = ["-m", "retouch", "train", str(pair / "supervised.toml"), "--images", str(photographs)]
    words += ["--device", "cpu", "--workers", "0", "--fresh"]
    run = tmp_path / "runs" / "tiny"
    call = _torchrun(*words)
    with subprocess.Popen(call, env=_environment(), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(run, 7, process)
            victims = [pid for pid in _children(process.pid) if _rank(pid) == "1"]
            assert len(victims) == 1
            os.kill(victims[0], signal.SIGKILL)
            said = process.communicate(timeout=120)[1]
        finally:
            process.terminate()
    assert process.returncode == 0, said
    assert said.count("goes on from step") == 1
    assert _log(run) == _log(pair / "supervised")
    assert _largest_difference(run, pair / "supervised") == 0


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                after = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if int(after[1]) == parent:
                found.append(int(entry.name))
    return found


def _rank(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((word.removeprefix("RANK=") for word in words if word.startswith("RANK=")), "")
