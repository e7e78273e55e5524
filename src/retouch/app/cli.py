"""The ``retouch`` command. Its verbs, options and help texts are made from what the tasks declare.

Exit codes: 0 all done; 1 some inputs failed, each named on standard error with its reason; 2 the call itself was
wrong; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from retouch.app import batch
from retouch.app.arguments import parse
from retouch.app.invented_map import MapOptions
from retouch.image.errors import OptionError, unknown
from retouch.models import memory
from retouch.tasks import TASKS
from retouch.tasks.base import Options, Task
from retouch.tasks.invented import FACTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. ``arguments``: without the program's name; None takes those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _share_processor()
    debug = "--debug" in words
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        print("retouch: stopped by Ctrl-C", file=sys.stderr)
        return batch.INTERRUPTED
    except BrokenPipeError:  # the reader of our output left; nobody is there to be told
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  what is left to flush goes nowhere
        return batch.SOME_FAILED
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        print(f"retouch: {batch.reason_of(error)}", file=sys.stderr)
        return batch.WRONG_CALL if isinstance(error, OptionError) else batch.SOME_FAILED


def _share_processor() -> None:
    """Let torch's threads, and those of processes begun here, wait for each other asleep after some microseconds.

    By default they go round in a loop first for about a millisecond, on processors that others want: beside two busy
    processes on two cores a network took 14 times as long, on an idle machine the same. Read when torch is first
    imported; what the caller has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _dispatch(words: list[str]) -> int:
    verbs = _verbs()
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview(verbs), file=sys.stdout if words else sys.stderr)
        return batch.DONE if words else batch.WRONG_CALL
    if words[0] in ("-V", "--version"):
        import retouch

        print(f"retouch {retouch.__version__}")
        return batch.DONE
    verb, rest = words[0], words[1:]
    if verb in verbs:
        if verb != "serve":  # which leaves the networks to processes of its own
            memory.keep()
        try:
            return verbs[verb].run(rest)
        except SystemExit as stop:  # the parser's way to say that it has shown the help, or what is wrong
            return stop.code if isinstance(stop.code, int) else batch.WRONG_CALL
    methods = sorted({method.name for task in TASKS.values() for method in task.methods})
    if verb in methods:
        if rest and not set(rest) <= {"-h", "--help"}:
            raise OptionError(f"'{verb}' is a method, not a command: retouch TASK --method {verb}")
        from retouch.app.methods_command import explain_method

        print(explain_method(verb))
        return batch.DONE
    raise OptionError(unknown("command", verb, [*verbs, *methods]))


@dataclass(frozen=True)
class _Verb:
    help: str
    run: Callable[[list[str]], int]


def _verbs() -> dict[str, _Verb]:
    from retouch.app import (
        classify_command,
        compare_command,
        evaluate_command,
        generate_command,
        methods_command,
        models_command,
        serve_command,
        train_command,
        visualize_command,
        zoom_command,
    )

    verbs = {task.name: _Verb(task.help, partial(_run_task, task)) for task in TASKS.values()}
    verbs["zoom"] = _Verb(zoom_command.HELP, zoom_command.run)
    verbs["visualize"] = _Verb(visualize_command.HELP, visualize_command.run)
    verbs["classify"] = _Verb(classify_command.HELP, classify_command.run)
    verbs["generate"] = _Verb(generate_command.HELP, generate_command.run)
    verbs["compare"] = _Verb(compare_command.HELP, compare_command.run)
    verbs["evaluate"] = _Verb(evaluate_command.HELP, evaluate_command.run)
    verbs["train"] = _Verb(train_command.HELP, train_command.run)
    verbs["find-lr"] = _Verb(train_command.HELP_FIND, train_command.run_find)
    verbs["models"] = _Verb(models_command.HELP, models_command.run)
    verbs["serve"] = _Verb(serve_command.HELP, serve_command.run)
    verbs["methods"] = _Verb(methods_command.HELP, methods_command.run)
    return verbs


def _overview(verbs: dict[str, _Verb]) -> str:
    width = max(map(len, verbs)) + 2
    lines = ["usage: retouch COMMAND [OPTIONS] ...", "", "Mend pictures. The commands:", ""]
    lines += [f"  {name:<{width}}{verb.help}" for name, verb in verbs.items()]
    lines += [
        "",
        "retouch COMMAND --help tells a command's options, retouch methods TASK what its methods cost,",
        "retouch METHOD --help the same for one method. For example:",
        "",
        "  retouch denoise photo.jpg -o clean.jpg",
        "  retouch upscale scans/ -o larger/ --scale 2 --skip-existing",
        "  retouch inpaint photo.png -o mended.png --mask scratches.png",
    ]
    return "\n".join(lines)


def _run_task(task: Task, words: list[str]) -> int:
    watches = task.iterative
    groups: list[type[Options]] = [task.options, batch.FileOptions, *([batch.WatchOptions] if watches else [])]
    maps = task.name in FACTS
    if maps:
        groups.append(MapOptions)
    values = parse(f"retouch {task.name}", task.help, groups, words, several="PHOTO", output="file, or folder for many")
    options = task.make_options(**values[task.options])
    files = batch.FileOptions(**values[batch.FileOptions])
    watch = batch.WatchOptions(**values[batch.WatchOptions]) if watches else None
    drawn = MapOptions(**values[MapOptions]) if maps else None
    return batch.run_batch(task, options, values["inputs"], values["output"], files, watch, drawn)
