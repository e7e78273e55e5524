"""Mend whatever is wrong with a picture, found by itself."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.tasks.base import Method, MethodOptions, Task, as_image, option
from retouch.tasks.dejpeg import DEJPEG, residue
from retouch.tasks.denoise import DENOISE
from retouch.tasks.iterate import note
from retouch.tasks.learned import LearnedOptions, learned_method, run_network

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.degradations.levels import Levels
    from retouch.image.image import Image
    from retouch.solvers.diagnosis import Diagnosis, Finding
    from retouch.solvers.overlay_mask import OverlayMask
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

DAMAGES = ("text", "noise", "jpeg", "blur")
"""What ``--only`` may name. 'text' is whatever lies over the picture: letters, watermarks, symbols, stains, holes;
'blur' is an enlarged picture too."""

_ASK = "text is looked for only when asked: --only text"
_AT_EDGES = 1.5  # what JPEG leaves at edges, of what it leaves in the mean
_SHARPENED = 32.0  # of 255: edges change by up to three of these when a blur is mended
_LEFT = 0.3  # of the noise, at most, after denoise
_DEVIATIONS = 6.0  # of what noise and JPEG leave: no larger change of a pixel is theirs to ask for


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(LearnedOptions):
    """The options of ``restore``."""

    only: str | None = option(
        None,
        "mend only these, with commas between: text (and watermarks, symbols, holes), noise, jpeg, blur; by default "
        "whatever is found, which text is not: it is looked for only when asked",
        metavar="NAMES",
    )
    strength: float = option(1.0, "how much of the change is made, from none to all of it", minimum=0, maximum=1)
    explain: bool = option(
        False, "tell what was found and by what evidence, and which chain is run for it; the picture is mended as well"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.only is not None:
            for name in self.only.split(","):
                if name.strip() not in DAMAGES:
                    raise OptionError(unknown("damage", name.strip(), DAMAGES, "of --only"))

    @property
    def wanted(self) -> frozenset[str]:
        """The damages that may be mended."""
        return frozenset(DAMAGES if self.only is None else (name.strip() for name in self.only.split(",")))

    @property
    def asks_for_text(self) -> bool:
        """Whether text was named: a whole picture has signs and patterns that look like it."""
        return self.only is not None and "text" in self.wanted


# -- what is told


def _name(finding: Finding) -> str:
    """The word of ``--only`` for a finding."""
    return "blur" if finding.kind == "enlarged" else finding.kind


def _examined(image: Image, options: RestoreOptions, on_step: Listener | None) -> tuple[Diagnosis, list[Finding]]:
    """The diagnosis, and what of it is to be mended; the listener is told."""
    from retouch.solvers.diagnosis import diagnose

    diagnosis = diagnose(image)
    todo = [finding for finding in diagnosis.damages if _name(finding) in options.wanted]
    for finding in diagnosis.findings:
        words = finding.summary
        if options.explain:
            words += f" ({finding.evidence})"
        if finding.kind == "grey":
            words += "; it stays grey, 'retouch colorize' gives it colour"
        elif finding.kind == "enlarged":
            words += "; its size stays"
        if finding.mend and finding not in todo:
            words += "; left, as --only asks"
        elif not finding.mend and finding.kind == "jpeg":
            words += "; left, it is too little to be mended"
        note(on_step, f"found: {words}")
    if options.explain and not diagnosis.findings:
        note(on_step, f"found: no noise (sigma {diagnosis.sigma:.1f}), no JPEG blocks, no blur, no enlargement")
    return diagnosis, todo


def _explain_chain(options: RestoreOptions, on_step: Listener | None, steps: list[str]) -> None:
    if options.explain:
        note(on_step, f"chain: {', then '.join(steps) if steps else 'nothing to run'}")


# -- by the network


def _by_network(image: Image, options: RestoreOptions, on_step: Listener | None) -> Image:
    """One pass of the network; of its changes those stay for which there is evidence."""
    diagnosis, todo = _examined(image, options, on_step)
    text = options.asks_for_text
    if options.only is None:
        note(on_step, _ASK)
    if not (todo or text):
        note(on_step, "nothing found that is to be mended; the picture stays as it is")
        return image
    _explain_chain(options, on_step, [_network_words(todo, text)])
    mended = _run_network(image, diagnosis.sigma, todo, text, options, on_step)
    return _finished(image, mended, diagnosis, options, on_step)


def _network_words(todo: list[Finding], text: bool) -> str:
    parts = [_name(finding) for finding in todo] + (["text where there is any"] if text else [])
    return f"the network, once, for {', '.join(parts)}"


def _run_network(
    image: Image, sigma: float, todo: list[Finding], text: bool, options: RestoreOptions, on_step: Listener | None
) -> Image:
    """``image`` with what the network mends of ``todo``, and ``text``. ``sigma``: of the noise there is."""
    from retouch.solvers.overlay_mask import overlay_mask

    after = run_network("restore", "unet", None, image, options, on_step, _levels(todo, text)).clamp(0, 1)
    mask = overlay_mask(image.pixels, after, max(sigma, _unlike_text(todo)))
    if text and mask is not None:
        note(on_step, f"found: text or the like over {_percent(mask.share)} of the picture")
    kept = _kept(after - image.pixels, mask, todo, text)
    return image if kept is None else image.with_pixels(image.pixels + kept)


def _levels(todo: list[Finding], text: bool) -> Levels:
    """What the network is told: what it is to mend."""
    from retouch.degradations.levels import Levels

    value = {finding.kind: finding.value for finding in todo}
    return Levels.of(
        sigma=value.get("noise", 0),
        quality=value.get("jpeg", 100),
        factor=value.get("enlarged", 1),
        blur=value.get("blur", 0),
        overlay=text,
    )


def _finished(
    image: Image, mended: Image, diagnosis: Diagnosis, options: RestoreOptions, on_step: Listener | None
) -> Image:
    """The share of the change that ``--strength`` asks for; the very picture where there is no change.

    A grey picture of three channels stays grey: its change has no colours.
    """
    if mended is image:
        note(on_step, "nothing found; the picture stays as it is")
    if mended is image or not options.strength:
        return image
    if diagnosis.find("grey") is not None and image.channels == 3:
        from retouch.image.color import grey

        mended = image.with_pixels(image.pixels + grey(mended.pixels - image.pixels).expand(3, -1, -1))
    if options.strength == 1:
        return mended
    return image.with_pixels(image.pixels.lerp(mended.pixels, options.strength))


def _kept(change: Tensor, mask: OverlayMask | None, todo: list[Finding], text: bool) -> Tensor | None:
    """The part of a network's change that there is evidence for, None where there is none.

    Without a damage of the whole picture: what lies in the mask of an overlay. With one: all of it, but what lies in
    the mask only if text is to be taken off; and where it is only noise or JPEG, no pixel by more than six deviations
    of what these leave.
    """
    local = change * mask.weight if mask is not None and text else None
    if not todo:
        return local
    whole = change
    if not any(_name(finding) == "blur" for finding in todo):
        noise = max((finding.value for finding in todo if finding.kind == "noise"), default=0.0)
        limit = _DEVIATIONS * math.hypot(noise, _left_by_jpeg(todo)) / 255
        whole = change.clamp(-limit, limit)
    if mask is None:
        return whole
    whole = whole * (1 - mask.weight)
    return whole if local is None else whole + local


def _left_by_jpeg(findings: list[Finding]) -> float:
    """Standard deviation of what JPEG left, on the 0..255 scale; 0 without one."""
    return max((residue(int(finding.value)) for finding in findings if finding.kind == "jpeg"), default=0.0)


def _unlike_text(findings: list[Finding]) -> float:
    """The deviation, on the 0..255 scale, that the network's change may have where it is no text that is taken off."""
    blurred = any(_name(finding) == "blur" for finding in findings)
    return max(_AT_EDGES * _left_by_jpeg(findings), _SHARPENED if blurred else 0.0)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


