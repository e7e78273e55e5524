"""``retouch evaluate`` for classifiers: accuracy, and what is taken for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retouch.app.progress import Reporter
from retouch.image.errors import OptionError, RetouchError

if TYPE_CHECKING:
    from pathlib import Path

    from retouch.app.evaluate_outputs import OutputOptions
    from retouch.evaluation.options import EvaluateOptions

_IMAGENET = "imagenet"  # as models.classifier has it, without torch


def tells_classes(name: str) -> bool:
    """Whether ``name`` is a classifier, by its card."""
    if name == _IMAGENET:
        return True
    from retouch.models import catalogue
    from retouch.models.header import read_card

    try:
        return "classify" in read_card(catalogue.find(name)).tasks
    except RetouchError:  # whatever it is then, others tell
        return False


def run_classes(name: str, options: EvaluateOptions, outputs: OutputOptions) -> int:
    """A line for each picture that is taken for something else, then the confusion table and the means."""
    for flag in ("crop", "grey", "blind", "clip_noise", "lpips", "verb", "only", "ensemble"):
        if getattr(options, flag):
            raise OptionError(f"evaluate of a classifier: takes no --{flag.replace('_', '-')}")
    if outputs.save is not None:
        raise OptionError("evaluate of a classifier: makes no pictures for --save")
    recorded = _to_record(name, options) if outputs.record else None
    from retouch.evaluation.classes import evaluate_classes
    from retouch.image.files import save
    from retouch.solvers.steps import Step

    report = None
    with Reporter(1, quiet=outputs.quiet) as reporter:
        reporter.start(f"evaluate {name}")
        for report, score in evaluate_classes(name, outputs.data, limit=options.limit, device=options.device):
            if not score.right:
                reporter.say(score.row(0))
            reporter.step(Step(len(report.images), report.total))
    assert report is not None
    if outputs.json is not None:
        report.write(outputs.json)
    if outputs.sheet is not None:
        save(report.picture(), outputs.sheet)
    if recorded is not None:
        from retouch.evaluation.whole import record

        record(recorded, report)
    print("\n".join(report.table()))
    print(report.row(report.dataset, 4))
    return 0


def _to_record(name: str, options: EvaluateOptions) -> Path:
    if name == _IMAGENET:
        raise OptionError(f"--record needs a weight, by name or path; '{name}' has no card")
    if options.limit is not None:
        raise OptionError("--limit: a card holds numbers of whole data sets only")
    from retouch.models import catalogue

    return catalogue.find(name)
