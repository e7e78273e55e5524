"""Numbers in eight bits: what is lost, what is not, and that a file of them is a weight like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from retouch.image.errors import OptionError, RetouchError
from retouch.models.card import Card
from retouch.models.load import load_weights, read_tensors, rewrite_card, save_weights
from retouch.models.storage import packed, unpacked
from retouch.models.verify import problems
from retouch.networks.build import build

ARGUMENTS = {"scale": 2, "blocks": 1, "width": 48}


def card() -> Card:
    return Card(
        name="eighth", family="srresnet", architecture="srresnet", arguments=ARGUMENTS, tasks=("upscale",),
        colour="rgb", summary="for tests", scales=(2,),
    )  # fmt: skip


numbers = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, 1.401298464324817e-45, 1e-38])


@given(hnp.arrays(np.float32, st.tuples(st.just(16), st.integers(1, 40)), elements=numbers))
def test_an_error_is_at_most_half_a_step_of_the_third_largest_of_its_row(values: np.ndarray) -> None:
    value = torch.from_numpy(values).repeat(1, 256)[:, :256].reshape(16, 64, 2, 2)
    value.view(16, 256)[:, 17] = -1e6
    value.view(16, 256)[:, 130] = 3e5
    stored = packed({"w": value}, "int8")
    assert stored["w"].dtype == torch.int8
    assert stored["w"].shape == value.shape
    got = unpacked(stored)
    assert set(got) == {"w"}
    error = (got["w"] - value).abs().flatten(1)
    assert not error[:, [17, 130]].any(), "the two largest are as they were"
    allowed = value.abs().flatten(1).sort(dim=1).values[:, -3:-2] / 254
    assert bool((error <= allowed * (1 + 1e-5) + 1e-30).all())
    again = packed(got, "int8")
    assert all(torch.equal(part, stored[name]) for name, part in again.items()), "storing twice loses nothing more"


def test_each_row_has_its_own_scale() -> None:
    rows = [torch.linspace(-1e-5, 1e-5, 2000), torch.linspace(-100, 100, 2000), torch.zeros(2000)]
    value = torch.stack(rows + [torch.ones(2000)] * 13)
    got = unpacked(packed({"w": value}, "int8"))["w"]
    assert torch.allclose(got[0], value[0], atol=4.1e-8)
    assert torch.allclose(got[1], value[1], atol=0.41)
    assert not got[2].any()


def test_what_is_small_or_narrow_or_no_number_of_a_row_stays_in_float16() -> None:
    tensors = {
        "bias": torch.rand(5000), "small": torch.rand(40, 100), "first": torch.rand(64, 3, 9, 9),
        "last": torch.rand(12, 64, 3, 3), "counter": torch.tensor(7),
    }  # fmt: skip
    stored = packed(tensors, "int8")
    assert set(stored) == set(tensors)
    assert {value.dtype for name, value in stored.items() if name != "counter"} == {torch.float16}
    assert int(stored["counter"]) == 7
    assert stored["counter"].dtype == torch.int64
    with pytest.raises(OptionError, match="fp16"):
        packed(tensors, "int4")


def test_a_file_from_before_numbers_were_apart_is_read() -> None:
    stored = {"w": torch.tensor([[1, -127], [2, 0]], dtype=torch.int8), "w.scale": torch.tensor([0.5, 2.0])}
    got = unpacked(stored)
    assert set(got) == {"w"}
    assert got["w"].tolist() == [[0.5, -63.5], [4.0, 0.0]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"w.at": torch.full((64, 2), 576, dtype=torch.int32)},
        {"w.at": torch.full((64, 2), -1, dtype=torch.int32)},
        {"w.at": torch.zeros(64, 2)},
        {"w.at": torch.zeros(64, 1, dtype=torch.int32)},
        {"w.at": torch.zeros(63, 2, dtype=torch.int32), "w.large": torch.zeros(63, 2)},
        {"w.scale": torch.ones(63)},
        {"w.large": None},
        {"w.at": None},
        {"w.scale": None},
    ],
)
def test_parts_that_do_not_fit_together_are_left_as_they_are(wrong: dict[str, torch.Tensor | None]) -> None:
    stored = packed({"w": torch.rand(64, 64, 3, 3)}, "int8") | wrong
    broken = {name: value for name, value in stored.items() if value is not None}
    got = unpacked(broken)
    assert set(got) == set(broken)
    assert got["w"].dtype == torch.int8


def test_a_tensor_called_scale_of_another_kind_is_left_alone() -> None:
    tensors = {"w": torch.ones(3), "w.scale": torch.ones(3), "k": torch.ones(2, 2, dtype=torch.int8)}
    assert set(unpacked(tensors)) == set(tensors)


def test_a_weight_in_eight_bits_is_half_the_size_and_gives_nearly_the_same_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("srresnet", ARGUMENTS).eval()
    whole, eighth = tmp_path / "whole.safetensors", tmp_path / "eighth.safetensors"
    save_weights(whole, network.state_dict(), card(), store="fp16")
    written = save_weights(eighth, network.state_dict(), card(), store="int8")
    assert eighth.stat().st_size < 0.65 * whole.stat().st_size
    model = load_weights(eighth)
    assert model.card == written
    assert written.parameters == sum(p.numel() for p in network.parameters())
    picture = torch.rand(1, 3, 12, 14)
    with torch.no_grad():
        difference = (model.network(picture) - network(picture)).square().mean().sqrt()
    assert 0 < float(difference) < 0.01
    assert [line for line in problems(eighth) if "measured" not in line] == []
    before = read_tensors(eighth)
    rewrite_card(eighth, written)
    assert all(torch.equal(value, before[name]) for name, value in read_tensors(eighth).items())


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    state = build("srresnet", ARGUMENTS).state_dict()
    state["head.0.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(RetouchError, match="NaN"):
        save_weights(tmp_path / "bad.safetensors", state, card(), store="int8")
    assert not list(tmp_path.iterdir())
