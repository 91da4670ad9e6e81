"""Multicoated supermask layers: frozen random signs under a sum of learned, nested masks (M-Sup).

The coat index M in 0..N of a weight counts the coats that keep it; the effective weight is ``sign * M * scale`` with
``scale = sqrt(2 / (fan_in * densities[0]))``. Coats keep the weights with the largest |score| of their layer. A
density is always the kept fraction. Source: docs/specification.md, "Coat index".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from golden import stream
from golden.densities import check_densities, kept_count
from golden.topology import Layer


def coat_indices(scores, densities, convention: str = "released") -> np.ndarray:
    """Exact coat index of every weight: uint8 of the shape of ``scores``, 0..len(densities).

    Every coat keeps its :func:`kept_count` weights with the largest |score|. Ties at the threshold: "released" keeps
    all of them (so possibly more than the count), "edge-popup" keeps those that come last in memory order.
    """
    magnitude = np.abs(np.asarray(scores, np.float32))
    flat = magnitude.ravel()
    order = np.argsort(flat, kind="stable")
    index = np.zeros(flat.size, np.uint8)
    for density in check_densities(densities):
        kept = kept_count(flat.size, density, convention)
        if kept == 0:
            continue
        if convention == "released":
            index += flat >= flat[order[-kept]]
        else:
            index[order[-kept:]] += 1
    return index.reshape(magnitude.shape)


def layer_scale(fan_in: int, densities) -> float:
    """Magnitude of a weight at coat index 1: sqrt(2) / sqrt(fan_in * k1). Further coats do not rescale."""
    return math.sqrt(2 / (fan_in * densities[0]))


def layer_signs(layer: Layer, seed: int, rounds: int) -> torch.Tensor:
    """Signs of a layer's weights from its stream: float32 of shape (out, in, ky, kx), +1 or -1."""
    signs = stream.weight_signs(seed, layer.stream, layer.out_channels, layer.kernel, layer.kernel,
                                layer.in_channels, rounds)
    return torch.from_numpy(signs.transpose(0, 3, 1, 2).astype(np.float32))


STORED_BITS = 8
"""Width that a dense network's weights get when it is quantised."""


class _StraightThrough(torch.autograd.Function):
    """base * M. Every coat passes the gradient to |score| as if it were the identity, hence the factor N."""

    @staticmethod
    def forward(ctx, scores, base, thresholds):
        ctx.save_for_backward(scores, base)
        ctx.coats = len(thresholds)
        magnitude = scores.abs()
        index = torch.zeros_like(magnitude)
        for threshold in thresholds:
            index += magnitude >= threshold
        return index * base

    @staticmethod
    def backward(ctx, gradient):
        scores, base = ctx.saved_tensors
        return gradient * base * ctx.coats * scores.sign(), None, None


class SupermaskConv2d(nn.Module):
    """Convolution whose weights are a multicoated supermask over random signs; the scores are the one parameter.

    ``scores`` is float32 (out, in, ky, kx), Kaiming-normal from ``generator``. ``thresholds`` (float32, one per coat)
    are what training compares |score| with. They follow the scores only when :meth:`refresh` is called: sorting at
    every step makes a step 1.3 to 3.4 times as long as a dense one, refreshing every 16 steps 1.01 to 1.09 times
    (``golden.bench_training``, one core). Runs on the CPU.
    """

    def __init__(self, layer: Layer, *, densities, seed: int, convention: str = "released", rounds: int = 13,
                 generator: torch.Generator | None = None):
        super().__init__()
        self.layer = layer
        self.densities = check_densities(densities)
        self.convention = convention
        self.scale = layer_scale(layer.fan_in, self.densities)
        scores = torch.randn(layer.weight_shape, generator=generator) * math.sqrt(2 / layer.fan_in)
        self.scores = nn.Parameter(scores)
        self.register_buffer("base", layer_signs(layer, seed, rounds) * self.scale)
        self.register_buffer("thresholds", torch.zeros(len(self.densities)))
        self.refresh()

    @torch.no_grad()
    def refresh(self):
        """Set the thresholds to the exact ones of the present scores: the kept-count-th largest |score| per coat."""
        magnitude = self.scores.detach().abs().flatten().numpy()
        size = magnitude.size
        kept = [kept_count(size, density, self.convention) for density in self.densities]
        ranks = sorted({size - count for count in kept if count})
        ordered = np.partition(magnitude, ranks)
        for coat, count in enumerate(kept):
            self.thresholds[coat] = float(ordered[size - count]) if count else math.inf

    def weight(self) -> torch.Tensor:
        """Effective weights, float32 (out, in, ky, kx), differentiable straight through to the scores."""
        return _StraightThrough.apply(self.scores, self.base, self.thresholds)

    def coat_indices(self) -> np.ndarray:
        """Exact coat indices of the present scores, uint8 (out, in, ky, kx)."""
        return coat_indices(self.scores.detach().numpy(), self.densities, self.convention)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight(), stride=self.layer.stride, padding=self.layer.padding)


class DenseConv2d(nn.Module):
    """The baseline: the same convolution with ordinary trained weights, Kaiming-normal from ``generator``."""

    def __init__(self, layer: Layer, *, generator: torch.Generator | None = None):
        super().__init__()
        self.layer = layer
        weights = torch.randn(layer.weight_shape, generator=generator) * math.sqrt(2 / layer.fan_in)
        self.trained = nn.Parameter(weights)
        self.bits = STORED_BITS

    def weight(self) -> torch.Tensor:
        """The trained weights, float32 (out, in, ky, kx)."""
        return self.trained

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.trained, stride=self.layer.stride, padding=self.layer.padding)
