"""The one training loop: any objective, one device or many, to be killed and continued at any moment."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, RetouchError
from retouch.models.card import Card
from retouch.models.load import checksum, load_weights, read_tensors, save_weights
from retouch.networks.build import count_parameters
from retouch.solvers.steps import Listener, Step
from retouch.training import checkpoint, stages
from retouch.training.classes import with_classes
from retouch.training.data import Samples
from retouch.training.distributed import Place, agree, join, place, restarted, usual_workers, wait
from retouch.training.logs import Board, CsvLog, curves
from retouch.training.painting import painted
from retouch.training.pairs import Pairs, PairSamples, load_data, samples_of
from retouch.training.pictures import Pictures, divided, find_pictures, load_pictures, shuffled
from retouch.training.recipe import TrainingRecipe
from retouch.training.trainer import Trainer
from retouch.training.validation import Validation, Validator, in_words

_RETURNS = 3  # times that a run goes back after a loss that is not finite, before it gives up


@dataclass(frozen=True)
class Result:
    """What a run came to: the weight it wrote, the steps made, the best validation (see ``Validation.values``).

    Of a recipe with stages: the steps of all of them, the validation of the last one begun, and its weight while not
    all are done. ``finished``: whether all steps were made; if not, the same call goes on from the checkpoint.
    """

    weight: Path
    steps: int
    validation: Mapping[str, float]
    finished: bool

    @property
    def psnr(self) -> float:
        """Of the best validation, NaN where none was measured."""
        return self.validation.get("psnr", math.nan)


class LossNotFinite(Exception):
    """The loss of a step is NaN or infinite."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def fit(
    recipe: TrainingRecipe,
    images: Sequence[Path],
    run: Path,
    *,
    targets: Sequence[Path] = (),
    style: Path | None = None,
    validate: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    fresh: bool = False,
    on_step: Listener | None = None,
    on_skip: Callable[[str], None] = lambda reason: None,
) -> Result:
    """Train by ``recipe`` on the pictures of the folders ``images``; everything is written into the folder ``run``.

    There: ``recipe.json`` (resolved), ``checkpoint.pt``, ``log.csv``, ``validation.csv``, ``validation/*.jpg``,
    ``sheet.jpg`` (the validation of the weight that is kept), TensorBoard's events where it is installed, the decoded
    pictures, and in the end ``NAME.safetensors`` with its card. A recipe with stages has a folder of all these for each
    (``1-FIRST``, ``2-SECOND``, ...), but for the pictures, which they share, and in the end ``NAME.safetensors`` with
    the whole recipe, the steps and hours of all stages; a stage that is done is not done again. The samples of a stage
    go on where those of the stage before it ended. A run that was stopped or killed goes on from its checkpoint to the
    same losses; ``fresh`` starts over.
    ``targets``: for a recipe of pictures of two kinds, the folders of the second; without them both lie side by side in
    each picture of ``images``. ``style``: for a recipe that learns a style, the picture that has it.
    ``validate``: a folder of pictures for validation; by default ``data.held_out`` of the images are kept for it.
    ``workers``: processes that prepare batches, None chooses. ``on_step``: hears every step, with the validation
    sheets as previews; returning False stops the run after a checkpoint. ``on_skip``: hears of each picture that
    cannot be read. Under ``torchrun`` every process calls this alike; several machines must share the run folder.

    Raises ``OptionError`` for a recipe that does not fit the run folder, and ``RetouchError`` for unusable pictures or
    a loss that stays NaN or infinite.
    """
    recipe, painting = painted(recipe, style)
    here = place()
    chosen = join(here, device)
    if workers is None:
        workers = usual_workers(chosen, here)
    names = stages.folders(recipe.stage) if recipe.stage else ["."]
    try:
        for name in names:
            (run / name / "validation").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetouchError(f"{run}: cannot make the run folder: {error.strerror or error}") from error
    recipe, training, held_out = _pictures(recipe, (images, targets), validate, run, here, on_skip, on_step)
    parts = [(run / name, part) for name, part in zip(names, recipe.stages(), strict=True)]
    if fresh and here.chief and not restarted():  # what began afresh goes on when one of its processes dies
        for folder, _ in parts:
            (folder / checkpoint.FILE).unlink(missing_ok=True)
    wait()

    def make(part: TrainingRecipe, folder: Path, start: Path | None, shift: int, listener: Listener | None) -> _Loop:
        network = part.network if start is None else dataclasses.replace(part.network, start=str(start))
        begun = dataclasses.replace(part, network=network)
        samples = samples_of(training, part)
        trainer = Trainer(begun, samples, here=here, device=chosen, workers=workers, painting=painting)
        trainer.shift = shift
        validator = Validator.of(held_out, part) if len(held_out) else None
        data = [*images, *targets]
        return _Loop(part, trainer, folder, validator, listener, data, _identity(part, trainer.samples, start))

    if not recipe.stage:
        return make(recipe, run, None, 0, on_step).run_all()
    return _Staged(recipe, run, parts, make, training, on_step, chosen, here).run_all()


