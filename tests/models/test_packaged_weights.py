"""Every weight that comes with Retouch: any size, tiles give what the whole gives, what is saved comes back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import skimage.data
import torch
from torch import Tensor

import retouch
from retouch.degradations.levels import Levels
from retouch.image.errors import RetouchError
from retouch.image.image import Image
from retouch.image.resize import bicubic, resize
from retouch.metrics import psnr
from retouch.models import catalogue
from retouch.models.classifier import Classifier
from retouch.models.features import FEATURES, _package_places, feature_path
from retouch.models.header import read_card
from retouch.models.load import load_weights, read_tensors, save_weights
from retouch.models.runner import Runner
from retouch.networks.latent import Sampler

FILES = {path.stem: path for path in catalogue.weight_files(catalogue.PACKAGED)}
CLASSIFIERS = sorted(name for name, path in FILES.items() if "classify" in read_card(path).tasks)
GENERATORS = sorted(name for name, path in FILES.items() if "generate" in read_card(path).tasks)
NAMES = sorted(FILES.keys() - set(CLASSIFIERS))
DRAWING = sorted(name for name, path in FILES.items() if read_card(path).architecture == "pixel-recursive")
"""Those that draw one of many pictures, of one size."""
MAPPING = [name for name in NAMES if name not in GENERATORS + DRAWING]
"""Those that make a picture of a picture."""
EXACT = 1e-4
"""The largest difference between tiles and the whole where a network sees no farther than its halo: rounding."""


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    return torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1) / 255


def _runner(name: str, tile: int | str = "off") -> Runner:
    return Runner(catalogue.load(name), device="cpu", precision="fp32", tile=tile)


def _scale(runner: Runner) -> int:
    return runner.card.scales[0] if runner.card.scales else 1


def test_there_are_weights() -> None:
    assert {"unet-restore", "unet-colorize", "fsrcnn-x2", "srcnn-955-x3"} <= set(NAMES)
    assert {
        "vdsr",
        "dncnn-s25",
        "dncnn-blind",
        "unet-denoise",
        "unet-dejpeg",
        "residual-x2",
        "residual-x3",
        "residual-x4",
        "residual-light-x2",
        "residual-real-x2",
        "srresnet-x4",
        "srgan-x4",
    } <= set(NAMES)
    for method in ("pix2pix", "cyclegan", "dualgan"):
        assert {f"{method}-facades", f"{method}-facades-back"} <= set(NAMES)


def test_srgan_is_sharper_than_srresnet(photograph: Tensor) -> None:
    """The detail of a photograph made four times smaller and larger again: its share that comes back."""
    original = photograph[:, 20:148, 180:308]  # the face
    small = bicubic(original[None], (32, 32)).clamp(0, 1)[0]

    def detail(pixels: Tensor) -> float:
        return float((pixels.diff(dim=1).square().mean() + pixels.diff(dim=2).square().mean()) / 2)

    shares = {
        name: detail(_runner(name).run(small, 4).clamp(0, 1)) / detail(original) for name in ("srresnet-x4", "srgan-x4")
    }
    assert shares["srresnet-x4"] + 0.1 < shares["srgan-x4"] < 1.3


def test_they_are_small() -> None:
    sizes = {path.stem: path.stat().st_size for path in catalogue.weight_files(catalogue.PACKAGED)}
    assert max(sizes.values()) <= 12e6
    assert sum(sizes.values()) <= 28e6


@pytest.mark.parametrize("name", [name for name in NAMES if "facades" in name])
def test_translations_know_their_direction_and_how_they_learned(name: str) -> None:
    card = catalogue.load(name).card
    assert card.recipe["data"]["swap"] is name.endswith("-back")
    assert ("a photograph of a facade into its labels" in card.summary) is not name.endswith("-back")
    trips = card.curves.get("round_trip")
    if card.family != "pix2pix":
        assert trips is not None
        assert trips[-1] < 0.8 * trips[0], "the round trip's error falls"


@pytest.mark.parametrize("name", MAPPING)
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (41, 67), (66, 50)])
def test_any_size(name: str, size: tuple[int, int], photograph: Tensor) -> None:
    runner = _runner(name)
    scale = _scale(runner)
    made = runner.run(photograph[:, : size[0], : size[1]], scale)
    assert made.shape == (3, size[0] * scale, size[1] * scale)
    assert bool(made.isfinite().all())


@pytest.mark.parametrize("name", MAPPING)
def test_tiles_give_what_the_whole_gives(name: str, photograph: Tensor) -> None:
    runner = _runner(name)
    scale, task = _scale(runner), runner.card.tasks[0]
    if task == "colorize":
        pytest.skip("the colours of a picture are made of all of it at once, never in tiles")
    if task in ("translate", "stylize"):
        pytest.skip("its normalisation is by the whole picture, which it sees at the size at which it learned")
    local = runner.card.architecture != "unet"  # fastai's looks nearly everywhere, through its strides
    tile = max(100 if local else 256, 2 * runner.overlap(scale) + 64)
    side = max(320 if local else 512, tile + 64)
    pixels = photograph.repeat(1, 2, 2)[:, : 96 if local else 256, :side]  # in both directions: test_runner.py
    told = Levels.of(sigma=15, quality=40, factor=1.5, overlay=True)
    whole = runner.run(pixels, scale, levels=told)
    tiles = _runner(name, tile)
    assert tiles.tiles(*pixels.shape[1:], scale) > 1
    made = tiles.run(pixels, scale, levels=told)
    difference = float((made - whole).abs().max())
    if local:
        assert difference < EXACT
    else:
        assert psnr(made, whole) > 45
        assert difference < 0.1


@pytest.mark.parametrize("name", DRAWING)
def test_drawings_are_of_the_given_pixels_and_differ(name: str, photograph: Tensor) -> None:
    face = Image(resize(photograph[None, :, 70:166, 176:272], (8, 8))[0].clamp(0, 1))
    made = [retouch.upscale(face, scale=4, model=name, seed=seed).pixels for seed in (0, 1, 0)]
    assert made[0].shape == (3, 32, 32)
    assert torch.equal(made[0], made[2])
    assert psnr(made[0], made[1]) < 30
    for drawn in made[:2]:  # 10.3 dB is what grey has
        assert psnr(resize(drawn[None], (8, 8))[0].clamp(0, 1), face.pixels) > 16
    with pytest.raises(RetouchError, match="8"):
        retouch.upscale(Image(photograph[:, :20, :20].contiguous()), scale=4, model=name)


@pytest.mark.parametrize("name", NAMES)
def test_saved_again_it_is_the_same(name: str, photograph: Tensor, tmp_path: Path) -> None:
    model = catalogue.load(name)
    store = model.card.recipe["run"].get("store", "fp16")
    save_weights(tmp_path / "again.safetensors", model.network.state_dict(), model.card, store=store)
    again = load_weights(tmp_path / "again.safetensors")
    state = model.network.state_dict()
    if store == "int8":  # the scales are made anew, to the last bit but one
        assert dataclasses.replace(again.card, sha256=model.card.sha256) == model.card
        apart = any(key.endswith(".large") for key in read_tensors(model.path))
        for key, value in again.network.state_dict().items():
            # those stored before the largest numbers lay apart get finer steps, and are rounded to them
            step = 0.0 if apart or value.ndim < 2 else float(value.abs().max()) / 254
            assert torch.allclose(value, state[key], rtol=1e-6, atol=step), key
        return
    assert again.card == model.card
    for key, value in again.network.state_dict().items():
        assert torch.equal(value, state[key]), key


def _needs(feature: str) -> None:
    about = FEATURES[feature]
    if feature_path(feature) is None and not any((p / about.published).is_file() for p in _package_places(about)):
        pytest.skip(f"the feature weights {feature} are not here")


@pytest.fixture
def base(request: pytest.FixtureRequest) -> str:
    """The name of a classifier whose base is here."""
    name: str = request.param
    feature = read_card(FILES[name]).base
    if feature:
        _needs(feature)
    return name


@pytest.mark.parametrize("base", CLASSIFIERS, indirect=True)
def test_classifiers_take_any_picture(base: str, photograph: Tensor) -> None:
    classifier = Classifier(base, device="cpu")
    assert classifier.card is not None
    assert len(classifier.classes) == classifier.card.arguments["classes"] > 1
    for size in ((1, 1), (1, 37), (66, 50)):
        found = classifier.labels(Image(photograph[:, : size[0], : size[1]].contiguous()), top=100)
        assert len(found) == len(classifier.classes)
        assert sum(share for _, share in found) == pytest.approx(1, abs=1e-4)


def test_the_cat_is_a_cat() -> None:
    _needs("efficientnet-lite0-classifier")
    found = retouch.classify(skimage.data.chelsea(), model="classify-cats-dogs")
    assert found[0][0] == "cat"
    assert found[0][1] > 0.9


def test_a_digit_is_read() -> None:
    """A seven, drawn: a bar and a slanted stroke."""
    pixels = torch.zeros(1, 28, 28)
    pixels[:, 6:9, 8:20] = 1
    for row in range(9, 23):
        column = 18 - (row - 9) // 2
        pixels[:, row, column - 2 : column + 1] = 1
    found = retouch.classify(Image(pixels), model="classify-digits")
    assert found[0][0] == "7"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_are_small_and_measured(name: str) -> None:
    assert FILES[name].stat().st_size < 100e3
    row = read_card(FILES[name]).measured[0]
    assert row.accuracy is not None
    assert row.accuracy >= {"classify-cats-dogs": 0.95, "classify-digits": 0.99}[name]


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_make_pictures_that_differ(name: str) -> None:
    network = catalogue.load(name).network
    assert isinstance(network, Sampler)
    made = network.sample(8, torch.Generator().manual_seed(0))
    assert 0 <= made.min() <= made.max() <= 1
    apart = torch.cdist(made.flatten(1), made.flatten(1)) / made[0].numel() ** 0.5
    assert float((apart + torch.eye(8)).min()) > 0.02
