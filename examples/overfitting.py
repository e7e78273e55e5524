"""What augmentation is for: accuracy and loss of two trainings from scratch, on one sheet: ``docs/overfitting.jpg``.

Both are ``classify-small`` on the same pictures, once as they are and once turned, moved, sheared, zoomed and mirrored:

    retouch train classify-small --images DIR --folder runs/with
    retouch train classify-small --images DIR --folder runs/without data.augment=[] data.flips=false
    python examples/overfitting.py docs/overfitting.jpg runs/without runs/with

Thin: what training logs, of the pictures as it sees them, with dropout. Thick: the validation. Needs matplotlib.
"""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure
from sheets import make_parser, write_figure

_WIDE = 9  # rows of the log that a point of the training's curve is the mean of
_TITLES = ("without augmentation", "with augmentation")


def read(path: Path) -> dict[str, list[float]]:
    """The columns of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def smooth(values: list[float]) -> list[float]:
    """Means over ``_WIDE`` values, fewer at the ends."""
    parts = [values[max(0, at - _WIDE // 2) : at + _WIDE // 2 + 1] for at in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("runs", type=Path, nargs=2, help="the run folders: without augmentation, and with it")
    arguments = parser.parse_args()
    figure = Figure(figsize=(4.2 * arguments.cell / 100, 2.5 * arguments.cell / 100), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, (run, title) in enumerate(zip(arguments.runs, _TITLES, strict=True)):
        log, validation = read(run / "log.csv"), read(run / "validation.csv")
        for row, name in enumerate(("accuracy", "loss")):
            there = axes[row, column]
            there.plot(log["step"], smooth(log[name]), color="#d1495b", linewidth=1.2, label="training")
            there.plot(validation["step"], validation[name], color="#1f5fa8", linewidth=2.4, label="validation")
            there.grid(color="0.9")
            there.set(xlabel="step" if row else "", ylabel="" if column else name)
        axes[0, column].set(title=f"{title}: {validation['accuracy'][-1]:.1%} right in the end", ylim=(0.45, 1.02))
        axes[1, column].set(ylim=(0, 1.6))
    axes[0, 0].legend(loc="lower right")
    write_figure(figure, arguments.output)


if __name__ == "__main__":
    main()
