"""Recipes: read strictly, drawn by the seed, described in words."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from retouch.degradations import blur, geometry, jpeg, light, mask, noise, overlay, resample, thumbnail, words
from retouch.degradations.base import Chain, Degradation, Identity
from retouch.degradations.jpeg import Jpeg
from retouch.degradations.noise import GaussianNoise
from retouch.degradations.recipe import KINDS, Choice, Range, Recipe, RecipeStep, recipe_names
from retouch.image.errors import OptionError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


TEXT = """
name = "everything"
help = "for the test"
seed = 12

[[step]]
kind = "gaussian_noise"
probability = 0.5
sigma = [5, 25]

[[step]]
kind = "jpeg"
quality = [30, 32]
subsampling = { choice = ["4:4:4", "4:2:0"] }

[[step]]
kind = "downsample"
factor = 2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "everything.toml"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_reads_into_dataclasses(path: Path) -> None:
    recipe = Recipe.read(path)
    assert recipe == Recipe.read(str(path))
    assert (recipe.name, recipe.help, recipe.seed) == ("everything", "for the test", 12)
    assert recipe.scale == Fraction(1, 2)
    assert recipe.steps == (
        RecipeStep("gaussian_noise", 0.5, {"sigma": Range(5, 25)}),
        RecipeStep("jpeg", 1.0, {"quality": Range(30, 32, whole=True), "subsampling": Choice(("4:4:4", "4:2:0"))}),
        RecipeStep("downsample", 1.0, {"factor": 2}),
    )
    expected = "gaussian_noise (sigma 5..25, probability 0.5), then jpeg (quality 30..32, subsampling 4:4:4|4:2:0)"
    assert recipe.describe() == expected + ", then downsample (factor 2)"


def test_draws_over_the_whole_range_and_as_often_as_stated(path: Path) -> None:
    recipe = Recipe.read(path)
    generator = seeded(1)
    sigmas, codings = [], []
    for _ in range(400):
        drawn = recipe.draw(generator)
        assert isinstance(drawn, Chain)
        assert drawn.scale == Fraction(1, 2)
        sigmas += [link.sigma for link in drawn.links if isinstance(link, GaussianNoise)]
        codings += [(link.quality, link.subsampling) for link in drawn.links if isinstance(link, Jpeg)]
    assert len(codings) == 400
    assert 160 < len(sigmas) < 240
    assert 5 <= min(sigmas) < 5.5
    assert 24.5 < max(sigmas) < 25
    assert {quality for quality, _ in codings} == {30, 31, 32}
    assert {subsampling for _, subsampling in codings} == {"4:4:4", "4:2:0"}


def test_what_was_drawn_is_described(path: Path) -> None:
    texts = {Recipe.read(path).draw(seeded(s)).describe() for s in range(10)}
    assert any(text.startswith("gaussian noise (sigma ") for text in texts)
    assert any(
        text.startswith("jpeg (quality 3") and text.endswith("then downsample (factor 2, kernel bicubic)")
        for text in texts
    )


def test_a_call_draws_for_each_picture_and_repeats_by_the_seed(path: Path) -> None:
    recipe = Recipe.read(path)
    x = torch.rand((1, 3, 20, 18), generator=seeded(5)).expand(6, -1, -1, -1)
    y = recipe(x, seeded(3))
    assert y.shape == (6, 3, 10, 9)
    assert any(not torch.equal(y[0], one) for one in y[1:])
    assert torch.equal(recipe(x, seeded(3)), y)
    assert not torch.equal(recipe(x, seeded(4)), y)
    generator = seeded(3)
    by_hand = [recipe.draw(generator)(x[:1], generator) for _ in range(6)]
    assert torch.equal(torch.cat(by_hand), y)


