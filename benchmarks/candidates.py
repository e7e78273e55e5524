"""The table by which the default networks are chosen: rivals trained for the same time, judged on the same pictures.

Each candidate takes the place of the network in one recipe, ``residual-x2`` (``--task upscale --scale 2``) or
``unet-denoise`` (``--task denoise``); nothing else changes but the length of the run. All learn for ``--seconds`` of
the processor on one thread: a few steps of each are timed after some to warm up, and the run, with its schedule, is as
many steps as fit. Some of the training pictures are held out, the same for all, and measured at the end: the luma with
a border of ``--scale`` pixels left out, or all channels of noise of sigma 25. The test sets are not looked at.

Networks for super-resolution are trained on top of bicubic enlargement, as the plain one is, since in minutes one that
has to make the whole picture learns little else; ``--published`` leaves them as their papers have them. GFLOP are of a
megapixel of output, two operations for each product. The speed is that of ``Runner``, in megapixels of output a second:
on one thread of the processor, by its seconds, round after round for all candidates; on CUDA, where there is one, by
the clock. Beside it stands the type that ``Runner`` takes for these weights: bfloat16 only where it costs nothing.

Prints a Markdown table, and writes it as candidates.md with all numbers as candidates.json into ``--output``.

    python benchmarks/candidates.py --images bsds400 --scale 2 --seconds 300 --output benchmarks/results
    python benchmarks/candidates.py --images bsds400 --task denoise --rate nafnet=1e-3 run.precision=fp32
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from speed import operations_of
from torch import Tensor, nn

from retouch.degradations.recipe import Recipe
from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.image.resize import bicubic
from retouch.metrics import psnr
from retouch.models.card import Card
from retouch.models.load import Model
from retouch.models.runner import Runner
from retouch.networks.build import count_parameters
from retouch.networks.spec import Spec
from retouch.training.data import generator_of
from retouch.training.pairs import samples_of
from retouch.training.pictures import Pictures, divided, find_pictures, load_pictures
from retouch.training.recipe import NetworkRecipe, TrainingRecipe, read_recipe
from retouch.training.trainer import Trainer

SIDE = 384  # pixels: of a picture that is held out, the middle
SIGMA = 25.0
WARM, TIMED = 3, 8  # steps; as many more are timed as take a twentieth of the run
ENLARGERS: dict[str, dict[str, Any]] = {
    "imdn": {"skip": "bicubic"},
    "safmn": {"skip": "bicubic"},
    "span": {"skip": "bicubic"},
    "nafnet-sr": {},
}
"""Rivals of the recipe's own network at their published sizes."""

DENOISERS: dict[str, dict[str, Any]] = {
    "nafnet": {"width": 16, "encoder": [2, 2, 4], "middle": 4, "decoder": [2, 2, 2]},
    "dncnn": {"depth": 17, "channels": 3, "initial": "identity"},
}
"""About as many numbers as the recipe's own; DnCNN as published, but for where it begins (see the recipe dncnn-s25)."""


@dataclass(frozen=True)
class Task:
    """What is compared. ``damage``: of the pictures held out; ``border`` and ``channel``: as in ``psnr``."""

    recipe: TrainingRecipe
    networks: dict[str, NetworkRecipe]
    damage: Recipe
    scale: int
    border: int
    channel: Any


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("values", nargs="*", metavar="KEY=VALUE", help="values to replace in the recipe")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--task", choices=("upscale", "denoise"), default="upscale")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--networks", default="all", help="names of candidates, by commas")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the processor, for each candidate")
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=VALUE", help="a rate of its own")
    parser.add_argument("--published", action="store_true", help="no bicubic enlargement under IMDN, SAFMN and SPAN")
    parser.add_argument("--held-out", type=int, default=16, help="pictures that none learns from")
    parser.add_argument("--size", default="480x270", help="the frame that is timed, WIDTHxHEIGHT before enlargement")
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    parser.add_argument("--output", type=Path, help="folder for candidates.md and candidates.json")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    width, height = (int(side) for side in arguments.size.split("x"))
    try:
        task = make_task(arguments.task, arguments.scale, arguments.values, published=arguments.published)
        chosen = list(task.networks) if arguments.networks == "all" else arguments.networks.split(",")
        rates = dict(_rate(word, chosen) for word in arguments.rate)
        for name in chosen:
            if name not in task.networks:
                raise OptionError(unknown("candidate", name, list(task.networks)))
        with tempfile.TemporaryDirectory() as folder:
            training, held_out = pictures_of(arguments.images, task.recipe, arguments.held_out, Path(folder))
            cases = [_case(held_out[number], task, number) for number in range(len(held_out))]
            rows, models = [], []
            for name in chosen:
                recipe = _with(task, name, rates.get(name))
                model, row = trained(recipe, training, arguments.seconds)
                row["psnr"] = measured(model.network, cases, task)
                print(f"{name}: {row['psnr']:.2f} dB after {row['steps']} steps", file=sys.stderr, flush=True)
                rows.append({"name": name, "arguments": recipe.network.arguments, **facts(model.network), **row})
                models.append(model)
    except RetouchError as error:
        parser.error(str(error))
    speeds = {"cpu": speeds_of(models, height, width, "cpu", arguments.rounds)}
    if torch.cuda.is_available():
        speeds["cuda"] = speeds_of(models, height, width, "cuda", arguments.rounds)
    for number, row in enumerate(rows):
        for device in ("cpu", "cuda"):
            speed, dtype = speeds[device][number] if device in speeds else (None, None)
            row |= {f"{device}_megapixels_per_second": speed, f"{device}_dtype": dtype}
    result = {
        "task": arguments.task,
        "recipe": task.recipe.name,
        "scale": task.scale,
        "seconds": arguments.seconds,
        "published": arguments.published,
        "held_out": [entry.name for entry in held_out.entries],
        "untouched": untouched(cases, task),
        "frame": [width, height],
        "machine": platform.machine(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "candidates": rows,
    }
    text = markdown(result)
    print(text)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "candidates.json").write_text(json.dumps(result, indent=1))
        (arguments.output / "candidates.md").write_text(text)


