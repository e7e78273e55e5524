"""Weights are found by name and path; the user's take the place of the packaged; broken ones are told, not fatal."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retouch.image.errors import OptionError, RetouchError
from retouch.models import cache, catalogue
from retouch.models.card import Card, Measured
from retouch.models.load import save_weights
from retouch.models.verify import UNMEASURED, problems
from retouch.networks.build import build

SMALL = {"scale": 2, "width": 4, "shrunk": 2, "depth": 1}
ROW = Measured(dataset="Set5", psnr=36.5, ssim=0.95, images=5, scale=2)


def make(folder: Path, name: str, stem: str | None = None, **changes: object) -> Path:
    facts: dict[str, object] = {"family": "fsrcnn", "architecture": "fsrcnn", "arguments": SMALL, "colour": "y",
                                "tasks": ("upscale",), "summary": "", "scales": (2,), "measured": (ROW,)}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem or name}.safetensors"
    save_weights(path, build("fsrcnn", SMALL).state_dict(), Card(name=name, **{**facts, **changes}))  # type: ignore[arg-type]
    return path


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up package and an empty home; the folder of the packaged weights."""
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "packaged")
    make(tmp_path / "packaged", "one-x2")
    make(tmp_path / "packaged", "two-x3", family="srcnn", scales=(3,))
    return tmp_path / "packaged"


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RETOUCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.home() == tmp_path / "retouch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.home() == Path.home() / ".cache" / "retouch"
    monkeypatch.setenv("RETOUCH_HOME", "~/mine")
    assert cache.home() == Path.home() / "mine"


def test_entries_and_for_task(packaged: Path) -> None:
    make(catalogue.user_folder(), "three", tasks=("denoise", "dejpeg"), scales=(), sigma=(0.0, 55.0))
    assert [(e.card.name, e.origin) for e in catalogue.entries()] == [
        ("one-x2", "packaged"), ("three", "user"), ("two-x3", "packaged")
    ]  # fmt: skip
    assert [c.name for c in catalogue.for_task("upscale")] == ["one-x2", "two-x3"]
    assert [c.name for c in catalogue.for_task("upscale", "srcnn")] == ["two-x3"]
    assert [c.name for c in catalogue.for_task("upscale", scale=2)] == ["one-x2"]
    assert [c.name for c in catalogue.for_task("dejpeg")] == ["three"]
    assert catalogue.for_task("inpaint") == []


def test_the_users_weight_wins(packaged: Path) -> None:
    mine = make(catalogue.user_folder(), "one-x2", stem="anything", summary="mine")
    entry = next(e for e in catalogue.entries() if e.card.name == "one-x2")
    assert (entry.path, entry.origin, entry.hides) == (mine, "user", packaged / "one-x2.safetensors")
    assert catalogue.load("one-x2").card.summary == "mine"


def test_broken_files_warn_and_are_left_out(packaged: Path) -> None:
    (packaged / "broken.safetensors").write_bytes(b"abc")
    make(packaged, "one-x2", stem="aa")
    make(packaged, "two-x3", stem="zz")
    with pytest.warns(catalogue.ModelWarning) as caught:
        assert [e.card.name for e in catalogue.entries()] == ["one-x2", "two-x3"]
    texts = [str(one.message) for one in caught]
    assert any("broken.safetensors: truncated" in text for text in texts)
    assert any("aa.safetensors: a second weight named one-x2, beside one-x2" in text for text in texts)
    assert any("zz.safetensors: a second weight named two-x3, beside two-x3" in text for text in texts)


def test_find(packaged: Path, tmp_path: Path) -> None:
    path = packaged / "one-x2.safetensors"
    assert catalogue.find("one-x2") == catalogue.find(path) == catalogue.find(str(path)) == path
    with pytest.raises(OptionError, match="unknown model 'one-x3'; did you mean"):
        catalogue.find("one-x3")
    for missing in ("no.safetensors", str(tmp_path / "no"), Path("no")):
        with pytest.raises(RetouchError, match="there is no such file") as caught:
            catalogue.find(missing)
        assert not isinstance(caught.value, OptionError)


def test_load_is_cached_until_the_file_changes(packaged: Path) -> None:
    first = catalogue.load("one-x2")
    assert catalogue.load(packaged / "one-x2.safetensors") is first
    path = make(packaged, "one-x2", summary="new")
    os.utime(path, ns=(1, 1))
    assert catalogue.load("one-x2").card.summary == "new"


def test_listing_needs_no_torch(packaged: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from retouch.models import catalogue; "
        f"catalogue.PACKAGED = Path({str(packaged)!r}); assert len(catalogue.for_task('upscale')) == 2; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_packaged_weights_are_sound() -> None:
    """What is shipped builds, is finite, has its checksum and was measured."""
    for path in catalogue.weight_files(catalogue.PACKAGED):
        assert problems(path) == []
        assert path.stem == catalogue.read_card(path).name


def test_verify_names_each_fault(tmp_path: Path) -> None:
    path = make(tmp_path, "one")
    assert problems(path) == []
    card, tensors = catalogue.read_card(path), load_file(path)
    first = next(iter(tensors))

    def written(card: Card, changed: dict[str, torch.Tensor]) -> list[str]:
        save_file(changed, path, metadata={"retouch": card.to_json()})
        return problems(path)

    flipped = {**tensors, first: tensors[first] + 1}
    assert [text[:11] for text in written(card, flipped)] == ["its tensors"]
    nan = {**tensors, first: torch.full_like(tensors[first], float("nan"))}
    assert any(text == f"'{first}' holds NaN or infinity" for text in written(card, nan))
    assert written(dataclasses.replace(card, parameters=7), tensors) == [
        f"{card.parameters} parameters, its card says 7"
    ]
    assert written(dataclasses.replace(card, measured=()), tensors) == [UNMEASURED]
    assert "not a weight of fsrcnn" in written(dataclasses.replace(card, arguments={"scale": 3}), tensors)[0]
    assert "unknown network 'odd'" in written(dataclasses.replace(card, architecture="odd"), tensors)[0]
    path.write_bytes(b"")
    assert problems(path) == ["truncated, or not a safetensors file"]


def test_install(packaged: Path, tmp_path: Path) -> None:
    source = make(tmp_path / "new", "one-x2", stem="other", measured=(), summary="new")
    made = catalogue.install(source)
    assert made.path == catalogue.user_folder() / "one-x2.safetensors"
    assert made.hides == packaged / "one-x2.safetensors"
    assert catalogue.load("one-x2").card.summary == "new"
    with pytest.raises(RetouchError, match="is there already"):
        catalogue.install(source)
    catalogue.install(source, replace=True)
    assert [p.name for p in catalogue.user_folder().iterdir()] == ["one-x2.safetensors"]


def test_install_refuses_what_is_unsound(packaged: Path, tmp_path: Path) -> None:
    climbing = make(tmp_path / "new", "../../escape", stem="climbing")
    with pytest.raises(OptionError, match="the name of a weight is of"):
        catalogue.install(climbing)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(climbing.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(RetouchError, match="not installed: its tensors have the SHA-256"):
        catalogue.install(bad)
    assert not (tmp_path / "home").exists()
