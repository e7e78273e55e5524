"""Digits in files of MNIST's form, pictures with classes, and objectives that measure something else than PSNR."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import PictureError, RetouchError
from retouch.image.image import Image
from retouch.training.data import Batch, Samples
from retouch.training.fit import fit
from retouch.training.objectives import build as objectives
from retouch.training.objectives.supervised import Supervised
from retouch.training.pictures import find_pictures, load_pictures, read_idx
from retouch.training.recipe import TrainingRecipe
from retouch.training.validation import Validation, Validator, degraded_cases, in_words

RecipeMaker = Callable[..., TrainingRecipe]
PLAIN = {"data.source": "plain", "data.degradation": [], "data.channels": "grey", "data.rotations": False}


def idx(pixels: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, pixels.ndim]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
    return head + pixels.astype(np.uint8).tobytes()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    folder.mkdir()
    for name, count in (("train", 40), ("t10k", 5)):
        pixels = np.arange(count * 64).reshape(count, 8, 8) % 251
        labels = np.arange(count) % 10
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return folder


def test_a_folder_of_digits_stands_for_those_of_training(digits: Path, tmp_path: Path) -> None:
    files = find_pictures([digits])
    assert [file.name for file in files] == ["train-images-idx3-ubyte.gz"]
    told: list[str] = []
    for cache in (None, tmp_path / "digits.pixels", tmp_path / "digits.pixels"):  # the last time from the cache
        pictures = load_pictures(files, cache, on_skip=told.append)
        assert len(pictures) == 40
        assert pictures.labels == [str(digit) for digit in range(10)]
        assert pictures.entries[13].label == "3"
        assert pictures[13].shape == (1, 8, 8)
        assert (pictures[13].reshape(-1) == np.arange(13 * 64, 14 * 64) % 251).all()
        some = pictures.only([5, 30])
        assert (some[1].reshape(-1) == np.arange(30 * 64, 31 * 64) % 251).all()
        assert [entry.label for entry in some.entries] == ["5", "0"]
    assert not told
    test = load_pictures(find_pictures([digits / "t10k-images-idx3-ubyte.gz"]), None, on_skip=told.append)
    assert len(test) == 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x0d\x01\0\0\0\0",
        b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02abc",
        b"\0\0\x08\x09" + bytes(36),
    ],
)
def test_what_is_no_file_of_digits(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(PictureError, match="x-idx3-ubyte"):
        read_idx(path)
    with pytest.raises(RetouchError, match="none of its 1 pictures"):
        load_pictures([path], None, on_skip=lambda reason: None)
    packed = tmp_path / "x-idx3-ubyte.gz"
    packed.write_bytes(data)
    with pytest.raises(PictureError, match=r"cannot be read|not a file of"):
        read_idx(packed)


def test_labels_that_do_not_fit_their_pictures(digits: Path) -> None:
    (digits / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(3))))
    told: list[str] = []
    with pytest.raises(RetouchError, match="none of its"):
        load_pictures(find_pictures([digits]), None, on_skip=told.append)
    assert "3 labels for 40 pictures" in told[0]


def test_plain_samples_with_their_classes(tiny: RecipeMaker, digits: Path) -> None:
    pictures = load_pictures(find_pictures([digits]), None, on_skip=lambda reason: None)
    classes = [str(digit) for digit in range(10)]
    recipe = tiny(PLAIN | {"data.crop": 8, "data.flips": False, "data.classes": classes})
    samples = Samples(pictures, recipe)
    batch = samples.__getitems__(list(range(40)))
    assert batch["input"] is batch["target"]
    assert batch["target"].shape == (40, 1, 8, 8)
    for picture, label in zip(batch["target"], batch["label"], strict=True):
        first = round(float(picture[0, 0, 0]) * 255)
        number = next(n for n in range(40) if n * 64 % 251 == first)
        assert int(label) == number % 10
    assert len({int(label) for label in batch["label"]}) == 10
    with pytest.raises(RetouchError, match="unknown class '7'"):
        Samples(pictures, tiny(PLAIN | {"data.crop": 8, "data.classes": classes[:7]}))
    cases = degraded_cases(pictures, recipe)
    assert len(cases) == 40
    assert [int(case["label"]) for _, case in cases[:12]] == [n % 10 for n in range(12)]
    assert torch.equal(cases[3][1]["input"], torch.from_numpy(pictures[3].copy())[None] / 255)


def test_the_class_of_a_picture_is_its_folder(tmp_path: Path) -> None:
    from retouch.image.files import save

    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        save(Image(torch.rand(3, 9, 9)), tmp_path / name / "one.png")
    pictures = load_pictures(find_pictures([tmp_path]), None, on_skip=lambda reason: None)
    assert pictures.labels == ["cats", "dogs"]


class _Measured(Supervised):
    """Measures the mean of a picture, the darkest being the best."""

    def measure(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        means = batch["target"].mean((1, 2, 3))
        return {"mean": means, "score": -means}

    def show(self, network: nn.Module, batches: object) -> Image | None:
        return Image(torch.full((3, 4, 4), 0.5))


def test_an_objective_that_measures_something_else(
    tiny: RecipeMaker, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objectives.OBJECTIVES, "measured", _Measured)
    recipe = tiny(
        PLAIN
        | {"network": {"name": "dncnn", "arguments": {"depth": 3, "width": 4}}, "data.crop": 8}
        | {"objective.name": "measured", "run.steps": 4, "run.validate_every": 2}
    )
    found: list[Validation] = []
    true = Validator.__call__

    def kept(self: Validator, objective: object, network: nn.Module, device: torch.device) -> Validation:
        found.append(true(self, objective, network, device))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(Validator, "__call__", kept)
    test = digits / "t10k-images-idx3-ubyte.gz"
    result = fit(recipe, [digits], tmp_path / "run", validate=test, device="cpu")
    mean = float(np.mean([(n * 64 + np.arange(64)) % 251 / 255 for n in range(5)]))
    assert result.validation == pytest.approx({"mean": mean}, abs=1e-5)
    assert found[0].score == pytest.approx(-mean, abs=1e-5)
    assert found[0].sheet.pixels.shape == (3, 4, 4)
    assert np.isnan(result.psnr)
    lines = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert lines[0] == "step,mean"
    assert len(lines) == 3


def test_values_in_words() -> None:
    assert in_words({}) == ""
    assert in_words({"psnr": 31.25}) == "31.250 dB"
    assert in_words({"accuracy": 0.93412, "loss": 0.21}) == "accuracy 0.9341, loss 0.21"
