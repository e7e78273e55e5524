"""Numbers of a weight by its own recipe: what its training validated by, on pictures that it did not see.

For what the protocols of the papers have no place for: generators, and networks for digits, which lie 10,000 in a file.
What the objective of the recipe measures, in nats a picture for generators that know likelihoods; of networks that mend
the PSNR and SSIM of each picture, unrounded, beside those of the damaged one. The damage is drawn from the recipe's
seed and the number of the picture, so that it is always the same.

Of generators also the Fréchet distance (``metrics.frechet_distance``) of as many samples as there are pictures, 2,000
at most, to the pictures: in the activations of VGG16 after relu4_3, their mean over each picture as a vector. That is a
distance of our own, not FID, and does not compare with published ones, nor between data sets; of so few pictures it is
too large, the more the fewer they are.

Of networks that draw one of the pictures a small one could have been, nats a picture too, and the PSNR and SSIM of one
drawing each, beside those of bicubic enlargement, which is near to the mean of all drawings: the drawing's PSNR is the
lower one by nature.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retouch.evaluation.report import finite, mean, write_report
from retouch.evaluation.translation import FEATURES, LAYER
from retouch.image.errors import OptionError, RetouchError
from retouch.image.resize import resize
from retouch.metrics import Moments, frechet_distance, psnr, ssim
from retouch.models import catalogue
from retouch.models.card import Card, Measured
from retouch.models.device import pick_device
from retouch.models.features import feature_path
from retouch.networks.latent import Sampler
from retouch.networks.pixel_recursive import PixelRecursive
from retouch.tasks.generate import VERB
from retouch.training.data import Batch, generator_of
from retouch.training.objectives.build import build_objective
from retouch.training.objectives.likelihood import Likelihood
from retouch.training.pictures import find_pictures, is_idx, load_pictures
from retouch.training.recipe import TrainingRecipe, read_table
from retouch.training.trainer import load_features, make_network
from retouch.training.validation import degraded_cases

if TYPE_CHECKING:
    from torch import Tensor, nn

    from retouch.evaluation.options import EvaluateOptions
    from retouch.models.load import Model

_TOGETHER = 250  # pictures that go through a network at once
_WIDTH, _MOST = 512, 2000  # channels of the layer, and the most pictures whose features are compared
_SMALLEST, _SSIM_SIDE = 8, 11


@dataclass
class OwnReport:
    """The means over the pictures, by name. ``images``: names of the pictures; ``total``: how many there are.

    ``values``: "psnr", "ssim", "input_psnr", "input_ssim"; or what the objective measures: "nats" and its parts;
    "frechet" of generators.
    """

    model: str
    dataset: str
    card: Card
    protocol: dict[str, Any]
    total: int
    images: list[str] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)

    def row(self, name: str, width: int) -> str:
        """The means in one line."""
        words = [f"{known} {value:.4f}" for known, value in self.values.items() if math.isfinite(value)]
        return "  ".join([f"{name:<{width}}", f"{len(self.images)} pictures", *words])

    def measured(self) -> Measured:
        """The means as a row of a card."""
        span = self.card.sigma
        sigma = span[0] if span is not None and span[0] == span[1] else None
        known: dict[str, Any] = {name: round(value, 4) for name, value in self.values.items() if name in _COLUMNS}
        return Measured(
            dataset=self.dataset,
            images=len(self.images),
            sigma=sigma,
            recipe=self.protocol["task"] if sigma is None else None,
            protocol=self.protocol,
            **known,
        )

    def to_json(self) -> str:
        """The report as ``--json`` writes it; what is not a finite number is null."""
        data = {
            "model": self.model,
            "dataset": self.dataset,
            "parameters": self.card.parameters,
            **{name: finite(value) for name, value in self.values.items()},
            "images": len(self.images),
            "total": self.total,
            "protocol": self.protocol,
        }
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report as JSON; see ``report.write_report``."""
        write_report(path, self.to_json())


_COLUMNS = (
    "psnr", "ssim", "input_psnr", "input_ssim", "nats", "reconstruction", "divergence", "frechet"
)  # fmt: skip


def is_for(name: str, data: Path) -> bool:
    """Whether weight ``name`` on ``data`` is measured so: digits in a file, a generator, or what knows likelihoods."""
    if is_idx(data):
        return True
    known = {entry.card.name: entry.card for entry in catalogue.entries()}
    if name in known:
        card = known[name]
    elif name.endswith(catalogue.ENDING) and Path(name).is_file():
        card = catalogue.load(name).card
    else:
        return False
    return VERB in card.tasks or (bool(card.recipe) and _likely(read_table(card.recipe, card.name)))


def _likely(recipe: TrainingRecipe) -> bool:
    return recipe.objective.name == "likelihood"


