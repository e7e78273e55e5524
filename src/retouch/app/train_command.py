"""``retouch train RECIPE --images DIR [key=value...]`` and ``retouch find-lr``: learning from many pictures."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.app.arguments import parse
from retouch.app.progress import Reporter
from retouch.image.errors import OptionError
from retouch.tasks.base import Options, fields_of, option

if TYPE_CHECKING:
    from types import FrameType

    from retouch.solvers.steps import Step
    from retouch.training.recipe import TrainingRecipe

HELP = "train a network on folders of photographs, by a recipe"
HELP_FIND = "try learning rates on a recipe, and draw the loss against them"


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """What is trained on, and where."""

    images: tuple[Path, ...] = option(
        (),
        "folders of photographs, and the folders in them; of pictures of two kinds those of the first",
        metavar="DIR",
    )
    targets: tuple[Path, ...] = option(
        (), "folders of the pictures of the second kind, of the same names if they are pairs", metavar="DIR"
    )
    pairs: tuple[Path, ...] = option(
        (), "folders of files that hold a pair of pictures each, side by side", metavar="DIR"
    )
    style: Path | None = option(None, "for recipes that learn a style: the picture that has it", metavar="PICTURE")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    workers: int | None = option(
        None, "processes that prepare batches; by default as many as suit the machine", minimum=0, maximum=256
    )
    quiet: bool = option(False, "say nothing but what goes wrong")
    debug: bool = option(False, "show where in the program an error arose")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions):
    """The options of ``retouch train``."""

    folder: Path | None = option(
        None, "folder of the run: checkpoint, logs, the weight; by default runs/NAME", metavar="DIR"
    )
    validate: Path | None = option(
        None, "folder of photographs for validation; by default some of the others are kept for it", metavar="DIR"
    )
    fresh: bool = option(False, "start over, where the run folder holds a run that could go on")


@dataclass(frozen=True, kw_only=True)
class FindOptions(DataOptions):
    """The options of ``retouch find-lr``."""

    output: Path = option(Path("find-lr.png"), "the plot; the numbers go beside it, as CSV", metavar="FILE")
    lowest: float = option(1e-6, "learning rate to begin with", minimum=1e-12, maximum=1e3)
    highest: float = option(1.0, "learning rate to end with", minimum=1e-12, maximum=1e3)
    stage: int | None = option(
        None, "the stage to try, from 1, of a recipe that has several; by default the first", minimum=1, maximum=1000
    )
    folder: Path | None = option(
        None, "folder of the run, with the weight that a later stage begins with; by default runs/NAME", metavar="DIR"
    )
    steps: int = option(200, "steps from one to the other", minimum=10, maximum=100_000)


_MANY = ("images", "targets", "pairs")
_ABOUT = "a recipe (see below, or a TOML file), then values to replace in it, such as run.steps=1000"


def _read(program: str, about: str, group: type[Options], words: list[str]) -> tuple[TrainingRecipe, Any]:
    from retouch.training.recipe import read_recipe, recipe_names

    described = f"{about}. Recipes: {', '.join(recipe_names())}"
    words, replaced = _replaced(group, words)
    values = parse(program, described, [group], words, several="RECIPE [KEY=VALUE]", about_inputs=_ABOUT, output=None)
    name, *others = values["inputs"]
    options: Any = group(**values[group])
    recipe = read_recipe(name, [*others, *replaced])
    if options.pairs and (options.images or options.targets):
        raise OptionError(f"{program}: --pairs stands in place of --images and --targets")
    if not (options.pairs or options.images):
        raise OptionError(f"{program}: --images needs at least one folder")
    if options.pairs and recipe.data.source in ("degraded", "plain"):
        raise OptionError(
            f"{program}: --pairs is for recipes of pictures of two kinds; {recipe.name} makes its own targets"
        )
    return recipe, options


def _replaced(group: type[Options], words: list[str]) -> tuple[list[str], list[str]]:
    """``words`` without those that replace a value of the recipe, and these.

    They may stand anywhere, also after ``--images``, which takes all words up to the next option: what has a '=' and
    is no path replaces a value.
    """
    fields = fields_of(group).items()
    takes_one = {f"--{name}" for name, field in fields if field.type is not bool and name not in _MANY}
    rest: list[str] = []
    found: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        asks = re.match(r"[A-Za-z_][\w.-]*=", word) and before not in takes_one and not _is_path(word)
        (found if asks else rest).append(word)
    return rest, found


def _is_path(word: str) -> bool:
    try:
        return Path(word).exists()
    except OSError:  # too long for a name: a list of damages
        return False


def run(words: list[str]) -> int:
    """Train; on Ctrl-C the step at work is finished and kept, and the same call goes on from there."""
    recipe, options = _read("retouch train", HELP, TrainOptions, words)
    from retouch.training.distributed import leave, place
    from retouch.training.fit import fit
    from retouch.training.validation import in_words

    folder = options.folder if options.folder is not None else Path("runs") / recipe.name
    stop = _Stop()
    with Reporter(1, quiet=options.quiet or not place().chief) as reporter, stop:
        reporter.start(recipe.name)

        def heard(step: Step) -> bool:
            reporter.step(step)
            return not stop.asked

        result = fit(
            recipe,
            options.pairs or options.images,
            folder,
            targets=options.targets,
            style=options.style,
            validate=options.validate,
            device=options.device,
            workers=options.workers,
            fresh=options.fresh,
            on_step=heard,
            on_skip=lambda reason: reporter.fail("data", reason),
        )
        if place().chief:
            if result.finished:
                best = in_words(result.validation)
                found = f", best validation {best}" if best else ""
                reporter.say(f"{result.weight}: {result.steps} steps{found}")
            else:
                reporter.say(f"{folder}: stopped after {result.steps} steps; the same call goes on from there")
    leave()
    code = 0 if result.finished else 130
    if place().world > 1:
        # everything is written; the threads of the process group can abort the interpreter's own end (seen once in some
        # forty runs over Gloo), which torchrun would take for a failure and start all processes anew
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def run_find(words: list[str]) -> int:
    """Find a learning rate; print the one suggested."""
    recipe, options = _read("retouch find-lr", HELP_FIND, FindOptions, words)
    if options.lowest >= options.highest:
        raise OptionError(f"--lowest {options.lowest} must be below --highest {options.highest}")
    recipe = _stage(recipe, options.stage, options.folder)
    from retouch.training.find_rate import find_rate

    with Reporter(1, quiet=options.quiet) as reporter:
        reporter.start(recipe.name)
        found = find_rate(
            recipe,
            options.pairs or options.images,
            targets=options.targets,
            style=options.style,
            lowest=options.lowest,
            highest=options.highest,
            steps=options.steps,
            device=options.device,
            workers=options.workers,
            on_step=reporter.listener,
            on_skip=lambda reason: reporter.fail("data", reason),
        )
        found.write(options.output)
    print(f"{found.suggested:.3g}")
    print(f"optimizer.rate={found.suggested:.3g}: where the loss is least; see {options.output}", file=sys.stderr)
    return 0


def _stage(recipe: TrainingRecipe, number: int | None, folder: Path | None) -> TrainingRecipe:
    """One stage of a recipe, as a recipe; a later one begins with the weight that the stage before it left."""
    from dataclasses import replace

    from retouch.training.stages import folders

    if not recipe.stage and number is not None:
        raise OptionError(f"--stage {number}: {recipe.name} has no stages")
    parts, index = recipe.stages(), (number or 1) - 1
    if index >= len(parts):
        raise OptionError(f"--stage {number}: {recipe.name} has {len(parts)} stages")
    if not index:
        return parts[0]
    run = folder if folder is not None else Path("runs") / recipe.name
    weight = run / folders(recipe.stage)[index - 1] / f"{parts[index - 1].name}.safetensors"
    if not weight.is_file():
        raise OptionError(
            f"{weight}: there is no such file; --stage {number} begins with it, train stage {index} first"
        )
    return replace(parts[index], network=replace(parts[index].network, start=str(weight)))


class _Stop:
    """Within it, the first Ctrl-C or termination only asks for a stop; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *about: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