# -- by what mends each damage best


def _is_told() -> bool:
    """Whether the network is told what was found: it then mends noise and JPEG better than what was made for each."""
    from retouch.models import catalogue

    return all(card.arguments.get("levels") for card in catalogue.for_task("restore", "unet"))


def _by_chain(image: Image, options: RestoreOptions, on_step: Listener | None) -> Image:
    """By the network, if it is told what was found. Else JPEG first, as its steps are told by the picture as it came;
    then noise; then the network, where it is here."""
    reason = _NETWORK.available(options)
    if options.wanted == {"text"} and reason:
        raise RetouchError(f"--only text: text is found by the network only, and {reason}")
    diagnosis, todo = _examined(image, options, on_step)
    text = options.asks_for_text and reason is None
    task_of = {"jpeg": DEJPEG, "noise": DENOISE} if reason is not None or not _is_told() else {}
    steps = []
    for kind in task_of:
        for finding in todo:
            if finding.kind == kind:
                value = {"quality_of_input": int(finding.value)} if kind == "jpeg" else {"sigma": finding.value}
                steps.append(_step(task_of[kind], image.megapixels, options, value))
    rest = [finding for finding in todo if finding.kind not in task_of]
    words = [f"{task.name} --method {method.name}" for task, method, _ in steps]
    network = reason is None and bool(rest or text)
    _explain_chain(options, on_step, [*words, *([_network_words(rest, text)] if network else [])])
    if reason is not None:
        for finding in rest:
            note(on_step, f"{finding.kind}: left, only the network mends it")
        if "text" in options.wanted:
            note(on_step, f"text is not looked for without the network: {reason}")
    elif options.only is None:
        note(on_step, _ASK)
    if not (steps or network):
        note(on_step, "nothing found that can be mended; the picture stays as it is")
        return image
    result = image
    for task, method, made in steps:
        note(on_step, f"running {task.name} --method {method.name}")
        result = method.run(result, made, on_step)
    if network:
        denoised = any(task is DENOISE for task, _, _ in steps)
        left = _LEFT * diagnosis.sigma if denoised else diagnosis.sigma
        result = _run_network(result, max(left, _left_by_jpeg(todo)), rest, text, options, on_step)
    return _finished(image, result, diagnosis, options, on_step)


