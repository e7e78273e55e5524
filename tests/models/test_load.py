"""Weights come back as they went, and damaged or foreign files are told in one line."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from retouch.image.errors import OptionError, RetouchError
from retouch.models.card import Card, Store
from retouch.models.header import read_card, read_header
from retouch.models.load import checksum, load_weights, read_tensors, save_weights
from retouch.networks.build import build

SMALL = {"scale": 2, "width": 4, "shrunk": 2, "depth": 1}


def small_card(**changes: object) -> Card:
    facts: dict[str, object] = {
        "name": "small-x2",
        "family": "fsrcnn",
        "architecture": "fsrcnn",
        "arguments": SMALL,
        "tasks": ("upscale",),
        "colour": "y",
        "summary": "for tests",
        "scales": (2,),
    }
    return Card(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture
def weight(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small-x2.safetensors"
    save_weights(path, build("fsrcnn", SMALL).state_dict(), small_card())
    return path


def rewritten(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path, metadata={"retouch": small_card().to_json()})
    return path


@pytest.mark.parametrize("store", ["fp32", "fp16"])
def test_round_trip(tmp_path: Path, store: Store) -> None:
    network = build("fsrcnn", SMALL)
    card = save_weights(tmp_path / "w.safetensors", network.state_dict(), small_card(), store=store)
    model = load_weights(tmp_path / "w.safetensors", architecture="fsrcnn")
    assert model.card == card == read_card(tmp_path / "w.safetensors")
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert not model.network.training
    for (name, got), value in zip(model.network.state_dict().items(), network.state_dict().values(), strict=True):
        assert got.dtype == torch.float32, name
        assert torch.equal(got, value.half().float() if store == "fp16" else value)
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_header_agrees_with_the_safetensors_library(weight: Path) -> None:
    header = read_header(weight)
    assert dict(header.shapes) == {name: tuple(tensor.shape) for name, tensor in load_file(weight).items()}
    assert header.size == weight.stat().st_size


def test_checksum_by_hand() -> None:
    tensors = {"b": torch.tensor([1.0, 2.0]), "a": torch.zeros(0), "c": torch.tensor(3, dtype=torch.int64)}
    text = b"a torch.float32 (0,)\n" + b"b torch.float32 (2,)\n" + struct.pack("<2f", 1, 2)
    text += b"c torch.int64 ()\n" + struct.pack("<q", 3)
    assert checksum(tensors) == hashlib.sha256(text).hexdigest()
    assert checksum(dict(reversed(tensors.items()))) == checksum(tensors)


def test_every_truncation_is_refused(weight: Path, tmp_path: Path) -> None:
    whole = weight.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in [*range(40), *range(40, len(whole), 37), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        for read in (load_weights, read_card, read_tensors):
            with pytest.raises(RetouchError, match=r"cut\.safetensors: truncated, or not a safetensors file"):
                read(cut)


def test_bytes_after_the_end_are_refused(weight: Path) -> None:
    weight.write_bytes(weight.read_bytes() + b"\0")
    with pytest.raises(RetouchError, match="truncated, or not"):
        load_weights(weight)


@pytest.mark.parametrize("modern", [True, False])
def test_a_pickle_is_refused(tmp_path: Path, modern: bool) -> None:
    path = tmp_path / "w.safetensors"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=modern)
    with pytest.raises(RetouchError, match=r"a pickle, .* is refused; retouch models convert"):
        load_weights(path)


@pytest.mark.parametrize("text", [
    b"no JSON at all", b"[]", b"{\"a\": 3}", b"{\"a\": {}}", b"\xff\xfe", b"[" * 50_000, b"{\"__metadata__\": 3}",
    b"{\"__metadata__\": {\"retouch\": 3}}",
    b"{\"a\": {\"dtype\": \"F32\", \"shape\": [3], \"data_offsets\": [0, 4]}}",
    b"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [-4, 0]}}",
    b"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [\"0\", \"4\"]}}",
])  # fmt: skip
def test_a_damaged_header_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(RetouchError, match=r"^[^\n]*w\.safetensors: truncated, or not a safetensors file[^\n]*$"):
        load_weights(path)


def test_a_huge_length_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(RetouchError, match="truncated, or not"):
        read_card(path)


def test_a_file_without_a_card(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(RetouchError, match="its header has no card"):
        load_weights(tmp_path / "w.safetensors")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(RetouchError, match="cannot read the weight"):
            load_weights(path)


def test_another_architecture_names_both(weight: Path) -> None:
    with pytest.raises(RetouchError, match="a weight of fsrcnn, not of srcnn"):
        load_weights(weight, architecture="srcnn")


def test_an_architecture_of_a_later_version(weight: Path) -> None:
    save_file(load_file(weight), weight, metadata={"retouch": small_card(architecture="newnet").to_json()})
    with pytest.raises(RetouchError, match=r"small-x2\.safetensors: unknown network 'newnet'"):
        load_weights(weight)


def test_missing_extra_and_misshapen_tensors(weight: Path) -> None:
    tensors = load_file(weight)
    first = next(iter(tensors))
    for wrong, message in (
        ({k: v for k, v in tensors.items() if k != first}, f"'{first}' is missing"),
        ({**tensors, "more": torch.zeros(1)}, "'more' is no tensor of it"),
        ({**tensors, first: torch.zeros(1, 7)}, r"is \(1, 7\), not"),
    ):
        with pytest.raises(RetouchError, match=f"not a weight of fsrcnn: .*{message}"):
            load_weights(rewritten(weight, wrong))


def test_nan_and_overflow_are_not_written(tmp_path: Path) -> None:
    tensors = dict(build("fsrcnn", SMALL).state_dict())
    first = next(iter(tensors))
    path = tmp_path / "w.safetensors"
    for value, store in ((float("nan"), "fp32"), (float("inf"), "fp32"), (1e5, "fp16"), (1e5, "int8")):
        bad = {**tensors, first: torch.full_like(tensors[first], value)}
        with pytest.raises(RetouchError, match=f"'{first}' holds NaN or infinity; nothing was written"):
            save_weights(path, bad, small_card(), store=store)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RetouchError, match="cannot write"):
        save_weights(tmp_path / "none" / "w.safetensors", build("fsrcnn", SMALL).state_dict(), small_card())


def test_a_card_with_unknown_arguments(tmp_path: Path, weight: Path) -> None:
    card = json.loads(small_card().to_json())
    card["arguments"]["wdth"] = 3
    save_file(load_file(weight), weight, metadata={"retouch": json.dumps(card)})
    with pytest.raises(RetouchError, match="unknown argument 'wdth'") as caught:
        load_weights(weight)
    assert not isinstance(caught.value, OptionError)  # the file is at fault, not the call
