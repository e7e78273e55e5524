"""Distillation: which picture a teacher makes the target, of which view, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.degradations.resample import Downsample
from retouch.image.errors import OptionError
from retouch.models.card import Card
from retouch.models.load import Model, checksum, read_tensors
from retouch.models.runner import Runner
from retouch.networks.spec import Spec
from retouch.training.data import Samples
from retouch.training.fit import Result
from retouch.training.objectives.teacher import Teacher, make_teacher
from retouch.training.pictures import find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe
from retouch.training.trainer import Trainer

RecipeMaker = Callable[..., TrainingRecipe]
SEVERAL = {
    "data.degradation": [
        {"step": [{"kind": "downsample", "factor": factor}, {"kind": "upsample", "factor": factor}]}
        for factor in (2, 4)
    ],
    "network.arguments.scale": 1,
    "card.scales": [2, 4],
}


class Slanted(nn.Module):
    """What no view but one makes: each value becomes its right neighbour's, plus ``offset``."""

    def __init__(self, offset: float = 0.0, scale: int = 1, channels: int = 1) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))
        self.spec = Spec(channels=channels, scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        large = x.repeat_interleave(self.spec.scale, 2).repeat_interleave(self.spec.scale, 3)
        return large.roll(-1, 3) + self.offset


@pytest.fixture(scope="module")
def samples(photographs: Path) -> Callable[[TrainingRecipe], Samples]:
    pictures = load_pictures(find_pictures([photographs]), None, on_skip=lambda reason: None)
    return lambda recipe: Samples(pictures, recipe)


def _batch(channels: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (2, channels, 6, 6)
    return {"input": torch.rand(shape, generator=generator) / 2, "target": torch.rand(shape, generator=generator)}


def test_the_target_is_the_output_for_one_view_and_the_mean_of_all_the_ensemble() -> None:
    batch, network = _batch(), Slanted(0.25)
    teacher = Teacher([network])
    with torch.no_grad():
        network.offset.add_(1)  # what learns is not what teaches
    torch.manual_seed(0)
    made = [teacher(batch)["target"] for _ in range(200)]
    # the neighbour is to the right, the left, above or below: flips and quarter turns give each of the four twice
    views = [batch["input"].roll(shift, axis) + 0.25 for shift in (-1, 1) for axis in (2, 3)]
    counts = [sum(torch.equal(one, view) for one in made) for view in views]
    assert sum(counts) == 200
    assert min(counts) > 25
    card = Card(name="t", family="t", architecture="srcnn", arguments={}, tasks=("denoise",), colour="y", summary="")
    eight = Runner(Model(card, Slanted(0.25).eval(), Path("t")), precision="fp32", device="cpu", views=8)
    for one, mean in zip(batch["input"], torch.stack(views).mean(0), strict=True):
        assert torch.allclose(eight.run(one, 1), mean, atol=1e-6)


def test_share_leaves_some_of_the_true_picture() -> None:
    batch = _batch()
    torch.manual_seed(1)
    whole = Teacher([Slanted()])(batch)
    torch.manual_seed(1)
    part = Teacher([Slanted()], share=0.75)(batch)
    assert torch.allclose(part["target"], 0.75 * whole["target"] + 0.25 * batch["target"])
    assert torch.equal(part["input"], batch["input"])


def test_each_damage_has_its_own_teacher_who_sees_what_the_first_steps_leave(
    tiny: RecipeMaker, samples: Callable[..., Samples]
) -> None:
    recipe = tiny(SEVERAL)
    batch = samples(recipe).__getitems__(range(12))
    teacher = make_teacher({"names": ["start", "start"], "shown": 1}, recipe, nn.Identity())
    teacher.networks = nn.ModuleList([Slanted(0.1, 2, 3), Slanted(0.2, 4, 3)])  # for colour: grey in three channels
    torch.manual_seed(2)
    made = teacher(batch)["target"]
    assert made.shape == batch["target"].shape
    assert {*batch["damage"].tolist()} == {0, 1}
    for number, factor, offset in ((0, 2, 0.1), (1, 4, 0.2)):
        those = batch["damage"] == number
        small = Downsample(factor)(batch["target"][those], torch.Generator())
        large = small.repeat_interleave(factor, 2).repeat_interleave(factor, 3) + offset
        views = [large.roll(shift, axis) for shift in (-1, 1) for axis in (2, 3)]
        assert any(torch.allclose(made[those], view, atol=1e-6) for view in views), factor
    # or the network's own input, for one of them
    mixed = make_teacher({"names": ["start", "start"], "shown": [0, 1]}, recipe, nn.Identity())
    mixed.networks = nn.ModuleList([Slanted(0.1, 1), Slanted(0.2, 4)])
    made, those = mixed(batch)["target"], batch["damage"] == 0
    views = [batch["input"][those].roll(shift, axis) + 0.1 for shift in (-1, 1) for axis in (2, 3)]
    assert any(torch.allclose(made[those], view, atol=1e-6) for view in views)
    # one network for all of them may be shown the first steps too, here of a damage that is the only one
    alone = tiny({"data.crop": 8})
    two = make_teacher({"names": ["start"], "shown": 1}, alone, Slanted(0.1, 2))
    batch = samples(alone).__getitems__(range(3))
    assert "damage" not in batch
    assert two(batch)["target"].shape == batch["target"].shape


def test_a_run_is_taught_and_goes_on_alike_and_the_teacher_stays(
    tiny: RecipeMaker, train: Callable[..., Result], samples: Callable[..., Samples], tmp_path: Path
) -> None:
    recipe = tiny({"objective.arguments.teacher": {"names": ["start"]}, "run.steps": 6, "run.ema": 0.0})
    trainer = Trainer(recipe, samples(recipe))
    teacher = trainer.objective.teacher  # type: ignore[attr-defined]
    before = [value.clone() for value in teacher.networks.parameters()]
    found = [float(trainer.run_step()["loss"]) for _ in range(3)]
    assert found[0] > 0  # it does not do alike in all views
    true = Trainer(tiny(), samples(tiny()))
    assert float(true.run_step()["loss"]) > 10 * found[0]  # its own pictures are much nearer than the true ones
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.networks.parameters(), strict=True))
    assert not torch.equal(next(trainer.product.parameters()), before[0])
    whole, first = train(recipe, "whole"), train(recipe, "parts", on_step=lambda step: step.index < 3)
    assert not first.finished
    assert checksum(read_tensors(train(recipe, "parts").weight)) == checksum(read_tensors(whole.weight))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("start", "teacher must be a table with names"),
        ({"name": "start"}, "unknown key 'name'; did you mean 'names'?"),
        ({}, "names must be a list of one weight, or of 2, one for each damage"),
        ({"names": []}, "names must be a list"),
        ({"names": "start"}, "names must be a list"),
        ({"names": ["start"] * 3}, "names must be a list"),
        ({"names": ["residual-x22"]}, "unknown model 'residual-x22'; did you mean 'residual-x2'?"),
        ({"names": ["start"], "share": 0}, "share must be above 0 and at most 1, not 0"),
        ({"names": ["start"], "share": True}, "share must be above 0"),
        ({"names": ["start"], "shown": 3}, "shown must be a number of steps of tiny-1, not 3"),
        ({"names": ["start"], "shown": -1}, "shown must be a number of steps"),
        ({"names": ["start"], "shown": [0, 3]}, "shown must be a number of steps of tiny-2, not 3"),
        ({"names": ["start"], "shown": [1]}, "shown must have 2 numbers, one for each damage"),
        ({"names": ["start"], "shown": "11"}, "shown must be a number of steps of tiny-1, not '11'"),
    ],
)
def test_what_is_no_teacher_is_refused(
    table: Any, message: str, tiny: RecipeMaker, samples: Callable[..., Samples]
) -> None:
    recipe = tiny(SEVERAL | {"objective.arguments.teacher": table})
    with pytest.raises(OptionError) as caught:
        Trainer(recipe, samples(recipe))
    assert message in str(caught.value)


def test_what_is_drawn_cannot_be_shown_and_sizes_must_agree(tiny: RecipeMaker) -> None:
    noisy = {"data.degradation": [{"step": [{"kind": "gaussian_noise", "sigma": 25.0}]}], "card.scales": []}
    with pytest.raises(OptionError, match="what is shown of tiny-1 is drawn anew each time"):
        make_teacher({"names": ["start"], "shown": 1}, tiny(noisy), nn.Identity())
    with pytest.raises(OptionError, match=r"the teacher gives \(1, 12, 12\), not \(1, 6, 6\) as the target"):
        Teacher([Slanted(scale=2)])(_batch())


def test_only_supervised_objectives_have_teachers(tiny: RecipeMaker, samples: Callable[..., Samples]) -> None:
    recipe = tiny({"objective": {"name": "vae", "arguments": {"teacher": {"names": ["start"]}}}})
    with pytest.raises(OptionError, match="unknown argument 'teacher' of objective vae"):
        Trainer(recipe, samples(recipe))