class _Staged:
    """The stages of a recipe one after the other, each a run of its own; a stage that is done is passed over."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        run: Path,
        parts: Sequence[tuple[Path, TrainingRecipe]],
        make: Callable[[TrainingRecipe, Path, Path | None, int, Listener | None], _Loop],
        training: Pictures | Pairs,
        on_step: Listener | None,
        device: torch.device,
        here: Place,
    ) -> None:
        self.recipe, self.run, self.parts, self.make, self.training = recipe, run, parts, make, training
        self.on_step, self.device, self.here = on_step, device, here
        self.words = ""
        self.stopped = False

    def run_all(self) -> Result:
        if self.here.chief:
            _write_recipe(self.recipe, self.run)
        before: Path | None = None
        steps, seconds = 0, 0.0
        for number, (folder, part) in enumerate(self.parts, 1):
            self.words = f"stage {number} of {len(self.parts)}, {self.recipe.stage[number - 1]['name']}"
            weight = folder / f"{part.name}.safetensors"
            state = self._done(part, folder, weight, before)
            if state is None:
                shift = sum(earlier.run.steps * earlier.run.batch for _, earlier in self.parts[: number - 1])
                loop = self.make(part, folder, before, shift, self._heard)
                self._heard(Step(loop.trainer.step, part.run.steps, note="begins"))
                result = loop.run_all()
                spent = loop.spent
                asked = agree(self.stopped, self.device)
                if not result.finished or (asked and number < len(self.parts)):
                    return dataclasses.replace(result, steps=steps + result.steps, finished=False)
            else:
                result, spent = Result(weight, part.run.steps, state["best"]["values"], True), state["seconds"]
            steps, seconds, before = steps + part.run.steps, seconds + spent, weight
        assert before is not None
        final = self.run / f"{self.recipe.name}.safetensors"
        if self.here.chief:
            model = load_weights(before)
            card = dataclasses.replace(
                model.card,
                name=self.recipe.name,
                recipe=self.recipe.table(),
                steps=steps,
                hours=round(seconds / 3600, 2),
            )
            save_weights(final, model.network.state_dict(), card, store=self.recipe.run.store)
        wait()
        return Result(final, steps, result.validation, True)

    def _done(self, part: TrainingRecipe, folder: Path, weight: Path, before: Path | None) -> dict[str, Any] | None:
        """The last checkpoint of a stage that is done."""
        file = folder / checkpoint.FILE
        if not file.exists() or not weight.exists():
            return None
        state = checkpoint.load(file, _identity(part, samples_of(self.training, part), before))
        return state if state["step"] == part.run.steps else None

    def _heard(self, step: Step) -> bool:
        """Tells which stage a step is of, and remembers that a stop was asked for at the very end of one."""
        note = f"{self.words}: {step.note}" if step.note else None
        heard = (
            self.on_step is None or self.on_step(dataclasses.replace(step, stage=self.words, note=note)) is not False
        )
        self.stopped |= not heard
        return heard


def _identity(recipe: TrainingRecipe, samples: Samples | PairSamples, start: Path | None) -> dict[str, Any]:
    """What decides on the numbers of a run, by name; ``start``: the weight of the stage before it."""
    table = recipe.table()
    for key in ("log_every", "save_every", "store"):  # what is logged, shown or saved, and how, decides on no number
        del table["run"][key]
    known = {"recipe": table, "pictures": samples.pictures.fingerprint}
    return known if start is None else known | {"start": checksum(read_tensors(start))}


def _write_recipe(recipe: TrainingRecipe, run: Path) -> None:
    (run / "recipe.json").write_text(json.dumps(recipe.table(), indent=2) + "\n")


def _pictures(
    recipe: TrainingRecipe,
    folders: tuple[Sequence[Path], Sequence[Path]],
    validate: Path | None,
    run: Path,
    here: Place,
    on_skip: Callable[[str], None],
    on_step: Listener | None,
) -> tuple[TrainingRecipe, Pictures, Pictures] | tuple[TrainingRecipe, Pairs, Pairs]:
    """The recipe with its classes, and the pictures to train on and to validate with.

    The first process of each machine decodes, the others wait.
    """
    skip = on_skip if here.chief else lambda reason: None

    def told(done: int, total: int) -> None:
        if on_step is not None and here.chief and (done % 500 == 0 or done == total):
            on_step(Step(0, recipe.run.steps, note=f"{done} of {total} pictures decoded"))

    def load(files: Sequence[Path], name: str) -> Pictures:
        cache = run / f"{name}.pixels" if recipe.data.cache else None
        if here.local != 0:
            wait()
        loaded = load_pictures(files, cache, on_skip=skip, on_progress=told)
        if here.local == 0:
            wait()
        return loaded

    def kept_apart(count: int) -> int:
        return min(recipe.data.held_out, count // 5)

    images, targets = folders
    crop = max(part.data.crop for part in recipe.stages())  # the same pictures for all stages
    everything = load_data(recipe, images, targets, load, skip)
    recipe = with_classes(recipe, images, everything)
    if isinstance(everything, Pairs):
        if validate is not None:
            raise OptionError("--validate is for recipes that degrade pictures; of pairs some are kept apart")
        order = shuffled(len(everything), recipe.run.seed)
        kept = kept_apart(len(everything))
        return recipe, everything.only(sorted(order[kept:])), everything.only(sorted(order[:kept]))
    if validate is not None:
        return recipe, everything, load(find_pictures([validate]), "validation")
    smallest = crop if recipe.data.view == "cut" else 0  # else every size will do
    return recipe, *divided(everything, kept_apart, recipe.run.seed, smallest)


class _Loop:
    """Steps, and everything that happens between them."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        trainer: Trainer,
        run: Path,
        validator: Validator | None,
        on_step: Listener | None,
        images: Sequence[Path],
        identity: dict[str, Any],
    ) -> None:
        self.recipe, self.trainer, self.run, self.validator, self.on_step = recipe, trainer, run, validator, on_step
        self.images, self.identity, self.chief = images, identity, trainer.here.chief
        self.file = run / checkpoint.FILE
        self.best: dict[str, Any] = {"score": -math.inf, "values": {}, "step": 0, "weights": {}}
        self.returns = 0
        self.seconds = 0.0  # of earlier lives of the run
        self.spent = 0.0  # of all of them, as the checkpoint has it

    def run_all(self) -> Result:
        """All steps, and the weight."""
        trainer = self.trainer
        if self.file.exists():
            self._restore(checkpoint.load(self.file, self.identity))
            self._tell(note=f"goes on from step {trainer.step}")
        else:
            if self.chief:
                _write_recipe(self.recipe, self.run)
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
            for name, key in trainer.objective.others.items():
                self._write_weight(path.with_stem(f"{path.stem}-{name}"), trainer.shipped(key))
        wait()
        return Result(path, trainer.step, self.best["values"], finished)

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
        self.validation_log.write({"step": trainer.step, **found.values})
        self.board.scalars(trainer.step, {f"validation/{name}": value for name, value in found.values.items()})
        self.board.picture(trainer.step, "validation", found.sheet)
        save(found.sheet, self.run / "validation" / f"{trainer.step:08d}.jpg", overwrite=True)
        better = found.score > self.best["score"]
        if better or self.recipe.run.keep == "last":
            save(found.sheet, self.run / "sheet.jpg", overwrite=True)
        if better:
            weights = {key: value.detach().cpu().clone() for key, value in trainer.best_product.state_dict().items()}
            self.best = {"score": found.score, "values": found.values, "step": trainer.step, "weights": weights}
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
        self.spent = seconds

    def _restore(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state)
        self.best, self.returns, self.seconds = state["best"], state["returns"], state["seconds"]
        self.spent = self.seconds

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
            words = in_words(found.values)
            note = f"step {step}: " + (f"validation {words}" if words else "a sheet")
        preview = found.sheet if found is not None else None
        heard = self.on_step(
            Step(step, self.recipe.run.steps, left, loss, preview, note if self.chief else None, speed)
        )
        return heard is not False

    def _write_weight(self, path: Path, other: nn.Module | None = None) -> None:
        """The product's weight, or that of another network, of its last step."""
        recipe, trainer = self.recipe, self.trainer
        table = recipe.table()
        if other is not None:  # it goes the other way: what the recipe would ship with input and target exchanged
            table["data"]["swap"] = not recipe.data.swap
        weights = (trainer.best_product if other is None else other).state_dict()
        if other is None and recipe.run.keep == "best" and self.best["weights"]:
            weights = self.best["weights"]
        said = {field.name: getattr(recipe.card, field.name) for field in dataclasses.fields(recipe.card)}
        back = said.pop("back")
        if other is not None and back:
            said["summary"] = back
        card = Card(
            name=path.stem,
            architecture=recipe.network.name,
            arguments=recipe.network.arguments,
            recipe=table,
            classes=recipe.data.classes,
            base=recipe.network.base or "",
            data=_named(self.images),
            steps=trainer.step,
            seed=recipe.run.seed,
            trained_on=f"{trainer.here.world} x {_device_name(trainer.device)}",
            hours=round(self.spent / 3600, 2),
            parameters=count_parameters(trainer.product),
            curves=curves(self.run / "log.csv"),
            **said,
        )
        save_weights(path, weights, card, store=recipe.run.store)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _named(images: Sequence[Path]) -> tuple[str, ...]:
    """The names of the data sets, and how often each was given: a path of somebody's machine is nobody's business."""
    places = [folder.resolve() for folder in images]
    counted = Counter(place.parent.name if place.name == "train" else place.name for place in places)
    return tuple(name if times == 1 else f"{name}, {times} times" for name, times in counted.items())
