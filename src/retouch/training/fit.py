"""The one training loop: any objective, one device or many, to be killed and continued at any moment."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from retouch.image.errors import OptionError, RetouchError, unknown
from retouch.models.card import Card
from retouch.models.device import autocast, fast_bfloat16
from retouch.models.load import load_weights, save_weights
from retouch.networks.build import build, count_parameters
from retouch.solvers.steps import Listener, Step
from retouch.training import checkpoint
from retouch.training.data import Batch, Portions, Samples, make_loader
from retouch.training.distributed import Place, agree, join, place, restarted, wait
from retouch.training.logs import Board, CsvLog
from retouch.training.objectives.base import Turn
from retouch.training.objectives.build import build_objective
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import NetworkRecipe, TrainingRecipe
from retouch.training.schedule import Clipper, growing_average, make_optimizer, make_schedule
from retouch.training.validation import Validation, Validator

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

_RETURNS = 3  # times that a run goes back after a loss that is not finite, before it gives up
_SPEED_STEPS = 50


@dataclass(frozen=True)
class Result:
    """What a run came to: the weight it wrote, the steps made, the best validation PSNR (NaN without validation).

    ``finished``: whether all steps were made; if not, the same call goes on from the checkpoint.
    """

    weight: Path
    steps: int
    psnr: float
    finished: bool


class LossNotFinite(Exception):
    """The loss of a step is NaN or infinite."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def load_features(name: str) -> nn.Module:
    """The feature network that a perceptual loss asks for, "vgg16" or "vgg19", with its weights from the catalogue."""
    from retouch.models.features import feature_weights
    from retouch.models.load import load_state
    from retouch.networks.vgg import VGGFeatures

    depths = {"vgg16": 16, "vgg19": 19}
    if name not in depths:
        raise OptionError(unknown("feature network", name, list(depths)))
    network = VGGFeatures(depths[name])
    load_state(network, feature_weights(name), f"weights of {name}")
    return network


def make_network(recipe: NetworkRecipe) -> nn.Module:
    """The network of a recipe, started from the weight it names, with what is frozen marked so."""
    network = build(recipe.name, recipe.arguments)
    if recipe.start is not None:
        from retouch.models.catalogue import find

        started = load_weights(find(recipe.start), architecture=recipe.name).network.state_dict()
        own = network.state_dict()
        fitting = {key: value for key, value in started.items() if key in own and own[key].shape == value.shape}
        if not recipe.partly and fitting.keys() != own.keys():
            raise OptionError(
                f"recipe: {recipe.start} has other sizes than {recipe.name} {recipe.arguments}; network.partly=true "
                "takes what fits"
            )
        network.load_state_dict(own | fitting)
    for name, parameter in network.named_parameters():
        if name.startswith(recipe.frozen) and recipe.frozen:
            parameter.requires_grad_(False)
    return network


