"""A training run's state: networks, optimisers, schedules, averages and data, and how one step moves them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from retouch.image.errors import OptionError, unknown
from retouch.models.device import autocast, fast_bfloat16
from retouch.models.load import Model, load_weights
from retouch.networks.build import build
from retouch.networks.plain import deepen_chain
from retouch.training.data import Batch, Portions, Samples, make_loader
from retouch.training.distributed import Place
from retouch.training.objectives.base import Turn
from retouch.training.objectives.build import build_objective
from retouch.training.painting import Painting
from retouch.training.pairs import PairSamples
from retouch.training.recipe import NetworkRecipe, TrainingRecipe
from retouch.training.schedule import Clipper, growing_average, make_optimizer, make_schedule

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

_CHAINS = {"dncnn": -1, "vdsr": 1}  # the plain chains, with the sign that what they find is added to the picture with


def load_features(name: str) -> nn.Module:
    """The feature network that a perceptual loss asks for, "vgg16" or "vgg19", with its weights from the catalogue."""
    from retouch.models.features import feature_network

    return feature_network(name)


def make_network(recipe: NetworkRecipe) -> nn.Module:
    """The network of a recipe, started from the weight it names, with what is frozen marked so."""
    network = build(recipe.name, recipe.arguments)
    if recipe.base is not None and recipe.start is None:
        _start_base(network, recipe)
    if recipe.encoder is not None and recipe.start is None:
        _start_encoder(network, recipe)
    if recipe.start is not None:
        _start(network, recipe)
    for name, parameter in network.named_parameters():
        if _is_under(name, recipe.frozen):
            parameter.requires_grad_(False)
    return network


def _start(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Put the weight that the recipe names into the network, all of it, as far as it fits, or into a chain."""
    from retouch.models.catalogue import find

    assert recipe.start is not None
    if recipe.deeper:
        _start_chain(network, recipe, load_weights(find(recipe.start)))
        return
    before = load_weights(find(recipe.start), architecture=recipe.name).network
    started, own = before.state_dict(), network.state_dict()
    fitting = {key: value for key, value in started.items() if key in own and own[key].shape == value.shape}
    if not recipe.partly and fitting.keys() != own.keys():
        raise OptionError(
            f"recipe: {recipe.start} has other sizes than {recipe.name} {recipe.arguments}; network.partly=true "
            "takes what fits"
        )
    network.load_state_dict(own | fitting)


def _start_chain(network: nn.Module, recipe: NetworkRecipe, before: Model) -> None:
    """Make a plain chain begin as one of as many layers or fewer, which may be of the other kind."""
    for name in (recipe.name, before.card.architecture):
        if name not in _CHAINS:
            raise OptionError(f"recipe: network.deeper: {name} is not of the plain chains {', '.join(_CHAINS)}")
    body, shorter = network.body, before.network.body
    assert isinstance(body, nn.Sequential)
    assert isinstance(shorter, nn.Sequential)
    try:
        deepen_chain(body, shorter, negated=_CHAINS[recipe.name] != _CHAINS[before.card.architecture])
    except ValueError as error:
        raise OptionError(f"recipe: network.deeper: {recipe.start}: {error}") from error


def _is_under(name: str, beginnings: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, f"{beginning}*") for beginning in beginnings)


