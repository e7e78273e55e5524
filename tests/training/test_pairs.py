"""Pictures of two kinds: which belong together, what is left out and told, and where they are cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from retouch.image.errors import OptionError, RetouchError
from retouch.training.fit import Result
from retouch.training.pairs import Pairs, PairSamples, load_pairs, match, pair_cases
from retouch.training.pictures import Pictures, find_pictures, load_pictures
from retouch.training.recipe import TrainingRecipe

RecipeMaker = Callable[..., TrainingRecipe]
PAIRED: dict[str, Any] = {
    "data.degradation": None, "data.source": "paired", "data.channels": "rgb", "card.colour": "rgb",
    "network": {"name": "resnet-generator", "arguments": {"blocks": 1, "width": 4}},
    "card.tasks": ["translate"], "card.scales": None,
}  # fmt: skip
CYCLE: dict[str, Any] = PAIRED | {
    "data.source": "unpaired",
    "critic": {"name": "patchgan", "arguments": {"layers": 1, "width": 4, "norm": "instance"}},
    "objective": {"name": "cycle"},
    "run.ema": 0.0, "run.keep": "last",
}  # fmt: skip


def _save(path: Path, value: int, width: int = 24, height: int = 20, mode: str = "RGB") -> Path:
    """A ramp to the right, and its number in the last channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = np.arange(width), np.arange(height)[:, None], value
    Pillow.fromarray(pixels).convert(mode).save(path)
    return path


def _load(recipe: TrainingRecipe, images: Path, targets: Path | None = None) -> tuple[Pairs, list[str]]:
    told: list[str] = []

    def load(files: Any, name: str) -> Pictures:
        return load_pictures(files, None, on_skip=told.append)

    second = find_pictures([targets]) if targets is not None else []
    return load_pairs(recipe, find_pictures([images]), second, load, told.append), told


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for index in range(6):
        _save(tmp_path / "a" / f"{index}.png", index)
        _save(tmp_path / "b" / f"{index}.bmp" if index % 2 else tmp_path / "b" / f"{index}.png", 100 + index)
    return tmp_path / "a", tmp_path / "b"


def test_two_folders_by_name_whatever_the_ending(tiny: RecipeMaker, folders: tuple[Path, Path]) -> None:
    pairs, told = _load(tiny(PAIRED), *folders)
    assert not told
    assert len(pairs) == 6
    for index in range(6):
        assert round(float(pairs.b(index)[2].mean())) == 100 + int(pairs.a(index)[2, 0, 0])
    some = pairs.only([4, 1])
    assert [int(some.a(i)[2, 0, 0]) for i in range(2)] == [4, 1]
    assert round(float(some.b(1)[2].mean())) == 101
    assert some.fingerprint != pairs.fingerprint


def test_who_has_no_partner_is_named_and_left_out(tmp_path: Path) -> None:
    told: list[str] = []
    first, second = match(
        [tmp_path / "a" / f"{name}.png" for name in ("x", "y", "z")],
        [tmp_path / "b" / f"{name}.jpg" for name in ("z", "w", "x")],
        told.append,
    )
    assert [file.name for file in first] == ["x.png", "z.png"]
    assert [file.name for file in second] == ["x.jpg", "z.jpg"]
    assert [text.split(":")[0].rpartition("/")[2] for text in told] == ["y.png", "w.jpg"]
    with pytest.raises(RetouchError, match="have no two pictures of the same name"):
        match([tmp_path / "a" / "1.png"], [tmp_path / "b" / "2.png"], told.append)
    with pytest.raises(RetouchError, match=r"1\.jpg: .*1\.png has the same name: which is half of the pair"):
        match([tmp_path / "1.png", tmp_path / "1.jpg"], [tmp_path / "b" / "1.png"], told.append)


def test_side_by_side(tiny: RecipeMaker, tmp_path: Path) -> None:
    for index in range(3):
        _save(tmp_path / f"{index}.png", index, width=48)
    _save(tmp_path / "odd.png", 9, width=47)
    pairs, told = _load(tiny(PAIRED), tmp_path)
    assert told == ["odd.png: 47 pixels wide, which are no two pictures side by side; left out"]
    assert len(pairs) == 3
    assert pairs.a(1).shape == pairs.b(1).shape == (3, 20, 24)
    assert (int(pairs.a(1)[0, 0, 0]), int(pairs.b(1)[0, 0, 0])) == (0, 24)


def test_bad_pairs_are_told_and_the_good_ones_used(tiny: RecipeMaker, folders: tuple[Path, Path]) -> None:
    a, b = folders
    _save(a / "2.png", 2, width=30)
    _save(a / "4.png", 4, mode="L")
    (b / "0.png").write_bytes(b"no picture")
    pairs, told = _load(tiny(PAIRED), a, b)
    assert len(pairs) == 4
    assert any("0.png" in text for text in told)
    assert "2.png: 30x20, and its partner 24x20; left out" in told
    assert "4.png is grey among pictures in colour; used with three equal channels" in told
    assert len(told) == 3
    assert PairSamples(pairs, tiny(PAIRED)).__getitems__([0, 1, 2, 3])["input"].shape == (4, 3, 16, 16)


def test_too_small_and_none_left(tiny: RecipeMaker, folders: tuple[Path, Path]) -> None:
    small = tiny(PAIRED | {"data.crop": 22})
    with pytest.raises(RetouchError, match="none of the pictures can be trained on"):
        _load(small, *folders)
    assert len(_load(tiny(PAIRED | {"data.crop": 22, "data.load": 24}), *folders)[0]) == 6


