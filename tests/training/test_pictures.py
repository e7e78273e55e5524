"""The decoded pictures of a training folder."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from retouch.image.errors import RetouchError
from retouch.training import pictures as room
from retouch.training.pictures import Pictures, find_pictures, load_pictures


@pytest.fixture
def folder(tmp_path: Path, photographs: Path) -> Path:
    copied = tmp_path / "photos"
    copied.mkdir()
    for file in sorted(photographs.iterdir())[:4]:
        shutil.copy(file, copied)
    return copied


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded, as they are."""
    names: list[str] = []
    true = room._decode

    def told(file: Path) -> np.ndarray:
        names.append(file.name)
        return true(file)

    monkeypatch.setattr(room, "_decode", told)
    return names


def _load(folder: Path, cache: Path | None, skipped: list[str] | None = None) -> Pictures:
    return load_pictures(find_pictures([folder]), cache, on_skip=(skipped if skipped is not None else []).append)


def _equal(loaded: Pictures, folder: Path) -> bool:
    files = sorted(folder.glob("*.png"))
    arrays = [np.asarray(Pillow.open(file)).transpose(2, 0, 1) for file in files]
    return len(loaded) == len(files) and all(np.array_equal(loaded[i], a) for i, a in enumerate(arrays))


def test_pixels_are_those_of_the_files_with_and_without_a_cache(folder: Path, tmp_path: Path) -> None:
    assert _equal(_load(folder, tmp_path / "kept.pixels"), folder)
    assert _equal(_load(folder, None), folder)
    assert (tmp_path / "kept.pixels").stat().st_size == 4 * 3 * 64 * 64


def test_cache_is_used_again(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = _load(folder, tmp_path / "kept.pixels")
    assert decoded == ["00.png", "01.png", "02.png", "03.png"]
    second = _load(folder, tmp_path / "kept.pixels")
    assert len(decoded) == 4
    assert _equal(second, folder)
    assert second.fingerprint == first.fingerprint
    assert second.entries == first.entries


@pytest.mark.parametrize("change", ["changed", "added", "removed", "touched"])
def test_cache_is_made_anew(folder: Path, tmp_path: Path, decoded: list[str], change: str) -> None:
    _load(folder, tmp_path / "kept.pixels")
    before = len(decoded)
    if change == "changed":
        Pillow.fromarray(np.full((32, 20, 3), 77, np.uint8)).save(folder / "01.png")
    elif change == "added":
        shutil.copy(folder / "00.png", folder / "zz.png")
    elif change == "removed":
        (folder / "02.png").unlink()
    else:
        os.utime(folder / "00.png", ns=(1, 1))
    assert _equal(_load(folder, tmp_path / "kept.pixels"), folder)
    assert len(decoded) > before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"origin": 5}', "null"])
def test_a_damaged_index_is_made_anew(folder: Path, tmp_path: Path, text: str) -> None:
    _load(folder, tmp_path / "kept.pixels")
    (tmp_path / "kept.json").write_text(text)
    assert _equal(_load(folder, tmp_path / "kept.pixels"), folder)


def test_a_cache_cut_short_is_made_anew(folder: Path, tmp_path: Path) -> None:
    _load(folder, tmp_path / "kept.pixels")
    with (tmp_path / "kept.pixels").open("r+b") as file:
        file.truncate(100)
    assert _equal(_load(folder, tmp_path / "kept.pixels"), folder)


def test_corrupt_pictures_are_skipped_by_name_once_at_each_start(
    folder: Path, tmp_path: Path, decoded: list[str]
) -> None:
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:200])
    (folder / "aa.jpg").write_bytes(b"no picture")
    for _ in range(2):
        skipped: list[str] = []
        loaded = _load(folder, tmp_path / "kept.pixels", skipped)
        assert [entry.name for entry in loaded.entries] == ["00.png", "02.png", "03.png"]
        assert [file.name for file in loaded.files] == ["00.png", "02.png", "03.png"]
        assert len(skipped) == 2
        assert "01.png" in skipped[0]
        assert "aa.jpg" in skipped[1]
        assert "\n" not in "".join(skipped)
    assert len(decoded) == 5  # the second start knew


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(RetouchError, match="no picture there"):
        find_pictures([tmp_path])
    with pytest.raises(RetouchError, match="nowhere: cannot read the folder of pictures: No such file"):
        find_pictures([tmp_path / "nowhere"])
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(RetouchError, match="none of its 1 pictures can be read"):
        _load(tmp_path, tmp_path / "kept.pixels")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every folder")
def test_folder_that_cannot_be_read(folder: Path) -> None:
    folder.chmod(0)
    try:
        with pytest.raises(RetouchError, match="cannot read the folder of pictures: Permission denied"):
            find_pictures([folder])
    finally:
        folder.chmod(0o755)


def test_cache_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RetouchError, match="cannot keep the decoded pictures"):
        _load(folder, tmp_path / "nowhere" / "kept.pixels")


def test_folders_inside_and_single_files_in_a_fixed_order(folder: Path) -> None:
    (folder / "in").mkdir()
    shutil.copy(folder / "00.png", folder / "in" / "b.png")
    (folder / "text.txt").write_text("x")
    found = find_pictures([folder, folder / "00.png"])
    assert [file.name for file in found] == ["00.png", "01.png", "02.png", "03.png", "b.png", "00.png"]


def test_sixteen_bits_alpha_and_grey(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (5, 6)).astype(np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "a16.png")
    clear = rng.integers(0, 256, (5, 6, 4)).astype(np.uint8)
    Pillow.fromarray(clear).save(tmp_path / "b_alpha.png")
    grey = rng.integers(0, 256, (5, 6)).astype(np.uint8)
    Pillow.fromarray(grey).save(tmp_path / "c_grey.png")
    loaded = _load(tmp_path, tmp_path / "kept.pixels")
    assert [entry.shape for entry in loaded.entries] == [(1, 5, 6), (3, 5, 6), (1, 5, 6)]
    assert np.array_equal(loaded[0][0], np.round(deep / 257.0).astype(np.uint8))
    assert np.array_equal(loaded[1], clear[..., :3].transpose(2, 0, 1))
    assert np.array_equal(loaded[2][0], grey)


def test_pickled_and_chosen(folder: Path, tmp_path: Path) -> None:
    loaded = _load(folder, tmp_path / "kept.pixels")
    whole = loaded[2].copy()
    pickled = pickle.dumps(loaded)
    assert len(pickled) < 2000  # without the pixels
    assert np.array_equal(pickle.loads(pickled)[2], whole)
    assert np.array_equal(loaded.only([2, 0])[0], whole)
    assert loaded.only([2, 0]).fingerprint != loaded.fingerprint
    assert loaded.only([0, 1, 2, 3]).fingerprint == loaded.fingerprint
