"""Progressive resizing against training on crops of one size: the seconds until both are equally good.

A small U-Net learns to remove noise on crops of 128 pixels for ``--steps`` steps; a second one, with the same fresh
weights, goes through stages of 32, 64 and 128 pixels, ``--parts`` times as many steps each, on as many crops a step.
Every run and every stage has one cycle of the rate. Both are validated on the same pictures, which neither learns
from. The time counted is the processor's, on one thread, decoding and validation left out, so that other work on the
machine does not matter.

Prints a Markdown table, and writes it as progressive.md into ``--output``.

    python benchmarks/progressive.py --images bsds400 --steps 200
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from retouch.training.fit import fit
from retouch.training.recipe import TrainingRecipe, read_table
from retouch.training.trainer import Trainer

SIZES = (32, 64, 128)


def make(steps: int, batch: int, parts: list[float] | None, seed: int, rate: float) -> TrainingRecipe:
    """The recipe of fixed size, or with the three stages."""
    table: dict[str, Any] = {
        "name": "fixed" if parts is None else "staged",
        "help": "",
        "network": {
            "name": "unet",
            "arguments": {
                "encoder": "efficientnet-lite0",
                "stages": 3,
                "decoder": [64, 48, 32, 24],
                "output": "residual",
            },
        },
        "data": {
            "crop": SIZES[-1],
            "small": "skip",
            "degradation": [{"step": [{"kind": "gaussian_noise", "sigma": 25.0}]}],
        },
        "objective": {"arguments": {"losses": [{"name": "l1"}]}},
        "optimizer": {"rate": rate},
        "schedule": {"name": "one-cycle"},
        "run": {
            "steps": steps,
            "batch": batch,
            "ema": 0.0,
            "precision": "fp32",
            "seed": seed,
            "keep": "last",
            "validate_every": max(1, steps // 10),
            "save_every": steps,
        },
        "card": {"family": "unet", "tasks": ["denoise"], "colour": "rgb", "summary": "", "sigma": [25.0, 25.0]},
    }
    if parts is not None:
        table["stage"] = [
            {"name": str(size), "data": {"crop": size}, "run": {"steps": max(1, round(part * steps))}}
            for size, part in zip(SIZES, parts, strict=True)
        ]
    return read_table(table)


def curve(recipe: TrainingRecipe, images: list[Path]) -> list[tuple[str, int, float, float]]:
    """(stage, step, seconds so far, validation PSNR) of each validation."""
    clock = [0.0]
    step_of = Trainer.run_step

    def clocked(self: Trainer) -> dict[str, Tensor]:
        began = time.process_time()
        losses = step_of(self)
        clock.append(clock[-1] + time.process_time() - began)
        return losses

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Trainer, "run_step", clocked):
        fit(recipe, images, Path(folder), device="cpu", workers=0)
        made, before = [], 0
        for number, part in enumerate(recipe.stages(), 1):
            name = f"{number}-{recipe.stage[number - 1]['name']}" if recipe.stage else "."
            with (Path(folder) / name / "validation.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    step = before + int(row["step"])
                    made.append((f"{part.data.crop} px", step, clock[step], float(row["psnr"])))
            before += part.run.steps
    print(f"{recipe.name}: {made[-1][3]:.2f} dB after {made[-1][2]:.1f} s", file=sys.stderr, flush=True)
    return made


def until(found: list[tuple[str, int, float, float]], psnr: float) -> float | None:
    """The seconds after which the curve first is at ``psnr``, between validations by a straight line."""
    for (_, _, early, low), (_, _, late, high) in itertools.pairwise([("", 0, 0.0, 0.0), *found]):
        if high >= psnr:
            return late if low >= high else early + (late - early) * max(0.0, (psnr - low) / (high - low))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--steps", type=int, default=200, help="of the run of fixed size")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--parts", type=float, nargs=3, default=[1.0, 0.5, 0.5], help="of the steps, for each stage")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, help="folder for progressive.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for seed in range(arguments.seeds):
        fixed, staged = (
            curve(make(arguments.steps, arguments.batch, parts, seed, arguments.rate), arguments.images)
            for parts in (None, arguments.parts)
        )
        lines += [f"Seed {seed}.", "", "| crops | step | seconds | validation PSNR, dB |", "|---|---:|---:|---:|"]
        for name, found in (("fixed", fixed), ("staged", staged)):
            lines += [f"| {name}, {crop} | {step} | {took:.1f} | {psnr:.2f} |" for crop, step, took, psnr in found]
        goal, needed = fixed[-1][3], until(staged, fixed[-1][3])
        lines += ["", f"Fixed size: {goal:.2f} dB after {fixed[-1][2]:.1f} s. Staged: {staged[-1][3]:.2f} dB after "]
        lines[-1] += f"{staged[-1][2]:.1f} s; it reaches those {goal:.2f} dB "
        lines[-1] += "never." if needed is None else f"after {needed:.1f} s, {needed / fixed[-1][2]:.2f} of the time."
        lines += [""]
    text = "\n".join(lines)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "progressive.md").write_text(text)


if __name__ == "__main__":
    main()
