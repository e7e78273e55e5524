"""Optimised style transfer: Adam against L-BFGS, by loss and time; and both against one pass of a trained network.

    python benchmarks/styles.py --style PICTURE [--model NAME] [--side 256] [--steps 300] [--output benchmarks/results]

Everything runs in one process on one size: a photograph of scikit-image. The optimum is what L-BFGS reaches in float32
after ``--steps`` steps from the photograph; the others are told by how far their losses, all measured once more in
float32, lie above it, and by what their time is to that of the network, which is the median of several passes. Times
are of the processor, so that programs beside this one change little: it is meant for a CPU and one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Literal

import skimage.data
import torch
from tables import Table

import retouch
from retouch.image.image import Image
from retouch.image.resize import area
from retouch.solvers.style import Style, StyleTransfer, fitted

OPTIMIZERS: tuple[tuple[str, Literal["lbfgs", "adam"]], ...] = (("L-BFGS", "lbfgs"), ("Adam", "adam"))
PRECISIONS: tuple[tuple[str, Literal["fp32", "bf16"]], ...] = (("float32", "fp32"), ("bfloat16", "bf16"))
_PASSES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", type=Path, required=True, help="the picture of the style")
    parser.add_argument("--model", help="a weight that has learned it, to compare the time with")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300, help="of L-BFGS and of Adam")
    parser.add_argument("--output", type=Path, help="folder for styles.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    whole = Image.from_array(skimage.data.astronaut())
    photograph = Image(area(whole.pixels[None], fitted(whole.pixels, arguments.side))[0].clamp(0, 1))
    style = retouch.open(arguments.style)
    seconds = 0.0
    if arguments.model is not None:
        times = []
        for _ in range(_PASSES + 1):  # the first one prepares the network
            began = time.process_time()
            retouch.stylize(photograph, model=arguments.model)
            times.append(time.process_time() - began)
        seconds = statistics.median(times[1:])
    runs = [
        (
            f"{name}, {words}",
            StyleTransfer(side=0, sizes=1, optimizer=optimizer, precision=precision, steps=arguments.steps),
        )
        for name, optimizer in OPTIMIZERS
        for words, precision in PRECISIONS
    ]
    runs += [(f"--effort {effort}", StyleTransfer(effort=effort, side=0)) for effort in ("quick", "normal")]
    table = Table(
        f"{photograph.width}x{photograph.height} pixels, {torch.get_num_threads()} threads; one pass of "
        f"{Path(arguments.model or 'no network').stem}: {seconds:.3f} s",
        "",
        "| | steps | content | style x 1e6 | loss | above the optimum | CPU seconds | passes of the network |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    )
    best = 0.0
    for name, solver in runs:
        began = time.process_time()
        solution = solver.solve(photograph, [Style(style)])
        spent = time.process_time() - began
        found = runs[0][1].losses_of(solution.image, photograph, [Style(style)])
        best = best or found["loss"]
        passes = f"{spent / seconds:.0f}" if seconds else ""
        table.add(
            f"| {name} | {solution.steps} | {found['content']:.4f} | {found['style'] * 1e6:.4f} | "
            f"{found['loss']:.4f} | {found['loss'] / best - 1:+.1%} | {spent:.1f} | {passes} |"
        )
    table.write(arguments.output, "styles")


if __name__ == "__main__":
    main()
