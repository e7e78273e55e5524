"""What is written about the work: by every task unless asked not to, without harm to what was there."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

import retouch
from retouch.app.cli import main
from retouch.image.errors import PictureWarning
from retouch.image.files import open_image
from retouch.image.image import Image, Metadata
from retouch.models.card import Card
from retouch.tasks import TASKS
from retouch.tasks.base import Method
from retouch.tasks.provenance import models_used, noted, tell_model


def _picture(**metadata: Any) -> Image:
    return Image(torch.rand(3, 24, 30, generator=torch.Generator().manual_seed(0)), metadata=Metadata(**metadata))


def _note_of(image: Image) -> str:
    assert image.metadata.xmp is not None
    return image.metadata.xmp.decode()


def test_a_task_notes_itself_its_method_and_the_options_that_were_set() -> None:
    text = _note_of(retouch.denoise(_picture(), sigma=12.5, method="nlm", tile="64", seed=3))
    assert 'stEvt:parameters="task=denoise; method=nlm; seed=3; sigma=12.5"' in text
    assert f'stEvt:softwareAgent="Retouch {retouch.__version__}"' in text
    assert "digitalsourcetype/algorithmicallyEnhanced" in text
    assert "DigitalSourceType" not in _note_of(retouch.degrade(_picture(), noise=5))
    assert "task=degrade; noise=5" in _note_of(retouch.degrade(_picture(), noise=5))


def test_note_false_and_an_unchanged_picture_leave_the_metadata_alone() -> None:
    image = _picture(dpi=(72.0, 72.0))
    assert retouch.denoise(image, method="bilateral", note=False).metadata == image.metadata
    mask = torch.zeros(1, 24, 30)
    assert retouch.inpaint(image, mask, method="telea") is image


def test_the_note_tells_no_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[[step]]\nkind = "gaussian_noise"\nsigma = 5\n')
    made = retouch.degrade(_picture(), recipe=str(tmp_path / "mine.toml"))
    assert "recipe=mine.toml" in _note_of(made)
    assert str(tmp_path) not in _note_of(made)


def test_weights_are_named_with_their_sum_also_across_tasks_within_tasks() -> None:
    card = Card(
        name="w", family="f", architecture="fsrcnn", arguments={}, tasks=("denoise",), colour="y", summary="",
        sha256="0123456789abcdef",
    )  # fmt: skip
    tell_model(card)  # nobody listens
    with models_used() as outer:
        tell_model(card)
        with models_used() as inner:
            tell_model(dataclasses.replace(card, name="v", sha256=""))
        tell_model(card)
    assert inner == ["v"]
    assert outer == ["w (sha256 0123456789ab)", "v"]


@pytest.mark.parametrize(
    ("task", "method", "models", "term"),
    [
        ("denoise", "dncnn", ["w"], "algorithmicallyEnhanced"),
        ("upscale", "srgan", ["w"], "compositeWithTrainedAlgorithmicMedia"),
        ("upscale", "fsrcnn", ["w"], "algorithmicallyEnhanced"),
        ("colorize", "unet", ["w"], "compositeWithTrainedAlgorithmicMedia"),
        ("inpaint", "telea", [], "algorithmicallyEnhanced"),
    ],
)
def test_the_source_type_says_whether_a_trained_network_made_something_up(
    task: str, method: str, models: list[str], term: str
) -> None:
    declared = TASKS[task]
    found: Method = declared.method(method)
    options: Any = declared.make_options(**({"mask": torch.zeros(1, 2, 2)} if task == "inpaint" else {}))
    assert f"digitalsourcetype/{term}" in _note_of(noted(_picture(), declared, found, options, models))


def test_xmp_that_cannot_be_read_stays_with_a_warning() -> None:
    hostile = b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'
    with pytest.warns(PictureWarning, match="document type"):
        result = retouch.denoise(_picture(xmp=hostile), method="bilateral")
    assert result.metadata.xmp == hostile


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "avif"])
def test_files_keep_their_story_through_two_runs(ending: str, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "Maker"
    PIL.Image.fromarray(_picture().to_array(8)).save(tmp_path / f"a.{ending}", exif=exif.tobytes())
    first, second = tmp_path / f"b.{ending}", tmp_path / f"c.{ending}"
    assert main(["denoise", str(tmp_path / f"a.{ending}"), "-o", str(first), "--method", "bilateral"]) == 0
    assert main(["upscale", str(first), "-o", str(second), "--method", "bicubic", "--scale", "3"]) == 0
    text = _note_of(open_image(second))
    assert text.index("task=denoise; method=bilateral") < text.index("task=upscale; method=bicubic; scale=3")
    with PIL.Image.open(second) as picture:
        tags = picture.getexif()
        assert tags[0x010F] == "Maker"
        assert tags[0x0131] == f"Retouch {retouch.__version__}"


@pytest.mark.parametrize("flag", ["--no-note", "--strip-metadata"])
def test_the_note_can_be_left_out(flag: str, tmp_path: Path) -> None:
    _picture(bit_depth=8).save(tmp_path / "a.png")
    call = ["denoise", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--method", "bilateral", flag]
    assert main(call) == 0
    assert open_image(tmp_path / "b.png").metadata.xmp is None


def test_bmp_loses_the_note_with_a_word_and_nothing_else(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        retouch.denoise(_picture(), method="bilateral").save(tmp_path / "a.bmp")
    assert any("BMP holds no metadata" in str(warning.message) for warning in caught)
