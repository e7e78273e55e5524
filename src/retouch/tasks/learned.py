"""What the tasks share about trained networks: which weight, which scales one after the other, the run, its time."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError
from retouch.tasks.base import Method, MethodOptions, Task, option, parse_tile
from retouch.tasks.iterate import note, operations_per_second
from retouch.tasks.provenance import tell_model

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.degradations.levels import Levels
    from retouch.image.image import Image
    from retouch.image.tiling import OnTile
    from retouch.models.card import Card
    from retouch.models.runner import Runner
    from retouch.solvers.steps import Listener

Level = Callable[["Image", Any, "Listener | None"], float]
"""How strong the damage is: what was given, or what is found in the picture."""

Views = Callable[[float], int]
"""Of how many views of the picture the mean is taken, for a damage so strong."""

SPARE = 8.0
"""Seconds that "auto" spends on the mean of several views of a picture: ten thousand pictures are done in a day."""


@dataclass(frozen=True, kw_only=True)
class LearnedOptions(MethodOptions):
    """The options of tasks that trained networks can do."""

    model: str | None = option(
        None,
        "run this weight, whatever its method: a name that 'retouch models list' shows, or a file",
        metavar="NAME",
        kind="weight",
    )
    ensemble: bool = option(
        False,
        "for trained networks: the mean over eight flips and rotations, a little better at 8 times the time; 'auto' "
        "takes it by itself of pictures so small that it costs seconds, --method NAME does not",
    )


@dataclass(frozen=True)
class _Family:
    """Multiplications per pixel of the picture as it comes in and as it goes out; the recipe that trains a weight.

    ``parameters``: of the network they are counted of, where the weights of a family are of several sizes: they grow
    with the parameters.
    """

    at_input: float
    at_output: float
    recipe: str
    parameters: int | None = None


_FAMILIES = {
    "srcnn": _Family(0, 57_184, "srcnn-955-x{scale}"),
    "fsrcnn": _Family(12_464, 0, "fsrcnn-x{scale}"),
    "espcn": _Family(20_032, 288, ""),
    "vdsr": _Family(0, 664_704, "vdsr"),
    "residual": _Family(358_992, 0, "residual-x{scale}", 359_868),
    "residual-light": _Family(358_992, 0, "residual-light-x2", 359_868),
    "residual-real": _Family(358_992, 0, "residual-real-x2", 359_868),
    "srresnet": _Family(1_950_000, 15_552, "srresnet-x4"),
    "srgan": _Family(1_950_000, 15_552, "srgan-x4"),
    "transform": _Family(494_784, 15_552, "transform-x4"),
    "dncnn": _Family(0, 667_008, "dncnn-blind"),
    "dncnn-3": _Family(0, 667_008, "dncnn-3"),
    "unet": _Family(0, 97_952, "unet-{task}", 982_124),
    "encoder-decoder": _Family(0, 5_400, "faces-deblur"),
    "pixel-recursive": _Family(0, 650_000, "pixel-recursive-faces"),
}


_TRAINED_WITH = {"inpaint": "restore"}  # tasks whose weights another task's recipe trains


def target_size(image: Image, scale: float) -> tuple[int, int]:
    """Height and width of the picture ``scale`` times larger, rounded, halves up."""
    return math.floor(image.height * scale + 0.5), math.floor(image.width * scale + 0.5)


def plan_scales(scale: float, available: Sequence[int]) -> list[int]:
    """The factors to enlarge by, one after the other, to reach at least ``scale``; none for a scale of 1 or less.

    The fewest that do, among those the smallest product, the small factors first: later runs are on larger pictures.
    Raises ``ValueError`` without a factor above 1.
    """
    factors = sorted({factor for factor in available if factor > 1})
    if scale <= 1:
        return []
    if not factors:
        raise ValueError("no factor to enlarge by")
    for count in itertools.count(1):
        enough = [
            combination
            for combination in itertools.combinations_with_replacement(factors, count)
            if math.prod(combination) >= scale
        ]
        if enough:
            return list(min(enough, key=math.prod))
    raise AssertionError("the powers of a factor above 1 pass any scale")


def learned_method(
    task: str,
    family: str,
    *,
    rank: int,
    summary: str,
    cost: str,
    prefer: str,
    level: Level | None = None,
    views: Views | None = None,
    spare: bool = False,
) -> Method:
    """The row of a task's table for the trained networks of ``family``.

    ``level``: how strong the damage is, as the cards give the range of it; asked only where weights differ in it, or
    the number of ``views`` depends on it, which holds for the weights of ``family`` alone. ``spare``: whether "auto"
    takes the mean of as many views as ``SPARE`` allows.
    """
    once = _seconds_once(task, family)

    def count(megapixels: float, device: str, options: Any) -> int:
        return views_within(sum(once(megapixels, device, options)), options) if spare else _asked(options)

    def run(image: Image, options: Any, on_step: Listener | None) -> Image:
        from retouch.models.device import pick_device

        least = count(image.megapixels, pick_device(options.device).type, options)
        return _filled(image, run_network(task, family, level, image, options, on_step, least=least, views=views))

    def seconds(megapixels: float, device: str, options: Any) -> float:
        least, known = count(megapixels, device, options), getattr(options, "sigma", None)
        network, moving = once(megapixels, device, options)
        # a damage that is not told is not looked for here
        return network * max(least, 1 if views is None or known is None else views(known)) + moving

    return Method(
        name=family,
        summary=summary,
        cost=cost,
        prefer=prefer,
        seconds=seconds,
        rank=rank,
        run=run,
        available=lambda options: _why_not(task, family, options),
        learned=True,
        spare=SPARE if spare else 0,
    )


def views_within(seconds: float, options: Any) -> int:
    """Of how many views the mean is taken when one takes ``seconds``: 8, 4, 2 within ``SPARE`` and the budget, or 1.

    That is for "auto": a method or a weight that is named is run once, and ``ensemble`` is always of eight.
    """
    if options.ensemble or options.method != "auto" or options.model is not None:
        return _asked(options)
    allowed = min(SPARE, options.budget)
    return next((count for count in (8, 4, 2) if count * seconds <= allowed), 1)


def _asked(options: Any) -> int:
    return 8 if options.ensemble else 1


def method_of_model(task: Task, options: Any) -> Method:
    """The method that runs ``options.model``: that of its family, or one made for it.

    Raises ``OptionError`` for a weight of another task, or of another method than the one named beside it, and as
    ``models.catalogue.find`` does.
    """
    card = _card_of_model(task.name, options)
    if options.method not in ("auto", card.family):
        task.method(options.method)
        raise OptionError(f"--model {options.model} is a weight of {card.family}, not of --method {options.method}")
    learned = [method for method in task.methods if method.learned]
    for method in learned:
        if method.name == card.family:
            return method
    # every learned method of a task runs the weight that --model names
    return dataclasses.replace(learned[0], name=card.family, summary=card.summary)


def _card_of_model(task: str, options: Any) -> Card:
    from retouch.models import catalogue

    card = catalogue.load(options.model).card
    if task not in card.tasks:
        raise OptionError(f"--model {options.model}: a weight for {', '.join(card.tasks)}, not for {task}")
    return card


# -- which weight


def _range(card: Card, task: str) -> tuple[float, float] | None:
    return card.sigma if task == "denoise" else card.quality if task == "dejpeg" else None


def _why_not(task: str, family: str, options: Any) -> str | None:
    """Why no weight of ``family`` can be used, None where one can."""
    if getattr(options, "model", None) is not None:
        return None  # the weight itself is looked at instead
    from retouch.models.catalogue import for_task

    cards = for_task(task, family)
    if not cards or (task == "upscale" and not any(scale > 1 for card in cards for scale in card.scales)):
        recipe = _FAMILIES[family].recipe
        scale = getattr(options, "scale", None)
        recipe = recipe.format(scale=scale if scale in (2, 3, 4) else 2, task=_TRAINED_WITH.get(task, task))
        how = (
            f"retouch train {recipe} --images DIR, then retouch models install" if recipe else "retouch models install"
        )
        return f"no weights of {family} here: {how}"
    if task != "denoise":
        return None
    ranges = [card.sigma for card in cards if card.sigma is not None]
    if len(ranges) < len(cards):
        return None  # a weight that names no range is for any
    told = " and ".join(sorted({f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges}))
    if options.sigma is None:
        blind = any(map(_is_blind, cards))
        return None if blind else f"its weights here are for noise of sigma {told} only: give --sigma to use it"
    near = any(_distance(options.sigma, limits) <= _TOLERANCE * options.sigma for limits in ranges)
    return None if near else f"its weights here are for noise of sigma {told}, not {options.sigma:g}"


_TOLERANCE = 0.1  # how far, of itself, a noise level may lie outside what a weight was trained for


def _distance(value: float, limits: tuple[float, float] | None) -> float:
    return 0.0 if limits is None else max(limits[0] - value, value - limits[1], 0.0)


def _is_blind(card: Card) -> bool:
    return card.sigma is not None and card.sigma[0] < card.sigma[1]


def _pick(task: str, cards: list[Card], channels: int, level: Callable[[], float]) -> Card:
    """The weight nearest to the level of the damage; then the one for this kind of picture, the narrowest, the largest.

    ``level`` is asked only if the ranges differ.
    """
    ranges = {_range(card, task) for card in cards}
    value = level() if len(ranges) > 1 else None

    def order(card: Card) -> tuple[float, bool, float, int, str]:
        limits = _range(card, task)
        wide = math.inf if limits is None else limits[1] - limits[0]
        other = (card.colour == "rgb") != (channels == 3)
        return (0.0 if value is None else _distance(value, limits)), other, wide, -card.parameters, card.name

    return min(cards, key=order)


def _by_scale(cards: Sequence[Card]) -> dict[int, Card]:
    """The largest weight for each scale."""
    found: dict[int, Card] = {}
    for card in sorted(cards, key=lambda card: (card.parameters, card.name)):
        found |= dict.fromkeys(card.scales, card)
    return found


# -- the run


def run_network(
    task: str,
    family: str,
    level: Level | None,
    image: Image,
    options: Any,
    on_step: Listener | None,
    levels: Levels | None = None,
    least: int | None = None,
    views: Views | None = None,
) -> Tensor:
    """What the weight for this picture, or the one that ``options.model`` names, makes of it; not clipped.

    ``levels``: what a network that asks for it is told of the damages. ``least``: of how many views the mean is taken
    at the least, by default what ``options`` ask for. ``views``: see ``learned_method``. Raises ``OptionError`` where
    there is no weight for the task.
    """
    from retouch.models import catalogue

    if options.model is not None:
        cards = [_card_of_model(task, options)]
    else:
        cards = catalogue.for_task(task, family)
        reason = _why_not(task, family, options)
        if reason is not None:
            raise OptionError(f"--method {family}: {reason}")
    count = _asked(options) if least is None else least
    if count > _asked(options):
        note(on_step, f"the mean of {count} views, as there is time for it")
    if task == "upscale":
        by_scale = _by_scale(cards)
        if not any(scale > 1 for scale in by_scale):
            raise OptionError(f"--model {options.model}: its card names no scale")
        stages = [(by_scale[scale], scale) for scale in plan_scales(options.scale, list(by_scale))]
    else:
        found = functools.cache(lambda: 0.0 if level is None else level(image, options, on_step))
        stages = [(_pick(task, cards, image.channels, found), 1)]
        if views is not None and count == 1 and stages[0][0].family == family:
            count = views(found())
            if count > 1:
                note(on_step, f"the mean of {count} views, as the damage is strong")
    named = options.model
    tile = parse_tile(options.tile)
    runners = {
        card.name: _runner(named if named is not None else card.name, options, "off" if tile is None else tile, count)
        for card, _ in stages
    }
    for card, _ in stages:
        tell_model(card)
    for name in runners:
        note(on_step, f"weights: {name}")
    if task == "denoise" and options.sigma is not None and _is_blind(stages[0][0]):
        note(on_step, "this network finds out by itself how much noise there is; --sigma does not change its strength")
    planned = [(runners[card.name], scale) for card, scale in stages]
    pixels = _stages(image.pixels, planned, on_step, levels)
    if task == "upscale":
        from retouch.image.resize import bicubic

        size = target_size(image, options.scale)
        if tuple(pixels.shape[1:]) != size:
            pixels = bicubic(pixels[None], size)[0]
    return pixels


def _filled(image: Image, pixels: Tensor) -> Image:
    from retouch.image.image import Image as Picture

    if type(image) is Picture and pixels is not image.pixels:
        # our own tensor, clipped in place: a second copy of a large result would double its memory
        return dataclasses.replace(image, pixels=pixels.clamp_(0, 1).contiguous())
    return image.with_pixels(pixels)


def _runner(name_or_path: str, options: Any, tile: int | str, views: int) -> Runner:
    from retouch.models.catalogue import load
    from retouch.models.runner import Runner

    return Runner(load(name_or_path), device=options.device, tile=tile, views=views)


def _stages(
    pixels: Tensor, stages: list[tuple[Runner, int]], on_step: Listener | None, levels: Levels | None
) -> Tensor:
    """Run the networks one after the other; the listener hears one row of tiles, False ends it with ``Cancelled``."""
    counts, areas = [], []
    height, width = pixels.shape[1:]
    for runner, scale in stages:
        counts.append(runner.tiles(height, width, scale))
        height, width = height * scale, width * scale
        areas.append(height * width)
    began = time.monotonic()
    for index, (runner, scale) in enumerate(stages):
        on_tile = None
        if on_step is not None:
            on_tile = _progress(on_step, began, sum(counts[:index]), counts[index + 1 :], areas, index)
        pixels = runner.run(pixels if index == 0 else pixels.clamp_(0, 1), scale, on_tile, levels)
    return pixels


def _progress(on_step: Listener, began: float, before: int, after: list[int], areas: list[int], index: int) -> OnTile:
    """Tiles of one stage, told as a part of all; the time left goes by the pixels made, as later tiles cost the same.

    The number of tiles of this stage is the one that is told: it grows when memory runs out.
    """
    from retouch.solvers.steps import Step

    def on_tile(done: int, total: int) -> bool | None:
        share = (sum(areas[:index]) + areas[index] * done / total) / sum(areas)
        left = (time.monotonic() - began) * (1 - share) / share
        return on_step(Step(before + done, before + total + sum(after), left))

    return on_tile


_FASTER = 1.4


def _seconds_once(task: str, family: str) -> Callable[[float, str, Any], tuple[float, float]]:
    """The estimate of one view, for ``Method.seconds``: two operations a multiplication; and the moving of the pixels,
    which is done once whatever the views.

    The runner reaches more of a processor than the fitting of a network does: 90 GFLOP/s on two cores in float32, 180
    in bfloat16.
    """

    def seconds(megapixels: float, device: str, options: Any) -> tuple[float, float]:
        from retouch.models.catalogue import for_task

        costs = _FAMILIES[family]
        cards = for_task(task, family)
        largest = max((card.parameters for card in cards), default=0)
        speed = _FASTER * operations_per_second(device, faithful=False)
        network, moving, pixels = 0.0, 0.0, megapixels * 1e6
        by_scale = _by_scale(cards) if task == "upscale" else {}
        factors = [factor for factor in by_scale if factor > 1] or [2, 3, 4]
        for scale in plan_scales(getattr(options, "scale", 1), factors) or [1]:
            operations = 2 * pixels * (costs.at_input + costs.at_output * scale**2)
            if costs.parameters is not None and largest:
                operations *= (by_scale[scale].parameters if scale in by_scale else largest) / costs.parameters
            pixels *= scale**2
            network += operations / speed
            moving += pixels * 1e-7
        return network, moving

    return seconds