def evaluate_own(name: str, data: str | Path, options: EvaluateOptions) -> OwnReport:
    """Measure weight ``name`` on the pictures of the folder or file ``data``, by the recipe on its card.

    Of ``options`` count limit, device and seed (of drawings). Raises ``OptionError`` for an unknown name, or a card
    without a recipe of damaged or plain pictures, and ``RetouchError`` where there is nothing to measure: no picture,
    or a generator without likelihoods while the features for the Fréchet distance are not here.
    """
    model, data = catalogue.load(name), Path(data)
    recipe = _recipe(model.card)
    device = pick_device(options.device)
    pictures = load_pictures(find_pictures([data]), None, on_skip=_refuse)
    cases = degraded_cases(pictures.only(range(min(len(pictures), options.limit or len(pictures)))), recipe)
    if not cases:
        raise RetouchError(f"{data}: no picture is as large as the {recipe.data.crop} pixels that {name} learned from")
    generates = VERB in model.card.tasks
    report = OwnReport(name, dataset_name(data), model.card, _protocol(recipe, options, generates), len(cases))
    report.images = [case for case, _ in cases]
    batches = [batch for _, batch in cases]
    with torch.no_grad():
        columns = _likelihoods(model, recipe, batches, device) if generates or _likely(recipe) else {}
        if not generates:
            columns |= _mended(model, batches, device, options.seed)
        report.values = {name: mean(column) for name, column in columns.items()}
        if generates and feature_path(FEATURES) is not None:
            report.values["frechet"] = _frechet(model, recipe, batches[:_MOST], options.seed, device)
    if not report.values:
        raise RetouchError(
            f"{name} is measured by the Fréchet distance, which needs the feature weights of {FEATURES}: "
            f"'retouch models fetch {FEATURES}', or name their folder by RETOUCH_FEATURES"
        )
    return report


def dataset_name(data: Path) -> str:
    """That of the folder; of a file of digits its folder's and what its name begins with: "mnist t10k"."""
    data = data.resolve()
    return f"{data.parent.name} {data.name.partition('-')[0]}" if data.is_file() else data.name


def _recipe(card: Card) -> TrainingRecipe:
    if not card.recipe:
        raise OptionError(f"evaluate {card.name}: its card has no recipe to measure it by")
    recipe = read_table(card.recipe, card.name)
    if recipe.data.source not in ("degraded", "plain"):
        raise OptionError(f"evaluate {card.name}: it learned from pictures of two kinds; --pairs measures it")
    return recipe


def _refuse(reason: str) -> None:
    raise RetouchError(reason.removesuffix("; left out"))


def _batches(cases: list[Batch], device: torch.device) -> Iterator[Batch]:
    """As many cases together as have one shape and go through a network at once."""
    alike: dict[tuple[int, ...], list[Batch]] = {}
    for case in cases:
        alike.setdefault(tuple(case["target"].shape), []).append(case)
    for group in alike.values():
        for start in range(0, len(group), _TOGETHER):
            some = group[start : start + _TOGETHER]
            yield {key: torch.cat([case[key] for case in some]).to(device) for key in some[0]}


def _likelihoods(
    model: Model, recipe: TrainingRecipe, cases: list[Batch], device: torch.device
) -> dict[str, list[float]]:
    """What the objective measures; of a game nothing, as its critic is not there any more."""
    if recipe.critic is not None:
        return {}
    network = _on(model, device)
    objective = build_objective(recipe, network, None, load_features, make_network)
    columns: dict[str, list[float]] = {}
    for batch in _batches(cases, device):
        for name, values in objective.measure(network, batch).items():
            if name != "score":
                columns.setdefault(name, []).extend(values.double().cpu().tolist())
    return columns


def _mended(model: Model, cases: list[Batch], device: torch.device, seed: int) -> dict[str, list[float]]:
    network = _on(model, device)
    columns: dict[str, list[float]] = {}
    for number, batch in enumerate(_batches(cases, device)):
        given = batch["input"]
        if isinstance(network, PixelRecursive):
            made = network.sample(given, generator_of(seed, number))
            given = resize(given, (batch["target"].shape[2], batch["target"].shape[3])).clamp(0, 1)
        else:
            made = network(given)
        for kind, pictures in (("", made.float().clamp(0, 1).cpu()), ("input_", given.cpu())):
            for picture, target in zip(pictures, batch["target"].cpu(), strict=True):
                columns.setdefault(f"{kind}psnr", []).append(psnr(picture, target))
                if min(target.shape[1:]) >= _SSIM_SIDE:
                    columns.setdefault(f"{kind}ssim", []).append(ssim(picture, target))
    return columns


def _on(model: Model, device: torch.device) -> nn.Module:
    import copy

    return model.network if device.type == "cpu" else copy.deepcopy(model.network).to(device)


def _frechet(model: Model, recipe: TrainingRecipe, cases: list[Batch], seed: int, device: torch.device) -> float:
    network, features = _on(model, device), load_features(FEATURES).to(device)
    assert isinstance(network, Sampler)
    made, real = Moments(_WIDTH), Moments(_WIDTH)

    def add(moments: Moments, pictures: Tensor) -> None:
        if min(pictures.shape[2:]) < _SMALLEST:
            raise RetouchError(f"the Fréchet distance needs pictures of {_SMALLEST} pixels, not {pictures.shape[3]}")
        seen = features(pictures.to(device).expand(-1, 3, -1, -1), [LAYER])[LAYER]
        moments.add(seen.mean((2, 3)))

    likelihood = Likelihood(network, **recipe.objective.arguments) if _likely(recipe) else None
    for number, batch in enumerate(_batches(cases, device)):
        add(real, batch["target"] if likelihood is None else likelihood.seen(batch["target"]))
        add(made, network.sample(len(batch["target"]), generator_of(seed, number)).clamp(0, 1))
    if real.count < 2:
        return math.nan
    return frechet_distance(made.mean, made.covariance, real.mean, real.covariance)


def _protocol(recipe: TrainingRecipe, options: EvaluateOptions, generates: bool) -> dict[str, Any]:
    """Everything that decides on the numbers."""
    return {
        "task": "generation" if generates else "recipe",
        "recipe_seed": recipe.run.seed,
        "side": recipe.data.crop,
        "channels": recipe.data.channels,
        "degradation": list(recipe.table()["data"]["degradation"]),
        "features": f"{FEATURES} {LAYER}, the mean of each of {_MOST} pictures a vector" if generates else None,
        "limit": options.limit,
        "seed": options.seed,
    }
