"""From pictures to batches of (input, target), the same whatever the number of workers, processes or restarts.

Everything about sample n follows from (seed, n): which picture, where it is cut, how it is turned and degraded. A run
is a row of samples 0, 1, 2, ...; step s takes the next ``batch`` of them, and each process its own part of those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from retouch.degradations.base import Chain, Degradation, uniform
from retouch.degradations.levels import Levels
from retouch.degradations.recipe import Choice, Range, Recipe
from retouch.image.color import grey, luma
from retouch.image.errors import RetouchError, unknown
from retouch.image.resize import resize
from retouch.training.pictures import Entry, Pictures
from retouch.training.recipe import DataRecipe, TrainingRecipe

Batch = dict[str, Tensor]
"""``input`` and ``target``: float32 ``(B, C, H, W)`` in [0, 1] (noise may leave it); levels are planes of ``input``.

``label``, where the recipe has classes: int64 ``(B,)``, the number of each picture's class. ``damage``, where it is
drawn: int64 ``(B,)``, the number of the one of each picture."""

_UNSURE = 0.1  # how far, of itself, a level that is told may be off
_MISSED = 0.3  # how likely the diagnosis of one of several damages is missing
_ASKED = 0.3  # how likely text is looked for where there is none


def generator_of(*numbers: int) -> Generator:
    """A generator that only these whole numbers decide on."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:  # a hash that mixes well: neighbours must not give streams that look alike
        seed = (seed ^ (number & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        seed ^= seed >> 29
    return Generator().manual_seed(seed & 0x7FFFFFFFFFFFFFFF)


def to_channels(pixels: Tensor, channels: str) -> Tensor:
    """``(C, H, W)``, C = 1 or 3, as the recipe wants it: 'y', 'grey' or 'rgb'."""
    if channels == "rgb":
        return pixels.expand(3, -1, -1) if pixels.shape[0] == 1 else pixels
    return luma(pixels) if channels == "y" else grey(pixels)


class Samples(Dataset[Batch]):
    """Samples by number; ``samples.__getitems__(numbers)`` is what a loader asks for: one whole portion.

    Raises ``RetouchError`` for a picture smaller than the crop, naming it, unless the recipe says to skip those.
    """

    def __init__(self, pictures: Pictures, recipe: TrainingRecipe) -> None:
        self.data, self.seed = recipe.data, recipe.run.seed
        self.degradations, self.augmentation = recipe.degradations(), recipe.augmentation()
        self.pictures = _large_enough(pictures, recipe.data)
        # one call for a whole batch, where nothing is drawn
        self._known: tuple[int, list[int]] = (-1, [])
        one = len(self.degradations) == 1 and not recipe.data.levels
        self.settled = one and is_settled(self.degradations[0], recipe.data)
        for entry in self.pictures.entries if recipe.data.classes else ():
            label_of(entry, recipe.data)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        targets, generators = [], []
        for number in numbers:
            generator = generator_of(self.seed, number)
            targets.append(self._target(number, generator))
            generators.append(generator)
        target = torch.stack(targets)
        more = self._labels(numbers)
        if self.data.source == "plain":
            return {"input": target, "target": target} | more
        if self.settled:
            return {"input": self.degradations[0](target, generators[0]), "target": target} | more
        inputs, choices = [], []
        for index, generator in enumerate(generators):
            choices.append(int(torch.randint(len(self.degradations), (), generator=generator)))
            inputs.append(damaged(target[index : index + 1], self.degradations[choices[-1]], self.data, generator))
        return {"input": torch.cat(inputs), "target": target, "damage": torch.tensor(choices)} | more

    def _labels(self, numbers: Sequence[int]) -> Batch:
        labels = [label_of(self.pictures.entries[self._index(number)], self.data) for number in numbers]
        return {key: torch.cat([label[key] for label in labels]) for key in labels[0]}

    def _index(self, number: int) -> int:
        """Which picture sample ``number`` takes."""
        round_, place = divmod(number, len(self.pictures))
        return self._order(round_)[place]

    def _target(self, number: int, generator: Generator) -> Tensor:
        pixels = self.pictures[self._index(number)]

        def draw(most: int) -> int:
            return int(torch.randint(most + 1, (), generator=generator))

        if self.data.view == "cut":
            shrink = self.data.shrink[draw(len(self.data.shrink) - 1)]
            high = wide = self.data.crop if shrink == 1 else min(round(self.data.crop / shrink), *pixels.shape[1:])
        elif self.data.view == "area":
            high, wide = part_of_area(pixels.shape[1], pixels.shape[2], self.data.area, generator)
        if self.data.view == "middle":
            cut = middle(pixels, self.data)
        else:
            top, left = draw(pixels.shape[1] - high), draw(pixels.shape[2] - wide)
            cut = resized(pixels[:, top : top + high, left : left + wide], self.data)
        if self.data.flips and draw(1):
            cut = cut.flip(2)
        if self.data.rotations:
            cut = cut.rot90(draw(3), (1, 2))
        if self.augmentation is not None:
            cut = self.augmentation(cut[None], generator)[0].clamp(0, 1)
        return cut.contiguous()

    def _order(self, round_: int) -> list[int]:
        """The pictures in the order of this round through them."""
        if self._known[0] != round_:
            order = torch.randperm(len(self.pictures), generator=generator_of(self.seed, -1 - round_)).tolist()
            self._known = (round_, order)
        return self._known[1]


def resized(pixels: NDArray[np.uint8], data: DataRecipe) -> Tensor:
    """Float32 in [0, 1], in the recipe's channels, ``crop`` pixels a side."""
    x = to_channels(torch.from_numpy(pixels.copy()).float() / 255, data.channels)
    if x.shape[1:] == (data.crop, data.crop):
        return x
    return resize(x[None], (data.crop, data.crop), kernel="bicubic")[0].clamp(0, 1)


def middle(pixels: NDArray[np.uint8], data: DataRecipe) -> Tensor:
    """The largest square in the middle of a picture, as ``resized``."""
    side = min(pixels.shape[1:])
    top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
    return resized(pixels[:, top : top + side, left : left + side], data)


def part_of_area(height: int, width: int, area: tuple[float, float], generator: Generator) -> tuple[int, int]:
    """Height and width of a part of a share of the area in ``area``, of proportions 3 : 4 to 4 : 3, that is inside.

    Uniform in the share and in the logarithm of the proportions; of ten draws the first that fits, else the largest
    square.
    """
    for _ in range(10):
        pixels = height * width * uniform(generator, *area)
        root = math.exp(uniform(generator, math.log(3 / 4), math.log(4 / 3)) / 2)
        high, wide = round(math.sqrt(pixels) / root), round(math.sqrt(pixels) * root)
        if 0 < high <= height and 0 < wide <= width:
            return high, wide
    return min(height, width), min(height, width)


def label_of(entry: Entry, data: DataRecipe) -> Batch:
    """``label``, of one picture, where the recipe has classes; else nothing. ``RetouchError`` for one of no class."""
    if not data.classes:
        return {}
    if entry.label not in data.classes:
        raise RetouchError(f"{entry.name}: {unknown('class', entry.label, data.classes)}")
    return {"label": torch.tensor([data.classes.index(entry.label)])}


def damaged(target: Tensor, recipe: Recipe, data: DataRecipe, generator: Generator, sure: bool = False) -> Tensor:
    """What ``recipe`` makes of one target ``(1, C, H, W)``, with the planes of its levels if ``data`` asks for them.

    ``sure``: the levels are told as they are.
    """
    if not data.levels:
        return recipe(target, generator)
    drawn = recipe.draw(generator)
    made = drawn(target, generator)
    levels = Levels.caused_by(drawn)
    if not sure:
        levels = _as_diagnosed(levels, isinstance(drawn, Chain), generator)
    return torch.cat((made, levels.planes(made)), 1)


def _as_diagnosed(levels: Levels, several: bool, generator: Generator) -> Levels:
    """``levels`` as a diagnosis of the picture might have them."""

    def off(level: float) -> float:
        if several and uniform(generator, 0, 1) < _MISSED:
            return 0.0
        return level * uniform(generator, 1 - _UNSURE, 1 + _UNSURE)

    measured = {name: off(getattr(levels, name)) for name in ("noise", "jpeg", "enlarged", "blur")}
    asked = levels.overlay > 0 or uniform(generator, 0, 1) < _ASKED
    return Levels(overlay=float(asked), **measured)


def _large_enough(pictures: Pictures, data: DataRecipe) -> Pictures:
    if data.view != "cut":
        return pictures
    fits = [i for i, entry in enumerate(pictures.entries) if min(entry.shape[1:]) >= data.crop]
    if len(fits) < len(pictures) and data.small == "error":
        entry = next(e for e in pictures.entries if min(e.shape[1:]) < data.crop)
        raise RetouchError(
            f"{entry.name}: {entry.shape[2]}x{entry.shape[1]} is smaller than the crop of {data.crop} pixels "
            "(data.crop=N takes smaller crops, data.small=skip leaves such pictures out)"
        )
    if not fits:
        raise RetouchError(f"no picture is as large as the crop of {data.crop} pixels (data.crop=N takes smaller ones)")
    return pictures.only(fits)


def is_settled(recipe: Recipe, data: DataRecipe) -> bool:
    """Whether nothing in a degradation is drawn: it can then be applied to a batch at once."""
    for step in recipe.steps:
        if step.probability < 1 or any(isinstance(value, Range | Choice) for value in step.parameters.values()):
            return False
    generator = Generator().manual_seed(0)
    before = generator.get_state()
    chain: Degradation = recipe.draw(generator)
    chain(torch.full((1, 3 if data.channels == "rgb" else 1, data.crop, data.crop), 0.5), generator)
    return bool(torch.equal(before, generator.get_state()))


class Portions:
    """The sample numbers of each portion of each step, from step ``start`` on, for one process of ``world``.

    ``shift``: added to every number; a run that went back after a NaN goes on with other samples.
    """

    def __init__(self, recipe: TrainingRecipe, start: int, rank: int, world: int, shift: int = 0) -> None:
        self.run, self.start, self.rank, self.shift = recipe.run, start, rank, shift
        self.size, rest = divmod(recipe.run.batch, world * recipe.run.accumulate)
        if rest or not self.size:
            raise RetouchError(
                f"a batch of {recipe.run.batch} cannot be split evenly over {world} processes with "
                f"{recipe.run.accumulate} portions each: choose another run.batch"
            )

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.run.steps):
            for portion in range(self.run.accumulate):
                # a portion of all processes together is one piece of the row of samples
                whole = step * self.run.batch + portion * (self.run.batch // self.run.accumulate)
                first = whole + self.rank * self.size + self.shift
                yield list(range(first, first + self.size))

    def __len__(self) -> int:
        return (self.run.steps - self.start) * self.run.accumulate


def make_loader(samples: Dataset[Batch], portions: Portions, workers: int, pin: bool) -> DataLoader[Batch]:
    """Batches in order; ``workers`` processes prepare them ahead, 0 prepares them in this one."""
    more: dict[str, Any] = {"prefetch_factor": 4, "persistent_workers": False} if workers else {}
    return DataLoader(
        samples,
        batch_sampler=portions,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_one_thread if workers else None,
        **more,
    )


def _as_it_is(batch: Any) -> Batch:
    made: Batch = batch
    return made


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
