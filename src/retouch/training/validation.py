"""Validation: PSNR on pictures that training does not see, and a sheet of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.image.sheet import sheet
from retouch.metrics import psnr
from retouch.training.data import Batch, damaged, generator_of, to_channels
from retouch.training.objectives.base import Objective
from retouch.training.pairs import Pairs, pair_cases
from retouch.training.pictures import Pictures
from retouch.training.recipe import TrainingRecipe

_SIDE = 256
_ROWS = 4


@dataclass(frozen=True)
class Validation:
    """What a validation found: the mean PSNR in dB, the picture's own channels, and a sheet of the first pictures.

    The sheet's columns are the input, the prediction and the target; where the input is smaller than the target, also
    what nearest neighbours and bilinear interpolation make of it. A recipe that damages by ``resize_blur`` or by
    ``downsample`` and ``upsample`` gives the network an input that is enlarged already, in three columns therefore.
    """

    psnr: float
    sheet: Image


class Validator:
    """Cases (name, input and target) that the product is compared on; held in memory.

    ``border``: target pixels that are left out on each side. ``matched``: whether the targets are those of the inputs;
    if not, nothing is compared, and the PSNR is NaN.
    """

    def __init__(self, cases: Sequence[tuple[str, Batch]], border: int = 1, matched: bool = True) -> None:
        self.cases, self.border, self.matched = list(cases), border, matched

    @classmethod
    def of(cls, pictures: Pictures | Pairs, recipe: TrainingRecipe) -> Validator:
        """For the pictures that are held out."""
        if isinstance(pictures, Pairs):
            return cls(pair_cases(pictures, recipe), 0, pictures.matched)
        return cls(degraded_cases(pictures, recipe), math.ceil(1 / recipe.degradations()[0].scale))

    def __len__(self) -> int:
        return len(self.cases)

    @torch.no_grad()
    def __call__(self, objective: Objective, network: nn.Module, device: torch.device) -> Validation:
        """Run ``network`` (the product, or its average) on every case; in float32."""
        training = network.training
        matched = self.matched and objective.compared
        network.eval()
        scores: list[float] = []
        rows: list[list[Image | None]] = []
        captions: list[list[str]] = []
        names: list[str] = []
        titles: list[str] = []
        for name, batch in self.cases:
            there = {key: value.to(device) for key, value in batch.items()}
            made = objective.predict(network, there).float().cpu().clamp(0, 1)
            target = batch["target"]
            scores.append(psnr(made[0], target[0], shave=self.border) if matched else math.nan)
            if len(rows) < _ROWS and name not in names:
                given = batch["input"][:, : target.shape[1]].clamp(0, 1)
                shown = _enlarged(given, target) | {"prediction": made}
                rows.append([_shown(x) for x in (given, *shown.values(), target)])
                marks = [self._mark(x, target, matched) for x in shown.values()]
                first = self._mark(given, target, matched) if given.shape == target.shape else ""
                captions.append([first, *marks, ""])
                titles = ["input", *shown, "target" if self.matched else "of that kind"]
                if not objective.compared:  # the target is no more than the input
                    for cells in (rows[-1], captions[-1], titles):
                        cells.pop()
                names.append(name)
        network.train(training)
        picture = sheet(rows, column_titles=titles, row_titles=names, captions=captions)
        finite = [score for score in scores if math.isfinite(score)]
        return Validation(sum(finite) / len(finite) if finite else math.nan, picture)

    def _mark(self, x: Tensor, target: Tensor, matched: bool) -> str:
        return f"{psnr(x[0], target[0], shave=self.border):.2f} dB" if matched else ""


def degraded_cases(pictures: Pictures, recipe: TrainingRecipe) -> list[tuple[str, Batch]]:
    """The middle of each picture, at most 256 pixels a side, by each degradation, once and for all."""
    cases = []
    unit = recipe.data.crop  # a crop that every degradation takes without a rest
    for index in range(len(pictures)):
        pixels = torch.from_numpy(pictures[index].copy()).float() / 255
        side = min(*pixels.shape[1:], max(_SIDE, unit)) // unit * unit
        if not side:  # smaller than a crop
            continue
        top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
        target = to_channels(pixels[:, top : top + side, left : left + side], recipe.data.channels)[None]
        for number, degradation in enumerate(recipe.degradations()):
            generator = generator_of(recipe.run.seed, -1_000_000 - index, number)
            made = damaged(target, degradation, recipe.data, generator, sure=True)
            cases.append((pictures.entries[index].name, {"input": made, "target": target.contiguous()}))
    return cases


def _enlarged(x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """By nearest neighbours and bilinearly, by name, where the input is smaller than the target."""
    factor = target.shape[-1] // x.shape[-1]
    if factor <= 1:
        return {}
    nearest = x.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    size = (target.shape[-2], target.shape[-1])
    return {"nearest": nearest, "bilinear": resize(x, size, kernel="bilinear").clamp(0, 1)}


def _shown(x: Tensor) -> Image:
    return Image(x[0].float().contiguous())
