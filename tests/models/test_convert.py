"""Checkpoints of PyTorch become weights, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from retouch.image.errors import OptionError, RetouchError
from retouch.models.card import Card
from retouch.models.convert import convert, read_pickle
from retouch.models.load import load_weights
from retouch.networks.build import build

SMALL = {"scale": 2, "width": 4, "shrunk": 2, "depth": 1}


def card(**arguments: Any) -> Card:
    return Card(name="mine", family="fsrcnn", architecture="fsrcnn", arguments=arguments or SMALL, tasks=("upscale",),
                colour="y", summary="")  # fmt: skip


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "params", "params_ema", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_round_trip(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = build("fsrcnn", SMALL).state_dict()
    saved: Any = {f"{prefix}{key}": value for key, value in state.items()}
    torch.save({wrapper: saved, "epoch": 3} if wrapper else saved, tmp_path / "c.pth")
    made = convert(tmp_path / "c.pth", tmp_path / "w.safetensors", card())
    model = load_weights(tmp_path / "w.safetensors")
    assert model.card == made
    assert made.measured == ()
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, state[key])  # float32 as it was, no half precision


def test_the_average_is_preferred(tmp_path: Path) -> None:
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}}, tmp_path / "c.pth")
    assert read_pickle(tmp_path / "c.pth")["a"] == 1


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    torch.save({"a": Trap(folder)}, tmp_path / "new.pth")
    torch.save({"a": Trap(folder)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": Trap(folder)}))
    for name in ("new.pth", "old.pth", "plain.pth"):
        with pytest.raises(RetouchError, match=rf"^[^\n]*{name}: [^\n]*$"):
            read_pickle(tmp_path / name)
    assert not folder.exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"a": torch.zeros(100)}, path)
    whole = path.read_bytes()
    for length in [0, 1, 2, 7, 60, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(RetouchError, match=r"^[^\n]*c\.pth: [^\n]*$"):
            read_pickle(path)
    for value, message in (([1], "holds no tensors by name, but list"), ({}, "holds no tensors"),
                           ({"a": torch.zeros(1), "epoch": 3}, "'epoch' is int, not a tensor")):  # fmt: skip
        torch.save(value, path)
        with pytest.raises(RetouchError, match=message):
            read_pickle(path)
    with pytest.raises(RetouchError, match="cannot read the weight"):
        read_pickle(tmp_path / "none.pth")


def test_what_does_not_fit(tmp_path: Path) -> None:
    torch.save(build("fsrcnn", SMALL).state_dict(), tmp_path / "c.pth")
    output = tmp_path / "w.safetensors"
    with pytest.raises(RetouchError, match=r"c\.pth: not a weight of fsrcnn: 'features"):
        convert(tmp_path / "c.pth", output, card(scale=2))
    with pytest.raises(OptionError, match="unknown argument 'wdth'"):
        convert(tmp_path / "c.pth", output, card(scale=2, wdth=4))
    assert not output.exists()