def _start_base(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Put the feature weights that the recipe names into the whole network, as far as they are of its sizes."""
    from retouch.models.features import feature_weights

    assert recipe.base is not None
    own, given = network.state_dict(), feature_weights(recipe.base)
    fitting = {key: value for key, value in given.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise OptionError(f"recipe: network.base: nothing of {recipe.base} fits {recipe.name} {recipe.arguments}")
    network.load_state_dict(own | fitting)


def _start_encoder(network: nn.Module, recipe: NetworkRecipe) -> None:
    """Put the feature weights that the recipe names into ``network.encoder``, as many stages as that has."""
    from retouch.models.features import feature_weights
    from retouch.models.load import load_state

    assert recipe.encoder is not None
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise OptionError(f"recipe: network.encoder: {recipe.name} has no encoder")
    own = encoder.state_dict()
    given = {key: value for key, value in feature_weights(recipe.encoder).items() if key in own}
    counters = {key: value for key, value in own.items() if not value.ndim}  # of batches seen, which no file keeps
    load_state(encoder, given | counters, f"recipe: network.encoder: {recipe.encoder}")


class Trainer:
    """A run: networks, optimisers, schedules, averages, data, and where all of it stands.

    ``samples``, ``validator``: None for a validator means none. Everything a step draws follows from (seed, step,
    rank), so a checkpoint needs no generator's state to go on alike. Use ``fit`` unless you drive the steps yourself.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        samples: Samples | PairSamples,
        *,
        here: Place | None = None,
        device: torch.device | None = None,
        workers: int = 0,
        features: Callable[[str], nn.Module] = load_features,
        painting: Painting | None = None,
    ) -> None:
        self.recipe, self.samples, self.workers = recipe, samples, workers
        self.here = here if here is not None else Place()
        self.device = device if device is not None else torch.device("cpu")
        torch.manual_seed(recipe.run.seed)  # of the fresh weights
        critic = make_network(recipe.critic) if recipe.critic is not None else None
        self.objective = build_objective(recipe, make_network(recipe.network), critic, features, make_network, painting)
        self.objective.to(self.device)
        if self.device.type in ("cpu", "cuda"):
            for network in self.objective.networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = _precision(recipe.run.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.averages: dict[str, AveragedModel] = {}
        if recipe.run.ema:
            rule = growing_average(recipe.run.ema)
            for key in (self.objective.product, *self.objective.others.values()):
                network = self.objective.networks[key]
                self.averages[key] = AveragedModel(network, multi_avg_fn=rule, use_buffers=True)
        self.optimizers: dict[str, Optimizer] = {}
        self.schedules: dict[str, LRScheduler] = {}
        self.clippers: dict[str, Clipper] = {}
        turns = [turn.name for turn in self.objective.turns]
        for name in recipe.optimizer.turn:
            if name not in turns:
                raise OptionError(f"recipe: optimizer: {unknown('turn', name, turns)}")
        for turn in self.objective.turns:
            options = recipe.optimizer.of(turn.name)
            named = [pair for key in turn.trains for pair in self.objective.networks[key].named_parameters()]
            self.optimizers[turn.name] = make_optimizer(options, named)
            self.schedules[turn.name] = make_schedule(
                recipe.schedule, self.optimizers[turn.name], -(-recipe.run.steps // turn.every)
            )
            self.clippers[turn.name] = Clipper(options)
        self.wrapped: dict[str, nn.Module] = {}
        if self.here.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            for key, network in self.objective.networks.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # the new name of the option is not in torch 2.6
                    # buffers stay each process's own: a critic is called twice before its gradients come
                    self.wrapped[key] = DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)
        self.still = _fixed_statistics(self.objective.networks[self.objective.product], recipe.network)
        if critic is not None and recipe.critic is not None:
            self.still += _fixed_statistics(critic, recipe.critic)
        self.step = 0
        self.shift = 0
        self.told: dict[str, dict[str, Tensor]] = {}  # the losses of each turn when it was made last
        self._portions: Iterator[Batch] | None = None
        self.learning = {
            key: [p for p in network.parameters() if p.requires_grad]
            for key, network in self.objective.networks.items()
        }

    @property
    def product(self) -> nn.Module:
        """The network that ships, as it is trained."""
        return self.objective.networks[self.objective.product]

    @property
    def best_product(self) -> nn.Module:
        """The network that ships: the average of its weights, where there is one."""
        return self.shipped(self.objective.product)

    def shipped(self, key: str) -> nn.Module:
        """The network ``key`` of the objective as it ships: the average of its weights, where there is one."""
        if key not in self.averages:
            return self.objective.networks[key]
        averaged: nn.Module = self.averages[key].module
        return averaged

    @property
    def rate(self) -> float:
        """The learning rate of the next step, of the first turn's first group."""
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    def portions(self) -> Iterator[Batch]:
        """The portions of the steps to come, on the device."""
        if self._portions is None:
            portions = Portions(self.recipe, self.step, self.here.rank, self.here.world, self.shift)
            loader = make_loader(self.samples, portions, self.workers, self.device.type == "cuda")
            self._portions = iter(loader)
        return self._portions

    def run_step(self) -> dict[str, Tensor]:
        """One step of every turn; the losses, not yet read from the device. Names: ``loss``, ``critic.loss``, ..."""
        batches = [self._there(next(self.portions())) for _ in range(self.recipe.run.accumulate)]
        for norm in self.still:  # a validation puts the whole network back into training
            norm.eval()
        # after the batches: a loader draws from the global generator when it begins, at the start or after a restart
        torch.manual_seed((self.recipe.run.seed * 1_000_003 + self.step) * 1_009 + self.here.rank)
        losses: dict[str, Tensor] = {}
        for number, turn in enumerate(self.objective.turns):
            prefix = f"{turn.name}." if number else ""
            if self.step % turn.every == 0:
                self.told[turn.name] = self._turn(turn, batches)
            for name, value in self.told[turn.name].items():
                losses[prefix + name] = value
        for key, average in self.averages.items():
            average.update_parameters(self.objective.networks[key])
        self.step += 1
        return losses

    def _turn(self, turn: Turn, batches: Sequence[Batch]) -> dict[str, Tensor]:
        optimizer = self.optimizers[turn.name]
        for key, parameters in self.learning.items():
            for parameter in parameters:
                parameter.requires_grad_(key in turn.trains)
        networks = self.objective.networks | {key: self.wrapped[key] for key in turn.trains if key in self.wrapped}
        optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            with ExitStack() as stack:
                if number < len(batches) - 1:  # gradients are exchanged once, after the last portion
                    for key in turn.trains:
                        if key in self.wrapped:
                            stack.enter_context(self.wrapped[key].no_sync())  # type: ignore[operator]
                with autocast(self.device, self.precision):
                    parts = self.objective.loss(turn.name, batch, networks)
                self.scaler.scale(parts["loss"] / len(batches)).backward()  # type: ignore[no-untyped-call]
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / len(batches)
        self.scaler.unscale_(optimizer)
        self.clippers[turn.name](optimizer)
        self.scaler.step(optimizer)
        self.scaler.update()
        self.schedules[turn.name].step()
        self.objective.stepped(turn.name)
        return sums

    def _there(self, batch: Batch) -> Batch:
        moved = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        if self.device.type not in ("cpu", "cuda"):
            return moved
        return {
            key: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for key, value in moved.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs to go on to the same losses."""
        return {
            "step": self.step,
            "shift": self.shift,
            "networks": {key: network.state_dict() for key, network in self.objective.networks.items()},
            "averages": {key: average.state_dict() for key, average in self.averages.items()},
            "optimizers": {key: optimizer.state_dict() for key, optimizer in self.optimizers.items()},
            "schedules": {key: schedule.state_dict() for key, schedule in self.schedules.items()},
            "scaler": self.scaler.state_dict(),
            "objective": self.objective.state_dict(),
            "told": {key: {name: float(value) for name, value in losses.items()} for key, losses in self.told.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.step, self.shift = state["step"], state["shift"]
        for key, network in self.objective.networks.items():
            network.load_state_dict(state["networks"][key])
        for key, average in self.averages.items():
            average.load_state_dict(state["averages"][key])
        for key, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
            self.schedules[key].load_state_dict(state["schedules"][key])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.objective.load_state_dict(state["objective"])
        self.told = {
            key: {name: torch.tensor(value) for name, value in losses.items()} for key, losses in state["told"].items()
        }
        self._portions = None


def _fixed_statistics(network: nn.Module, recipe: NetworkRecipe) -> list[nn.Module]:
    """The batch normalisations whose running statistics the recipe wants to stay."""
    if not recipe.frozen_statistics:
        return []
    named = isinstance(recipe.frozen_statistics, tuple)
    beginnings = recipe.frozen_statistics if isinstance(recipe.frozen_statistics, tuple) else recipe.frozen
    found: list[nn.Module] = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and _is_under(f"{name}.", beginnings)
    ]
    if not found:
        where = "those names" if named else "network.frozen"
        raise OptionError(f"recipe: network.frozen_statistics: no batch normalisation is under {where}")
    return found


def _precision(name: str, device: torch.device) -> str:
    if name != "auto":
        if name == "fp16" and device.type != "cuda":
            raise OptionError("recipe: run.precision: fp16 is for CUDA devices only")
        return name
    if fast_bfloat16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"
