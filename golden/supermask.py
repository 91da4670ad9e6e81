"""Multicoated supermask layers: frozen random signs under a sum of learned, nested masks (M-Sup).

The coat index M in 0..N of a weight counts the coats that keep it; the effective weight is ``sign * M * scale`` with
``scale = sqrt(2 / (fan_in * densities[0]))``. Coats keep the weights with the largest |score| of their layer. A
density is always the kept fraction. Source: docs/specification.md, "Coat index".
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from golden import stream
from golden.topology import Layer

MAX_COATS = 7

RELEASED_DENSITIES = (.3, .0788, .0315)
"""Kept fractions of the released three-coat ResNet-50 (it removes .7, .9212 and .9685)."""

SCHEDULES = ("uniform", "linear", "released")
"""How the densities of further coats follow from the first one, see :func:`schedule_densities`."""

CONVENTIONS = ("released", "edge-popup")
"""How many of n weights a density keeps, see :func:`kept_count`."""


def uniform_densities(first: float, coats: int) -> tuple[float, ...]:
    """The "uniform" schedule: equal steps from ``first`` towards 0, so k_n = first * (coats + 1 - n) / coats."""
    return check_densities(tuple(first * (coats - n) / coats for n in range(coats)))


def linear_densities(first: float, coats: int) -> tuple[float, ...]:
    """The "linear" schedule: thresholds at equal steps from the first one towards the largest |score|.

    The paper does not define it further. Here scores are normal, and what one weight in a million passes stands for the
    largest |score|, so that every layer has the same densities.
    """
    check_densities((first,))
    normal = statistics.NormalDist()
    lowest, largest = (normal.inv_cdf(1 - density / 2) for density in (first, 1e-6))
    thresholds = (lowest + (largest - lowest) * coat / coats for coat in range(1, coats))
    return check_densities((first, *(2 * normal.cdf(-threshold) for threshold in thresholds)))


def schedule_densities(schedule: str, first: float, coats: int) -> tuple[float, ...]:
    """Kept fractions of ``coats`` coats by one of :data:`SCHEDULES`, ``first`` the largest.

    Raises ValueError for values out of range; "released" is one list, of three coats from .3.
    """
    if not 1 <= coats <= MAX_COATS:
        raise ValueError(f"coats must be in 1..{MAX_COATS}, not {coats!r}")
    if not 0 < first <= 1:
        raise ValueError(f"density must be above 0 and at most 1, not {first!r}")
    if schedule == "released":
        if (first, coats) != (RELEASED_DENSITIES[0], len(RELEASED_DENSITIES)):
            raise ValueError(f"schedule released has {len(RELEASED_DENSITIES)} coats at density "
                             f"{RELEASED_DENSITIES[0]}, not {coats} at {first}")
        return RELEASED_DENSITIES
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}")
    return {"uniform": uniform_densities, "linear": linear_densities}[schedule](first, coats)


def check_densities(densities) -> tuple[float, ...]:
    """The densities as a tuple; ValueError unless 1 to 7 fractions with 1 >= k1 > k2 > ... > 0."""
    densities = tuple(float(density) for density in densities)
    if not 1 <= len(densities) <= MAX_COATS:
        raise ValueError(f"densities must name 1 to {MAX_COATS} coats, not {len(densities)}")
    if not all(low < high for high, low in zip((math.nextafter(1, 2), *densities), (*densities, 0))):
        raise ValueError(f"densities must fall from at most 1 and stay above 0, not {densities}")
    return densities


def kept_count(weights: int, density: float, convention: str = "released") -> int:
    """Weights that a coat keeps of ``weights``, evaluated in double precision like the public codes.

    "released" keeps n - 1 - floor((1 - k)(n - 1)), "edge-popup" keeps n - int((1 - k) n): of 36864 at .3 the first
    keeps 11059 and the second 11060.
    """
    if convention == "released":
        return weights - 1 - math.floor((1 - density) * (weights - 1))
    if convention == "edge-popup":
        return weights - int((1 - density) * weights)
    raise ValueError(f"convention must be one of {CONVENTIONS}, not {convention!r}")


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

    def weight(self) -> torch.Tensor:
        """The trained weights, float32 (out, in, ky, kx)."""
        return self.trained

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.trained, stride=self.layer.stride, padding=self.layer.padding)
