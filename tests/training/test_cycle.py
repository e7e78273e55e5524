"""Adversarial games by hand: what is minimised, clipped, penalised, kept and repeated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.training.objectives.adversarial import Adversarial
from retouch.training.objectives.cycle import Cycle
from retouch.training.objectives.game import Game, Pool


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


class Sum(nn.Module):
    """Judges by the sum of all values, times a number."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x.sum((1, 2, 3))


BATCH = {"input": torch.full((1, 1, 2, 2), 0.25), "target": torch.full((1, 1, 2, 2), 0.5)}


def _cycle(**options: Any) -> Cycle:
    return Cycle(Times(1.5), Sum(1.0), again=lambda: (Times(0.6), Sum(2.0)), **({"pool": 0} | options))


def _losses(objective: Any, turn: str) -> dict[str, float]:
    return {key: float(value) for key, value in objective.loss(turn, BATCH, objective.networks).items()}


def test_cyclegan_by_hand() -> None:
    objective = _cycle(cycle=10, identity=0.5)
    found = _losses(objective, "generator")
    # there: .375 (sum 1.5), judged 1.5; here: .3 (sum 1.2), judged by the other critic 2.4
    forward, back = (1.5 - 1) ** 2 / 2, (2.4 - 1) ** 2 / 2
    trips = abs(0.6 * 0.375 - 0.25) + abs(1.5 * 0.3 - 0.5)
    same = abs(1.5 * 0.5 - 0.5) + abs(0.6 * 0.25 - 0.25)
    assert found["forward"] == pytest.approx(forward)
    assert found["back"] == pytest.approx(back)
    assert found["round_trip"] == pytest.approx(trips / 2)
    assert found["identity"] == pytest.approx(same / 2)
    # distances are twice as long in [-1, 1]
    assert found["loss"] == pytest.approx(forward + back + 10 * 2 * trips + 5 * 2 * same)
    judged = _losses(objective, "critic")
    first = 0.5 * ((2.0 - 1) ** 2 + 1.5**2) / 2  # halved, as both papers do
    second = 0.5 * ((2.0 - 1) ** 2 + 2.4**2) / 2
    assert judged["forward"] == pytest.approx(first)
    assert judged["back"] == pytest.approx(second)
    assert judged["loss"] == pytest.approx(first + second)


def test_dualgan_by_hand_and_its_clipping() -> None:
    objective = _cycle(kind="wasserstein", share=1.0, clip=0.1, cycle=3)
    found = _losses(objective, "generator")
    assert found["forward"] == pytest.approx(-1.5)
    assert found["back"] == pytest.approx(-2.4)
    assert "identity" not in found
    judged = _losses(objective, "critic")
    assert judged["loss"] == pytest.approx((1.5 - 2.0) + (2.4 - 2.0))
    objective.stepped("generator")
    assert float(objective.networks["critic"].gain) == 1.0  # type: ignore[arg-type]
    objective.stepped("critic")
    for name in ("critic", "back_critic"):
        assert float(objective.networks[name].gain) == pytest.approx(0.1)  # type: ignore[arg-type]
    assert float(objective.networks["forward"].gain) == 1.5  # type: ignore[arg-type]


def test_gradient_penalty_by_hand() -> None:
    critic = Sum(1.5)  # its gradient is 1.5 everywhere, of norm 3 over four pixels
    game = Game("wasserstein", penalty=10)
    loss = game.judge(critic, BATCH["target"], BATCH["input"])
    assert float(loss) == pytest.approx(1.5 * (1.0 - 2.0) + 10 * (3 - 1) ** 2)
    loss.backward()
    assert critic.gain.grad is not None
    assert float(critic.gain.grad) == pytest.approx(-1.0 + 10 * 2 * (3 - 1) * 2)


def test_critics_alone_learn_where_generators_wait() -> None:
    objective = _cycle(every=3)
    assert [turn.every for turn in objective.turns] == [3, 1]
    fresh = _losses(objective, "critic")  # without a generator's turn before it
    _losses(objective, "generator")
    assert _losses(objective, "critic") == fresh


