"""Pictures of two kinds to translate between: side by side in one file, in two folders by name, or not paired."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import Dataset

from retouch.image.errors import OptionError, RetouchError
from retouch.image.resize import resize
from retouch.training.data import Batch, Samples, generator_of, to_channels
from retouch.training.pictures import Entry, Pictures, find_pictures
from retouch.training.recipe import TrainingRecipe

Tell = Callable[[str], None]
Load = Callable[[Sequence[Path], str], Pictures]


@dataclass(frozen=True)
class Pairs:
    """Pictures of two kinds, A and B.

    ``first``: those of A, or both side by side in one file, A at the left, if ``second`` is None. ``matched``: whether
    the pictures of one number belong together.
    """

    first: Pictures
    second: Pictures | None
    matched: bool

    def __len__(self) -> int:
        return len(self.first)

    @property
    def others(self) -> int:
        """How many pictures of B there are."""
        return len(self.first if self.second is None else self.second)

    @property
    def fingerprint(self) -> str:
        """Of names and sizes, as of ``Pictures``."""
        if self.second is None:
            return self.first.fingerprint
        return hashlib.sha256((self.first.fingerprint + self.second.fingerprint).encode()).hexdigest()[:16]

    def name(self, index: int) -> str:
        """The file name of A's picture."""
        return self.first.entries[index].name

    def a(self, index: int) -> NDArray[np.uint8]:
        """``(C, H, W)``, a picture of A."""
        pixels = self.first[index]
        return pixels if self.second is not None else pixels[:, :, : pixels.shape[2] // 2]

    def b(self, index: int) -> NDArray[np.uint8]:
        """``(C, H, W)``, a picture of B."""
        if self.second is not None:
            return self.second[index]
        pixels = self.first[index]
        return pixels[:, :, pixels.shape[2] // 2 :]

    def only(self, chosen: Sequence[int]) -> Pairs:
        """Some of them, by A's numbers; of B all, where they are not matched."""
        second = self.second.only(chosen) if self.second is not None and self.matched else self.second
        return replace(self, first=self.first.only(chosen), second=second)


def match(first: Sequence[Path], second: Sequence[Path], tell: Tell) -> tuple[list[Path], list[Path]]:
    """The files of both folders whose names are the same up to their ending, in order; ``tell`` hears of the others.

    Raises ``RetouchError`` where none has a partner, or two files of one folder have the same name.
    """
    named: list[dict[str, Path]] = []
    for files in (first, second):
        by_name: dict[str, Path] = {}
        for file in files:
            if file.stem in by_name:
                raise RetouchError(f"{file}: {by_name[file.stem]} has the same name: which is half of the pair?")
            by_name[file.stem] = file
        named.append(by_name)
    for own, other, files in ((named[0], named[1], second), (named[1], named[0], first)):
        for name, file in own.items():
            if name not in other:
                tell(f"{file}: no picture of this name in {files[0].parent}; left out")
    both = [name for name in named[0] if name in named[1]]
    if not both:
        raise RetouchError(f"{first[0].parent} and {second[0].parent} have no two pictures of the same name")
    return [named[0][name] for name in both], [named[1][name] for name in both]


def load_data(
    recipe: TrainingRecipe, images: Sequence[Path], targets: Sequence[Path], load: Load, tell: Tell
) -> Pictures | Pairs:
    """What ``recipe`` learns from, in these folders: pictures that it degrades, or pictures of two kinds.

    ``load`` decodes files and keeps them under a name; ``tell`` hears of what is left out. ``targets``: none where both
    kinds lie side by side in each picture. Raises ``RetouchError`` where nothing can be used, ``OptionError`` for
    targets of a recipe that makes its own.
    """
    if recipe.data.source in ("paired", "unpaired"):
        return load_pairs(recipe, find_pictures(images), find_pictures(targets) if targets else [], load, tell)
    if targets:
        raise OptionError(f"--targets is for recipes of pictures of two kinds; {recipe.name} makes its own targets")
    return load(find_pictures(images), "pictures")


def samples_of(pictures: Pictures | Pairs, recipe: TrainingRecipe) -> Samples | PairSamples:
    """Samples of pictures, or of pairs."""
    return PairSamples(pictures, recipe) if isinstance(pictures, Pairs) else Samples(pictures, recipe)


def load_pairs(
    recipe: TrainingRecipe, images: Sequence[Path], targets: Sequence[Path], load: Load, tell: Tell
) -> Pairs:
    """The pairs that can be trained on, of these files. Raises ``RetouchError`` where there are none."""
    matched = recipe.data.source == "paired"
    if not targets:
        return sound(Pairs(load(images, "pictures"), None, matched), recipe, tell)
    first, second = match(images, targets, tell) if matched else (images, targets)
    a, b = load(first, "pictures"), load(second, "targets")
    if matched:  # a picture that could not be read takes its partner with it
        readable = {file.stem for file in a.files} & {file.stem for file in b.files}
        a, b = (part.only([i for i, file in enumerate(part.files) if file.stem in readable]) for part in (a, b))
    return sound(Pairs(a, b, matched), recipe, tell)


def sound(pairs: Pairs, recipe: TrainingRecipe, tell: Tell) -> Pairs:
    """The pairs that can be trained on; ``tell`` hears why the others cannot, and of grey pictures among colour.

    Raises ``RetouchError`` where none is left.
    """
    least = 0 if recipe.data.load else recipe.data.crop

    def reason(entry: Entry, halves: int) -> str | None:
        _, height, width = entry.shape
        if width % halves:
            return f"{width} pixels wide, which are no two pictures side by side"
        if min(height, width // halves) < least:
            return f"smaller than the crop of {least} pixels (data.load=N resizes it)"
        return None

    def of(pictures: Pictures, halves: int, partners: Pictures | None) -> list[int]:
        kept = []
        for index, entry in enumerate(pictures.entries):
            why = reason(entry, halves)
            if why is None and partners is not None and partners.entries[index].shape[1:] != entry.shape[1:]:
                (_, height, width), (_, high, wide) = entry.shape, partners.entries[index].shape
                why = f"{width}x{height}, and its partner {wide}x{high}"
            if why is None:
                kept.append(index)
            else:
                tell(f"{entry.name}: {why}; left out")
        if not kept:
            raise RetouchError("none of the pictures can be trained on: see what was left out")
        return kept

    first, second = pairs.first, pairs.second
    kept = of(first, 2 if second is None else 1, second if pairs.matched else None)
    if second is not None and not pairs.matched:
        pairs = replace(pairs, second=second.only(of(second, 1, None)))
    for pictures in (first, second):
        grey = [entry.name for entry in pictures.entries if entry.shape[0] == 1] if pictures is not None else []
        if recipe.data.channels == "rgb" and pictures is not None and 0 < len(grey) < len(pictures):
            more = f" and {len(grey) - 1} more are" if len(grey) > 1 else " is"
            tell(f"{grey[0]}{more} grey among pictures in colour; used with three equal channels")
    return pairs.only(kept)


class PairSamples(Dataset[Batch]):
    """Samples by number, as ``data.Samples``: input and target cut from one place of a matched pair, else from any.

    ``data.load``: pictures are resized to squares of this side before they are cut. ``data.swap``: B is the input.
    """

    def __init__(self, pairs: Pairs, recipe: TrainingRecipe) -> None:
        self.pictures, self.data, self.seed = pairs, recipe.data, recipe.run.seed
        self._known: dict[str, tuple[int, list[int]]] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        inputs, targets = [], []
        for number in numbers:
            a, b = self._pair(number)
            inputs.append(b if self.data.swap else a)
            targets.append(a if self.data.swap else b)
        return {"input": torch.stack(inputs), "target": torch.stack(targets)}

    def _pair(self, number: int) -> tuple[Tensor, Tensor]:
        generator = generator_of(self.seed, number)
        pairs = self.pictures
        index = self._place("a", number, len(pairs))
        if pairs.matched:
            a, b = (self._whole(pixels) for pixels in (pairs.a(index), pairs.b(index)))
            a, b = self._cut(torch.stack((a, b)), generator)
            return a, b
        a, b = (self._whole(pixels) for pixels in (pairs.a(index), pairs.b(self._place("b", number, pairs.others))))
        return self._cut(a[None], generator)[0], self._cut(b[None], generator)[0]

    def _whole(self, pixels: NDArray[np.uint8]) -> Tensor:
        return prepared(pixels, self.data.channels, self.data.load)

    def _cut(self, x: Tensor, generator: Generator) -> Tensor:
        """``(N, C, H, W)`` -> all of them cut and turned alike."""

        def draw(most: int) -> int:
            return int(torch.randint(most + 1, (), generator=generator))

        side = self.data.crop
        top, left = draw(x.shape[2] - side), draw(x.shape[3] - side)
        cut = x[:, :, top : top + side, left : left + side]
        if self.data.flips and draw(1):
            cut = cut.flip(3)
        if self.data.rotations:
            cut = cut.rot90(draw(3), (2, 3))
        return cut.contiguous()

    def _place(self, kind: str, number: int, count: int) -> int:
        """Which picture sample ``number`` takes: each round goes through all of them in an order of its own."""
        round_, place = divmod(number, count)
        if self._known.get(kind, (-1,))[0] != round_:
            order = torch.randperm(count, generator=generator_of(self.seed, -1 - round_, ord(kind))).tolist()
            self._known[kind] = (round_, order)
        return self._known[kind][1][place]


def prepared(pixels: NDArray[np.uint8], channels: str, side: int) -> Tensor:
    """float32 ``(C, H, W)`` in [0, 1], resized to a square of ``side`` pixels unless that is 0."""
    x = to_channels(torch.from_numpy(pixels.copy()).float() / 255, channels)
    if side and tuple(x.shape[1:]) != (side, side):
        x = resize(x[None], (side, side), kernel="bicubic")[0].clamp(0, 1)
    return x


def pair_cases(pairs: Pairs, recipe: TrainingRecipe) -> list[tuple[str, Batch]]:
    """Name, input and target of each pair, for validation: the middle, or all of it resized to the crop.

    Of pictures that are not matched the target is some picture of its kind.
    """
    data, cases = recipe.data, []
    for index in range(len(pairs)):
        halves = []
        for pixels in (pairs.a(index), pairs.b(index % pairs.others)):
            x = prepared(pixels, data.channels, data.crop if data.load else 0)
            side = min(256, *x.shape[1:]) // 16 * 16 or min(x.shape[1:])
            side = data.crop if data.load else max(side, data.crop)
            top, left = (x.shape[1] - side) // 2, (x.shape[2] - side) // 2
            halves.append(x[None, :, top : top + side, left : left + side].contiguous())
        first, second = halves[::-1] if data.swap else halves
        cases.append((pairs.name(index), {"input": first, "target": second}))
    return cases
