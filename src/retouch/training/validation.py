"""Validation: PSNR, or what the objective measures, on pictures that training does not see, and a sheet of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retouch.image.image import Image
from retouch.image.resize import resize
from retouch.image.sheet import sheet
from retouch.metrics import psnr
from retouch.training.data import Batch, damaged, generator_of, label_of, middle, to_channels
from retouch.training.objectives.base import Objective
from retouch.training.pairs import Pairs, pair_cases
from retouch.training.pictures import Pictures
from retouch.training.recipe import TrainingRecipe

_SIDE = 256
_ROWS = 4
_TOGETHER, _PIXELS = 256, 1 << 21  # cases of one shape that an objective measures at once, and pixels of them


@dataclass(frozen=True)
class Validation:
    """What a validation found, and a sheet of the first pictures.

    ``values``: means over the pictures, by name; "psnr" in dB, of the picture's own channels, unless the objective
    measures something else. Empty where there is nothing to be near to. ``score``: which weights are the best, the
    higher the better; NaN where nothing is. The sheet's columns are the input, the prediction and the target; where the
    input is smaller than the target, also what nearest neighbours and bilinear interpolation make of it. A recipe that
    damages by ``resize_blur`` or by ``downsample`` and ``upsample`` gives the network an input that is enlarged
    already, in three columns therefore.
    """

    values: Mapping[str, float]
    score: float
    sheet: Image

    @property
    def psnr(self) -> float:
        """In dB; NaN where it was not measured."""
        return self.values.get("psnr", math.nan)


def in_words(values: Mapping[str, float]) -> str:
    """What was measured, for people: "31.250 dB", "accuracy 0.934, loss 0.21"; empty for nothing."""
    return ", ".join(f"{value:.3f} dB" if name == "psnr" else f"{name} {value:.4g}" for name, value in values.items())


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
        scale = recipe.degradations()[0].scale if recipe.degradations() else 1
        return cls(degraded_cases(pictures, recipe), math.ceil(1 / scale))

    def __len__(self) -> int:
        return len(self.cases)

    @torch.no_grad()
    def __call__(self, objective: Objective, network: nn.Module, device: torch.device) -> Validation:
        """Run ``network`` (the product, or its average) on every case; in float32."""
        training = network.training
        network.eval()
        measured = self._measured(objective, network, device)
        picture = objective.show(network, self._batches(device)) if measured else None
        if picture is None:
            scores, picture = self._compared(objective, network, device)
            measured = measured or ({"psnr": scores} if scores else {})
        network.train(training)
        values = {name: sum(column) / len(column) for name, column in measured.items()}
        score = values.pop("score", values.get("psnr", math.nan))
        return Validation(values, score, picture)

    def _batches(self, device: torch.device) -> list[Batch]:
        """The cases, as many together as have one shape, and as ``_TOGETHER`` and ``_PIXELS`` allow."""
        alike: dict[tuple[tuple[int, ...], ...], list[Batch]] = {}
        for _, batch in self.cases:
            alike.setdefault(tuple(value.shape for value in batch.values()), []).append(batch)
        return [
            {key: torch.cat([one[key] for one in some]).to(device) for key in some[0]}
            for group in alike.values()
            for many in (max(1, min(_TOGETHER, _PIXELS // group[0]["target"][0, 0].numel())),)
            for some in (group[at : at + many] for at in range(0, len(group), many))
        ]

    def _measured(self, objective: Objective, network: nn.Module, device: torch.device) -> dict[str, list[float]]:
        """What the objective measures, a value a picture."""
        found: dict[str, list[float]] = {}
        for batch in self._batches(device):
            for name, column in objective.measure(network, batch).items():
                found.setdefault(name, []).extend(column.float().cpu().tolist())
        return found

    def _compared(self, objective: Objective, network: nn.Module, device: torch.device) -> tuple[list[float], Image]:
        """The PSNR of every prediction that has a target, and the sheet."""
        matched = self.matched and objective.compared
        scores: list[float] = []
        rows: list[list[Image | None]] = []
        captions: list[list[str]] = []
        names: list[str] = []
        titles: list[str] = []
        for name, batch in self.cases:
            there = {key: value.to(device) for key, value in batch.items()}
            made = objective.predict(network, there).float().cpu().clamp(0, 1)
            target = batch["target"]
            if matched:
                scores.append(psnr(made[0], target[0], shave=self.border))
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
        picture = sheet(rows, column_titles=titles, row_titles=names, captions=captions)
        return [score for score in scores if math.isfinite(score)], picture

    def _mark(self, x: Tensor, target: Tensor, matched: bool) -> str:
        return f"{psnr(x[0], target[0], shave=self.border):.2f} dB" if matched else ""


def degraded_cases(pictures: Pictures, recipe: TrainingRecipe) -> list[tuple[str, Batch]]:
    """The middle of each picture, at most 256 pixels a side, by each degradation, once and for all.

    Of views other than "cut" the middle square, resized to the crop. Where all training pictures are made smaller by
    one factor, so are these, and are then as large as a crop.
    """
    cases = []
    unit = recipe.data.crop  # a crop that every degradation takes without a rest
    small = len(recipe.data.shrink) == 1 and recipe.data.shrink[0] < 1
    for index in range(len(pictures)):
        if recipe.data.view != "cut":
            target = middle(pictures[index], recipe.data)[None]
            label = label_of(pictures.entries[index], recipe.data)
            cases.append((pictures.entries[index].name, {"input": target, "target": target} | label))
            continue
        pixels = torch.from_numpy(pictures[index].copy()).float() / 255
        if small:
            pixels = _shrunk(pixels, unit, recipe.data.shrink[0])
        side = min(*pixels.shape[1:], max(_SIDE, unit)) // unit * unit
        if not side:  # smaller than a crop
            continue
        top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
        target = to_channels(pixels[:, top : top + side, left : left + side], recipe.data.channels)[None]
        label = label_of(pictures.entries[index], recipe.data)
        if recipe.data.source == "plain":
            cases.append((pictures.entries[index].name, {"input": target, "target": target} | label))
        for number, degradation in enumerate(recipe.degradations()):
            generator = generator_of(recipe.run.seed, -1_000_000 - index, number)
            made = damaged(target, degradation, recipe.data, generator, sure=True)
            cases.append((pictures.entries[index].name, {"input": made, "target": target.contiguous()} | label))
    return cases


def _shrunk(pixels: Tensor, crop: int, factor: float) -> Tensor:
    """The middle of a picture as ``Samples`` makes it smaller: a square of ``crop`` pixels."""
    side = min(round(crop / factor), *pixels.shape[1:])
    top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
    cut = pixels[None, :, top : top + side, left : left + side]
    return resize(cut, (crop, crop), kernel="bicubic")[0].clamp(0, 1)


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
