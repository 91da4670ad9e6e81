"""Pruned and quantised layers, the dense side's best: few trained weights, each of 8 or 4 bits.

Pruning is gradual, by magnitude within a layer, the kept fraction falling along a cubic; what is cut stays cut (Zhu and
Gupta, arXiv 1710.01878). Quantisation is symmetric, the largest kept magnitude of a channel being the largest integer,
and gradients pass it straight through.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from golden.densities import kept_count
from golden.topology import Layer

PRUNING = .1, .7
"""Fractions of the training at which pruning begins and ends."""


def scheduled_density(density: float, progress: float) -> float:
    """Kept fraction when ``progress``, 0..1, of a training for the final ``density`` has passed."""
    begin, end = PRUNING
    passed = min(max((progress - begin) / (end - begin), 0), 1)
    return density + (1 - density) * (1 - passed) ** 3


class PrunedConv2d(nn.Module):
    """Convolution that keeps its largest weights and stores them as integers of ``bits`` bits.

    ``trained`` is float32 (out, in, ky, kx), Kaiming-normal from ``generator``; ``mask``, of the same shape and type,
    is 1 for the weights that are kept, all at first. It follows weights and schedule only when :meth:`refresh` is
    called. ``density`` is the kept fraction at the end; a kept weight may still round to 0. Channels of a wide layer
    share their step, as their results are compared with each other. Runs on the CPU.
    """

    def __init__(self, layer: Layer, *, density: float, bits: int, convention: str = "released",
                 generator: torch.Generator | None = None):
        super().__init__()
        self.layer = layer
        self.density = density
        self.bits = bits
        self.convention = convention
        weights = torch.randn(layer.weight_shape, generator=generator) * math.sqrt(2 / layer.fan_in)
        self.trained = nn.Parameter(weights)
        self.register_buffer("mask", torch.ones(layer.weight_shape))

    @torch.no_grad()
    def refresh(self, progress: float = 1.):
        """Keep as many weights as ``progress`` asks for: the largest of those kept until now. Of equals, the last in
        memory order stay."""
        kept = kept_count(self.layer.weights, scheduled_density(self.density, progress), self.convention)
        # Weights that are cut rank behind those that are kept and 0.
        magnitudes = torch.where(self.mask > 0, self.trained.abs(), -1.).flatten()
        cut = magnitudes.argsort(stable=True)[:self.layer.weights - kept]
        self.mask.view(-1)[cut] = 0

    def weight(self) -> torch.Tensor:
        """Effective weights: integers of ``bits`` bits times a step per channel, 0 where cut; float32 (out, in, ky,
        kx), differentiable straight through to the kept weights."""
        weights = self.trained * self.mask
        magnitudes = weights.detach().abs()
        largest = magnitudes.amax() if self.layer.wide else magnitudes.amax((1, 2, 3), keepdim=True)
        step = (largest / ((1 << self.bits - 1) - 1)).clamp_min(torch.finfo(torch.float32).tiny)
        stored = torch.round(weights.detach() / step) * step
        return stored + (weights - weights.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight(), stride=self.layer.stride, padding=self.layer.padding)
