"""The loop: what a step does, what a run leaves behind, how it goes on and how it recovers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError, RetouchError
from retouch.models.load import checksum, load_weights, read_tensors
from retouch.models.verify import problems
from retouch.networks.build import build
from retouch.solvers.steps import Step
from retouch.training import checkpoint
from retouch.training.data import Samples
from retouch.training.fit import Result
from retouch.training.objectives.build import OBJECTIVES
from retouch.training.objectives.supervised import Supervised
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe, read_table
from retouch.training.trainer import Trainer, make_network

RecipeMaker = Callable[..., TrainingRecipe]
CRITIC = {"name": "fsrcnn", "arguments": {"scale": 1, "width": 4, "shrunk": 2, "depth": 1}}
GAN = {
    "critic": CRITIC,
    "objective": {"name": "adversarial", "arguments": {"losses": [{"name": "l1"}], "weight": 0.1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def samples(photographs: Path) -> Callable[[TrainingRecipe], Samples]:
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    return lambda recipe: Samples(pictures, recipe)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def losses(run: Path) -> list[tuple[str, ...]]:
    """Everything in the log but the speed."""
    return [tuple(value for key, value in row.items() if key != "images_per_second") for row in rows(run / "log.csv")]


def _weights(network: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten().clone() for value in network.parameters()])


# -- steps


def test_loss_falls(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny({"run.steps": 80, "network.arguments.initial": "interpolation", "optimizer.rate": 3e-3})
    trainer = Trainer(recipe, samples(recipe))
    found = [float(trainer.run_step()["loss"]) for _ in range(80)]
    assert sum(found[-20:]) < 0.8 * sum(found[:20])


def test_a_step_by_hand(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny(
        {"optimizer": {"name": "sgd", "rate": 0.05, "momentum": 0.0}, "schedule.name": "constant", "run.ema": 0}
    )
    trainer = Trainer(recipe, samples(recipe))
    torch.manual_seed(recipe.run.seed)
    network = build(recipe.network.name, recipe.network.arguments)
    assert torch.equal(_weights(network), _weights(trainer.product))
    assert trainer.best_product is trainer.product
    for step in range(3):
        batch = samples(recipe).__getitems__(list(range(step * 4, step * 4 + 4)))
        loss = (network(batch["input"]) - batch["target"]).square().mean()
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad
        assert float(trainer.run_step()["loss"]) == pytest.approx(loss.item(), rel=1e-5)
    assert torch.allclose(_weights(network), _weights(trainer.product), atol=1e-7, rtol=1e-5)


def test_portions_make_one_step(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    found = []
    for accumulate in (1, 2, 4):
        recipe = tiny({"run.accumulate": accumulate, "optimizer": {"name": "sgd", "rate": 0.05}})
        trainer = Trainer(recipe, samples(recipe))
        measured = [float(trainer.run_step()["loss"]) for _ in range(4)]
        found.append((measured, _weights(trainer.product)))
    for measured, weights in found[1:]:
        assert measured == pytest.approx(found[0][0], rel=1e-5)
        assert float((weights - found[0][1]).abs().max()) < 1e-6


def test_average_of_the_weights(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny({"run.ema": 0.3, "optimizer.rate": 0.01})
    trainer = Trainer(recipe, samples(recipe))
    expected = torch.zeros(0)
    for count in range(5):
        trainer.run_step()
        keep = min(0.3, (1 + count) / (10 + count))
        now = _weights(trainer.product)
        expected = now if count == 0 else keep * expected + (1 - keep) * now
        assert torch.allclose(_weights(trainer.best_product), expected, atol=1e-6)
    assert not torch.allclose(expected, now, atol=1e-4)


def test_border_and_weights_of_losses(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    arguments = {"losses": [{"name": "l1", "weight": 2.0}, {"name": "l2", "weight": 0.5}], "border": 3}
    recipe = tiny({"objective": {"name": "supervised", "arguments": arguments}})
    trainer = Trainer(recipe, samples(recipe))
    batch = samples(recipe).__getitems__([0, 1, 2, 3])
    with torch.no_grad():
        error = (trainer.product(batch["input"]) - batch["target"])[..., 3:-3, 3:-3]
    found = trainer.run_step()
    assert error.shape[-1] == 10
    assert float(found["l1"]) == pytest.approx(float(error.abs().mean()), rel=1e-5)
    assert float(found["l2"]) == pytest.approx(float(error.square().mean()), rel=1e-5)
    assert float(found["loss"]) == pytest.approx(2 * float(found["l1"]) + 0.5 * float(found["l2"]), rel=1e-5)


@pytest.mark.parametrize("frozen", ["features.", "*eat*s."])
def test_frozen_parameters_stay(tiny: RecipeMaker, samples: Callable[..., Samples], frozen: str) -> None:
    recipe = tiny({"network.frozen": [frozen]})
    trainer = Trainer(recipe, samples(recipe))
    before = {name: value.detach().clone() for name, value in trainer.product.named_parameters()}
    for _ in range(2):
        trainer.run_step()
    for name, value in trainer.product.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("features.")


def test_bfloat16_on_the_processor_trains_float32_weights(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        recipe = tiny({"run.precision": precision})
        trainer = Trainer(recipe, samples(recipe))
        found.append([float(trainer.run_step()["loss"]) for _ in range(3)])
        assert all(parameter.dtype == torch.float32 for parameter in trainer.product.parameters())
    assert found[1] == pytest.approx(found[0], rel=0.02)
    assert found[1] != found[0]
    recipe = tiny({"run.precision": "fp16"})
    with pytest.raises(OptionError, match="fp16 is for CUDA devices only"):
        Trainer(recipe, samples(recipe))


class _Drawing(Supervised):
    """An objective that draws from the global generator, as dropout and variational ones do."""

    def loss(self, turn: str, batch: Any, networks: Any) -> dict[str, Tensor]:
        parts = super().loss(turn, batch, networks)
        return parts | {"loss": parts["loss"] * (1 + torch.rand(()))}


@pytest.mark.parametrize("changes", [{}, {"schedule.name": "step"}, {"schedule.name": "one-cycle"},
                                     {"schedule.warmup": 4}, {"optimizer.name": "rmsprop"}, GAN])  # fmt: skip
def test_state_goes_on_to_the_same_numbers(
    tiny: RecipeMaker, samples: Callable[..., Samples], changes: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not changes:
        monkeypatch.setitem(OBJECTIVES, "supervised", _Drawing)
    recipe = tiny(changes)
    whole = Trainer(recipe, samples(recipe))
    for step in range(12):
        if step == 3:
            checkpoint.save(tmp_path / "c.pt", whole.state_dict() | {"identity": {}})
            other = Trainer(recipe, samples(recipe))
            other.run_step()  # whatever it did before must not matter
            other.load_state_dict(checkpoint.load(tmp_path / "c.pt", {}))
        if step < 3:
            whole.run_step()
        else:
            assert {k: float(v) for k, v in whole.run_step().items()} == {
                k: float(v) for k, v in other.run_step().items()
            }
            assert whole.rate == other.rate
    assert torch.equal(_weights(whole.best_product), _weights(other.best_product))


def test_unknown_turn_and_objective_arguments(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    for changes, message in (
        ({"optimizer.turn": {"critc": {"rate": 1.0}}} | GAN, "unknown turn 'critc'; did you mean 'critic'?"),
        ({"objective.name": "supervise"}, "unknown objective 'supervise'; did you mean 'supervised'?"),
        (
            {"objective.arguments": {"loses": []}},
            "unknown argument 'loses' of objective supervised; did you mean 'losses'",
        ),
        ({"objective.arguments": {"losses": [{"name": "l3"}]}}, "unknown loss 'l3'"),
        ({"objective.arguments": {"losses": []}}, "losses must not be empty"),
        ({"objective.arguments": {"losses": [{"weight": 1}]}}, "every loss needs a name"),
        ({"network.name": "fsrcn"}, "unknown network 'fsrcn'; did you mean 'fsrcnn'?"),
        ({"network.arguments": {"scal": 2}}, "unknown argument 'scal' of network fsrcnn; did you mean 'scale'?"),
        ({"critic": CRITIC}, "objective supervised has no use for a [critic]"),
        ({"objective": GAN["objective"]}, "objective adversarial needs a [critic]"),
    ):
        recipe = tiny(changes)
        with pytest.raises(OptionError) as caught:
            Trainer(recipe, samples(recipe))
        assert message in str(caught.value)


# -- adversarial


def test_each_turn_moves_its_own_network(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny(GAN | {"run.accumulate": 2})
    trainer = Trainer(recipe, samples(recipe))
    seen: list[tuple[str, Tensor, Tensor]] = []
    made: list[Tensor] = []
    generator, critic = trainer.objective.networks["generator"], trainer.objective.networks["critic"]
    generator.register_forward_hook(lambda module, given, output: made.append(output.detach().clone()))
    original = trainer._turn

    def watched(turn: Any, batches: Sequence[Any]) -> dict[str, Tensor]:
        before = _weights(generator), _weights(critic)
        found = original(turn, batches)
        seen.append((turn.name, _weights(generator) - before[0], _weights(critic) - before[1]))
        if turn.name == "generator":  # nothing is computed for a network that stays
            assert all(parameter.grad is None for parameter in critic.parameters())
        return found

    judged: list[Tensor] = []
    critic.register_forward_pre_hook(lambda module, given: judged.append(given[0].detach().clone()))
    trainer._turn = watched  # type: ignore[method-assign]
    found = trainer.run_step()
    assert [name for name, _, _ in seen] == ["generator", "critic"]
    assert seen[0][1].abs().max() > 0
    assert not seen[0][2].any()
    assert not seen[1][1].any()
    assert seen[1][2].abs().max() > 0
    assert {"loss", "l1", "adversarial", "critic.loss"} == set(found)
    # generator's turn: each portion's output; critic's turn: target and that same output, portion by portion
    batches = [samples(recipe).__getitems__([0, 1]), samples(recipe).__getitems__([2, 3])]
    assert len(made) == 2
    assert len(judged) == 6
    expected = [*made, batches[0]["target"], made[0], batches[1]["target"], made[1]]
    assert all(torch.equal(a, b) for a, b in zip(judged, expected, strict=True))


def test_adversarial_losses_by_hand(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny(GAN | {"optimizer.turn": {"critic": {"rate": 0.5}}})
    trainer = Trainer(recipe, samples(recipe))
    assert trainer.optimizers["generator"].param_groups[0]["lr"] == 1e-3
    assert trainer.optimizers["critic"].param_groups[0]["lr"] == 0.5
    batch = samples(recipe).__getitems__([0, 1, 2, 3])
    with torch.no_grad():
        made = trainer.objective.networks["generator"](batch["input"])
        fake, real = (trainer.objective.networks["critic"](x) for x in (made, batch["target"]))
    found = {key: float(value) for key, value in trainer.run_step().items()}
    fooled = -float(torch.sigmoid(fake).log().mean())
    assert found["adversarial"] == pytest.approx(fooled, rel=1e-4)
    l1 = float((made - batch["target"]).abs().mean())
    assert found["loss"] == pytest.approx(l1 + 0.1 * fooled, rel=1e-4)
    right = -float(torch.sigmoid(real).log().mean()) - float((1 - torch.sigmoid(fake)).log().mean())
    assert found["critic.loss"] == pytest.approx(right, rel=1e-4)


def test_srgan_like_run_stops_and_goes_on(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    changes = {
        "network": {"name": "srresnet", "arguments": {"scale": 2, "blocks": 1, "width": 4}},
        "critic": {"name": "srgan-discriminator", "arguments": {"size": 16}},
        "data.channels": "rgb", "card.colour": "rgb", "run.steps": 4, "run.ema": 0.5,
    }  # fmt: skip
    recipe = tiny(GAN | changes)
    whole = train(recipe, "whole")
    assert whole.finished
    assert {"critic.loss", "adversarial", "l1"} <= set(rows(tmp_path / "whole" / "log.csv")[0])
    assert not train(recipe, "parts", on_step=lambda step: step.index < 2).finished
    assert train(recipe, "parts").finished
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 4
    assert checksum(read_tensors(whole.weight)) == checksum(read_tensors(tmp_path / "parts" / "tiny.safetensors"))


# -- what a run leaves


def test_a_recipe_says_how_its_numbers_are_stored(tiny: RecipeMaker, train: Callable[..., Result]) -> None:
    wide = {"run.steps": 2, "network.arguments.shrunk": 24}
    whole = load_weights(train(tiny(wide | {"run.store": "fp32"})).weight).network.state_dict()
    weight = train(tiny(wide | {"run.store": "int8"})).weight  # the same run, finished: only its file is another
    stored = read_tensors(weight)
    large = [key for key, value in whole.items() if value.numel() >= 4096 and min(value.shape[:2]) >= 16]
    assert large
    assert {name for name, value in stored.items() if value.dtype == torch.int8} == set(large)
    for name, value in load_weights(weight).network.state_dict().items():
        assert torch.allclose(value, whole[name], atol=float(whole[name].abs().max()) / 250), name


def test_what_a_run_leaves(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, photographs: Path) -> None:
    recipe = tiny({"run.validate_every": 4, "run.steps": 8, "run.seed": 5})
    heard: list[Step] = []
    result = train(recipe, on_step=heard.append)
    run = tmp_path / "run"
    assert (result.finished, result.steps, result.weight) == (True, 8, run / "tiny.safetensors")
    assert read_table(json.loads((run / "recipe.json").read_text())) == recipe
    assert [int(row["step"]) for row in rows(run / "log.csv")] == list(range(1, 9))
    validation = rows(run / "validation.csv")
    assert [int(row["step"]) for row in validation] == [4, 8]
    assert result.psnr == pytest.approx(max(float(row["psnr"]) for row in validation), abs=1e-4)
    assert sorted(path.name for path in (run / "validation").iterdir()) == ["00000004.jpg", "00000008.jpg"]
    assert not list(run.rglob("*.part"))
    model = load_weights(result.weight, architecture="fsrcnn")
    card = model.card
    assert (card.name, card.steps, card.seed, card.scales, card.trained_on) == ("tiny", 8, 5, (2,), "1 x cpu")
    assert card.data == (photographs.resolve().name,)
    assert read_table(card.recipe) == recipe
    assert card.arguments == recipe.network.arguments
    assert card.sha256 == checksum(read_tensors(result.weight))
    assert len(problems(result.weight)) == 1  # nobody measured it yet
    assert model.network(torch.zeros(1, 1, 5, 6)).shape == (1, 1, 10, 12)
    assert [step.index for step in heard if step.index] == list(range(1, 9))
    assert [step.index for step in heard if step.preview is not None] == [4, 8]
    assert all(step.loss is not None and step.speed is not None for step in heard if step.index)
    assert heard[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_events_for_tensorboard(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tiny({"run.steps": 4, "run.validate_every": 2}))
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "events"))
    events.Reload()
    found = events.Scalars("loss")
    logged = rows(tmp_path / "run" / "log.csv")
    assert [event.step for event in found] == [1, 2, 3, 4]
    assert [event.value for event in found] == pytest.approx([float(row["loss"]) for row in logged], rel=1e-5)
    assert [event.step for event in events.Scalars("validation/psnr")] == [2, 4]
    assert [event.step for event in events.Images("validation")] == [2, 4]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_which_weights_are_kept(
    tiny: RecipeMaker, train: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    from retouch.training import fit as room

    shown: list[Tensor] = []
    scores = iter([20.0, 30.0, 25.0, math.nan])
    true = room.Validator.__call__

    def scored(self: Any, objective: Any, network: nn.Module, device: Any) -> Any:
        shown.append(_weights(network))
        value = next(scores)
        return room.Validation({"psnr": value}, value, true(self, objective, network, device).sheet)

    monkeypatch.setattr(room.Validator, "__call__", scored)
    recipe = tiny({"run.steps": 8, "run.validate_every": 2, "run.keep": keep, "optimizer.rate": 0.01})
    result = train(recipe)
    assert result.psnr == 30.0
    stored = _weights(load_weights(result.weight).network)
    near = [bool(torch.allclose(stored, weights, atol=1e-3, rtol=1e-3)) for weights in shown]
    assert near == ([False, True, False, False] if keep == "best" else [False, False, False, True])


def test_validation_pictures_are_not_trained_on(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path, photographs: Path
) -> None:
    from retouch.training.distributed import Place
    from retouch.training.fit import _pictures

    recipe = tiny({"data.held_out": 2})
    tmp_path.joinpath("cache").mkdir()
    nothing: Any = lambda reason: None  # noqa: E731
    _, *split = _pictures(recipe, ([photographs], []), None, tmp_path / "cache", Place(), nothing, None)
    assert all(isinstance(part, Pictures) for part in split)
    names = [{entry.name for entry in part.entries} for part in split]
    assert [len(part) for part in names] == [10, 2]
    assert not names[0] & names[1]
    _, *split = _pictures(recipe, ([photographs], []), photographs, tmp_path / "cache", Place(), nothing, None)
    assert [len(part) for part in split] == [12, 12]
    _, *split = _pictures(
        tiny({"data.held_out": 0}), ([photographs], []), None, tmp_path / "cache", Place(), nothing, None
    )
    assert [len(part) for part in split] == [12, 0]
    assert math.isnan(train(tiny({"data.held_out": 0, "run.steps": 2})).psnr)


# -- stopping and going on


def test_stopped_and_continued(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    recipe = tiny({"run.validate_every": 4, "run.save_every": 5})
    whole = train(recipe, "whole")
    notes: list[str | None] = []
    stopped = train(recipe, "parts", on_step=lambda step: step.index != 7)
    assert (stopped.finished, stopped.steps) == (False, 7)
    assert load_weights(stopped.weight).card.steps == 7
    result = train(recipe, "parts", on_step=lambda step: notes.append(step.note))
    assert "goes on from step 7" in notes
    assert (result.finished, result.steps, result.psnr) == (True, 12, whole.psnr)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert rows(tmp_path / "parts" / "validation.csv") == rows(tmp_path / "whole" / "validation.csv")
    assert checksum(read_tensors(result.weight)) == checksum(read_tensors(whole.weight))


def test_a_finished_run_called_again_does_nothing(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path
) -> None:
    first = train(tiny())
    before = (
        losses(tmp_path / "run"),
        checksum(read_tensors(first.weight)),
        (tmp_path / "run" / "checkpoint.pt").read_bytes(),
    )
    heard: list[Step] = []
    again = train(tiny(), on_step=heard.append)
    assert again == first
    assert all(step.index == 0 for step in heard)
    after = (
        losses(tmp_path / "run"),
        checksum(read_tensors(first.weight)),
        (tmp_path / "run" / "checkpoint.pt").read_bytes(),
    )
    assert after == before


def test_stop_at_the_last_step_is_a_finished_run(tiny: RecipeMaker, train: Callable[..., Result]) -> None:
    assert train(tiny(), on_step=lambda step: step.index != 12).finished


def test_another_recipe_in_the_run_folder_is_refused(
    tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path
) -> None:
    train(tiny({"run.steps": 2}))
    with pytest.raises(
        OptionError, match=r"checkpoint\.pt: is of another run: recipe\.optimizer\.rate was 0\.001, now 0\.01"
    ):
        train(tiny({"run.steps": 2, "optimizer.rate": 0.01}))
    with pytest.raises(OptionError, match=r"recipe\.network\.arguments\.width was 8, now 6"):
        train(tiny({"run.steps": 2, "network.arguments.width": 6}))
    with pytest.raises(OptionError, match="pictures was"):
        train(tiny({"run.steps": 2}), validate=_other(tmp_path))
    assert train(tiny({"run.steps": 2, "run.log_every": 2, "run.save_every": 1})).finished  # decides on no number


def _other(folder: Path) -> Path:
    from PIL import Image as Pillow

    (folder / "other").mkdir()
    Pillow.new("RGB", (40, 40), (9, 80, 200)).save(folder / "other" / "a.png")
    return folder / "other"


def test_fresh_starts_over(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    train(tiny({"run.steps": 3}))
    first = losses(tmp_path / "run")
    result = train(tiny({"run.steps": 3, "optimizer.rate": 0.01}), fresh=True)
    assert (result.finished, result.steps) == (True, 3)
    assert len(losses(tmp_path / "run")) == 3
    assert losses(tmp_path / "run") != first
    train(tiny({"run.steps": 3}), fresh=True)
    assert losses(tmp_path / "run") == first


def test_a_damaged_checkpoint(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    train(tiny({"run.steps": 2}))
    file = tmp_path / "run" / "checkpoint.pt"
    for data in (b"", file.read_bytes()[:1000], b"no checkpoint"):
        file.write_bytes(data)
        with pytest.raises(
            RetouchError, match=r"checkpoint\.pt: not a checkpoint, or a damaged one; --fresh starts over"
        ):
            train(tiny({"run.steps": 2}))
    assert train(tiny({"run.steps": 2}), fresh=True).finished


# -- starting from another weight


def test_start_from_a_weight(tiny: RecipeMaker, train: Callable[..., Result], tmp_path: Path) -> None:
    start = train(tiny({"run.steps": 2}), "first").weight
    given = read_tensors(start)
    same = make_network(tiny({"network.start": str(start)}).network).state_dict()
    assert all(torch.equal(same[key], given[key].float()) for key in given)
    other = {"network.start": str(start), "network.arguments.scale": 3}
    with pytest.raises(OptionError, match=r"has other sizes than fsrcnn .*network\.partly=true"):
        make_network(tiny({**other, "network.arguments.width": 6, "network.arguments.scale": 2}).network)
    partly = tiny({"network.start": str(start), "network.partly": True, "network.arguments.depth": 2}).network
    mixed = make_network(partly).state_dict()
    taken = [key for key in given if key in mixed and torch.equal(mixed[key], given[key].float())]
    assert "features.0.weight" in taken
    assert "deconvolution.weight" in taken
    assert len(taken) < len(mixed)
    with pytest.raises(RetouchError, match="a weight of fsrcnn, not of srcnn"):
        make_network(tiny({"network": {"name": "srcnn", "start": str(start)}}).network)


def test_start_from_a_shallower_chain(tiny: RecipeMaker, train: Callable[..., Result]) -> None:
    chain = {"name": "dncnn", "arguments": {"depth": 4, "width": 4}}
    noise = [{"step": [{"kind": "gaussian_noise", "sigma": 25}]}]
    start = train(tiny({"network": chain, "data.degradation": noise, "run.steps": 2}), "first").weight
    shallow = load_weights(start).network.eval()
    deeper = {"network": {**chain, "start": str(start), "deeper": True}, "network.arguments.depth": 7}
    network = make_network(tiny(deeper).network).eval()
    x = torch.rand(1, 1, 12, 13)
    with torch.no_grad():
        torch.testing.assert_close(network(x), shallow(x))
    with pytest.raises(OptionError, match="a chain of 3 layers is not deeper than one of 4"):
        make_network(tiny({**deeper, "network.arguments.depth": 3}).network)
    vdsr = {"network": {**chain, "name": "vdsr"}, "data.degradation": noise, "run.steps": 2}
    added = train(tiny(vdsr), "added").weight
    subtracts = {"network": {**chain, "start": str(added), "deeper": True}, "network.arguments.depth": 5}
    with torch.no_grad():
        made = make_network(tiny(subtracts).network).eval()(x)
        torch.testing.assert_close(made, load_weights(added).network.eval()(x))
    other = train(tiny({"run.steps": 2}), "other").weight
    with pytest.raises(OptionError, match="fsrcnn is not of the plain chains dncnn, vdsr"):
        make_network(tiny({"network.start": str(other), "network.deeper": True}).network)
