"""The one adversarial step that all objectives with critics share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from retouch.image.errors import OptionError
from retouch.losses.adversarial import adversarial_loss

Critic = Callable[..., Tensor]


class Game:
    """What a generator gains by fooling a critic, and what the critic loses by being fooled.

    ``kind``: "standard", "least-squares" or "wasserstein". ``share``: of the critic's loss that it learns from; pix2pix
    and CycleGAN halve it, so that it learns more slowly than the generator. ``clip``: limit of the critic's weights
    after each of its steps (Arjovsky et al. 2017, WGAN), 0 for none. ``penalty``: weight of the squared difference to 1
    of the critic's gradient norm, at a random point between each real and made picture (Gulrajani et al., NeurIPS 2017,
    WGAN-GP; 10 there), 0 for none. Raises ``OptionError`` for values below 0.
    """

    def __init__(self, kind: str = "standard", *, share: float = 1.0, clip: float = 0.0, penalty: float = 0.0) -> None:
        if min(share, clip, penalty) < 0:
            raise OptionError(
                f"objective: the critic's share, clip and penalty are at least 0, not {share}, {clip}, {penalty}"
            )
        self.adversarial, self.share, self.clip, self.penalty = adversarial_loss(kind), share, clip, penalty

    def fool(self, critic: Critic, made: Tensor) -> Tensor:
        """What the generator minimises."""
        return self.adversarial.generator(critic(made).float())

    def judge(self, critic: Critic, real: Tensor, made: Tensor) -> Tensor:
        """What the critic minimises, on pictures that carry no gradient of the generator."""
        made = made.detach()
        loss = self.share * self.adversarial.critic(critic(real).float(), critic(made).float())
        return loss + self.penalty * self._steepness(critic, real, made) if self.penalty else loss

    def _steepness(self, critic: Critic, real: Tensor, made: Tensor) -> Tensor:
        place = torch.rand(real.shape[0], 1, 1, 1, device=real.device)
        between = real.float().lerp(made.float(), place).requires_grad_()
        with torch.autocast(real.device.type, enabled=False):
            logits = critic(between)
            (gradient,) = torch.autograd.grad(logits.float().sum(), between, create_graph=True)
        steepness: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        return steepness

    def stepped(self, critic: nn.Module) -> None:
        """After a step of the critic."""
        if self.clip:
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-self.clip, self.clip)


class Pool:
    """Pictures a generator made lately: the critic gets half of them instead of the newest, and forgets less.

    Shrivastava et al., CVPR 2017, section 2.3; as in CycleGAN with 50 pictures. ``size`` 0 keeps none. Drawn from
    torch's global generator.
    """

    def __init__(self, size: int) -> None:
        if size < 0:
            raise OptionError(f"objective: pool is at least 0, not {size}")
        self.size = size
        self.kept: list[Tensor] = []

    def swap(self, made: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> as many pictures, half of them older ones once the pool is full."""
        if not self.size:
            return made
        given = []
        for picture in made.detach():
            if len(self.kept) < self.size:
                self.kept.append(picture)
                given.append(picture)
                continue
            old, place = torch.rand(2).tolist()
            if old < 0.5:
                given.append(picture)
            else:
                index = int(place * self.size)
                given.append(self.kept[index])
                self.kept[index] = picture
        return torch.stack(given)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": [picture.cpu() for picture in self.kept]}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self.kept = [picture.to(device) for picture in state["kept"]]
