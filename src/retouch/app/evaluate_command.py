"""``retouch evaluate NAME --data DIR``: numbers of a method by the papers' protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from retouch.app.arguments import parse
from retouch.app.evaluate_classes import run_classes, tells_classes
from retouch.app.evaluate_outputs import OutputOptions
from retouch.app.progress import Reporter
from retouch.evaluation.options import EvaluateOptions
from retouch.image.errors import OptionError

if TYPE_CHECKING:
    from retouch.evaluation.protocol import Outcome
    from retouch.image.image import Image
    from retouch.solvers.steps import Listener

HELP = "measure a method on a data set by the protocol of the papers"

_SHEET_ROWS = 6
_SHEET_SIDE = 256
_PROTOCOL_FLAGS = ("crop", "grey", "blind", "lpips", "ensemble")


class _Score(Protocol):
    @property
    def name(self) -> str: ...

    def row(self, width: int) -> str: ...


class _Outcome(Protocol):
    @property
    def score(self) -> _Score: ...

    @property
    def result(self) -> Image: ...


class _Report(Protocol):
    @property
    def images(self) -> Sequence[_Score]: ...

    def write(self, path: Path) -> None: ...


ReportT = TypeVar("ReportT", bound=_Report)
OutcomeT = TypeVar("OutcomeT", bound=_Outcome)


def run(words: list[str]) -> int:
    """Evaluate, print each picture as it is done, and write what was asked for."""
    about = (
        "a method (bicubic, fsrcnn, nlm, deep-prior, ...), a weight (fsrcnn-x3, or a file), 'auto', 'input' for the "
        "degraded pictures as they are, or 'catalogue' for every weight on every data set below DIR"
    )
    values = parse(
        "retouch evaluate",
        HELP,
        [EvaluateOptions, OutputOptions],
        words,
        several="NAME",
        about_inputs=about,
        output=None,
        single=True,
    )
    options = EvaluateOptions(**values[EvaluateOptions])
    outputs = OutputOptions(**values[OutputOptions])
    if outputs.labels is not None and not outputs.pairs:
        raise OptionError("--labels belongs to --pairs")
    if outputs.colorize + outputs.pairs + (outputs.style is not None) > 1:
        raise OptionError("evaluate: give one of --colorize, --pairs and --style")
    if outputs.style is not None:
        return _run_painted(values["inputs"], options, outputs, outputs.style)
    if outputs.pairs:
        return _run_pairs(values["inputs"], options, outputs)
    if outputs.colorize:
        return _run_colorize(values["inputs"], options, outputs)
    if tells_classes(values["inputs"]):
        _check("of a classifier", options, outputs)
        return run_classes(values["inputs"], options, outputs)
    if values["inputs"] == "catalogue":
        return _run_catalogue(options, outputs)
    from retouch.evaluation import own

    if own.is_for(values["inputs"], outputs.data):
        return _run_own(values["inputs"], options, outputs)
    if outputs.markdown is not None:
        raise OptionError("--markdown belongs to 'retouch evaluate catalogue'")
    from retouch.evaluation.protocol import clipped, run_evaluation
    from retouch.evaluation.report import row
    from retouch.image.files import save

    if outputs.resume and outputs.json is None:
        raise OptionError("--resume goes on from the file of --json; give both")
    _check_outputs(outputs)
    if outputs.json is not None and not outputs.resume:
        outputs.json.unlink(missing_ok=True)
    recorded = _to_record(values["inputs"], options, outputs.data) if outputs.record else None
    shown: list[Outcome] = []
    with Reporter(1, quiet=outputs.quiet) as reporter:
        reporter.start(f"evaluate {values['inputs']}")
        report = None
        for report, outcome in run_evaluation(
            values["inputs"], outputs.data, options, on_step=reporter.listener, resume=outputs.json
        ):
            width = max(len("mean"), *(len(score.name) for score in report.images), 0)
            if outcome is None:
                for score in report.images:
                    reporter.say(row(score.name, score, width))
                continue
            score = outcome.score
            reporter.say(row(score.name, score, width))
            if outputs.save is not None:
                save(clipped(outcome.image), outputs.save / f"{Path(score.name).stem}.png")
            if outputs.sheet is not None and len(shown) < _SHEET_ROWS:
                shown.append(outcome)
    assert report is not None
    if outputs.json is not None:
        report.write(outputs.json)
    if outputs.sheet is not None and shown:
        save(_sheet(values["inputs"], shown), outputs.sheet)
    if recorded is not None:
        from retouch.evaluation.whole import record

        record(recorded, report)
    print(row("mean", report, 4))
    return 0


def _to_record(name: str, options: EvaluateOptions, data: Path) -> Path:
    """The file whose card the numbers go on; what ``--record`` refuses is refused here, before the work."""
    from retouch.evaluation.whole import check_as_published
    from retouch.models import catalogue
    from retouch.models.header import read_card
    from retouch.training.pictures import is_idx

    try:
        path = catalogue.find(name)
    except OptionError as error:
        raise OptionError(f"--record needs a weight, by name or path; '{name}' is none") from error
    check_as_published(asdict(options))
    if data.is_file() and not is_idx(data):
        raise OptionError(f"--record: {data} is one picture, not a data set")
    read_card(path)
    return path


def _check(flag: str, options: EvaluateOptions, outputs: OutputOptions) -> None:
    """Hold the options to what ``flag`` takes, and see that the outputs can be written."""
    if options.conditioned:
        raise OptionError(f"evaluate {flag}: without --scale, --sigma, --quality and --recipe")
    if outputs.resume or outputs.markdown is not None:
        raise OptionError(f"evaluate {flag}: takes no --resume or --markdown")
    _check_outputs(outputs)


def _check_outputs(outputs: OutputOptions) -> None:
    """See that the report, the sheet and the pictures can be written."""
    from retouch.image.files import check_writable

    if outputs.json is not None and not outputs.json.parent.is_dir():
        raise OptionError(f"--json {outputs.json}: there is no folder {outputs.json.parent}")
    if outputs.sheet is not None:
        check_writable(outputs.sheet)
    if outputs.save is not None:
        outputs.save.mkdir(parents=True, exist_ok=True)


def _refuse_flags(what: str, given: EvaluateOptions | OutputOptions, flags: Sequence[str]) -> None:
    for flag in flags:
        if getattr(given, flag):
            raise OptionError(f"evaluate {what}: takes no --{flag}")


def _each(
    name: str,
    outputs: OutputOptions,
    evaluate: Callable[[Listener], Iterator[tuple[ReportT, OutcomeT]]],
    most: int = _SHEET_ROWS,
) -> tuple[ReportT, list[OutcomeT]]:
    """A line a picture, its file and the report as asked for; the report, and the pictures of the sheet.

    ``evaluate``: gives the report so far and the picture just done, and tells its steps to the listener it gets.
    ``most``: pictures on a sheet.
    """
    from retouch.image.files import save

    shown: list[OutcomeT] = []
    report = None
    with Reporter(1, quiet=outputs.quiet) as reporter:
        reporter.start(f"evaluate {name}")
        for report, outcome in evaluate(reporter.listener):
            reporter.say(outcome.score.row(max(len(known.name) for known in report.images)))
            if outputs.save is not None:
                save(outcome.result, outputs.save / f"{Path(outcome.score.name).stem}.png")
            if outputs.sheet is not None and len(shown) < most:
                shown.append(outcome)
            if outputs.json is not None:
                report.write(outputs.json)
    assert report is not None
    return report, shown


def _run_colorize(name: str, options: EvaluateOptions, outputs: OutputOptions) -> int:
    """A line a picture, then the means."""
    from retouch.evaluation.colour import evaluate_colours
    from retouch.image.files import save
    from retouch.image.sheet import sheet

    _refuse_flags("--colorize", options, ("ensemble",))
    _check("--colorize", options, outputs)
    recorded = _to_record(name, options, outputs.data) if outputs.record else None
    report, shown = _each(
        name, outputs, lambda heard: evaluate_colours(name, outputs.data, options, on_step=heard), 2 * _SHEET_ROWS
    )
    if outputs.sheet is not None:
        rows = [[one.grey, one.result, one.original] for one in shown]
        captions = [[f"ab error {s.grey_error:.1f}", f"{s.error:.1f}", ""] for s in (one.score for one in shown)]
        names = [one.score.name for one in shown]
        drawn = sheet(
            rows, column_titles=["grey", name, "original"], row_titles=names, captions=captions, cell=_SHEET_SIDE
        )
        save(drawn, outputs.sheet)
    if recorded is not None:
        from retouch.evaluation.whole import record

        record(recorded, report)
    print(report.mean.row(4))
    return 0


def _run_pairs(name: str, options: EvaluateOptions, outputs: OutputOptions) -> int:
    """A line a picture, then the means."""
    from retouch.evaluation.translation import evaluate_translation
    from retouch.image.files import save
    from retouch.image.sheet import sheet

    _refuse_flags("--pairs", options, _PROTOCOL_FLAGS)
    _check("--pairs", options, outputs)
    recorded = _to_record(name, options, outputs.data) if outputs.record else None
    report, shown = _each(
        name, outputs, lambda heard: evaluate_translation(name, outputs.data, options, outputs.labels)
    )
    if outputs.sheet is not None:
        rows = [[one.source, one.result, one.target] for one in shown]
        scores = [one.score for one in shown]
        captions = [
            ["", f"L1 {s.l1:.3f}" if s.accuracy is None else f"accuracy {s.accuracy:.3f}, L1 {s.l1:.3f}", ""]
            for s in scores
        ]
        drawn = sheet(
            rows, column_titles=["input", name, "target"], row_titles=[s.name for s in scores], captions=captions,
            cell=_SHEET_SIDE,
        )  # fmt: skip
        save(drawn, outputs.sheet)
    if recorded is not None:
        from retouch.evaluation.whole import record

        record(recorded, report)
    print(report.row("mean", 4))
    return 0


def _run_own(name: str, options: EvaluateOptions, outputs: OutputOptions) -> int:
    """The means, of a weight that is measured by its own recipe: a generator, or one for digits."""
    from retouch.evaluation.own import evaluate_own
    from retouch.evaluation.whole import record

    _check("of a generator or of digits", options, outputs)
    _refuse_flags("of a generator or of digits", options, _PROTOCOL_FLAGS)
    _refuse_flags("of a generator or of digits", outputs, ("sheet", "save"))
    recorded = _to_record(name, options, outputs.data) if outputs.record else None
    with Reporter(1, quiet=outputs.quiet) as reporter:
        reporter.start(f"evaluate {name}")
        report = evaluate_own(name, outputs.data, options)
    if outputs.json is not None:
        report.write(outputs.json)
    if recorded is not None:
        record(recorded, report)
    print(report.row("mean", 4))
    return 0


def _run_painted(name: str, options: EvaluateOptions, outputs: OutputOptions, style: Path) -> int:
    """A line a picture, then the means."""
    from retouch.evaluation.painted import evaluate_painted
    from retouch.image.files import save
    from retouch.image.sheet import sheet

    _refuse_flags("--style", options, _PROTOCOL_FLAGS)
    _check("--style", options, outputs)
    recorded = _to_record(name, options, outputs.data) if outputs.record else None
    report, shown = _each(name, outputs, lambda heard: evaluate_painted(name, outputs.data, style, options))
    if outputs.sheet is not None:
        captions = [["", f"style {s.style:.3f}, content {s.content:.3f}"] for s in (one.score for one in shown)]
        drawn = sheet(
            [[one.photograph, one.result] for one in shown], column_titles=["photograph", name],
            row_titles=[one.score.name for one in shown], captions=captions, cell=_SHEET_SIDE,
        )  # fmt: skip
        save(drawn, outputs.sheet)
    if recorded is not None:
        from retouch.evaluation.whole import record

        record(recorded, report)
    print(report.row("mean", 4))
    return 0


def _run_catalogue(options: EvaluateOptions, outputs: OutputOptions) -> int:
    """Every weight on every data set; a line each, then the table."""
    import json

    from retouch.evaluation.colour import ColourReport
    from retouch.evaluation.report import Report, row
    from retouch.evaluation.table import put_into, table
    from retouch.evaluation.whole import Round, evaluate_all, record, with_report
    from retouch.models import catalogue
    from retouch.models.card import Card
    from retouch.models.header import read_card

    if options.conditioned:
        raise OptionError("evaluate catalogue: the cards say which scales, noise, qualities and damages")
    if outputs.sheet is not None or outputs.save is not None or outputs.resume:
        raise OptionError("evaluate catalogue: --sheet, --save and --resume are for one weight at a time")
    for path in (outputs.json, outputs.markdown):
        if path is not None and not path.absolute().parent.is_dir():
            raise OptionError(f"{path}: there is no folder {path.absolute().parent}")
    reports = []
    cards: dict[Path, Card] = {}
    with Reporter(1, quiet=outputs.quiet) as reporter:

        def begin(one: Round) -> None:
            reporter.start(f"{one.card.name} on {one.dataset}")

        found = evaluate_all(outputs.data, options, on_round=begin, on_missing=reporter.say, on_step=reporter.listener)
        for one, report in found:
            name = f"{one.card.name} {one.dataset} {next(iter(one.condition.values()))}"
            if isinstance(report, Report):
                reporter.say(row(name, report, 32))
            else:
                reporter.say(report.mean.row(4) if isinstance(report, ColourReport) else report.row(one.card.name, 32))
            reports.append(json.loads(report.to_json()))
            if outputs.record:
                cards[one.path] = record(one.path, report)
            else:
                cards[one.path] = with_report(cards.get(one.path, replace(one.card, measured=())), report)
            if outputs.json is not None:
                outputs.json.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    if outputs.record:
        cards = {entry.path: read_card(entry.path) for entry in catalogue.entries()}
    text = table([(card, path.stat().st_size) for path, card in cards.items()])
    if outputs.markdown is not None:
        put_into(outputs.markdown, text)
    print(text, end="")
    return 0


def _sheet(name: str, shown: list[Outcome]) -> Image:
    """Degraded, restored and original, a crop of each, with the scores under it."""
    from retouch.image.sheet import sheet

    rows: list[list[Image | None]] = []
    captions = []
    for outcome in shown:
        score = outcome.score
        rows.append([_shown(image, outcome.case.reference) for image in (outcome.case.measurement, outcome.image)])
        rows[-1].append(_shown(outcome.case.reference, outcome.case.reference))
        before = f"{score.input_psnr:.2f} dB, SSIM {score.input_ssim:.4f}" if score.input_psnr is not None else ""
        captions.append([before, f"{score.psnr:.2f} dB, SSIM {score.ssim:.4f}", ""])
    names = [outcome.case.name for outcome in shown]
    return sheet(rows, column_titles=["degraded", name, "original"], row_titles=names, captions=captions)


def _shown(image: Image, reference: Image) -> Image:
    """The middle of a picture, clipped; a smaller one is first enlarged pixel by pixel to the size of the original."""
    from retouch.image.image import Image as Shown

    factor = reference.height // image.height
    pixels = image.pixels.clamp(0, 1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    top, left = (max(0, side - _SHEET_SIDE) // 2 for side in (reference.height, reference.width))
    return Shown(pixels[:, top : top + _SHEET_SIDE, left : left + _SHEET_SIDE].contiguous())