def test_the_seed_of_the_recipe_is_that_of_a_call_without_a_generator(path: Path) -> None:
    recipe = Recipe.read(path)
    x = torch.rand((2, 1, 12, 12))
    assert torch.equal(recipe(x), recipe(x))
    assert torch.equal(recipe(x), recipe(x, seeded(12)))


def test_a_recipe_whose_steps_are_all_left_out_changes_nothing() -> None:
    recipe = Recipe.from_table({"step": [{"kind": "jpeg", "probability": 0}]})
    assert isinstance(recipe.draw(seeded()), Identity)
    x = torch.rand((2, 3, 4, 4))
    assert torch.equal(recipe(x, seeded()), x)


def test_a_kernel_may_be_written_as_rows() -> None:
    recipe = Recipe.from_table({"step": [{"kind": "kernel_blur", "kernel": [[0, 1], [0, 0]]}]})
    x = torch.rand((1, 1, 4, 5))
    torch.testing.assert_close(recipe(x)[..., :-1, :], x[..., 1:, :])  # a tap above the origin fetches from below


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("channels", [1, 3])
def test_the_recipes_that_come_along(name: str, channels: int) -> None:
    recipe = Recipe.read(name)
    assert recipe.name == name
    assert recipe.help
    for size in ((1, 1), (5, 7), (64, 48)):
        x = torch.rand((3, channels, *size), generator=seeded(1)) * 0.8
        y = recipe(x, seeded(2))
        assert y.shape == x.shape
        assert torch.isfinite(y).all()
        assert torch.equal(recipe(x, seeded(2)), y)
    assert (y - x).abs().mean() > 0.001


def test_known_names() -> None:
    assert {"old-photo", "phone-night", "web-jpeg", "watermark"} <= set(recipe_names())


def test_every_public_degradation_is_a_kind() -> None:
    """Those that need the picture's own mask or layer, and the two that only others derive from, cannot be."""
    modules = (blur, geometry, jpeg, light, mask, noise, overlay, resample, thumbnail, words)
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Degradation) and value.__module__ == module.__name__
    }
    apart = {mask.FixedMask, mask.RandomMask, overlay.FixedOverlay, overlay.RandomOverlay}
    assert classes - apart == set(KINDS.values())
    for kind, known in KINDS.items():
        assert kind.replace("_", "") == known.__name__.lower()


def test_a_number_that_may_be_a_word_takes_a_range_too() -> None:
    table = {"step": [{"kind": "holes", "fill": [0.2, 0.3], "count": 1, "smallest": 0.5, "largest": 0.5}]}
    fills = {float(y) for y in Recipe.from_table(table)(torch.ones((8, 1, 9, 9)), seeded()).amin((1, 2, 3))}
    assert len(fills) == 8
    assert all(0.2 <= fill <= 0.3 for fill in fills)
    with pytest.raises(OptionError, match="did you mean 'noise'"):
        Recipe.from_table({"step": [{"kind": "holes", "fill": {"choice": [0.5, "nose"]}}]})
    with pytest.raises(OptionError, match="fill must be at least 0 and at most 1, not 2"):
        Recipe.from_table({"step": [{"kind": "holes", "fill": [0.5, 2]}]})


