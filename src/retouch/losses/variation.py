"""Total variation: how much a picture changes from pixel to pixel."""

from __future__ import annotations

from torch import Tensor, nn

from retouch.losses.pixel import full


class TotalVariation(nn.Module):
    """Anisotropic total variation: mean ``|step|`` from row to row plus that from column to column -> scalar.

    ``forward``: pictures ``(..., H, W)``; a side of one pixel has no steps and adds 0. A target is taken, so that it
    can be called as the other losses are, and left aside. Rudin, Osher, Fatemi, "Nonlinear total variation based noise
    removal algorithms", Physica D 60, 1992, in its anisotropic form, and as a mean over the picture rather than a sum.
    """

    def forward(self, prediction: Tensor, target: Tensor | None = None) -> Tensor:
        x = full(prediction)
        down = (x[..., 1:, :] - x[..., :-1, :]).abs()
        across = (x[..., 1:] - x[..., :-1]).abs()
        return down.sum() / max(1, down.numel()) + across.sum() / max(1, across.numel())
