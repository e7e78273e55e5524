"""Networks by name: what a card or a recipe says, made into a module."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from retouch.image.errors import OptionError, unknown

NETWORKS: dict[str, str] = {
    "srcnn": "retouch.networks.srcnn:SRCNN",
    "fsrcnn": "retouch.networks.fsrcnn:FSRCNN",
    "espcn": "retouch.networks.espcn:ESPCN",
    "vdsr": "retouch.networks.vdsr:VDSR",
    "srresnet": "retouch.networks.srresnet:SRResNet",
    "residual-sr": "retouch.networks.residual_sr:ResidualSR",
    "srgan-discriminator": "retouch.networks.srresnet:Discriminator",
    "imdn": "retouch.networks.imdn:IMDN",
    "safmn": "retouch.networks.safmn:SAFMN",
    "span": "retouch.networks.span:SPAN",
    "nafnet": "retouch.networks.nafnet:NAFNet",
    "nafnet-sr": "retouch.networks.nafnet:NAFNetSR",
    "dncnn": "retouch.networks.dncnn:DnCNN",
    "unet": "retouch.networks.unet:UNet",
    "residual-unet": "retouch.networks.residual_unet:ResidualUNet",
    "restoration": "retouch.networks.restoration:RestorationNet",
    "transform": "retouch.networks.transform:TransformNet",
    "encoder-decoder": "retouch.networks.encoder_decoder:EncoderDecoder",
    "pix2pix-unet": "retouch.networks.pix2pix:UNetGenerator",
    "resnet-generator": "retouch.networks.cyclegan:ResNetGenerator",
    "autoencoder": "retouch.networks.autoencoder:Autoencoder",
    "vae": "retouch.networks.vae:LinearVAE",
    "conv-vae": "retouch.networks.vae:ConvVAE",
    "dcgan": "retouch.networks.dcgan:DCGANGenerator",
    "dcgan-discriminator": "retouch.networks.dcgan:DCGANDiscriminator",
    "patchgan": "retouch.networks.patchgan:PatchGAN",
    "small-cnn": "retouch.networks.small_cnn:SmallCNN",
    "efficientnet-lite0": "retouch.networks.efficientnet:EfficientNetLite0",
    "pixelcnn": "retouch.networks.pixelcnn:PixelCNN",
    "pixel-recursive": "retouch.networks.pixel_recursive:PixelRecursive",
}
"""Every architecture a recipe or a card may name: name -> module and class."""


def network_class(name: str) -> type[nn.Module]:
    """The class of the architecture ``name``; ``OptionError`` names the nearest known one."""
    if name not in NETWORKS:
        raise OptionError(unknown("network", name, list(NETWORKS)))
    module, _, attribute = NETWORKS[name].partition(":")
    found: type[nn.Module] = getattr(importlib.import_module(module), attribute)
    return found


def build(name: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with fresh weights. Raises ``OptionError`` for an unknown name or argument, or a value it refuses."""
    made = network_class(name)
    known = list(inspect.signature(made).parameters)
    values = dict(arguments or {})
    for key in values:
        if key not in known:
            raise OptionError(unknown("argument", key, known, f"of network {name}"))
    for key, value in values.items():
        if isinstance(value, list):  # TOML and JSON have no tuples
            values[key] = tuple(value)
    try:
        return made(**values)
    except (TypeError, ValueError) as error:
        raise OptionError(f"network {name}: {error}") from error


def count_parameters(network: nn.Module, *, weights_only: bool = False) -> int:
    """How many numbers are learned; ``weights_only``: of convolutions and linear layers, without biases and slopes.

    The papers of SRCNN, FSRCNN and VDSR count in the second way.
    """
    if not weights_only:
        return sum(parameter.numel() for parameter in network.parameters())
    return sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1)
