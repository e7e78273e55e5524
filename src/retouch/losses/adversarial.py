"""What a critic and a generator minimise against each other, from the critic's raw outputs (logits)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional as F

from retouch.image.errors import OptionError, unknown
from retouch.losses.pixel import full


class AdversarialLoss(ABC):
    """Both sides of one game. Logits of any shape, high where the critic takes a picture for real -> scalars."""

    @abstractmethod
    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """What the critic minimises; the generator's output should come in detached."""

    @abstractmethod
    def generator(self, fake_logits: Tensor) -> Tensor:
        """What the generator minimises."""


class Standard(AdversarialLoss):
    """Cross-entropy, in the form whose gradients do not vanish while the critic wins.

    Critic: ``-mean log D(real) - mean log(1 - D(fake))``, generator: ``-mean log D(fake)``, D being the sigmoid of the
    logits. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3; SRGAN's, Ledig et al. 2017.
    """

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(-full(real_logits)).mean() + F.softplus(full(fake_logits)).mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        return F.softplus(-full(fake_logits)).mean()


class LeastSquares(AdversarialLoss):
    """Half the mean squares of real - 1 and fake for the critic, of fake - 1 for the generator; no sigmoid.

    Mao, Li, Xie, Lau, Wang, Smolley, "Least Squares Generative Adversarial Networks", ICCV 2017, equation 9.
    """

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return ((full(real_logits) - 1).square().mean() + full(fake_logits).square().mean()) / 2

    def generator(self, fake_logits: Tensor) -> Tensor:
        return (full(fake_logits) - 1).square().mean() / 2


class Wasserstein(AdversarialLoss):
    """``mean fake - mean real`` for the critic, ``-mean fake`` for the generator.

    It is a distance only while the critic is Lipschitz continuous, to which its training has to see (clipped weights or
    a gradient penalty). Arjovsky, Chintala, Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017,
    algorithm 1.
    """

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return full(fake_logits).mean() - full(real_logits).mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -full(fake_logits).mean()


ADVERSARIAL: dict[str, type[AdversarialLoss]] = {
    "standard": Standard,
    "least-squares": LeastSquares,
    "wasserstein": Wasserstein,
}
"""Adversarial losses by name."""


def adversarial_loss(kind: str = "standard") -> AdversarialLoss:
    """The adversarial loss named ``kind``; ``OptionError`` names the nearest known one."""
    if kind not in ADVERSARIAL:
        raise OptionError(unknown("adversarial loss", kind, list(ADVERSARIAL)))
    return ADVERSARIAL[kind]()
