"""Speed of the networks on one frame: Retouch beside plain torch, onnxruntime and OpenCV, all running the same network.

Every way of running a network takes its turn, round after round, in one process, so that a drift of the machine touches
all alike; the best of the rounds counts. What each computes is compared with plain torch first. GFLOP/s count the
products of the network as published (two operations each), and are given beside the fastest matrix product of the same
run: above 100 % is possible, as the rewritten layers take fewer operations. Networks whose weights are not here run
with fresh ones, which takes the same time. ``float32`` rows keep the precision of the weights; whether bfloat16 does
depends on the weights (``auto``, as ``retouch upscale`` runs, decides by a test).

Prints a Markdown table, and writes it as inference.md with all numbers as inference.json.

    python benchmarks/inference.py --output benchmarks/results
    python benchmarks/inference.py --networks fsrcnn-x2,vdsr --size 1920x1080 --threads 8

On a machine that has other work, ``--threads 1 --clock processor`` counts the seconds of the processor instead.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from speed import CLOCKS, matrix_peaks, operations_of, seconds_of
from torch import Tensor

from retouch.image.errors import OptionError, RetouchError
from retouch.models import catalogue
from retouch.models.card import Card
from retouch.models.device import fast_bfloat16, pick_device
from retouch.models.load import Model
from retouch.models.prepare import PreparedNetwork
from retouch.models.runner import Runner
from retouch.networks.build import build
from retouch.networks.spec import Spec
from retouch.training.recipe import read_recipe, recipe_names

EAGER = "torch eager, float32, channels first"
OPENCV = "OpenCV dnn"
RUNTIME = "onnxruntime"
RUNNER = "Retouch, runner, auto"
HEAVIEST = 8e11
"""Operations above which the frame is halved: a round of a network should take seconds."""


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="all", help="names of recipes or weights, by commas")
    parser.add_argument("--size", default="960x540", help="the frame that a network gets, WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="what is counted; see above")
    parser.add_argument("--quick", action="store_true", help="two rounds, small matrices: to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if arguments.clock == "processor" and arguments.threads != 1:
        parser.error("--clock processor adds up what every thread takes: give --threads 1")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    width, height = (int(side) for side in arguments.size.split("x"))
    device = pick_device(arguments.device)
    rounds = 2 if arguments.quick else arguments.rounds
    clock = CLOCKS[arguments.clock]
    peaks = matrix_peaks(device, clock, 256 if arguments.quick else 2048)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "clock": arguments.clock,
        "torch": torch.__version__,
        "peaks": peaks,
        "networks": [],
    }
    with torch.no_grad():
        for name in _names() if arguments.networks == "all" else arguments.networks.split(","):
            result["networks"].append(measure(name, height, width, device, rounds, clock, peaks))
    text = markdown(result)
    print(text)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "inference.json").write_text(json.dumps(result, indent=1))
    (arguments.output / "inference.md").write_text(text)


def measure(
    name: str, height: int, width: int, device: torch.device, rounds: int, clock: Callable[[], float], peaks: Any
) -> dict[str, Any]:
    """One network: what every way of running it takes, and how far its result is from that of plain torch."""
    model, trained = _model(name)
    spec = model.network.spec
    assert isinstance(spec, Spec)
    operations = operations_of(model.network, height, width)
    while operations > HEAVIEST and min(height, width) >= 64:
        height, width = height // 2, width // 2
        operations = operations_of(model.network, height, width)
    height, width = (side // spec.multiple * spec.multiple for side in (height, width))
    x = torch.rand(1, spec.channels, height, width, generator=torch.Generator().manual_seed(0))
    ways, notes = _ways(model, x, device)
    expected = ways[EAGER]().cpu()
    rows: dict[str, dict[str, Any]] = {}
    for way, run in ways.items():
        error = run().cpu() - expected  # a warm-up as well
        rows[way] = {
            "difference": float(error.abs().max()),
            "rms": float(error.square().mean().sqrt()),
            "seconds": math.inf,
        }
    for _ in range(rounds):
        for way, run in ways.items():
            rows[way]["seconds"] = min(rows[way]["seconds"], seconds_of(run, device, clock))
    pixels = expected.shape[2] * expected.shape[3]
    for way, row in rows.items():
        row["megapixels_per_second"] = pixels / row["seconds"] / 1e6
        row["gflops"] = operations / row["seconds"] / 1e9
        row["dtype"] = notes[way]
        row["of_peak"] = row["gflops"] / peaks.get(notes[way], peaks["float32"])
        row["times_eager"] = rows[EAGER]["seconds"] / row["seconds"]
        if OPENCV in rows:
            row["times_opencv"] = rows[OPENCV]["seconds"] / row["seconds"]
    missing = {way: note for way, note in notes.items() if way not in rows}
    return {
        "name": name,
        "trained": trained,
        "input": [width, height],
        "output": [expected.shape[3], expected.shape[2]],
        "operations": operations,
        "ways": rows,
        "missing": missing,
    }


def _names() -> list[str]:
    """Every recipe that makes a picture, and every weight that is here; SRGAN's network is SRResNet's."""
    names = [*recipe_names(), *(entry.card.name for entry in catalogue.entries())]
    return sorted({name for name in names if not name.startswith("srgan")})


def _model(name: str) -> tuple[Model, bool]:
    """The weight of that name, or the recipe's network with fresh weights; and whether they are trained."""
    try:
        return catalogue.load(name), True
    except (OptionError, RetouchError):
        recipe = read_recipe(name)
    torch.manual_seed(0)
    network = build(recipe.network.name, recipe.network.arguments).eval().requires_grad_(False)
    spec = network.spec
    assert isinstance(spec, Spec)
    card = Card(
        name=name,
        family=recipe.network.name,
        architecture=recipe.network.name,
        arguments=recipe.network.arguments,
        tasks=("upscale",),
        colour="y" if spec.channels == 1 else "rgb",
        summary="fresh weights",
    )
    return Model(card, network, Path(name)), False


