"""Learning to translate both ways between two kinds of pictures of which no two belong together.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017
(CycleGAN). Yi, Zhang, Tan, Gong, "DualGAN: Unsupervised Dual Learning for Image-to-Image Translation", ICCV 2017: the
same two games with Wasserstein's distance, and a heavier round trip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouch.image.errors import OptionError
from retouch.training.data import Batch
from retouch.training.objectives.base import Networks, Objective, Turn
from retouch.training.objectives.game import Game, Pool


class Cycle(Objective):
    """Two generators, "forward" from input to target and "back", and a critic of each kind of picture.

    Generators' turn: both adversarial losses, plus ``cycle`` times the L1 distance of what went there and back to what
    it was, plus ``identity * cycle`` times the L1 distance of a generator's output to its input where that is of the
    kind it makes (CycleGAN: only for paintings, 0.5). Critics' turn: both, on pictures from ``pool``. ``kind``,
    ``share``, ``clip``, ``penalty``: see ``Game``. ``every``: the generators learn at each so many-th step, the critics
    at all. ``again``: makes the second generator and the second critic.

    ``cycle`` is 10 in CycleGAN, for pictures in [-1, 1]; they are in [0, 1] here, and so distances are doubled before
    they are weighed. Losses that are logged: ``forward`` and ``back`` (adversarial), ``round_trip`` (the mean L1
    distance of both ways, in [0, 1]), ``identity``.
    """

    def __init__(
        self,
        network: nn.Module,
        critic: nn.Module,
        *,
        again: Callable[[], tuple[nn.Module, nn.Module]],
        kind: str = "least-squares",
        cycle: float = 10.0,
        identity: float = 0.0,
        pool: int = 50,
        share: float = 0.5,
        clip: float = 0.0,
        penalty: float = 0.0,
        every: int = 1,
    ) -> None:
        if min(cycle, identity) < 0 or every < 1:
            raise OptionError(
                f"objective: cycle and identity are at least 0 and every at least 1, not {cycle}, {identity}, {every}"
            )
        back, other = again()
        self.networks = {"forward": network, "back": back, "critic": critic, "back_critic": other}
        self.product = "forward"
        self.others = {"back": "back"}
        self.turns = (
            Turn("generator", ("forward", "back"), every),
            Turn("critic", ("critic", "back_critic")),
        )
        self.game = Game(kind, share=share, clip=clip, penalty=penalty)
        self.cycle, self.identity = cycle, identity
        self.pools = {"critic": Pool(pool), "back_critic": Pool(pool)}
        self._made: list[tuple[Tensor, Tensor]] = []

    def loss(self, turn: str, batch: Batch, networks: Networks) -> dict[str, Tensor]:
        first, second = batch["input"], batch["target"]
        if turn == "generator":
            return self._generators(first, second, networks)
        if self._made:  # the portions of a step come in the same order in both turns
            there, here = self._made.pop(0)
        else:  # a step in which the generators do not learn
            with torch.no_grad():
                there, here = networks["forward"](first), networks["back"](second)
        games = {"critic": (second, there), "back_critic": (first, here)}
        parts = {
            name: self.game.judge(networks[name], real, self.pools[name].swap(made.detach()))
            for name, (real, made) in games.items()
        }
        return {"forward": parts["critic"], "back": parts["back_critic"], "loss": sum(parts.values(), torch.zeros(()))}

    def _generators(self, first: Tensor, second: Tensor, networks: Networks) -> dict[str, Tensor]:
        there, here = networks["forward"](first), networks["back"](second)
        self._made.append((there.detach(), here.detach()))
        parts = {
            "forward": self.game.fool(networks["critic"], there),
            "back": self.game.fool(networks["back_critic"], here),
            "round_trip": (_far(networks["back"](there), first) + _far(networks["forward"](here), second)) / 2,
        }
        loss = parts["forward"] + parts["back"] + 4 * self.cycle * parts["round_trip"]
        if self.identity:
            same = _far(networks["forward"](second), second) + _far(networks["back"](first), first)
            parts["identity"] = same / 2
            loss = loss + 4 * self.cycle * self.identity * parts["identity"]
        return parts | {"loss": loss}

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        made: Tensor = network(batch["input"])
        return made

    def stepped(self, turn: str) -> None:
        if turn == "critic":
            for name in self.pools:
                self.game.stepped(self.networks[name])

    def state_dict(self) -> dict[str, Any]:
        return {name: pool.state_dict() for name, pool in self.pools.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = next(self.networks["forward"].parameters()).device
        for name, pool in self.pools.items():
            pool.load_state_dict(state[name], device)


def _far(made: Tensor, wanted: Tensor) -> Tensor:
    return functional.l1_loss(made.float(), wanted)
