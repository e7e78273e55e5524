"""From pictures to batches: the same whatever prepares them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from torch import Tensor

from retouch.image.errors import OptionError, RetouchError
from retouch.training.data import Batch, Portions, Samples, generator_of, make_loader, to_channels
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe

RecipeMaker = Callable[..., TrainingRecipe]
NOISE = [{"step": [{"kind": "gaussian_noise", "sigma": 25}]}]


@pytest.fixture(scope="module")
def pictures(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    cache = tmp_path_factory.mktemp("cache") / "kept.pixels"
    return load_pictures(find_pictures([photographs]), cache, on_skip=lambda reason: None)


def _of(folder: Path) -> Pictures:
    return load_pictures(find_pictures([folder]), None, on_skip=lambda reason: None)


def _equal(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _joined(batches: list[Batch]) -> Batch:
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


# -- levels

DAMAGES = {
    "noise": [{"kind": "gaussian_noise", "sigma": [10, 40]}],
    "jpeg": [{"kind": "jpeg", "quality": [10, 80]}],
    "enlarged": [{"kind": "resize_blur", "factor": [1.5, 3]}],
    "blur": [{"kind": "gaussian_blur", "sigma": [0.7, 2.0]}],
    "overlay": [{"kind": "holes"}],
}


def _told(tiny: RecipeMaker, pictures: Pictures, steps: list[dict[str, Any]], count: int = 60) -> Tensor:
    """``(count, 5)``: what is told of samples with this damage."""
    changes = {"data.channels": "rgb", "data.levels": True, "data.degradation": [{"step": steps}]}
    batch = Samples(pictures, tiny(changes)).__getitems__(list(range(count)))
    assert batch["input"].shape[1] == 3 + len(DAMAGES)
    assert batch["target"].shape[1] == 3
    planes = batch["input"][:, 3:]
    assert torch.equal(planes, planes[..., :1, :1].expand_as(planes))
    return planes[..., 0, 0]


@pytest.mark.parametrize(("place", "damage"), list(enumerate(DAMAGES)))
def test_the_level_of_a_damage_is_told_and_no_other(
    tiny: RecipeMaker, pictures: Pictures, place: int, damage: str
) -> None:
    told = _told(tiny, pictures, DAMAGES[damage])
    assert bool((told[:, place] > 0).all())
    others = told[:, [n for n in range(4) if n != place]]
    assert not bool(others.any())
    if damage == "overlay":
        assert bool((told[:, 4] == 1).all())
    else:
        asked = float(told[:, 4].mean())
        assert 0.1 < asked < 0.5, "text is looked for in some pictures that have none"


def test_levels_are_a_little_off_and_of_several_damages_some_are_missed(tiny: RecipeMaker, pictures: Pictures) -> None:
    fixed = {"kind": "gaussian_noise", "sigma": 25}
    noise = _told(tiny, pictures, [fixed])[:, 0]
    assert len(set(noise.tolist())) > 50
    assert 0.45 <= float(noise.min()) < 0.47
    assert 0.53 < float(noise.max()) <= 0.55
    several = _told(tiny, pictures, [{"kind": "jpeg", "quality": 50}, fixed])[:, [0, 1]]
    missed = (several == 0).float().mean(0)
    assert bool((missed > 0.1).all())
    assert bool((missed < 0.5).all())


def test_the_picture_is_the_one_without_levels(tiny: RecipeMaker, pictures: Pictures) -> None:
    steps = [*DAMAGES["blur"], *DAMAGES["noise"], *DAMAGES["jpeg"]]
    recipe = {"data.channels": "rgb", "data.degradation": [{"step": steps}]}
    plain = Samples(pictures, tiny(recipe)).__getitems__([3])
    told = Samples(pictures, tiny(recipe | {"data.levels": True})).__getitems__([3])
    assert torch.equal(told["input"][:, :3], plain["input"])
    assert torch.equal(told["target"], plain["target"])


# -- samples


@pytest.mark.parametrize(
    "degradation",
    [
        None,
        NOISE,
        [{"step": [{"kind": "gaussian_noise", "sigma": [0, 55]}]}, {"step": [{"kind": "random_jpeg"}]}],
        [{"step": [{"kind": "jpeg", "quality": {"choice": [30, 90]}, "probability": 0.5}]}],
    ],
)
@pytest.mark.parametrize("channels", ["y", "rgb"])
def test_a_portion_equals_its_samples_one_by_one(
    tiny: RecipeMaker, pictures: Pictures, degradation: list[Any] | None, channels: str
) -> None:
    changes = {"data.channels": channels} | ({} if degradation is None else {"data.degradation": degradation})
    samples = Samples(pictures, tiny(changes))
    assert samples.settled == (degradation is None)
    whole = samples.__getitems__(list(range(20, 29)))
    assert _equal(whole, _joined([samples[number] for number in range(20, 29)]))
    assert _equal(whole, Samples(pictures, tiny(changes)).__getitems__(list(range(20, 29))))


@settings(max_examples=25)
@given(numbers=st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
def test_any_portion_of_any_samples(tiny: RecipeMaker, pictures: Pictures, numbers: list[int]) -> None:
    samples = Samples(pictures, tiny({"data.degradation": NOISE}))
    fresh = Samples(pictures, tiny({"data.degradation": NOISE}))
    assert _equal(samples.__getitems__(numbers), _joined([fresh[number] for number in reversed(numbers)][::-1]))


def test_seeds_and_numbers_decide(tiny: RecipeMaker, pictures: Pictures) -> None:
    ours, others = Samples(pictures, tiny()), Samples(pictures, tiny({"run.seed": 1}))
    assert not _equal(ours.__getitems__([0, 1, 2]), others.__getitems__([0, 1, 2]))
    assert len({tuple(ours[n]["target"].flatten().tolist()) for n in range(60)}) == 60


def test_each_round_takes_every_picture_once_in_another_order(tiny: RecipeMaker, tmp_path: Path) -> None:
    for value in range(6):
        Pillow.fromarray(np.full((16, 16), 40 * value, np.uint8)).save(tmp_path / f"{value}.png")
    samples = Samples(_of(tmp_path), tiny({"data.channels": "grey"}))
    values = [round(float(samples[n]["target"].mean()) * 255) // 40 for n in range(24)]
    rounds = [tuple(values[i : i + 6]) for i in range(0, 24, 6)]
    assert all(sorted(one) == list(range(6)) for one in rounds)
    assert len(set(rounds)) > 1


def test_crops_turns_and_flips_are_all_eight_and_lie_in_the_picture(tiny: RecipeMaker, tmp_path: Path) -> None:
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Pillow.fromarray(array).save(tmp_path / "a.png")
    ways = {
        np.rot90(flipped, k).tobytes() for flipped in (array, array[:, ::-1]) for k in range(4)
    }  # fmt: skip

    def seen(**changes: Any) -> set[bytes]:
        recipe = tiny({"data.channels": "grey"} | {f"data.{key}": value for key, value in changes.items()})
        samples = Samples(_of(tmp_path), recipe)
        return {(samples[n]["target"][0, 0] * 255).round().byte().numpy().tobytes() for n in range(80)}

    assert len(ways) == 8
    assert seen() == ways
    assert seen(rotations=False) == {array.tobytes(), array[:, ::-1].tobytes()}
    assert seen(flips=False) == {np.rot90(array, k).tobytes() for k in range(4)}
    cuts = {array[i : i + 14, j : j + 14].tobytes() for i in range(3) for j in range(3)}
    assert seen(flips=False, rotations=False, crop=14) == cuts


def test_input_is_the_degraded_target(tiny: RecipeMaker, pictures: Pictures) -> None:
    recipe = tiny()
    batch = Samples(pictures, recipe).__getitems__([0, 5])
    assert batch["target"].shape == (2, 1, 16, 16)
    assert batch["input"].shape == (2, 1, 8, 8)
    assert batch["target"].dtype == batch["input"].dtype == torch.float32
    assert torch.equal(batch["input"], recipe.degradations()[0](batch["target"], None))


def test_noise_is_of_each_sample(tiny: RecipeMaker, pictures: Pictures) -> None:
    batch = Samples(pictures, tiny({"data.degradation": NOISE})).__getitems__(list(range(64)))
    noise = batch["input"] - batch["target"]
    assert abs(float(noise.std()) * 255 - 25) < 0.5
    cosines = torch.corrcoef(noise.flatten(1)) - torch.eye(64)
    assert float(cosines.abs().max()) < 0.4  # of 256 values: five standard deviations


def test_every_degradation_is_used_alike(tiny: RecipeMaker, pictures: Pictures) -> None:
    two = [{"step": [{"kind": "brightness", "shift": 0.0}]}, {"step": [{"kind": "gaussian_noise", "sigma": 25}]}]
    batch = Samples(pictures, tiny({"data.degradation": two})).__getitems__(list(range(200)))
    clean = int((batch["input"] == batch["target"]).flatten(1).all(1).sum())
    assert 70 < clean < 130


def test_shrink_makes_the_scene_smaller(tiny: RecipeMaker, tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 60, axis=0)
    Pillow.fromarray(ramp).save(tmp_path / "a.png")
    plain = {"data.channels": "grey", "data.flips": False, "data.rotations": False}

    def slope(factor: float) -> float:
        samples = Samples(_of(tmp_path), tiny(plain | {"data.shrink": [factor]}))
        return float(samples[3]["target"][0, 0, 8].diff()[4:12].mean()) * 255

    assert slope(1.0) == pytest.approx(4, abs=0.05)
    assert slope(0.5) == pytest.approx(8, abs=0.1)


# -- sizes


def test_augmentation_changes_the_target_and_by_it_the_input(tiny: RecipeMaker, pictures: Pictures) -> None:
    steps = [{"kind": "contrast", "factor": 0.5}, {"kind": "perspective", "strength": 0.2, "probability": 0.5}]
    nothing = {"data.degradation": [{"step": [{"kind": "brightness", "shift": 0.0}]}]}
    plain, changed = (Samples(pictures, tiny(nothing | more)) for more in ({}, {"data.augment": steps}))
    numbers = list(range(12))
    before, after = plain.__getitems__(numbers), changed.__getitems__(numbers)
    assert torch.equal(after["input"], after["target"])
    flat = [
        torch.allclose(one, (other - 0.5) / 2 + 0.5)
        for one, other in zip(after["target"], before["target"], strict=True)
    ]
    assert 1 < sum(flat) < 11  # the others are warped too
    assert _equal(after, _joined([changed[number] for number in numbers]))


@pytest.mark.parametrize("kind", ["random_crop", "downsample"])
def test_augmentation_that_changes_the_size_is_refused(tiny: RecipeMaker, kind: str) -> None:
    with pytest.raises(OptionError, match=f"data: augment must not change the size, as {kind} does"):
        tiny({"data.augment": [{"kind": kind}]})


def test_pictures_smaller_than_the_crop(tiny: RecipeMaker, tmp_path: Path) -> None:
    for name, size in (("a", (30, 20)), ("small", (40, 12)), ("b", (16, 16))):
        Pillow.new("L", size).save(tmp_path / f"{name}.png")
    with pytest.raises(RetouchError, match=r"^small\.png: 40x12 is smaller than the crop of 16 pixels"):
        Samples(_of(tmp_path), tiny())
    skipping = Samples(_of(tmp_path), tiny({"data.small": "skip"}))
    assert [entry.name for entry in skipping.pictures.entries] == ["a.png", "b.png"]
    assert len(skipping) == 2
    with pytest.raises(RetouchError, match="no picture is as large as the crop of 64 pixels"):
        Samples(_of(tmp_path), tiny({"data.small": "skip", "data.crop": 64}))


# -- channels


def test_channels() -> None:
    colour = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, 2, 2)
    y = (16 + 65.481 * 0.2 + 128.553 * 0.5 + 24.966 * 0.9) / 255
    assert to_channels(colour, "y").flatten().tolist() == pytest.approx([y] * 4, abs=1e-5)
    full = 0.299 * 0.2 + 0.587 * 0.5 + 0.114 * 0.9
    assert to_channels(colour, "grey").flatten().tolist() == pytest.approx([full] * 4, abs=1e-5)
    assert to_channels(colour, "rgb") is colour
    one = torch.full((1, 2, 2), 0.4)
    assert torch.equal(to_channels(one, "rgb"), one.expand(3, 2, 2))
    assert torch.equal(to_channels(one, "grey"), one)
    assert torch.equal(to_channels(one, "y"), one)  # as the measuring protocol takes grey pictures


# -- generators


def test_neighbouring_numbers_give_unrelated_streams() -> None:
    streams = torch.stack(
        [torch.randn(200, generator=generator_of(seed, n)) for seed in (0, 1) for n in range(-20, 20)]
    )
    assert float((torch.corrcoef(streams) - torch.eye(80)).abs().max()) < 0.4
    assert torch.equal(torch.rand(3, generator=generator_of(3, 4)), torch.rand(3, generator=generator_of(3, 4)))


# -- portions


def test_portions_by_hand(tiny: RecipeMaker) -> None:
    recipe = tiny({"run.batch": 8, "run.accumulate": 2, "run.steps": 3})
    assert list(Portions(recipe, 1, 0, 1)) == [[8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22, 23]]
    assert list(Portions(recipe, 2, 1, 2)) == [[18, 19], [22, 23]]
    assert list(Portions(recipe, 2, 0, 2, shift=100)) == [[116, 117], [120, 121]]
    assert len(Portions(recipe, 2, 1, 2)) == 2


@settings(max_examples=30)
@given(
    world=st.integers(1, 4), accumulate=st.integers(1, 4), size=st.integers(1, 3), start=st.integers(0, 4),
    shift=st.integers(0, 50),
)  # fmt: skip
def test_processes_together_take_the_batch_of_one(
    tiny: RecipeMaker, world: int, accumulate: int, size: int, start: int, shift: int
) -> None:
    changes = {"run.batch": world * accumulate * size, "run.accumulate": accumulate, "run.steps": 5}
    recipe = tiny(changes)
    parts = [list(Portions(recipe, start, rank, world, shift)) for rank in range(world)]
    joined = [list(itertools.chain(*portions)) for portions in zip(*parts, strict=True)]
    assert joined == list(Portions(recipe, start, 0, 1, shift))
    numbers = list(itertools.chain(*joined))
    assert numbers == list(range(start * recipe.run.batch + shift, 5 * recipe.run.batch + shift))


def test_a_batch_that_cannot_be_split(tiny: RecipeMaker) -> None:
    for batch, accumulate, world in ((4, 2, 3), (2, 2, 2), (6, 2, 2)):
        with pytest.raises(RetouchError, match=f"a batch of {batch} cannot be split evenly over {world} processes"):
            Portions(tiny({"run.batch": batch, "run.accumulate": accumulate}), 0, 0, world)


# -- loaders


def _loaded(samples: Samples, recipe: TrainingRecipe, workers: int, start: int = 0) -> list[dict[str, Tensor]]:
    return list(make_loader(samples, Portions(recipe, start, 0, 1), workers, False))


def test_batches_do_not_depend_on_workers_or_restarts(tiny: RecipeMaker, pictures: Pictures) -> None:
    recipe = tiny({"run.steps": 5, "data.degradation": NOISE})
    samples = Samples(pictures, recipe)
    alone = _loaded(samples, recipe, 0)
    assert len(alone) == 5
    for workers in (1, 2):
        assert all(_equal(a, b) for a, b in zip(_loaded(samples, recipe, workers), alone, strict=True))
    after = _loaded(Samples(pictures, recipe), recipe, 0, start=3)
    assert all(_equal(a, b) for a, b in zip(after, alone[3:], strict=True))
    joined = [samples.__getitems__(list(range(s * 4, s * 4 + 4))) for s in range(5)]
    assert all(_equal(a, b) for a, b in zip(joined, alone, strict=True))
