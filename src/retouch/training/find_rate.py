"""The learning-rate finder: the loss while the rate rises exponentially from step to step.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retouch.image.errors import RetouchError
from retouch.solvers.steps import Listener, Step
from retouch.training.classes import with_classes
from retouch.training.distributed import join, place
from retouch.training.painting import painted
from retouch.training.pairs import load_data, samples_of
from retouch.training.pictures import load_pictures
from retouch.training.recipe import ScheduleRecipe, TrainingRecipe
from retouch.training.trainer import Trainer

_SMOOTH = 0.95
_DIVERGED = 4.0


@dataclass(frozen=True)
class Found:
    """``rates`` and the ``losses`` at them, as measured and ``smoothed`` (debiased exponential average).

    ``suggested``: the rate at which the smoothed loss is least.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float

    def write(self, plot: Path) -> None:
        """The plot, and the numbers beside it as CSV. The plot needs matplotlib: ``RetouchError`` names the extra."""
        try:
            with plot.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["rate", "loss", "smoothed"])
                rows.writerows(zip(self.rates, self.losses, self.smoothed, strict=True))
        except OSError as error:
            raise RetouchError(f"{plot}: cannot write: {error.strerror or error}") from error
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise RetouchError(
                f"{plot.with_suffix('.csv')} is written; the plot needs matplotlib: pip install 'retouch[train]'"
            ) from error
        figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses, color="0.8", linewidth=1, label="loss")
        axes.plot(self.rates, self.smoothed, color="tab:blue", label="smoothed")
        axes.axvline(self.suggested, color="tab:red", linestyle="--", label=f"suggested: {self.suggested:.2g}")
        positive = min(self.smoothed) > 0  # an adversarial loss need not be
        axes.set(xscale="log", yscale="log" if positive else "linear", xlabel="learning rate", ylabel="loss")
        axes.legend()
        figure.savefig(plot)


def find_rate(
    recipe: TrainingRecipe,
    images: Sequence[Path],
    *,
    targets: Sequence[Path] = (),
    style: Path | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 200,
    device: str = "auto",
    workers: int | None = None,
    on_step: Listener | None = None,
    on_skip: Callable[[str], None] = lambda reason: None,
) -> Found:
    """Train ``steps`` steps while every learning rate rises from ``lowest`` to ``highest`` times its group's factor.

    ``images``, ``targets``, ``style``: as for ``fit``; decoded as they are needed. Ends sooner where the smoothed
    loss is above four times its least, or not finite. Nothing is kept of the training. Raises ``RetouchError`` where
    the loss is not finite from the beginning.
    """
    recipe, painting = painted(recipe, style)
    steady = replace(
        recipe,
        run=replace(recipe.run, steps=steps, ema=0.0),
        schedule=ScheduleRecipe(name="constant"),
        data=replace(recipe.data, cache=False),
    )
    pictures = load_data(
        steady, images, targets, lambda files, name: load_pictures(files, None, on_skip=on_skip), on_skip
    )
    steady = with_classes(steady, images, pictures)
    samples = samples_of(pictures, steady)
    here = place()
    trainer = Trainer(steady, samples, here=here, device=join(here, device), workers=workers or 0, painting=painting)
    bases = {
        key: [float(group["lr"]) / recipe.optimizer.of(key).rate for group in optimizer.param_groups]
        for key, optimizer in trainer.optimizers.items()
    }
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, began = 0.0, time.monotonic()
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        for key, optimizer in trainer.optimizers.items():
            for group, factor in zip(optimizer.param_groups, bases[key], strict=True):
                group["lr"] = rate * factor
        loss = float(trainer.run_step()["loss"])
        if not math.isfinite(loss):
            break
        average = _SMOOTH * average + (1 - _SMOOTH) * loss
        rates.append(rate)
        losses.append(loss)
        smoothed.append(average / (1 - _SMOOTH ** (step + 1)))
        left = (time.monotonic() - began) / (step + 1) * (steps - step - 1)
        if on_step is not None and on_step(Step(step + 1, steps, left, loss)) is False:
            break
        if step > steps // 10 and smoothed[-1] > _DIVERGED * min(smoothed):
            break
    if len(rates) < 3:
        raise RetouchError("the loss is not finite at the lowest learning rates; try a smaller --lowest")
    return Found(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed))


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """The rate at which the smoothed loss is least, the edge of what still learns; a tenth of it if it never falls.

    That is the highest rate of one cycle, or the first one of a falling schedule. The rate of the steepest fall and
    the middle of the longest fall, both common choices, came out 17 to 58 times below the best of a grid on fsrcnn-x2
    (``benchmarks/find_rate.py``), this one 1.3 to 2.9 times below it: the loss begins to fall long before the rate is
    one that learns soon. The first tenth is left out: the average has seen too few losses there to tell a fall from
    noise.
    """
    lowest, first = int(np.argmin(smoothed)), max(1, len(rates) // 10)
    return rates[lowest] if lowest >= first + 2 else rates[lowest] / 10
