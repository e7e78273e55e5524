"""Where and how much a result departs from what its input can prove.

Two measures, both on the 0..255 scale, of which the map shows the larger at each pixel:

- *departure*: the result is put through what is known of the damage and held against the input (``FACTS``, one row a
  task). It is 0 where the input could have come from such a result.
- *disagreement*: a trained network should not care how a picture lies. It is run again on turned and flipped copies;
  where its answers differ, it guesses. The standard deviation of the runs, over the channels their root mean square.

What the map tells: marked places are not proven by the input. What it cannot tell: that unmarked places are true. A
network that invents the same texture each time, of a kind that the damage would have hidden, leaves no trace in either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouch.image.errors import OptionError, unknown
from retouch.tasks.base import Method, MethodOptions, Task, as_image, fields_of
from retouch.tasks.iterate import note

if TYPE_CHECKING:
    from torch import Tensor

    from retouch.image.image import Image
    from retouch.solvers.steps import Listener
    from retouch.tasks.base import Source

NOTABLE = 8.0
"""A departure, on the 0..255 scale, that an eye can see; the numbers count the pixels above it."""

TOP = 32.0
"""Where the colours of the map end."""

View = tuple[int, bool]
_FOUR: tuple[View, ...] = ((1, False), (2, False), (0, True))  # quarter turns to the left, and whether flipped before
_MIRROR: tuple[View, ...] = ((0, True),)


@dataclass(frozen=True)
class Facts:
    """What is known of one task's damage.

    ``departure``: ``(input, result, options)`` -> ``(1, H, W)`` of the result's size, on the 0..255 scale, not
    negative. ``views``: the further runs for the disagreement. ``meaning``: what a departure is, for people.
    """

    departure: Callable[[Image, Image, Any], Tensor]
    views: tuple[View, ...]
    meaning: str


@dataclass(frozen=True)
class Invented:
    """What ``invented`` found; the tensors are ``(1, H, W)`` on the 0..255 scale.

    ``disagreement``: None where the method runs no trained network. ``runs``: how many it compares.
    """

    departure: Tensor
    disagreement: Tensor | None
    runs: int
    meaning: str

    @property
    def map(self) -> Tensor:
        """The larger of the two measures at each pixel."""
        import torch

        if self.disagreement is None:
            return self.departure
        return torch.maximum(self.departure, self.disagreement)

    def share(self, above: float = NOTABLE) -> float:
        """The share of the pixels, 0..1, that the map puts above this."""
        return float((self.map > above).float().mean())

    def describe(self) -> str:
        """The numbers in one line."""
        words = [f"{_percent(self.share())} of the pixels depart by more than {NOTABLE:g}/255 from what is proven"]
        departing = float((self.departure > NOTABLE).float().mean())
        words.append(f"{self.meaning}: {_percent(departing)}")
        if self.disagreement is not None:
            disagreeing = float((self.disagreement > NOTABLE).float().mean())
            words.append(f"{self.runs} turned runs disagree: {_percent(disagreeing)}")
        return "; ".join(words)

    def picture(self, result: Image) -> Image:
        """The map in colour over ``result`` in grey, with its scale; see ``image.heat``."""
        from retouch.image.heat import heat_map

        title = f"departure in 1/255; {_percent(self.share())} above {NOTABLE:g}"
        return heat_map(result, self.map, top=TOP, title=title)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.0005 else "< 0.1 %"


def invented(
    image: Source,
    result: Source,
    task: str,
    *,
    views: bool = True,
    on_step: Listener | None = None,
    **options: Any,
) -> Invented:
    """Where and how much ``result`` departs from what ``image`` can prove; ``.picture(result)`` shows it.

    ``task``: the name of what was done ("upscale"), ``options``: those it was done with. ``views``: run a trained
    network again on turned copies, for the disagreement; False leaves that out. Memory beside the two pictures: about
    two more results. Raises ``OptionError`` for a task without a row in ``FACTS``, or a wrong option, and
    ``ValueError`` for a result of another size than the options say.
    """
    from retouch.tasks import TASKS

    if task not in FACTS:
        raise OptionError(unknown("task", task, sorted(FACTS), "with a map of what is invented"))
    declared = TASKS[task]
    made = declared.make_options(**options)
    before, after = as_image(image), as_image(result)
    return measure(before, after, declared, declared.choose(before.megapixels, made), made, on_step, views=views)


def measure(
    image: Image,
    result: Image,
    task: Task,
    method: Method,
    options: Any,
    on_step: Listener | None = None,
    *,
    views: bool = True,
) -> Invented:
    """``invented`` for a task that has been run."""
    facts = FACTS[task.name]
    expected = _size(image, options)
    if (result.height, result.width) != expected:
        raise ValueError(f"the result is {result.height} x {result.width}, it should be {expected[0]} x {expected[1]}")
    departure = facts.departure(image, result, options)
    if not (views and method.learned):
        return Invented(departure, None, 1, facts.meaning)
    disagreement = _disagreement(image, result, method, options, facts.views, on_step)
    return Invented(departure, disagreement, len(facts.views) + 1, facts.meaning)


def _size(image: Image, options: Any) -> tuple[int, int]:
    from retouch.tasks.learned import target_size

    return target_size(image, getattr(options, "scale", 1))


def _disagreement(
    image: Image, result: Image, method: Method, options: Any, views: tuple[View, ...], on_step: Listener | None
) -> Tensor:
    """The standard deviation over the result and the runs on turned copies; sums are of differences to the result."""
    import torch

    plain: dict[str, Any] = {"note": False}
    if "ensemble" in fields_of(type(options)):  # one view each, as what is wanted is how far they are apart
        plain |= {"ensemble": False, "method": method.name}
    total = torch.zeros_like(result.pixels)
    squares = torch.zeros_like(result.pixels[:1])
    for number, view in enumerate(views, 2):
        note(on_step, f"run {number} of {len(views) + 1}, on a turned copy, for the map")
        turned_image = dataclasses.replace(image, pixels=_turned(image.pixels, view).contiguous(), alpha=None)
        turned_options = dataclasses.replace(options, **plain, **_turned_pictures(options, view))
        other = method.run(turned_image, turned_options, _without_notes(on_step)).pixels
        difference = _turned_back(other, view) - result.pixels
        total += difference
        squares += difference.square_().mean(0, keepdim=True)
        del other, difference
    count = len(views) + 1
    variance = squares.div_(count) - total.div_(count).square_().mean(0, keepdim=True)
    return variance.clamp_(min=0).sqrt_().mul_(255)


def _without_notes(on_step: Listener | None) -> Listener | None:
    """What a run tells again need not be heard again."""
    return None if on_step is None else lambda step: on_step(dataclasses.replace(step, note=None))


def _turned(x: Tensor, view: View) -> Tensor:
    import torch

    turns, flipped = view
    return torch.rot90(x.flip(-1) if flipped else x, turns, (-2, -1))


def _turned_back(x: Tensor, view: View) -> Tensor:
    import torch

    turns, flipped = view
    back = torch.rot90(x, -turns, (-2, -1))
    return back.flip(-1) if flipped else back


def _turned_pictures(options: MethodOptions, view: View) -> dict[str, Any]:
    """The masks among the options, turned with the picture."""
    masks = [name for name, field in fields_of(type(options)).items() if field.kind == "mask"]
    return {name: _turned(getattr(options, name), view).contiguous() for name in masks}


# -- what is known of the damage


def _of_upscale(image: Image, result: Image, options: Any) -> Tensor:
    """The result made small again (antialiased bicubic, the assumed camera) is not the input."""
    from torch.nn import functional

    from retouch.image.resize import resize

    small = resize(result.pixels[None], (image.height, image.width))[0]
    away = (small - image.pixels).abs_().amax(0, keepdim=True) * 255
    return functional.interpolate(away[None], size=(result.height, result.width), mode="nearest")[0]


_WINDOW = 9  # pixels a side: noise averages out over it, a moved edge or a new thing does not
_CERTAINTY = 4.0  # standard deviations; of white noise 6 means in 100 000 lie beyond


def _of_denoise(image: Image, result: Image, options: Any) -> Tensor:
    """What was taken out should be noise, so its mean over a window should be nearly 0."""
    import torch
    from torch.nn import functional

    from retouch.solvers.noise_level import estimate_sigma

    sigma = getattr(options, "sigma", None)
    if sigma is None:
        sigma = estimate_sigma(image)
    worst = torch.zeros_like(result.pixels[:1])
    for before, after in zip(image.pixels, result.pixels, strict=True):
        mean = functional.avg_pool2d((before - after)[None], _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
        worst = torch.maximum(worst, mean.abs_())
    return worst.mul_(255).sub_(_CERTAINTY * sigma / _WINDOW).clamp_(min=0)


def _of_dejpeg(image: Image, result: Image, options: Any) -> Tensor:
    """Coefficients of the 8 x 8 blocks that left the interval which was rounded to what the file holds."""
    from retouch.solvers.jpeg_interval import beyond_interval
    from retouch.tasks.dejpeg import reapplication

    (luma, chroma), halved = reapplication(image, options, None).tables(image)
    settings = image.metadata.jpeg
    across = settings is not None and settings.subsampling == 1  # halved in one direction: at half size it holds too
    return beyond_interval(image.pixels, result.pixels, luma, chroma, halved or across)


def _of_deblur(image: Image, result: Image, options: Any) -> Tensor:
    """The result blurred again is not the input."""
    from retouch.degradations.blur import convolve
    from retouch.tasks.deblur import kernel_of

    kernel = kernel_of(image, options)
    again = result.pixels if kernel is None else convolve(result.pixels[None], kernel)[0]
    return (again - image.pixels).abs_().amax(0, keepdim=True) * 255


def _of_inpaint(image: Image, result: Image, options: Any) -> Tensor:
    """Everything inside the mask is made up, whatever it looks like; outside, what changed."""
    import torch

    hole = options.mask >= 0.5
    if options.invert_mask:
        hole = ~hole
    changed = (result.pixels - image.pixels).abs_().amax(0, keepdim=True) * 255
    return torch.where(hole, torch.full_like(changed, 255.0), changed)


def _of_colorize(image: Image, result: Image, options: Any) -> Tensor:
    """All colour is made up: the larger of the two colour differences."""
    from retouch.solvers.chroma import chroma_of

    return chroma_of(result.pixels).abs_().amax(0, keepdim=True) * 255


FACTS: dict[str, Facts] = {
    "denoise": Facts(_of_denoise, _FOUR, "what was taken out is not only noise"),
    "deblur": Facts(_of_deblur, _FOUR, "blurred again it differs from the input"),
    "restore": Facts(_of_denoise, _FOUR, "changed by more than noise explains"),
    "inpaint": Facts(_of_inpaint, _FOUR, "filled"),
    "upscale": Facts(_of_upscale, _FOUR, "made small again it differs from the input"),
    "dejpeg": Facts(_of_dejpeg, _FOUR, "outside what the JPEG file allows"),
    # upside down, a network that knows the sky by its place is right to differ
    "colorize": Facts(_of_colorize, _MIRROR, "colour, all of it guessed"),
}
"""The tasks that a map can be made for, by name."""