def _step(
    task: Task, megapixels: float, options: RestoreOptions, value: dict[str, Any]
) -> tuple[Task, Method, MethodOptions]:
    """One link of the chain: the best method of a task that is no fit to the single picture and keeps to the budget."""
    from retouch.models.device import pick_device

    made = task.make_options(
        **value,
        budget=options.budget,
        device=options.device,
        seed=options.seed,
        tile=options.tile,
        ensemble=options.ensemble,
    )
    assert isinstance(made, MethodOptions)
    device = pick_device(options.device).type
    usable = [method for method in task.methods if not method.iterative and method.available(made) is None]
    named = {method.name: dataclasses.replace(made, method=method.name) for method in usable}
    costs = {method.name: method.seconds(megapixels, device, named[method.name]) for method in usable}
    fitting = [method for method in usable if costs[method.name] <= options.budget / 2]
    best = max(fitting, key=lambda method: method.rank) if fitting else min(usable, key=lambda m: costs[m.name])
    return task, best, named[best.name]


_NETWORK = learned_method(
    "restore",
    "unet",
    rank=80,
    summary="a U-Net of residual blocks (Zhang et al. 2022), trained with a feature loss on pictures damaged on "
    "purpose: noise, JPEG, blur, text and holes in one pass",
    cost="one pass of the network, whatever is found: seconds a megapixel on a CPU; a GPU helps much",
    prefer="many damages at once, and where time counts; it alone takes off text and mends blur",
)


def _chain_seconds(megapixels: float, device: str, options: RestoreOptions) -> float:
    if _NETWORK.available(options) is not None:
        return 0.1 + 6 * megapixels
    others = 0.0 if _is_told() else 6 * megapixels
    return 0.1 + others + _NETWORK.seconds(megapixels, device, options)


RESTORE = Task(
    name="restore",
    help="mend whatever is wrong with a picture: noise, JPEG, blur, text over it",
    options=RestoreOptions,
    methods=(
        dataclasses.replace(_NETWORK, run=_by_network),
        Method(
            name="chain",
            summary="each damage by what mends it best: the network, once, with text only if asked; without a network "
            "that is told what was found, dejpeg, then denoise, and the network for blur and text",
            cost="one pass of the network, or about 6 seconds a megapixel; nothing but the diagnosis, a second, where "
            "nothing is found",
            prefer="always; without weights of unet blur and text stay",
            seconds=_chain_seconds,
            rank=90,
            run=_by_chain,
        ),
    ),
)


def restore(
    image: Source,
    *,
    only: str | None = None,
    strength: float = 1.0,
    method: str = "auto",
    on_step: Listener | None = None,
    **options: Any,
) -> Image:
    """Mend whatever is wrong with ``image``; what is whole comes back bit for bit.

    ``only``: the damages to mend, of ``DAMAGES``, with commas between; None for all. ``strength``: share of the change
    that is made, 0..1. ``on_step`` hears as notes what was found and what is run. The other arguments as for
    ``denoise``; ``options``: the rest of ``RestoreOptions``. Raises ``OptionError`` for a wrong option, and
    ``RetouchError`` for ``only='text'`` where no network is. See ``diagnose`` for what is found.
    """
    made = RESTORE.make_options(only=only, strength=strength, method=method, **options)
    return RESTORE.run(as_image(image), made, on_step)


def diagnose(image: Source) -> Diagnosis:
    """What is wrong with ``image`` (as for ``restore``): see ``retouch.solvers.diagnosis.diagnose``."""
    from retouch.solvers import diagnosis

    return diagnosis.diagnose(as_image(image))
