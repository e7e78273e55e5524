"""Objectives by name: what a recipe says, made ready to train."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from retouch.image.errors import OptionError, unknown
from retouch.training.objectives.adversarial import Adversarial
from retouch.training.objectives.base import Objective
from retouch.training.objectives.classify import Classify
from retouch.training.objectives.cycle import Cycle
from retouch.training.objectives.gan import GAN
from retouch.training.objectives.likelihood import Likelihood
from retouch.training.objectives.style import Style
from retouch.training.objectives.supervised import Supervised
from retouch.training.objectives.teacher import make_teacher
from retouch.training.objectives.vae import VAE
from retouch.training.painting import Painting
from retouch.training.recipe import NetworkRecipe, TrainingRecipe

OBJECTIVES: dict[str, type[Objective]] = {
    "supervised": Supervised,
    "adversarial": Adversarial,
    "cycle": Cycle,
    "classify": Classify,
    "likelihood": Likelihood,
    "vae": VAE,
    "gan": GAN,
    "style": Style,
}
"""Every objective a recipe may name. One with a parameter ``critic`` gets the recipe's second network, one with
``again`` the means to make both once more, one with ``classes`` their names, one with ``painting`` the picture of a
style."""


_GIVEN = ("network", "critic", "features", "again", "classes", "painting")


def build_objective(
    recipe: TrainingRecipe,
    network: nn.Module,
    critic: nn.Module | None,
    features: Callable[[str], nn.Module],
    make: Callable[[NetworkRecipe], nn.Module],
    painting: Painting | None = None,
) -> Objective:
    """The objective of ``recipe``; ``OptionError`` for an unknown name or argument, or a critic too many or too few.

    ``features``: makes a feature network; ``make``: one more network of the recipe, with fresh weights.
    """
    name = recipe.objective.name
    if name not in OBJECTIVES:
        raise OptionError(unknown("objective", name, list(OBJECTIVES)))
    made = OBJECTIVES[name]
    known = inspect.signature(made).parameters
    given: dict[str, Any] = dict(recipe.objective.arguments)
    allowed = [key for key in known if key not in _GIVEN]
    for key in given:
        if key not in allowed:
            raise OptionError(unknown("argument", key, allowed, f"of objective {name}"))
    if ("critic" in known) != (critic is not None):
        needs = "needs a [critic]" if critic is None else "has no use for a [critic]"
        raise OptionError(f"recipe: objective {name} {needs}")
    if "teacher" in given:
        given["teacher"] = make_teacher(given["teacher"], recipe, network)
    networks = [network] if critic is None else [network, critic]
    if "features" in known:
        given["features"] = features
    if "classes" in known:
        given["classes"] = recipe.data.classes
    if "painting" in known:
        given["painting"] = painting
    if "again" in known and recipe.critic is not None:
        second = recipe.critic
        given["again"] = lambda: (make(recipe.network), make(second))
    try:
        objective: Objective = made(*networks, **given)
    except OptionError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(f"objective {name}: {error}") from error
    return objective