class Trainer:
    """A run: networks, optimisers, schedules, averages, data, and where all of it stands.

    ``samples``, ``validator``: None for a validator means none. Everything a step draws follows from (seed, step,
    rank), so a checkpoint needs no generator's state to go on alike. Use ``fit`` unless you drive the steps yourself.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        samples: Samples,
        *,
        here: Place | None = None,
        device: torch.device | None = None,
        workers: int = 0,
        features: Callable[[str], nn.Module] = load_features,
    ) -> None:
        self.recipe, self.samples, self.workers = recipe, samples, workers
        self.here = here if here is not None else Place()
        self.device = device if device is not None else torch.device("cpu")
        torch.manual_seed(recipe.run.seed)  # of the fresh weights
        critic = make_network(recipe.critic) if recipe.critic is not None else None
        self.objective = build_objective(recipe, make_network(recipe.network), critic, features)
        self.objective.to(self.device)
        if self.device.type in ("cpu", "cuda"):
            for network in self.objective.networks.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = _precision(recipe.run.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.average: AveragedModel | None = None
        if recipe.run.ema:
            rule = growing_average(recipe.run.ema)
            self.average = AveragedModel(self.product, multi_avg_fn=rule, use_buffers=True)
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
            self.schedules[turn.name] = make_schedule(recipe.schedule, self.optimizers[turn.name], recipe.run.steps)
            self.clippers[turn.name] = Clipper(options)
        self.wrapped: dict[str, nn.Module] = {}
        if self.here.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            for key, network in self.objective.networks.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # the new name of the option is not in torch 2.6
                    # buffers stay each process's own: a critic is called twice before its gradients come
                    self.wrapped[key] = DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)
        self.step = 0
        self.shift = 0
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
        if self.average is None:
            return self.product
        averaged: nn.Module = self.average.module
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
        # after the batches: a loader draws from the global generator when it begins, at the start or after a restart
        torch.manual_seed((self.recipe.run.seed * 1_000_003 + self.step) * 1_009 + self.here.rank)
        losses: dict[str, Tensor] = {}
        for number, turn in enumerate(self.objective.turns):
            prefix = f"{turn.name}." if number else ""
            for name, value in self._turn(turn, batches).items():
                losses[prefix + name] = value
        if self.average is not None:
            self.average.update_parameters(self.product)
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
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizers": {key: optimizer.state_dict() for key, optimizer in self.optimizers.items()},
            "schedules": {key: schedule.state_dict() for key, schedule in self.schedules.items()},
            "scaler": self.scaler.state_dict(),
            "objective": self.objective.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.step, self.shift = state["step"], state["shift"]
        for key, network in self.objective.networks.items():
            network.load_state_dict(state["networks"][key])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for key, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][key])
            self.schedules[key].load_state_dict(state["schedules"][key])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.objective.load_state_dict(state["objective"])
        self._portions = None


def _precision(name: str, device: torch.device) -> str:
    if name != "auto":
        if name == "fp16" and device.type != "cuda":
            raise OptionError("recipe: run.precision: fp16 is for CUDA devices only")
        return name
    if fast_bfloat16(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


def fit(
    recipe: TrainingRecipe,
    images: Sequence[Path],
    run: Path,
    *,
    validate: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    fresh: bool = False,
    on_step: Listener | None = None,
    on_skip: Callable[[str], None] = lambda reason: None,
) -> Result:
    """Train by ``recipe`` on the pictures of the folders ``images``; everything is written into the folder ``run``.

    There: ``recipe.json`` (resolved), ``checkpoint.pt``, ``log.csv``, ``validation.csv``, ``validation/*.jpg``,
    TensorBoard's events where it is installed, the decoded pictures, and in the end ``NAME.safetensors`` with its card.
    A run that was stopped or killed goes on from its checkpoint to the same losses; ``fresh`` starts over.
    ``validate``: a folder of pictures for validation; by default ``data.held_out`` of the images are kept for it.
    ``workers``: processes that prepare batches, None chooses. ``on_step``: hears every step, with the validation
    sheets as previews; returning False stops the run after a checkpoint. ``on_skip``: hears of each picture that
    cannot be read. Under ``torchrun`` every process calls this alike; several machines must share the run folder.

    Raises ``OptionError`` for a recipe that does not fit the run folder, and ``RetouchError`` for unusable pictures or
    a loss that stays NaN or infinite.
    """
    here = place()
    chosen = join(here, device)
    if workers is None:
        workers = _workers(chosen, here)
    try:
        (run / "validation").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetouchError(f"{run}: cannot make the run folder: {error.strerror or error}") from error
    training, held_out = _pictures(recipe, images, validate, run, here, on_skip, on_step)
    trainer = Trainer(recipe, Samples(training, recipe), here=here, device=chosen, workers=workers)
    loop = _Loop(trainer, run, Validator(held_out, recipe) if len(held_out) else None, on_step, images)
    return loop.run_all(fresh and not restarted())  # what has begun afresh goes on when one of its processes dies


def _workers(device: torch.device, here: Place) -> int:
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type == "cpu":
        return 0 if cores < 4 else 1  # the cores are the device
    return max(1, min(16, cores // max(1, here.world) - 1))


def _pictures(
    recipe: TrainingRecipe,
    images: Sequence[Path],
    validate: Path | None,
    run: Path,
    here: Place,
    on_skip: Callable[[str], None],
    on_step: Listener | None,
) -> tuple[Pictures, Pictures]:
    """Those to train on and those to validate with; the first process of each machine decodes, the others wait."""

    def told(done: int, total: int) -> None:
        if on_step is not None and here.chief and (done % 500 == 0 or done == total):
            on_step(Step(0, recipe.run.steps, note=f"{done} of {total} pictures decoded"))

    def load(folders: Sequence[Path], name: str) -> Pictures:
        cache = run / f"{name}.pixels" if recipe.data.cache else None
        files = find_pictures(folders)
        if here.local != 0:
            wait()
        loaded = load_pictures(files, cache, on_skip=on_skip if here.chief else lambda reason: None, on_progress=told)
        if here.local == 0:
            wait()
        return loaded

    everything = load(images, "pictures")
    if validate is not None:
        return everything, load([validate], "validation")
    first = {file: index for index, file in reversed(list(enumerate(everything.files)))}  # a folder may be given twice
    kept = min(recipe.data.held_out, len(first) // 5)
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(recipe.run.seed)).tolist()
    large = [i for i in order if min(everything.entries[i].shape[1:]) >= recipe.data.crop]
    chosen = list(dict.fromkeys(everything.files[i] for i in large))[:kept]
    rest = [i for i, file in enumerate(everything.files) if file not in chosen]
    return everything.only(rest), everything.only(sorted(first[file] for file in chosen))


class _Loop:
    """Steps, and everything that happens between them."""

    def __init__(
        self,
        trainer: Trainer,
        run: Path,
        validator: Validator | None,
        on_step: Listener | None,
        images: Sequence[Path],
    ) -> None:
        self.trainer, self.run, self.validator, self.on_step, self.images = trainer, run, validator, on_step, images
        self.recipe, self.chief = trainer.recipe, trainer.here.chief
        self.file = run / checkpoint.FILE
        # what is logged, shown or saved how often decides on no number
        table = self.recipe.table()
        for key in ("log_every", "save_every"):
            del table["run"][key]
        self.identity = {"recipe": table, "pictures": trainer.samples.pictures.fingerprint}
        self.best: dict[str, Any] = {"psnr": -math.inf, "step": 0, "weights": {}}
        self.returns = 0
        self.seconds = 0.0  # of earlier lives of the run

    def run_all(self, fresh: bool) -> Result:
        trainer = self.trainer
        if self.file.exists() and not fresh:
            self._restore(checkpoint.load(self.file, self.identity))
            self._tell(note=f"goes on from step {trainer.step}")
        else:
            if self.chief:
                (self.run / "recipe.json").write_text(json.dumps(self.recipe.table(), indent=2) + "\n")
            self._save()
        wait()
        if self.chief:
            self.log = CsvLog(self.run / "log.csv", trainer.step)
            self.validation_log = CsvLog(self.run / "validation.csv", trainer.step)
            self.board = Board(self.run / "events", trainer.step)
        try:
            finished = self._steps()
        finally:
            if self.chief:
                self.board.close()
        path = self.run / f"{self.recipe.name}.safetensors"
        if self.chief:
            self._write_weight(path)
        wait()
        psnr = self.best["psnr"]
        return Result(path, trainer.step, psnr if math.isfinite(psnr) else math.nan, finished)

    def _steps(self) -> bool:
        trainer, run = self.trainer, self.recipe.run
        began, first = time.monotonic(), trainer.step
        unread: list[tuple[int, dict[str, Tensor]]] = []
        on_cpu = trainer.device.type == "cpu"
        clock, counted = time.monotonic(), trainer.step
        losses: dict[str, float] = {}
        stopping = False
        while trainer.step < run.steps:
            made = trainer.run_step()
            step = trainer.step
            unread.append((step, made))
            due = step % run.log_every == 0 or step == run.steps
            saving = step % run.save_every == 0 or step == run.steps
            validating = self.validator is not None and (step % run.validate_every == 0 or step == run.steps)
            if on_cpu or due or saving or validating:
                try:
                    losses = self._read(unread)
                except LossNotFinite as error:
                    self._go_back(error.step)
                    unread, clock, counted = [], time.monotonic(), trainer.step
                    continue
                unread = []
            speed = (step - counted) * run.batch / max(1e-9, time.monotonic() - clock)
            if due:
                if self.chief:
                    row = {"step": step, **losses, "rate": trainer.rate, "images_per_second": speed}
                    self.log.write(row)
                    self.board.scalars(step, {key: value for key, value in row.items() if key != "step"})
                clock, counted = time.monotonic(), step
            found = self._validate() if validating else None
            if saving:
                self._save(began)
            left = (time.monotonic() - began) / (step - first) * (run.steps - step)
            stopping |= not self._tell(step, losses.get("loss"), left, speed, found)
            # one process cannot stop alone: the others would wait for it for ever
            asked = trainer.here.world > 1 and (on_cpu or due or saving or validating)
            if agree(stopping, trainer.device) if asked else stopping and trainer.here.world == 1:
                self._save(began)
                return step == run.steps
        return True

    def _read(self, unread: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
        """The losses of the last of some steps; raises ``LossNotFinite`` for the first that is not, in any process."""
        values: dict[str, float] = {}
        bad = -1
        for step, losses in unread:
            values = {name: float(value) for name, value in losses.items()}
            if bad < 0 and not all(map(math.isfinite, values.values())):
                bad = step
        world = self.trainer.here.world
        if agree(bad >= 0, self.trainer.device) if world > 1 else bad >= 0:
            raise LossNotFinite(bad if bad >= 0 else unread[0][0])
        return values

    def _go_back(self, step: int) -> None:
        """After a loss that is not finite: the last good checkpoint, half the learning rate, other samples."""
        trainer = self.trainer
        # a checkpoint may be older than the last return: what counts is what has been tried
        self.returns += 1
        returns, seconds = self.returns, self.seconds
        shift = trainer.shift + self.recipe.run.batch * trainer.step
        if self.returns > _RETURNS:
            raise RetouchError(
                f"step {step}: the loss is not finite, and going back {_RETURNS} times did not help; a lower "
                "optimizer.rate or run.precision=fp32 may"
            )
        state = checkpoint.load(self.file, self.identity)
        self._restore(state)
        factor = 0.5 ** (returns - self.returns)
        self.returns, self.seconds, trainer.shift = returns, seconds, shift
        for key, optimizer in trainer.optimizers.items():
            schedule = trainer.schedules[key]
            for group in optimizer.param_groups:
                for name in ("lr", "initial_lr", "max_lr", "min_lr"):
                    if name in group:
                        group[name] *= factor
            for part in getattr(schedule, "_schedulers", (schedule,)):  # a sequence has no rates of its own
                part.base_lrs = [rate * factor for rate in part.base_lrs]
        if self.chief:
            self.log = CsvLog(self.run / "log.csv", trainer.step)
            self.validation_log = CsvLog(self.run / "validation.csv", trainer.step)
        self._tell(note=f"step {step}: the loss is not finite; back to step {trainer.step} with half the learning rate")

    def _validate(self) -> Validation | None:
        """Only the first process validates; the others go on to the next step and wait there."""
        if self.validator is None or not self.chief or not len(self.validator):
            return None
        from retouch.image.files import save

        trainer = self.trainer
        found = self.validator(trainer.objective, trainer.best_product, trainer.device)
        self.validation_log.write({"step": trainer.step, "psnr": found.psnr})
        self.board.scalars(trainer.step, {"validation/psnr": found.psnr})
        self.board.picture(trainer.step, "validation", found.sheet)
        save(found.sheet, self.run / "validation" / f"{trainer.step:08d}.jpg", overwrite=True)
        if found.psnr > self.best["psnr"]:
            weights = {key: value.detach().cpu().clone() for key, value in trainer.best_product.state_dict().items()}
            self.best = {"psnr": found.psnr, "step": trainer.step, "weights": weights}
        return found

    def _save(self, began: float | None = None) -> None:
        if not self.chief:
            return
        state = self.trainer.state_dict()
        for network in state["networks"].values():
            for value in network.values():
                if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                    return  # weights that the next loss will give away; the last good checkpoint stays
        seconds = self.seconds + (time.monotonic() - began if began is not None else 0)
        extra = {"identity": self.identity, "best": self.best, "returns": self.returns, "seconds": seconds}
        checkpoint.save(self.file, state | extra)

    def _restore(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state)
        self.best, self.returns, self.seconds = state["best"], state["returns"], state["seconds"]

    def _tell(
        self,
        step: int = 0,
        loss: float | None = None,
        left: float | None = None,
        speed: float | None = None,
        found: Validation | None = None,
        note: str | None = None,
    ) -> bool:
        if self.on_step is None:
            return True
        if found is not None:
            note = f"step {step}: validation {found.psnr:.3f} dB"
        preview = found.sheet if found is not None else None
        heard = self.on_step(
            Step(step, self.recipe.run.steps, left, loss, preview, note if self.chief else None, speed)
        )
        return heard is not False

    def _write_weight(self, path: Path) -> None:
        recipe, trainer = self.recipe, self.trainer
        weights = trainer.best_product.state_dict()
        if recipe.run.keep == "best" and self.best["weights"]:
            weights = self.best["weights"]
        state = checkpoint.load(self.file, self.identity)
        said = {field.name: getattr(recipe.card, field.name) for field in dataclasses.fields(recipe.card)}
        card = Card(
            name=recipe.name,
            architecture=recipe.network.name,
            arguments=recipe.network.arguments,
            recipe=recipe.table(),
            data=tuple(folder.resolve().name for folder in self.images),
            steps=trainer.step,
            seed=recipe.run.seed,
            trained_on=f"{trainer.here.world} x {_device_name(trainer.device)}",
            hours=round(state["seconds"] / 3600, 2),
            parameters=count_parameters(trainer.product),
            **said,
        )
        save_weights(path, weights, card)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
