"""The learning-rate finder against a grid: does it pick a rate within a factor of three of the best one?

Every rate of the grid, a factor of two apart, trains the recipe for a few hundred steps on one cycle from the same
fresh weights and the same samples, and is judged by the PSNR on the pictures kept for validation. The best rate of the
grid is compared with the one that ``retouch find-lr`` suggests, from runs of the finder with several seeds.

Prints a Markdown table, and writes it as find-rate.md into ``--output``.

    python benchmarks/find_rate.py --images t91 --recipe fsrcnn-x2 run.precision=fp32
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from retouch.image.errors import RetouchError
from retouch.training.find_rate import find_rate
from retouch.training.fit import fit
from retouch.training.recipe import ScheduleRecipe, TrainingRecipe, read_recipe


def one_cycle(recipe: TrainingRecipe, rate: float, steps: int) -> TrainingRecipe:
    """The recipe cut down to one short cycle at ``rate``, validated at its end."""
    return replace(
        recipe,
        optimizer=replace(recipe.optimizer, rate=rate),
        schedule=ScheduleRecipe(name="one-cycle"),
        run=replace(recipe.run, steps=steps, ema=0.0, validate_every=steps, save_every=steps, keep="last"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("values", nargs="*", metavar="KEY=VALUE", help="values to replace in the recipe")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--recipe", default="fsrcnn-x2")
    parser.add_argument("--steps", type=int, default=300, help="of each run of the grid")
    parser.add_argument("--finder-steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3, help="runs of the finder")
    parser.add_argument("--lowest", type=float, default=1e-4, help="of the grid")
    parser.add_argument("--highest", type=float, default=0.1, help="of the grid")
    parser.add_argument("--output", type=Path, help="folder for find-rate.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = read_recipe(arguments.recipe, arguments.values)
    began = time.monotonic()
    suggested = [
        find_rate(
            replace(recipe, run=replace(recipe.run, seed=seed)),
            arguments.images,
            steps=arguments.finder_steps,
            device="cpu",
        ).suggested
        for seed in range(arguments.seeds)
    ]
    finding = (time.monotonic() - began) / arguments.seeds
    count = round(math.log2(arguments.highest / arguments.lowest)) + 1
    grid = [arguments.lowest * 2**index for index in range(count)]
    found: dict[float, float] = {}
    for rate in grid:
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = one_cycle(recipe, rate, arguments.steps)
                found[rate] = fit(made, arguments.images, Path(folder), device="cpu", workers=0).psnr
            except RetouchError:  # the loss stayed NaN or infinite
                found[rate] = -math.inf
        print(f"rate {rate:.2g}: {found[rate]:.2f} dB", file=sys.stderr, flush=True)
    best = max(found, key=lambda rate: found[rate])
    lines = [
        f"{recipe.name}, one cycle of {arguments.steps} steps, {recipe.run.batch} crops of {recipe.data.crop} pixels.",
        "",
        "| rate | validation PSNR, dB |",
        "|---:|---:|",
        *(f"| {rate:.2g} | {psnr:.2f}{' (best)' if rate == best else ''} |" for rate, psnr in found.items()),
        "",
        f"find-lr, {arguments.finder_steps} steps, {finding:.0f} s each: "
        + ", ".join(f"{rate:.2g} ({max(rate / best, best / rate):.1f} times off)" for rate in suggested)
        + f"; best of the grid {best:.2g}.",
    ]
    print("\n".join(lines))
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "find-rate.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
