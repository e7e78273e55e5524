"""A network with instance normalisation made into one that can be run in tiles: its statistics fixed beforehand."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from retouch.networks.spec import Spec


def fixed_statistics(network: nn.Module, pixels: Tensor) -> nn.Module:
    """A copy whose instance normalisations use the means and variances that they find in ``pixels``, ``(C, H, W)``.

    Run on ``pixels`` it gives what the network gives; run on parts of a picture like them, it gives parts without
    seams, as batch normalisation in evaluation mode does, and is ``exact`` in tiles. The network itself stays as it is.
    """
    made = copy.deepcopy(network).eval()
    norms = {module: name for name, module in made.named_modules() if isinstance(module, nn.InstanceNorm2d)}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.InstanceNorm2d)
        x = inputs[0].float()
        found = nn.BatchNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine)
        assert found.running_mean is not None
        assert found.running_var is not None
        found.running_mean.copy_(x.mean((0, 2, 3)))
        found.running_var.copy_(x.var((0, 2, 3), correction=0))
        if norm.affine:
            found.load_state_dict(norm.state_dict(), strict=False)
        known[norms[norm]] = found.eval().requires_grad_(False)

    known: dict[str, nn.Module] = {}
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    with torch.no_grad():
        made(pixels[None])
    for hook in hooks:
        hook.remove()
    for name, norm in known.items():
        outer, _, last = name.rpartition(".")
        setattr(made.get_submodule(outer), last, norm)
    spec = network.spec
    if isinstance(spec, Spec) and known:
        made.spec = Spec(spec.channels, spec.scale, spec.halo, spec.multiple, spec.enlarged, True, spec.levels)  # type: ignore[assignment]
    return made
