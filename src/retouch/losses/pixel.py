"""Losses between a prediction and its target, value by value. All in float32, the mean over everything."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class L1(nn.Module):
    """Mean absolute difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(prediction.float(), target.float())


class L2(nn.Module):
    """Mean squared difference."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(prediction.float(), target.float())


class Charbonnier(nn.Module):
    """Mean of ``sqrt(d^2 + eps^2)``, a smooth L1 (Charbonnier et al. 1994; Lai et al. 2017 take eps = .001)."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps must be above 0, not {eps}")
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.sqrt((prediction.float() - target.float()).square() + self.eps**2).mean()


class TotalVariation(nn.Module):
    """Mean absolute difference of horizontal neighbours plus that of vertical ones, of the prediction alone.

    Anisotropic (Rudin, Osher, Fatemi 1992, in the form used for networks since Mahendran and Vedaldi 2015).
    """

    def forward(self, prediction: Tensor, target: Tensor | None = None) -> Tensor:
        x = prediction.float()
        across, down = x.diff(dim=-1).abs(), x.diff(dim=-2).abs()
        # a picture one pixel wide varies in one direction only; the mean of nothing would be NaN
        return sum((d.mean() for d in (across, down) if d.numel()), x.new_zeros(()))