def test_no_gradient_reaches_a_generator_through_the_critics_turn() -> None:
    objective = _cycle()
    for with_turn in (True, False):
        if with_turn:
            objective.loss("generator", BATCH, objective.networks)
        objective.loss("critic", BATCH, objective.networks)["loss"].backward()
        assert objective.networks["forward"].gain.grad is None
        assert objective.networks["critic"].gain.grad is not None


def test_pix2pix_critic_sees_the_input_too() -> None:
    def make(conditional: bool) -> Adversarial:
        return Adversarial(
            Times(1.5), Sum(1.0), features=lambda name: nn.Identity(), losses=[{"name": "l1", "weight": 100.0}],
            weight=1.0, conditional=conditional, share=0.5, kind="least-squares",
        )  # fmt: skip

    for conditional, more in ((False, 0.0), (True, 1.0)):  # the input sums to 1
        objective = make(conditional)
        found = _losses(objective, "generator")
        fooled = (1.5 + more - 1) ** 2 / 2
        assert found["adversarial"] == pytest.approx(fooled)
        assert found["loss"] == pytest.approx(100 * 0.125 + fooled)
        judged = _losses(objective, "critic")["loss"]
        assert judged == pytest.approx(0.5 * ((2 + more - 1) ** 2 + (1.5 + more) ** 2) / 2)


def test_the_critic_counts_less_while_it_is_new() -> None:
    def make() -> Adversarial:
        return Adversarial(
            Times(1.5), Sum(1.0), features=lambda name: nn.Identity(), losses=[{"name": "l1"}],
            weight=1.0, early_weight=0.1, early_steps=2, kind="least-squares",
        )  # fmt: skip

    objective, shares = make(), []
    for _ in range(4):
        found = _losses(objective, "generator")
        shares.append((found["loss"] - found["l1"]) / found["adversarial"])
        _losses(objective, "critic")
        for turn in objective.turns:
            objective.stepped(turn.name)
    assert shares == pytest.approx([0.1, 0.1, 1.0, 1.0])
    again = make()
    again.load_state_dict(objective.state_dict())
    found = _losses(again, "generator")
    assert found["loss"] == pytest.approx(found["l1"] + found["adversarial"])
    again.load_state_dict({})  # of a checkpoint from before the steps were counted
    assert again.steps == 0
    with pytest.raises(OptionError, match="early_steps is at least 0"):
        Adversarial(Times(1.0), Sum(1.0), features=lambda name: nn.Identity(), losses=[], early_steps=-1)


# -- the pool


def test_the_pool_fills_first_then_gives_half_of_what_it_kept() -> None:
    torch.manual_seed(0)
    pool = Pool(10)
    pictures = [torch.full((1, 1, 1, 1), float(value)) for value in range(400)]
    given = [float(pool.swap(picture)) for picture in pictures]
    assert given[:10] == list(range(10))
    old = [value != index for index, value in enumerate(given)][10:]
    assert 0.4 < sum(old) / len(old) < 0.6
    assert len(pool.kept) == 10
    assert all(value <= index for index, value in enumerate(given))


def test_a_pool_goes_on_where_it_was_saved() -> None:
    torch.manual_seed(0)
    one, other = Pool(4), Pool(4)
    for _ in range(9):
        one.swap(torch.rand(2, 1, 2, 2))
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    x = torch.rand(3, 1, 2, 2)
    results = []
    for pool in (one, other):
        torch.manual_seed(1)
        results.append(pool.swap(x))
    assert torch.equal(*results)


def test_no_pool_gives_what_it_gets() -> None:
    x = torch.rand(3, 1, 2, 2)
    assert Pool(0).swap(x) is x


@pytest.mark.parametrize("options", [{"cycle": -1}, {"identity": -1}, {"every": 0}, {"pool": -1}, {"clip": -1}])
def test_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="at least"):
        _cycle(**options)
