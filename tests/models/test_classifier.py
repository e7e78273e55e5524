"""Classifiers ready to use: which models they are, what they see of a picture, what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import retouch
from retouch.image.errors import OptionError, RetouchError
from retouch.image.image import Image
from retouch.models import catalogue, imagenet
from retouch.models.card import Card
from retouch.models.classifier import Classifier, classifier_names, trained_side
from retouch.models.load import save_weights
from retouch.networks.build import build
from retouch.networks.small_cnn import SmallCNN

ARGUMENTS = {"classes": 3, "side": 8, "widths": [2], "hidden": 3}
CARD = Card(
    name="tiny-classes",
    family="classify",
    architecture="small-cnn",
    arguments=ARGUMENTS,
    tasks=("classify",),
    colour="rgb",
    summary="tiny",
    classes=("red", "green", "blue"),
)


def _colours() -> dict[str, Tensor]:
    """Weights that tell which channel is the brightest."""
    network = build("small-cnn", ARGUMENTS)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    assert isinstance(network, SmallCNN)
    state = network.state_dict()
    state["blocks.0.0.bias"][:] = 2.0  # nothing is cut off by the ReLU
    for unit, channels in enumerate(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))):
        state["blocks.0.0.weight"][unit, :, 1, 1] = torch.tensor(channels)
        state["hidden.0.weight"][unit, unit * 9 : unit * 9 + 9] = 1 / 9
    state["classify.weight"][0, 0] = state["classify.weight"][1, 1] = 20.0
    state["classify.bias"][2] = 42.0  # blue is what is neither red nor green
    return state


@pytest.fixture
def weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier of colours, installed beside nothing else."""
    monkeypatch.setattr(catalogue, "PACKAGED", tmp_path / "none")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path / "home"))
    folder = catalogue.user_folder()
    folder.mkdir(parents=True)
    path = folder / "tiny-classes.safetensors"
    save_weights(path, _colours(), CARD, store="fp32")
    return path


def _plain(*colour: float, height: int = 5, width: int = 9) -> Image:
    return Image(torch.tensor(colour).view(-1, 1, 1).expand(-1, height, width).contiguous())


def test_labels_by_name_and_by_file(weight: Path) -> None:
    for model in ("tiny-classes", str(weight), weight):
        for colour, name in (((1.0, 0, 0), "red"), ((0, 1.0, 0), "green"), ((0, 0, 1.0), "blue")):
            found = retouch.classify(_plain(*colour), model=model, top=2)
            assert len(found) == 2
            assert found[0][0] == name
            assert found[0][1] > 0.9 > found[1][1]
    assert sum(share for _, share in retouch.classify(_plain(1.0, 0, 0), model=weight, top=50)) == pytest.approx(1)
    with pytest.raises(OptionError, match="top must be at least 1"):
        retouch.classify(_plain(1.0, 0, 0), model=weight, top=0)


def test_pictures_of_any_kind(weight: Path) -> None:
    classifier = Classifier(weight)
    for height, width in ((1, 1), (1, 50), (300, 3)):
        assert classifier.labels(_plain(0.0, 1.0, 0.0, height=height, width=width))[0][0] == "green"
    assert len(classifier.labels(_plain(0.5))) == 3
    clear = dataclasses.replace(_plain(0.0, 1.0, 0.0), alpha=torch.zeros(1, 5, 9))
    white = classifier.probabilities([_plain(1.0, 1.0, 1.0), clear])
    assert torch.allclose(white[0], white[1]), "what is transparent is white"
    deep = Image.from_array((torch.tensor([[[0, 65535, 0]]]).expand(4, 4, 3)).numpy().astype("uint16"))
    assert classifier.labels(deep)[0][0] == "green"


def test_the_middle_square_counts(weight: Path) -> None:
    pixels = torch.zeros(3, 4, 12)
    pixels[0] = 1
    pixels[:, :, 4:8] = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1)
    assert Classifier(weight).labels(Image(pixels))[0][0] == "green"


def test_one_channel_is_grey(tmp_path: Path) -> None:
    arguments = {"classes": 2, "side": 8, "channels": 1, "widths": [2], "hidden": 3}
    card = dataclasses.replace(CARD, arguments=arguments, colour="grey", classes=("0", "1"))
    save_weights(tmp_path / "x.safetensors", build("small-cnn", arguments).state_dict(), card)
    classifier = Classifier(tmp_path / "x.safetensors")
    seen = classifier.input_of(_plain(1.0, 0.0, 0.0))
    assert seen.shape == (1, 1, 8, 8)
    assert float(seen.mean()) == pytest.approx(0.299, abs=1e-3)


def test_what_is_no_classifier(weight: Path, tmp_path: Path) -> None:
    assert classifier_names() == ["imagenet", "tiny-classes"]
    with pytest.raises(OptionError, match=r"unknown classifier 'tiny-clases'; did you mean 'tiny-classes'\?"):
        Classifier("tiny-clases")
    with pytest.raises(RetouchError, match="there is no such file"):
        Classifier(str(tmp_path / "gone.safetensors"))
    other = Card(
        name="d", family="dncnn", architecture="dncnn", arguments={"depth": 3, "width": 4}, tasks=("denoise",),
        colour="each", summary="",
    )  # fmt: skip
    save_weights(tmp_path / "d.safetensors", build("dncnn", other.arguments).state_dict(), other)
    with pytest.raises(OptionError, match="a weight for denoise, which tells no classes"):
        Classifier(tmp_path / "d.safetensors")
    save_weights(tmp_path / "n.safetensors", _colours(), dataclasses.replace(CARD, classes=()))
    with pytest.raises(RetouchError, match="its card names no classes"):
        Classifier(tmp_path / "n.safetensors")
    save_weights(tmp_path / "f.safetensors", _colours(), dataclasses.replace(CARD, classes=("a", "b")))
    with pytest.raises(RetouchError, match="tells 3 classes, its card 2"):
        Classifier(tmp_path / "f.safetensors").labels(_plain(1.0, 0, 0))


def test_classes_survive_the_card_as_they_are() -> None:
    assert Card.from_json(CARD.to_json(), "here") == CARD
    unsorted = dataclasses.replace(CARD, classes=("z", "ä", "b"), base="vgg16")
    assert Card.from_json(unsorted.to_json(), "here") == unsorted


def test_the_side_is_that_of_the_last_stage() -> None:
    def side(recipe: dict[str, object], network: nn.Module) -> int:
        return trained_side(dataclasses.replace(CARD, recipe=recipe), network)

    network = SmallCNN(side=30)
    assert side({}, network) == 30
    assert side({}, nn.Identity()) == 224
    assert side({"data": {"crop": 96}}, network) == 96
    stages = [{"name": "a", "data": {"crop": 64}}, {"name": "b", "data": {"crop": 160}}, {"name": "c"}]
    assert side({"data": {"crop": 64}, "stage": stages}, network) == 160


def test_imagenet_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tench(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1:] == (3, 224, 224)
            return torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 1000) * 9.0

    monkeypatch.setattr(imagenet, "imagenet_classifier", lambda **more: Tench())
    assert retouch.classify(_plain(0.3), top=1)[0][0] == "tench"
