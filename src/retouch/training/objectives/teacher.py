"""Distillation: targets that trained networks make, seen from another side each step.

    [objective.arguments.teacher]
    names = ["start"]                     # the network itself, as it is when the training, or the stage, begins

    [objective.arguments.teacher]
    names = ["residual-x2", "residual-x3", "residual-x4"]      # one for each [[data.degradation]]
    shown = 1                             # they see the picture after one step of its damage; [0, 1, 1]: each its own

A network learns to do in one view what another does in the mean of all eight flips and rotations: the target is the
teacher's output for one of these, turned back, drawn anew each step, so that the squared error is least at the mean of
all (Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; that mean: Timofte, Rothe, Van Gool,
"Seven Ways to Improve Example-based Single Image Super Resolution", CVPR 2016). It has none of the detail that nobody
can know from the input, which is most of the error against the true picture and makes its gradients noisy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from retouch.degradations.recipe import Recipe
from retouch.image.errors import OptionError, unknown
from retouch.training.data import Batch, is_settled
from retouch.training.recipe import TrainingRecipe

START = "start"
"""Names the network itself as a teacher, as it is when the training, or the stage, begins."""

_KEYS = ("names", "shown", "share")


class Teacher:
    """``teacher(batch)`` -> the batch with its target replaced.

    ``networks``: one for all damages, or one for each. ``before``: the first steps of each damage, which the networks
    see the true picture after; None, or None for a damage, shows them the network's own input. ``share``: of the
    teacher's picture in the target; the rest is the true one. Grey pictures go to a network for colour as three equal
    channels, and the mean of its channels comes back. A call raises ``OptionError`` for an output of another size than
    the target.
    """

    def __init__(
        self, networks: Sequence[nn.Module], before: Sequence[Recipe | None] | None = None, share: float = 1.0
    ) -> None:
        self.networks = nn.ModuleList(copy.deepcopy(network) for network in networks).eval().requires_grad_(False)
        self.before, self.share = before, share

    def to(self, device: Any) -> None:
        """Move the networks."""
        self.networks.to(device)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        target = batch["target"]
        if self.before is None and len(self.networks) == 1:
            return self._mixed(batch, self._made(self.networks[0], batch["input"], target))
        made = torch.empty_like(target, dtype=torch.float32)
        drawn = batch["damage"] if "damage" in batch else torch.zeros(len(target), dtype=torch.int64)
        for number in sorted({*drawn.tolist()}):
            those = drawn == number
            shown = batch["input"][those]
            first = self.before[number] if self.before is not None else None
            if first is not None:
                with torch.autocast(target.device.type, enabled=False):
                    shown = first(target[those], Generator())
            network = self.networks[number if len(self.networks) > 1 else 0]
            made[those] = self._made(network, shown, target[those])
        return self._mixed(batch, made)

    def _mixed(self, batch: Batch, made: Tensor) -> Batch:
        return batch | {"target": torch.lerp(batch["target"], made, self.share)}

    @staticmethod
    def _made(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        turns, flipped = int(torch.randint(4, ())), bool(torch.randint(2, ()))
        channels = getattr(getattr(network, "spec", None), "channels", x.shape[1])
        grey = x.shape[1] == 1 != channels
        view = torch.rot90(x.flip(-1) if flipped else x, turns, (-2, -1)).expand(-1, channels if grey else -1, -1, -1)
        if target.device.type in ("cpu", "cuda"):
            view = view.contiguous(memory_format=torch.channels_last)
        made = torch.rot90(network(view).float(), -turns, (-2, -1))
        made = made.mean(1, keepdim=True) if grey else made
        made = made.flip(-1) if flipped else made
        if made.shape != target.shape:
            shapes = f"{tuple(made.shape[1:])}, not {tuple(target.shape[1:])} as the target"
            raise OptionError(f"objective: the teacher gives {shapes}")
        return made


def make_teacher(table: Mapping[str, Any], recipe: TrainingRecipe, network: nn.Module) -> Teacher:
    """The teacher that ``table`` tells of; ``network``: the one that is to learn, as it begins.

    Raises ``OptionError`` for an unknown key or weight, a share outside 0..1, a number of names that is neither 1 nor
    that of the damages, and steps that are not there or not always the same.
    """
    if not isinstance(table, Mapping):
        raise OptionError(f"objective: teacher must be a table with names, not {table!r}")
    for key in table:
        if key not in _KEYS:
            raise OptionError(f"objective: teacher: {unknown('key', key, _KEYS)}")
    names, shown, share = table.get("names", []), table.get("shown"), table.get("share", 1.0)
    damages = recipe.degradations()
    if not isinstance(names, Sequence) or isinstance(names, str) or len(names) not in {1, len(damages)} - {0}:
        raise OptionError(
            f"objective: teacher: names must be a list of one weight, or of {len(damages)}, one for each damage"
        )
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise OptionError(f"objective: teacher: share must be above 0 and at most 1, not {share!r}")
    networks = [network if name == START else _loaded(str(name)) for name in names]
    before = _before(damages, shown, recipe) if shown is not None else None
    return Teacher(networks, before, float(share))


def _loaded(name: str) -> nn.Module:
    from retouch.models.catalogue import load

    return load(name).network


def _before(damages: Sequence[Recipe], shown: Any, recipe: TrainingRecipe) -> list[Recipe | None]:
    """The first ``shown`` steps of each damage, a number for all or one for each; None for no step."""
    numbers = list(shown) if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown] * len(damages)
    if len(numbers) != len(damages):
        raise OptionError(f"objective: teacher: shown must have {len(damages)} numbers, one for each damage")
    made: list[Recipe | None] = []
    for damage, number in zip(damages, numbers, strict=True):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= len(damage.steps):
            raise OptionError(f"objective: teacher: shown must be a number of steps of {damage.name}, not {number!r}")
        first = Recipe(damage.name, damage.steps[:number])
        if number and not is_settled(first, recipe.data):
            raise OptionError(f"objective: teacher: what is shown of {damage.name} is drawn anew each time")
        made.append(first if number else None)
    return made
