"""``retouch methods [TASK]`` and ``retouch METHOD --help``: what a method costs and when to prefer it."""

from __future__ import annotations

import dataclasses
from typing import Any

from retouch.app.arguments import parse
from retouch.app.progress import duration
from retouch.image.errors import OptionError, unknown
from retouch.tasks import TASKS
from retouch.tasks.base import MethodOptions, Options, Task, fields_of, option

HELP = "tell what the methods of a task cost, and when to prefer which"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(Options):
    """The options of ``retouch methods``."""

    device: str = option("auto", "the device to estimate the time for: auto, cpu, cuda or mps", metavar="NAME")


def run(words: list[str]) -> int:
    """Print the table of one task, or of all."""
    values = parse("retouch methods", HELP, [TableOptions], words, several="TASK", output=None, least=0)
    options = TableOptions(**values[TableOptions])
    from retouch.models.device import pick_device

    device = pick_device(options.device).type
    with_methods = {name: task for name, task in TASKS.items() if issubclass(task.options, MethodOptions)}
    for name in values["inputs"] or with_methods:
        if name not in with_methods:
            raise OptionError(unknown("task", name, list(with_methods)))
        _print_table(with_methods[name], device)
    return 0


def _print_table(task: Task, device: str) -> None:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, show_edge=False, padding=(0, 2, 1, 0), box=None)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for method in sorted(task.methods, key=lambda m: -m.rank):
        options = default_options(task)
        seconds = duration(method.seconds(1.0, device, dataclasses.replace(options, method=method.name)))
        views = f"; auto takes the mean of 2, 4 or 8 views within {method.spare:g} s a picture" if method.spare else ""
        about = [
            Text(method.summary),
            Text(f"cost: {method.cost}"),
            Text(f"time: about {seconds} a megapixel on this {device}{views}"),
            Text(f"prefer it: {method.prefer}"),
        ]
        reason = method.available(options)
        if reason is not None:
            about.append(Text(f"not here: {reason}", style="yellow"))
        table.add_row(Text(method.name, style="bold"), Group(*about))
    console = Console(highlight=False)
    console.print(f"{task.name}: {task.help}. Methods, the best that its time allows first:\n", markup=False)
    console.print(table)


def default_options(task: Task) -> Any:
    """The task's options at their defaults, and None for those that have none (a mask is not what the time takes)."""
    missing = {name: None for name, field in fields_of(task.options).items() if field.required}
    return task.options(**missing)


def explain_method(name: str) -> str:
    """What a method is, costs and is good for, task by task."""
    lines = []
    for task in TASKS.values():
        for method in task.methods:
            if method.name == name:
                lines += [
                    f"retouch {task.name} --method {name}",
                    f"  what it is   {method.summary}",
                    f"  cost         {method.cost}",
                    f"  prefer it    {method.prefer}",
                    "",
                ]
    return "\n".join(lines).rstrip()