def make_task(kind: str, scale: int, values: Sequence[str], *, published: bool) -> Task:
    """The recipe, of several stages the first, the networks that take turns in it, and how they are judged."""
    if kind == "denoise":
        recipe = read_recipe("unet-denoise", values).stages()[0]
        damage = Recipe.from_table({"name": "noise", "step": [{"kind": "gaussian_noise", "sigma": SIGMA}]})
        rivals, scale, border, channel = DENOISERS, 1, 0, "rgb"
    else:
        recipe = read_recipe(f"residual-x{scale}", values).stages()[0]
        damage = recipe.degradations()[0]
        rivals = {name: {"scale": scale, **({} if published else arguments)} for name, arguments in ENLARGERS.items()}
        border, channel = scale, "y"
    networks = {recipe.network.name: replace(recipe.network, start=None)}
    networks |= {name: NetworkRecipe(name=name, arguments=arguments) for name, arguments in rivals.items()}
    return Task(recipe, networks, damage, scale, border, channel)


def _rate(word: str, names: Sequence[str]) -> tuple[str, float]:
    name, _, value = word.partition("=")
    if name not in names:
        raise OptionError(unknown("candidate", name, names, "of --rate"))
    try:
        return name, float(value)
    except ValueError:
        raise OptionError(f"--rate {word}: a number comes after the name, as in {name}=1e-3") from None


def _with(task: Task, name: str, rate: float | None) -> TrainingRecipe:
    """The recipe with another network, and another rate if one is given."""
    recipe = replace(task.recipe, network=task.networks[name])
    return recipe if rate is None else replace(recipe, optimizer=replace(recipe.optimizer, rate=rate))


def pictures_of(
    folders: Sequence[Path], recipe: TrainingRecipe, count: int, scratch: Path
) -> tuple[Pictures, Pictures]:
    """The pictures to train on, and those held out, drawn by the recipe's seed; decoded into ``scratch``."""

    def skipped(reason: str) -> None:
        print(reason, file=sys.stderr)

    pictures = load_pictures(find_pictures(folders), scratch / "pictures.pixels", on_skip=skipped)
    training, held_out = divided(pictures, lambda different: count, recipe.run.seed, recipe.data.crop)
    if not len(held_out) or not len(training):
        raise RetouchError(f"{len(pictures)} pictures, {len(held_out)} large enough: too few to hold some out")
    return training, held_out