def test_an_empty_folder(tiny: RecipeMaker, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(RetouchError, match="none: no picture there"):
        _load(tiny(PAIRED), folders[0], tmp_path / "none")


def _places(batch: dict[str, torch.Tensor], key: str) -> list[tuple[int, int, int]]:
    """(column, row, number) at the upper left of each sample."""
    corner = (batch[key][:, :, 0, 0] * 255).round().int().tolist()
    return [(c[0], c[1], c[2] % 100) for c in corner]


def test_a_pair_is_cut_and_turned_alike_and_strangers_are_not(tiny: RecipeMaker, tmp_path: Path) -> None:
    for index in range(5):
        _save(tmp_path / "a" / f"{index}.png", index)
        _save(tmp_path / "b" / f"{index}.png", 100 + index)
    for source in ("paired", "unpaired"):
        recipe = tiny(PAIRED | {"data.source": source})
        samples = PairSamples(_load(recipe, tmp_path / "a", tmp_path / "b")[0], recipe)
        batch = samples.__getitems__(list(range(40)))
        assert batch["input"].shape == batch["target"].shape == (40, 3, 16, 16)
        first, second = _places(batch, "input"), _places(batch, "target")
        assert (first == second) == (source == "paired")
        assert len(set(first)) > 20
        assert (
            sorted(number for _, _, number in first[:5]) == sorted(number for _, _, number in second[:5]) == [*range(5)]
        )
        if source == "paired":
            assert torch.equal(batch["input"][:, :2], batch["target"][:, :2])
        again = PairSamples(samples.pictures, recipe)
        assert torch.equal(again.__getitems__([7])["target"], batch["target"][7:8])


def test_swapped_and_resized(tiny: RecipeMaker, folders: tuple[Path, Path]) -> None:
    plain, swapped = (tiny(PAIRED | {"data.swap": swap}) for swap in (False, True))
    pairs, _ = _load(plain, *folders)
    one, other = (PairSamples(pairs, recipe).__getitems__([3]) for recipe in (plain, swapped))
    assert torch.equal(one["input"], other["target"])
    assert torch.equal(one["target"], other["input"])
    still = tiny(PAIRED | {"data.load": 16, "data.flips": False, "data.rotations": False})
    whole = PairSamples(pairs, still).__getitems__([0])["input"][0]
    assert float(whole[0, 0, -1]) > 20 / 255, "the whole width is there"
    cases = pair_cases(pairs, still)
    assert [case["input"].shape for _, case in cases] == [(1, 3, 16, 16)] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.degradation": [{"step": [{"kind": "jpeg"}]}]}, "paired has no damage"),
        ({"data.load": 8}, "load must be at least the crop, 16, or 0"),
        ({"data.shrink": [0.5]}, "load resizes them"),
    ],
)
def test_recipes_refused(tiny: RecipeMaker, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        tiny(PAIRED | changes)


# -- runs


def test_a_paired_run_validates_against_its_targets(
    tiny: RecipeMaker, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    from retouch.training.fit import fit

    recipe = tiny(PAIRED | {"run.steps": 4, "run.validate_every": 4})
    result = fit(recipe, [folders[0]], tmp_path / "run", targets=[folders[1]], device="cpu")
    assert result.finished
    assert result.psnr > 0
    assert (tmp_path / "run" / "sheet.jpg").exists()
    with pytest.raises(OptionError, match="--targets is for recipes of pictures of two kinds"):
        fit(tiny(), [folders[0]], tmp_path / "other", targets=[folders[1]], device="cpu")


def test_a_cycle_leaves_two_weights_and_goes_on_after_a_stop(
    tiny: RecipeMaker, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    from retouch.models.load import checksum, load_weights, read_tensors
    from retouch.training.fit import fit

    recipe = tiny(
        CYCLE
        | {"run.steps": 5, "run.ema": 0.3, "card.back": "the way back"}
        | {"objective.arguments": {"pool": 3, "identity": 0.5, "every": 2}}
    )

    def run(name: str, **options: Any) -> Result:
        return fit(recipe, [folders[0]], tmp_path / name, targets=[folders[1]], device="cpu", **options)

    assert run("whole").finished
    assert not run("parts", on_step=lambda step: step.index < 3).finished
    assert run("parts").finished
    for name in ("tiny", "tiny-back"):
        whole, parts = (tmp_path / folder / f"{name}.safetensors" for folder in ("whole", "parts"))
        assert checksum(read_tensors(whole)) == checksum(read_tensors(parts))
        card = load_weights(whole).card
        assert card.name == name
        assert card.recipe["data"]["swap"] is (name == "tiny-back")  # it goes the other way
        assert (card.summary == "the way back") is (name == "tiny-back")
    logs = [(tmp_path / folder / "log.csv").read_text().splitlines() for folder in ("whole", "parts")]
    assert [line.split(",")[:-1] for line in logs[0]] == [line.split(",")[:-1] for line in logs[1]]
    assert {"round_trip", "identity", "critic.loss"} <= set(logs[0][0].split(","))
    # what ships is the average of the weights, both ways
    state = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=False)
    for name, key in (("tiny", "forward"), ("tiny-back", "back")):
        shipped = read_tensors(tmp_path / "whole" / f"{name}.safetensors")
        last = torch.cat([state["networks"][key][part].flatten() for part in shipped])
        averaged = torch.cat([state["averages"][key][f"module.{part}"].flatten() for part in shipped])
        assert torch.equal(torch.cat([part.flatten() for part in shipped.values()]), averaged.half())
        assert not torch.equal(averaged, last)
