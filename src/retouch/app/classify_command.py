"""``retouch classify PHOTO...``: what photographs show, a line for each of the likeliest classes."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retouch.app.arguments import parse
from retouch.app.batch import DONE, INTERRUPTED, SOME_FAILED, Interrupt, open_picture, reason_of
from retouch.app.plan import list_inputs, same_file
from retouch.app.progress import Reporter
from retouch.image.atomic import replacing
from retouch.image.errors import OptionError, RetouchError
from retouch.tasks.base import Options, option

HELP = "tell what photographs show: ImageNet's thousand classes, or your own"


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(Options):
    """The options of ``retouch classify``."""

    model: str = option(
        "imagenet",
        "the classifier: imagenet, or a weight that 'retouch train classify' or another recipe made",
        metavar="NAME|FILE",
    )
    top: int = option(5, "so many of the likeliest classes", minimum=1, metavar="N")
    json: Path | None = option(None, "write the classes and probabilities of all pictures there", metavar="FILE")
    recursive: bool = option(False, "look into the folders inside a folder too")
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to compute")
    max_pixels: int | None = option(
        None, "refuse pictures of more pixels, before decoding them", minimum=1, metavar="N"
    )
    quiet: bool = option(False, "print nothing but the classes, and errors")
    debug: bool = option(False, "show where in the program an error arose")


def run(words: list[str]) -> int:
    """Print ``PHOTO  PROBABILITY  CLASS`` as each picture is done; one that fails is told, and the others go on."""
    values = parse("retouch classify", HELP, [ClassifyOptions], words, several="PHOTO", output=None)
    options = ClassifyOptions(**values[ClassifyOptions])
    from retouch.image.files import READABLE

    paths, failures = list_inputs(values["inputs"], READABLE, recursive=options.recursive)
    _check_json(options.json, paths)
    found: list[dict[str, object]] = []
    failed = len(failures)
    stopped = False
    with Reporter(len(paths), quiet=options.quiet) as reporter, Interrupt().installed():
        for name, reason in failures:
            reporter.fail(name, reason)
        if not paths:
            return SOME_FAILED
        from retouch.models.classifier import Classifier

        classifier = Classifier(options.model, device=options.device)
        width = max(len(str(path)) for path in paths)
        for path in paths:
            reporter.start(str(path))
            try:
                labels = classifier.labels(open_picture(path, options.max_pixels), options.top)
            except KeyboardInterrupt:
                stopped = True
                break
            except Exception as error:  # one bad picture must not stop the others
                failed += 1
                reporter.fail(str(path), reason_of(error))
                if options.debug:
                    reporter.say("".join(traceback.format_exception(error)))
                continue
            for label, probability in labels:
                print(f"{path!s:<{width}}  {probability:6.1%}  {label}", flush=True)
            rows = [{"label": label, "probability": round(probability, 6)} for label, probability in labels]
            found.append({"file": str(path), "labels": rows})
        if options.json is not None:
            _write(options.json, {"model": options.model, "images": found})
    return INTERRUPTED if stopped else SOME_FAILED if failed else DONE


def _check_json(target: Path | None, paths: list[Path]) -> None:
    if target is None:
        return
    if not target.absolute().parent.is_dir() or target.is_dir():
        raise OptionError(f"--json {target}: {'is a folder' if target.is_dir() else 'there is no such folder'}")
    for path in paths:
        if same_file(path, target):
            raise OptionError(f"--json {target}: this is an input ({path}); it would be written over, choose another")


def _write(path: Path, table: dict[str, object]) -> None:
    try:
        with replacing(path) as partial:
            partial.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise RetouchError(f"{path}: cannot be written: {error.strerror or error}") from error
