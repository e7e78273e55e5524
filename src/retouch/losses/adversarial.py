"""The two sides of adversarial losses, on a critic's raw outputs (logits), the mean over them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional as F

from retouch.image.errors import OptionError, unknown


class AdversarialLoss(ABC):
    """``critic``: what the critic minimises; ``generator``: what the generator does. Logits of any shape."""

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Low where ``real`` is told from ``fake``."""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Low where ``fake`` passes for real."""


class Standard(AdversarialLoss):
    """Cross-entropy, the generator's not saturating: -log D(G(z)) (Goodfellow et al. 2014, section 3)."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake.float()).mean()


class LeastSquares(AdversarialLoss):
    """Squares towards 1 and 0, halved for the critic (Mao et al. 2017; the halving as CycleGAN has it)."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2

    def generator(self, fake: Tensor) -> Tensor:
        return (fake.float() - 1).square().mean()


class Wasserstein(AdversarialLoss):
    """Differences of means (Arjovsky et al. 2017); what keeps the critic Lipschitz is the objective's business."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.float().mean() - real.float().mean()

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.float().mean()


ADVERSARIAL: dict[str, type[AdversarialLoss]] = {
    "standard": Standard,
    "least-squares": LeastSquares,
    "wasserstein": Wasserstein,
}


def adversarial_loss(name: str) -> AdversarialLoss:
    """The loss by name; ``OptionError`` names the nearest known one."""
    if name not in ADVERSARIAL:
        raise OptionError(unknown("adversarial loss", name, list(ADVERSARIAL)))
    return ADVERSARIAL[name]()