def trained(recipe: TrainingRecipe, pictures: Pictures, seconds: float) -> tuple[Model, dict[str, Any]]:
    """The average of the weights after as many steps as fit into ``seconds``; and what was done for it."""
    samples = samples_of(pictures, recipe)
    trial = Trainer(recipe, samples)
    for _ in range(WARM):
        trial.run_step()
    began, count = time.process_time(), 0
    while count < TIMED or time.process_time() - began < seconds / 20:
        trial.run_step()
        count += 1
    steps = max(1, round(seconds * count / (time.process_time() - began)))
    # the rise is cut where it would take much of a short run
    schedule = replace(recipe.schedule, warmup=min(recipe.schedule.warmup, steps // 10))
    trainer = Trainer(replace(recipe, schedule=schedule, run=replace(recipe.run, steps=steps)), samples)
    began, loss = time.process_time(), math.nan
    for _ in range(steps):
        loss = float(trainer.run_step()["loss"])
    spent = time.process_time() - began
    network = trainer.best_product.eval().requires_grad_(False)
    card = Card(
        name=recipe.network.name,
        family=recipe.network.name,
        architecture=recipe.network.name,
        arguments=recipe.network.arguments,
        tasks=recipe.card.tasks,
        colour=recipe.card.colour,
        summary="",
    )
    row = {"rate": recipe.optimizer.rate, "steps": steps, "seconds": spent, "loss": loss}
    return Model(card, network, Path(recipe.network.name)), row


def _case(pixels: Any, task: Task, number: int) -> tuple[Tensor, Tensor]:
    """The middle of a picture that is held out, damaged and as it is."""
    whole = torch.from_numpy(pixels.copy()).float() / 255
    high, wide = (min(side, SIDE) // task.scale * task.scale for side in whole.shape[1:])
    top, left = (whole.shape[1] - high) // 2, (whole.shape[2] - wide) // 2
    target = whole[None, :, top : top + high, left : left + wide].expand(-1, 3, -1, -1).contiguous()
    return task.damage(target, generator_of(task.recipe.run.seed, -1 - number)), target


def measured(network: nn.Module, cases: Sequence[tuple[Tensor, Tensor]], task: Task) -> float:
    """The mean PSNR over the pictures held out, in float32, at once."""
    with torch.no_grad():
        return _mean(((network(given).clamp(0, 1), target) for given, target in cases), task)


def untouched(cases: Sequence[tuple[Tensor, Tensor]], task: Task) -> float:
    """The same of what is given: enlarged by bicubic interpolation, or with its noise."""
    if task.scale == 1:
        return _mean(cases, task)
    return _mean(((bicubic(x, scale=task.scale).clamp(0, 1), target) for x, target in cases), task)


def _mean(pairs: Any, task: Task) -> float:
    found = [psnr(made, target, shave=task.border, channel=task.channel) for made, target in pairs]
    return sum(found) / len(found)


def facts(network: nn.Module) -> dict[str, Any]:
    """How many numbers are learned, and GFLOP for a megapixel of output, counted without computing."""
    spec = network.spec
    assert isinstance(spec, Spec)
    side = math.lcm(spec.multiple, 240)
    gflop = operations_of(network, side, side) / 1e9 / ((side * spec.scale) ** 2 / 1e6)
    return {"parameters": count_parameters(network), "gflop_per_megapixel": gflop}


def speeds_of(models: Sequence[Model], height: int, width: int, device: str, rounds: int) -> list[tuple[float, str]]:
    """Megapixels of output a second of each model as ``Runner`` runs it, the best of the rounds, and in which type."""
    runs: list[Callable[[], Tensor]] = []
    runners = [Runner(model, device=device) for model in models]
    for runner in runners:
        x = torch.rand(runner.spec.channels, height, width, generator=torch.Generator().manual_seed(0))
        runs.append(functools.partial(runner.run, x, runner.spec.scale))
    pixels = [run().shape[-1] * run().shape[-2] for run in runs]  # warm by now
    clock = time.perf_counter if device == "cuda" else time.process_time
    best = [math.inf] * len(runs)
    for _ in range(rounds):
        for number, run in enumerate(runs):
            began = clock()
            run()  # the result lies on the CPU, so the device has finished
            best[number] = min(best[number], max(clock() - began, 1e-9))
    types = [str(runner.network.dtype).removeprefix("torch.") for runner in runners]
    return [(count / seconds / 1e6, dtype) for count, seconds, dtype in zip(pixels, best, types, strict=True)]


def markdown(result: dict[str, Any]) -> str:
    """The table, and above it what was compared."""
    enlarging = result["task"] == "upscale"
    what = f"luma, x{result['scale']}" if enlarging else f"RGB, sigma {SIGMA:g}"
    start = "bicubic enlargement" if enlarging else "the noisy pictures"
    width, height = result["frame"]
    lines = [
        f"Recipe {result['recipe']}, {result['seconds']:g} s of one thread each; PSNR ({what}) of "
        f"{len(result['held_out'])} pictures held out, {start} {result['untouched']:.2f} dB; speed on a frame of "
        f"{width} x {height}; {result['machine']}, CUDA: {result['cuda'] or 'none'}, torch {result['torch']}.",
        "",
        "| network | parameters | GFLOP/Mpixel | rate | steps | seconds | PSNR, dB | CPU, Mpixel/s | CUDA, Mpixel/s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["candidates"]:
        cuda = row["cuda_megapixels_per_second"]
        on_cuda = "-" if cuda is None else f"{cuda:.1f} ({row['cuda_dtype']})"
        lines.append(
            f"| {row['name']} | {row['parameters']:,} | {row['gflop_per_megapixel']:.0f} | {row['rate']:g} "
            f"| {row['steps']} | {row['seconds']:.0f} | {row['psnr']:.2f} "
            f"| {row['cpu_megapixels_per_second']:.3f} ({row['cpu_dtype']}) "
            f"| {on_cuda} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
