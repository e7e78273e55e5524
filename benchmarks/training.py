"""How busy training keeps the device: pictures a second, GFLOP/s beside the peak, and what is not the network.

Every recipe makes ``--steps`` steps as ``retouch train`` does, after some to warm up; of a recipe with stages, each
stage. Three numbers are taken of a step: how long it takes in all, how long for its batch (with ``--workers``: how
long it waits for one), and how many operations its networks make forwards and backwards, counted (two for each
product). GFLOP/s are those operations by the time of the whole step, the peak is that of the fastest matrix product
of the same run in the type the recipe trains in, and "samples" is the share of the batch. What is missing to the peak
and is not samples is memory that moves, activations, the optimiser and the average of the weights.

On the CPU one thread, by its seconds, so that other work does not matter; with workers, or on CUDA, by the clock.
Prints a Markdown table, and writes it as training.md with all numbers as training.json into ``--output``.

    python benchmarks/training.py --images bsds400 --output benchmarks/results
    python benchmarks/training.py --images bsds400 --recipes unet-denoise,vdsr --workers 8 --device cuda run.batch=256
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from speed import CLOCKS, matrix_peaks, seconds_of
from torch.utils.flop_counter import FlopCounterMode

from retouch.image.errors import RetouchError
from retouch.models.device import pick_device
from retouch.training.pairs import samples_of
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_recipe
from retouch.training.trainer import Trainer

RECIPES = (
    "unet-denoise,unet-dejpeg,residual-x2,residual-light-x2,residual-x3,residual-x4,residual-real-x2,vdsr,dncnn-s25,"
    "srresnet-x4"
)
WARM = 3
TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("values", nargs="*", metavar="KEY=VALUE", help="values to replace in every recipe")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--recipes", default=RECIPES, help="names, by commas; such as learn from damaged photographs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    parser.add_argument("--side", type=int, default=2048, help="of the matrices that give the peak")
    parser.add_argument("--output", type=Path, help="folder for training.md and training.json")
    arguments = parser.parse_intermixed_args()
    device = pick_device(arguments.device)
    alone = device.type == "cpu" and not arguments.workers
    if alone:
        torch.set_num_threads(1)
    clock = CLOCKS["processor" if alone else "wall"]
    peaks = matrix_peaks(device, clock, arguments.side)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            pictures = load_pictures(
                find_pictures(arguments.images), Path(folder) / "pictures.pixels", on_skip=lambda reason: None
            )
            for name in arguments.recipes.split(","):
                for stage in read_recipe(name, arguments.values).stages():
                    # with fresh weights, which take the same time: those of the stage before are not here
                    recipe = replace(stage, network=replace(stage.network, start=None))
                    rows.append(measured(recipe, pictures, device, arguments.workers, arguments.steps, clock, peaks))
                    print(f"{rows[-1]['name']}: {rows[-1]['images_per_second']:.1f} images/s", file=sys.stderr)
    except RetouchError as error:
        parser.error(str(error))
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "workers": arguments.workers,
        "torch": torch.__version__,
        "peaks": peaks,
        "recipes": rows,
    }
    text = markdown(result)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "training.json").write_text(json.dumps(result, indent=1))
        (arguments.output / "training.md").write_text(text)


def measured(
    recipe: TrainingRecipe,
    pictures: Pictures,
    device: torch.device,
    workers: int,
    steps: int,
    clock: Callable[[], float],
    peaks: dict[str, float],
) -> dict[str, Any]:
    """What ``steps`` steps take, in all and for their batches."""
    trainer = Trainer(recipe, samples_of(pictures, recipe), device=device, workers=workers)
    for _ in range(WARM - 1):
        trainer.run_step()
    with FlopCounterMode(display=False) as counter:
        next(trainer.portions())
    samples = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:  # a batch and a step with it
        trainer.run_step()
    operations = counter.get_total_flops() - samples
    whole = sum(seconds_of(trainer.run_step, device, clock) for _ in range(steps))
    waited = 0.0
    for _ in range(steps):
        waited += seconds_of(lambda: next(trainer.portions()), device, clock)
        if workers:
            trainer.run_step()  # the workers prepare while the network learns
    kind = TYPES[trainer.precision]
    speed = operations * steps / whole / 1e9
    return {
        "name": recipe.name,
        "crop": recipe.data.crop,
        "batch": recipe.run.batch,
        "dtype": kind,
        "operations": operations,
        "seconds_per_step": whole / steps,
        "images_per_second": recipe.run.batch * steps / whole,
        "gflops": speed,
        "of_peak": speed / peaks[kind],
        "samples": min(1.0, waited / whole),
    }


def markdown(result: dict[str, Any]) -> str:
    """The table, and above it what it was measured on."""
    peaks = ", ".join(f"{called} {peak:.0f} GFLOP/s" for called, peak in result["peaks"].items())
    lines = [
        f"{result['device']}, {result['threads']} threads, {result['workers']} workers, torch {result['torch']}; "
        f"fastest matrix product: {peaks}.",
        "",
        "| recipe | crop | batch | type | ms a step | images/s | GFLOP/s | of the peak | samples |",
        "|---|--:|--:|---|--:|--:|--:|--:|--:|",
    ]
    lines += (_line(row) for row in result["recipes"])
    return "\n".join([*lines, ""])


def _line(row: dict[str, Any]) -> str:
    return (
        f"| {row['name']} | {row['crop']} | {row['batch']} | {row['dtype']} | {1e3 * row['seconds_per_step']:.0f} "
        f"| {row['images_per_second']:.0f} | {row['gflops']:.0f} | {row['of_peak']:.0%} | {row['samples']:.0%} |"
    )


if __name__ == "__main__":
    main()
