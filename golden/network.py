"""The PyTorch network that a topology describes, as a multicoated supermask or densely trained.

Images enter as float32 (batch, channels, height, width) in 0..1, pixel / 255 with no mean subtracted: the integer
model then reads the pixels themselves (stored as pixel - 128) and zero padding is black.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from golden.densities import check_densities
from golden.pruned import PrunedConv2d
from golden.supermask import DenseConv2d, SupermaskConv2d
from golden.topology import IMAGE, Layer, Pool, Topology


def apply_pool(pool: Pool, x: torch.Tensor) -> torch.Tensor:
    """Max pool with its window, or the global average, which keeps a 1x1 map."""
    if pool.kind == "max":
        return functional.max_pool2d(x, pool.kernel, pool.stride, pool.padding)
    return x.mean((2, 3), keepdim=True)


class NetworkLayer(nn.Module):
    """One layer of the topology: convolution, batch normalisation, residual sum, ReLU, pool, in this order."""

    def __init__(self, layer: Layer, conv: nn.Module):
        super().__init__()
        self.layer = layer
        self.conv = conv
        self.norm = nn.BatchNorm2d(layer.out_channels) if layer.normalised else None

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if residual is not None:
            x = x + residual
        if self.layer.relu:
            x = functional.relu(x)
        return x if self.layer.pool is None else apply_pool(self.layer.pool, x)


class SupermaskNetwork(nn.Module):
    """A topology with weights.

    ``densities`` are the kept fractions of the coats, or None for the dense baseline. ``seed`` is the model's 64-bit
    seed (of the signs, not of the scores); layers take their signs from the stream they name. ``generator`` draws the
    initial scores or dense weights; ``convolution``, if given, makes the layers' modules instead. ``layers`` maps a
    layer's name to its :class:`NetworkLayer`.
    """

    def __init__(self, topology: Topology, *, densities=None, seed: int = 0, convention: str = "released",
                 rounds: int = 13, generator: torch.Generator | None = None,
                 convolution: Callable[[Layer], nn.Module] | None = None):
        super().__init__()
        self.topology = topology
        self.densities = None if densities is None else check_densities(densities)
        self.seed = seed
        self.convention = convention
        self.rounds = rounds
        modules = []
        for layer in topology.layers:
            if convolution is not None:
                conv = convolution(layer)
            elif self.densities is None:
                conv = DenseConv2d(layer, generator=generator)
            else:
                conv = SupermaskConv2d(layer, densities=self.densities, seed=seed, convention=convention,
                                       rounds=rounds, generator=generator)
            modules.append(NetworkLayer(layer, conv))
        # Layer names hold dots, which ModuleDict refuses.
        self._modules_in_order = nn.ModuleList(modules)

    @property
    def layers(self) -> dict[str, NetworkLayer]:
        """The layer modules by name, in the order they run."""
        return {module.layer.name: module for module in self._modules_in_order}

    @property
    def coats(self) -> int | None:
        """Number of coats, None for the dense baseline."""
        return None if self.densities is None else len(self.densities)

    def refresh(self, progress: float = 1.):
        """Bring every layer's thresholds up to date with its scores, or prune it as far as it is to be when
        ``progress``, 0..1, of the training has passed; nothing to do for the dense baseline."""
        for module in self._modules_in_order:
            if isinstance(module.conv, SupermaskConv2d):
                module.conv.refresh()
            elif isinstance(module.conv, PrunedConv2d):
                module.conv.refresh(progress)

    def tensors(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every tensor by the name of the layer that writes it, the image included."""
        values = {IMAGE: images}
        for name, module in self.layers.items():
            layer = module.layer
            residual = None if layer.residual is None else values[layer.residual]
            values[name] = module(values[layer.input], residual)
        return values

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, classes)."""
        return self.tensors(images)[self.topology.layers[-1].name].flatten(1)