def _ways(model: Model, x: Tensor, device: torch.device) -> tuple[dict[str, Callable[[], Tensor]], dict[str, str]]:
    """Every way of running the network on ``x``; and the type that each computes in, or why it is missing."""
    spec = model.network.spec
    assert isinstance(spec, Spec)
    eager = copy.deepcopy(model.network).to(device)
    given = x.to(device)
    ways: dict[str, Callable[[], Tensor]] = {EAGER: lambda: eager(given)}
    notes = {EAGER: "float32"}
    if device.type == "cpu":
        _other_runtimes(model, x, ways, notes)
    low = torch.float16 if device.type == "cuda" else torch.bfloat16 if fast_bfloat16(device) else None
    for dtype in (torch.float32, low):
        if dtype is not None:
            prepared = PreparedNetwork(model.network, device, dtype)
            called = str(dtype).removeprefix("torch.")
            ways[f"Retouch, {called}"] = functools.partial(prepared, given)
            notes[f"Retouch, {called}"] = called
    runner = Runner(model, device=str(device))
    ways[RUNNER] = lambda: runner.run(x[0], spec.scale).unsqueeze(0)
    notes[RUNNER] = str(runner.network.dtype).removeprefix("torch.")
    return ways, notes


def _other_runtimes(model: Model, x: Tensor, ways: dict[str, Callable[[], Tensor]], notes: dict[str, str]) -> None:
    """onnxruntime and OpenCV on the network exported at the size of ``x``, which gives both their best."""
    array = x.numpy()
    try:
        program = torch.onnx.export(
            copy.deepcopy(model.network), (x,), dynamo=True, opset_version=18, verbose=False,
            input_names=["input"], output_names=["output"],
        )  # fmt: skip
        assert program is not None
        data = program.model_proto.SerializeToString()
    except ImportError as error:
        notes[RUNTIME] = notes[OPENCV] = f"no {error.name} (pip install 'retouch[bench]')"
        return
    try:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        ways[RUNTIME] = lambda: torch.from_numpy(session.run(None, {"input": array})[0])
        notes[RUNTIME] = "float32"
    except ImportError as error:
        notes[RUNTIME] = f"no {error.name} (pip install 'retouch[bench]')"
    try:
        import cv2
        import numpy as np

        cv2.setNumThreads(torch.get_num_threads())
        net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

        def opencv() -> Tensor:
            net.setInput(array)
            return torch.from_numpy(np.asarray(net.forward()))

        opencv()
        ways[OPENCV] = opencv
        notes[OPENCV] = "float32"
    except ImportError as error:
        notes[OPENCV] = f"no {error.name}"
    except cv2.error as error:
        notes[OPENCV] = f"cannot run it: {str(error).strip().splitlines()[0]}"


def markdown(result: dict[str, Any]) -> str:
    """The table, and above it what it was measured on."""
    peaks = ", ".join(f"{called} {peak:.0f} GFLOP/s" for called, peak in result["peaks"].items())
    threads = f"{result['threads']} thread" + ("s" if result["threads"] > 1 else "")
    lines = [
        f"{result['device']}, {threads}, {result['clock']} clock, torch {result['torch']}; matrix product: {peaks}.",
        "",
        "| network (input) | run by | ms | Mpixel/s out | GFLOP/s | of peak | x eager | x OpenCV | difference |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for network in result["networks"]:
        for way, row in network["ways"].items():
            size = "x".join(map(str, network["input"]))
            opencv = f"{row['times_opencv']:.2f}" if "times_opencv" in row else ""
            lines.append(
                f"| {network['name']} ({size}) | {way} ({row['dtype']}) | {1000 * row['seconds']:.1f} "
                f"| {row['megapixels_per_second']:.2f} | {row['gflops']:.0f} | {100 * row['of_peak']:.0f} % "
                f"| {row['times_eager']:.2f} | {opencv} | {row['difference']:.1e} |"
            )
        lines += [
            f"| {network['name']} | {way} | {note} |  |  |  |  |  |  |" for way, note in network["missing"].items()
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