def test_the_test_damages_do_not_depend_on_chance() -> None:
    """What the yardsticks state of them; a call without a generator gives the same damage every time."""
    from skimage import data

    photo = torch.from_numpy(data.astronaut()[:256, 60:316].copy()).permute(2, 0, 1)[None] / 255
    changed = {}
    for name in ("text", "holes", "jpeg", "noise", "blur"):
        recipe = Recipe.read(f"damage-{name}")
        assert recipe.seed is not None
        y = recipe(photo)
        assert torch.equal(recipe(photo), y)
        changed[name] = float((y != photo).any(1).float().mean())
        assert 18 < -10 * math.log10(float((y - photo).square().mean())) < 35
    assert 0.09 < changed["text"] < 0.13
    assert 0.01 < changed["holes"] < 0.25


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ('kind = "gausian_noise"', "unknown kind 'gausian_noise'; did you mean 'gaussian_noise'"),
        ('kind = "jpeg"\nqualty = 5', r"step 1 \(jpeg\): unknown parameter 'qualty'; did you mean 'quality'"),
        ('kind = "jpeg"\nquality = 500', r"step 1 \(jpeg\): Jpeg: quality must be .*not 500"),
        ('kind = "jpeg"\nquality = [50, 500]', "quality must be .*not 500"),
        ('kind = "jpeg"\nquality = { choice = [50, 0] }', "quality must be .*not 0"),
        ('kind = "jpeg"\nquality = [50.5, 60]', "must be whole numbers"),
        ('kind = "jpeg"\nquality = [60, 50]', "a range is"),
        ('kind = "jpeg"\nquality = [10, 20, 30]', "a range is"),
        ('kind = "jpeg"\nquality = []', "a range is"),
        ('kind = "jpeg"\nquality = "high"', "quality must be a whole number"),
        ('kind = "jpeg"\nsubsampling = [1, 2]', "takes no range"),
        ('kind = "jpeg"\nquality = { chioce = [50] }', "unknown key 'chioce'; did you mean 'choice'"),
        ('kind = "jpeg"\nquality = { choice = [] }', "at least one value"),
        ('kind = "jpeg"\nquality = { }', "at least one value"),
        ('kind = "jpeg"\nprobability = 1.5', "probability must be in 0..1"),
        ('kind = "jpeg"\nprobability = [0, 1]', "probability must be in 0..1"),
        ('kind = "gaussian_blur"\nsigma = [nan, 1]', "a range is"),
        ('kind = "random_jpeg"\nlow = [10, 60]\nhigh = [50, 90]', r"low \(60\) must not exceed high \(50\)"),
        ('kind = "downsample"\nfactor = [2, 4]', "changes the size"),
        ('kind = "downsample"\nprobability = 0.5', "changes the size"),
        ("sigma = 5", "needs a kind"),
    ],
)
def test_a_bad_step_is_refused_in_one_line(tmp_path: Path, step: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f"[[step]]\n{step}\n", encoding="utf-8")
    with pytest.raises(OptionError, match=message) as caught:
        Recipe.read(path)
    assert str(caught.value).startswith(f"{path}: step 1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"needs at least one \[\[step\]\]"),
        ("step = 3", r"needs at least one \[\[step\]\]"),
        ("[[stpe]]\nkind = 'jpeg'", "unknown key 'stpe'; did you mean 'step'"),
        ("seed = -1\n[[step]]\nkind = 'jpeg'", "seed must be a whole number"),
        ("name = 3\n[[step]]\nkind = 'jpeg'", "must be texts"),
        ("[[step]", "not a TOML file"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=message) as caught:
        Recipe.read(path)
    assert str(caught.value).startswith(str(path))


def test_missing_binary_and_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="unknown recipe 'old-foto'; did you mean 'old-photo'"):
        Recipe.read("old-foto")
    with pytest.raises(OptionError, match=r"absent\.toml: cannot read the recipe: No such file"):
        Recipe.read(tmp_path / "absent.toml")
    with pytest.raises(OptionError, match="cannot read the recipe"):
        Recipe.read(tmp_path)
    binary = tmp_path / "picture.toml"
    binary.write_bytes(b"\xff\xd8\xff\xe0\x00")
    with pytest.raises(OptionError, match="not a TOML file"):
        Recipe.read(binary)


def test_pictures_that_come_out_in_different_sizes_are_refused() -> None:
    recipe = Recipe.from_table({"step": [{"kind": "rotate90", "probability": 0.5}]})
    assert recipe(torch.zeros((1, 1, 4, 6)), seeded()).numel() == 24
    with pytest.raises(OptionError, match="different sizes"):
        recipe(torch.zeros((20, 1, 4, 6)), seeded())
