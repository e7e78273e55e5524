"""Cards survive their JSON, and nothing that is no card becomes one."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch.image.errors import RetouchError
from retouch.models.card import Card, Measured

PLAIN = Card(
    name="fsrcnn-x3",
    family="fsrcnn",
    architecture="fsrcnn",
    arguments={"scale": 3, "width": 8},
    tasks=("upscale",),
    colour="y",
    summary="a small network",
    scales=(3,),
)

words = st.text(max_size=20)
measured = st.builds(
    Measured,
    dataset=words,
    psnr=st.floats(0, 60),
    ssim=st.floats(0, 1),
    images=st.integers(1, 100),
    scale=st.none() | st.integers(2, 4),
    protocol=st.dictionaries(words, st.integers() | words, max_size=2),
)
cards = st.builds(
    Card,
    name=words,
    family=words,
    architecture=words,
    arguments=st.dictionaries(words, st.integers() | words, max_size=3),
    tasks=st.lists(words, max_size=3).map(tuple),
    colour=st.sampled_from(["y", "rgb", "each"]),
    summary=words,
    scales=st.lists(st.integers(1, 8), max_size=3).map(tuple),
    sigma=st.none() | st.tuples(st.floats(0, 255), st.floats(0, 255)),
    quality=st.none() | st.tuples(st.integers(1, 100), st.integers(1, 100)),
    hours=st.floats(0, 1e4),
    measured=st.lists(measured, max_size=2).map(tuple),
)


@given(cards)
def test_json_round_trip(card: Card) -> None:
    assert Card.from_json(card.to_json(), "here") == card


def test_unknown_keys_are_left_out() -> None:
    table = json.loads(PLAIN.to_json())
    table["invented_later"] = 1
    table["measured"] = [{"dataset": "Set5", "psnr": 33.0, "ssim": 0.9, "images": 5, "scale": 3, "of_tomorrow": 0.1}]
    card = Card.from_json(json.dumps(table), "here")
    assert dataclasses.replace(card, measured=()) == PLAIN
    assert card.measured == (Measured(dataset="Set5", psnr=33.0, ssim=0.9, images=5, scale=3),)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"card"', "{}", "[" * 100_000])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(RetouchError, match=r"^w\.safetensors: the card in its header cannot be read"):
        Card.from_json(text, "w.safetensors")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 3), ("name", None), ("arguments", []), ("tasks", "upscale"), ("tasks", [1]), ("scales", 3),
        ("scales", ["3"]), ("sigma", [1.0]), ("sigma", 25), ("steps", "many"), ("parameters", None), ("recipe", "x"),
        ("hours", "1"), ("measured", [3]), ("measured", 5), ("measured", [{"dataset": "Set5"}]),
        ("curves", 3), ("curves", {"a": 3}), ("curves", {"a": [None]}),
        ("measured", [{"dataset": "Set5", "psnr": "33", "ssim": 0.9, "images": 5}]),
    ],
)  # fmt: skip
def test_wrong_types_are_refused(key: str, value: object) -> None:
    table = {**json.loads(PLAIN.to_json()), key: value}
    with pytest.raises(RetouchError, match="cannot be read"):
        Card.from_json(json.dumps(table), "w.safetensors")


def test_colour_is_one_of_the_known() -> None:
    with pytest.raises(RetouchError, match="colour is one of y, rgb, each, grey, not 'green'"):
        dataclasses.replace(PLAIN, colour="green")


def test_a_measured_row_takes_the_place_of_an_older_one_only() -> None:
    def row(dataset: str, psnr: float, scale: int) -> Measured:
        return Measured(dataset=dataset, psnr=psnr, ssim=0.9, images=5, scale=scale)

    card = PLAIN.with_measured(row("Set5", 33.0, 3)).with_measured(row("Set14", 29.0, 3))
    card = card.with_measured(row("Set5", 30.0, 4)).with_measured(row("Set5", 33.1, 3))
    assert [(m.dataset, m.scale, m.psnr) for m in card.measured] == [
        ("Set14", 3, 29.0),
        ("Set5", 3, 33.1),
        ("Set5", 4, 30.0),
    ]
