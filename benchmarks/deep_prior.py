"""Speed and quality of the deep prior, as ratios to the published network run plainly (float32, channels first).

Speed: every variant of every network makes its steps in turn, round after round, in one process, so that a drift of the
machine touches all alike; the median over the rounds is reported. Quality: PSNR of the output and of its running
average against steps and seconds, with the step at which the stop rule would have ended the run. Writes results.json,
and curve.png where matplotlib is installed.

    python benchmarks/deep_prior.py --output benchmarks/results --presets denoise,denoise-normal,denoise-quick
    python benchmarks/deep_prior.py --picture F16_GT.png --crop 0 --device cuda --steps 5000
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import skimage.data
import torch
from torch import Tensor

import retouch
from retouch.degradations.base import Identity
from retouch.degradations.noise import GaussianNoise
from retouch.image.image import Image
from retouch.metrics import psnr
from retouch.models.device import pick_device
from retouch.solvers.deep_prior import DeepPrior, Fit, stop_rule
from retouch.solvers.presets import PRESETS

VARIANTS = {
    "float32": ("fp32", torch.contiguous_format),
    "float32 channels_last": ("fp32", torch.channels_last),
    "bfloat16": ("bf16", torch.contiguous_format),
    "bfloat16 channels_last": ("bf16", torch.channels_last),
}


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="a photograph; default: the astronaut of scikit-image")
    parser.add_argument("--crop", type=int, default=256, help="side of the centre crop; 0 takes the whole picture")
    parser.add_argument("--sigma", type=float, default=25, help="noise level, 0..255")
    parser.add_argument("--presets", default="denoise,denoise-normal,denoise-quick,decoder-quick")
    parser.add_argument("--steps", type=int, default=3000, help="steps of the quality curves; 0 leaves them out")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the speed table; 0 leaves it out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    clean = _picture(arguments.picture, arguments.crop)
    generator = torch.Generator().manual_seed(0)
    noisy = clean.with_pixels(GaussianNoise(arguments.sigma)(clean.pixels.unsqueeze(0), generator))
    device = pick_device(arguments.device)
    names = arguments.presets.split(",")
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "size": [clean.height, clean.width],
        "sigma": arguments.sigma,
        "noisy_psnr": psnr(noisy, clean),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.rounds:
        result["speed"] = speeds(noisy, names, device, arguments.rounds)
        for row in result["speed"]:
            print(f"{row['preset']:18s} {row['variant']:24s} {row['seconds']:8.3f} s/step  {row['ratio']:6.2f} x")
    if arguments.steps:
        result["curves"] = [curve(noisy, clean, name, device, arguments.steps) for name in names]
        for row in result["curves"]:
            print({key: value for key, value in row.items() if key != "points"})
    (arguments.output / "results.json").write_text(json.dumps(result, indent=1))
    if arguments.steps:
        _draw(result, arguments.output / "curve.png")


def _picture(path: Path | None, crop: int) -> Image:
    image = Image.from_array(skimage.data.astronaut()) if path is None else retouch.open(path)
    if not crop:
        return image
    top, left = (image.height - crop) // 2, (image.width - crop) // 2
    return Image(image.pixels[:, top : top + crop, left : left + crop].contiguous())


def speeds(noisy: Image, names: list[str], device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Median seconds a step of every preset in every variant, and how many times faster than the first row."""
    fits = {
        (name, variant): _fit(noisy, name, device, precision, layout)
        for name in names
        for variant, (precision, layout) in VARIANTS.items()
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in fits}
    for index in range(rounds + 1):
        for key, fit in fits.items():
            _synchronize(device)
            began = time.perf_counter()
            fit.step(index)
            _synchronize(device)
            if index:  # the first round warms up
                taken[key].append(time.perf_counter() - began)
    # one network of each preset is timed; a step of the solver is as many of them as the preset fits side by side
    medians = {key: statistics.median(values) * PRESETS[key[0]].networks for key, values in taken.items()}
    plain = medians[names[0], "float32"]
    return [
        {"preset": name, "variant": variant, "seconds": seconds, "ratio": plain / seconds}
        for (name, variant), seconds in medians.items()
    ]


def _fit(noisy: Image, name: str, device: torch.device, precision: str, layout: torch.memory_format) -> Fit:
    estimate = noisy.pixels.unsqueeze(0)  # the time of a step does not depend on what is in it
    return Fit(noisy, Identity(), PRESETS[name], guide=estimate, device=device, precision=precision, layout=layout)


def curve(noisy: Image, clean: Image, name: str, device: torch.device, steps: int) -> dict[str, Any]:
    """PSNR against steps and seconds of one preset, run on past its stop rule, and what the rule would return."""
    preset = PRESETS[name]
    rule = stop_rule(preset)
    stopped = 0

    def watch(index: int, output: Tensor, average: Tensor) -> dict[str, float]:
        nonlocal stopped
        if rule is not None and not stopped and rule.update(index, output, average):
            stopped = index + 1
        return {"raw": psnr(output, clean.pixels), "average": psnr(average, clean.pixels)}

    total = min(steps, preset.steps)
    history = DeepPrior(preset=name, device=str(device), steps=total, stop="off").solve(noisy, inspect=watch).history
    passed = history[: stopped or total]
    found = rule.best() if rule is not None else None
    chosen = total if found is None else min(found[0] + preset.delay + 1, stopped or total)
    every = max(1, total // 150)
    return {
        "preset": name,
        "steps": total,
        "seconds": history[-1]["seconds"],
        "stopped": stopped or total,
        "stopped_seconds": passed[-1]["seconds"],
        "chosen": chosen,
        "psnr": history[chosen - 1]["average"],
        "best_raw": max(record["raw"] for record in passed),
        "best_average": max(record["average"] for record in passed),
        "points": [{"step": i + 1, **history[i]} for i in range(every - 1, total, every)],
    }


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _draw(result: dict[str, Any], path: Path) -> None:
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        print("no curve.png: matplotlib is not installed (pip install 'retouch[bench]')")
        return
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for number, row in enumerate(result["curves"]):
        for axis, key in zip(axes, ("step", "seconds"), strict=True):
            places = [point[key] for point in row["points"]]
            axis.plot(places, [point["average"] for point in row["points"]], color=f"C{number}", label=row["preset"])
            axis.plot(places, [point["raw"] for point in row["points"]], color=f"C{number}", alpha=0.35, linewidth=0.8)
        axes[0].plot(row["chosen"], row["psnr"], "o", color=f"C{number}")
    axes[0].set(xlabel="steps", ylabel="PSNR, dB", title="average (bold), output (faint), returned (dot)")
    axes[1].set(xlabel="seconds", xscale="log")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
