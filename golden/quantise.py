"""Calibration: a trained network and some images to the integer network that the engine runs.

Normalisation, layer scale and activation scales are folded into one multiplier and one bias per channel. A tensor of
real values x is stored as x / step - 128 (offset: the image and what is never negative) or x / step (signed).
Source: docs/specification.md, "Arithmetic".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from golden.integer import (MAX_SHIFT, MULTIPLIER_BITS, IntegerLayer, IntegerNetwork, canonical_signs, kept_counts,
                            signed_range, weight_sums)
from golden.network import NetworkLayer, SupermaskNetwork, apply_pool
from golden.recode import code_fields
from golden.topology import IMAGE, Layer

_MULTIPLIER_LIMIT = signed_range(MULTIPLIER_BITS)[1]

_SHIFTS = range(37)
"""Shifts to choose from. More would push a bias of a thousand steps out of its 48 bits, and serve only gains that are
lost in one step anyway."""

_RESIDUAL_SPREAD = 64.
"""Deviation of a stored residual, as far as the choice of a shift is concerned: a quarter of its range."""

_BINS = 4096
_CANDIDATES = np.linspace(.2, 1, 81)


@dataclass(frozen=True)
class Scale:
    """How a tensor is stored: the real value of one step, and whether it is offset by 128.

    ``map_step`` is the step of the layer's map before an average pool; without one, it is ``step``.
    """

    step: float
    offset: bool
    map_step: float

    @property
    def zero(self) -> int:
        """Stored value of 0."""
        return -128 if self.offset else 0


IMAGE_SCALE = Scale(1 / 255, True, 1 / 255)
"""The network reads pixel / 255, the engine pixel - 128."""


def best_step(values: np.ndarray, levels: int) -> float:
    """Step of ``levels`` levels that stores magnitudes with the least mean square error, clipping included."""
    magnitude = np.abs(values)
    largest = float(magnitude.max())
    if largest == 0:
        return 1 / levels
    counts, edges = np.histogram(magnitude, _BINS, (0, largest))
    centres = (edges[:-1] + edges[1:]) / 2
    errors = []
    for candidate in _CANDIDATES:
        step = candidate * largest / levels
        errors.append(counts @ (np.minimum(np.round(centres / step), levels) * step - centres) ** 2)
    return float(_CANDIDATES[np.argmin(errors)] * largest / levels)


@torch.no_grad()
def calibrate(network: SupermaskNetwork, images: np.ndarray) -> dict[str, Scale]:
    """Scale of every tensor but wide ones, by name, from the values that ``images`` (uint8 n, c, h, w) give.

    Averages are many times smaller than what they are made of. So an average pool rescales, which needs 0 stored as 0:
    its layer is signed even behind a ReLU.
    """
    values = {IMAGE: torch.from_numpy(images).float() / 255}
    scales = {IMAGE: IMAGE_SCALE}
    for name, module in network.layers.items():
        layer = module.layer
        x = module.conv(values[layer.input])
        if module.norm is not None:
            x = module.norm(x)
        if layer.residual is not None:
            x = x + values[layer.residual]
        if layer.relu:
            x = functional.relu(x)
        pooled = x if layer.pool is None else apply_pool(layer.pool, x)
        values[name] = pooled
        if not layer.wide:
            average = layer.pool is not None and layer.pool.kind == "average"
            offset = layer.relu and not average
            levels = 255 if offset else 127
            step = best_step(pooled.numpy(), levels)
            scales[name] = Scale(step, offset, best_step(x.numpy(), levels) if average else step)
    return scales


@dataclass(frozen=True)
class _Weights:
    """Integer weights (out, ky, kx, c), the real value of one step per channel, and how they are coded."""

    integers: np.ndarray
    step: np.ndarray
    fields: dict


def _supermask_weights(module: NetworkLayer, network: SupermaskNetwork) -> _Weights:
    conv = module.conv
    indices = np.ascontiguousarray(conv.coat_indices().transpose(0, 2, 3, 1))
    coats = len(conv.densities)
    fields = {
        "indices": indices, "stored": None, "table": tuple(range(coats + 1)), "densities": conv.densities,
        "kept": kept_counts(indices, coats), **code_fields(indices, coats),
    }
    signs = canonical_signs(module.layer, network.seed, network.rounds)
    return _Weights(signs * indices.view(np.int8), np.full(len(indices), conv.scale), fields)


def _dense_weights(module: NetworkLayer) -> _Weights:
    # What a pruned layer already computes with, multiples of its own steps, comes out as exactly these multiples.
    trained = module.conv.weight().detach().double().numpy().transpose(0, 2, 3, 1)
    limit = signed_range(module.conv.bits)[1]
    # Logits of one image are compared with each other, so the channels of a wide layer share their step.
    largest = np.abs(trained).max() if module.layer.wide else np.abs(trained).max((1, 2, 3))
    step = np.maximum(np.broadcast_to(largest, len(trained)) / limit, np.finfo(np.float32).tiny)
    stored = np.round(trained / step[:, None, None, None]).astype(np.int8)
    return _Weights(stored, step, {"code": "stored", "indices": None, "stored": stored, "table": (),
                                   "symbol_bits": module.conv.bits})


@dataclass(frozen=True)
class _Normalisation:
    """What follows a layer's sums, per channel: ``gain * (sum - mean) + offset``; ``spread`` is the sums' deviation."""

    gain: np.ndarray
    mean: np.ndarray
    offset: np.ndarray
    spread: np.ndarray


def _normalisation(module: NetworkLayer) -> _Normalisation:
    norm = module.norm
    channels = module.layer.out_channels
    if norm is None:
        return _Normalisation(np.ones(channels), np.zeros(channels), np.zeros(channels), np.ones(channels))
    gamma, beta, mean, variance = (tensor.detach().double().numpy() for tensor in
                                   (norm.weight, norm.bias, norm.running_mean, norm.running_var))
    return _Normalisation(gamma / np.sqrt(variance + norm.eps), mean, beta, np.sqrt(variance))


def _multipliers(gains: np.ndarray, shift: int) -> np.ndarray:
    return np.clip(np.round(gains * 2. ** shift), -_MULTIPLIER_LIMIT, _MULTIPLIER_LIMIT).astype(np.int64)


def _best_shift(gains: np.ndarray, spread: np.ndarray) -> int:
    """Shift at which rounded and clipped multipliers err least, weighted with how much their factors vary.

    Channels that hardly vary have the largest gains: were they to set the shift, the others would lose precision.
    """
    return min(_SHIFTS, key=lambda shift: np.sum(((_multipliers(gains, shift) / 2. ** shift - gains) * spread) ** 2))


def _average_pool(layer: Layer, network: SupermaskNetwork, scale: Scale) -> dict[str, int]:
    """Fields of the layer's average pool; none for a layer without one."""
    if layer.pool is None or layer.pool.kind != "average":
        return {}
    height, width = layer.map_size(*network.topology.shapes()[layer.input][1:])
    gain = scale.map_step / (scale.step * height * width)
    shift = min(MAX_SHIFT, math.floor(math.log2(_MULTIPLIER_LIMIT / gain)))
    return {"pool_multiplier": round(gain * 2 ** shift), "pool_shift": shift}


def _layer(module: NetworkLayer, network: SupermaskNetwork, scales: dict[str, Scale]) -> IntegerLayer:
    layer = module.layer
    weights = _dense_weights(module) if network.densities is None else _supermask_weights(module, network)
    source = scales[layer.input]
    # Stored inputs are short of real ones by their zero.
    input_offset = -source.zero * sum(weight_sums(weights.integers))
    common = {"layer": layer, **weights.fields, "offset_input": source.offset}
    if layer.wide:
        if layer.normalised or layer.residual is not None or layer.relu:
            raise ValueError(f"layer {layer.name}: a wide layer cannot have normalisation, residual or ReLU here")
        return IntegerLayer(**common, multiplier=np.ones(layer.out_channels, np.int32), bias=input_offset, shift=0,
                            residual_multiplier=0, low=-128, offset_output=False)
    output = scales[layer.name]
    norm = _normalisation(module)
    unit = weights.step * source.step
    gains = norm.gain * unit / output.map_step
    spread = norm.spread / unit
    residual = scales[layer.residual] if layer.residual is not None else Scale(0., False, 0.)
    shift = _best_shift(np.append(gains, residual.step / output.map_step), np.append(spread, _RESIDUAL_SPREAD))
    multiplier = _multipliers(gains, shift)
    residual_multiplier = int(_multipliers(np.array(residual.step / output.map_step), shift))
    # The mean is folded with the rounded multiplier: a channel's average stays right, whatever rounding does.
    bias = np.round(norm.offset / output.map_step * 2 ** shift - multiplier * (norm.mean / unit)).astype(np.int64)
    bias += multiplier * input_offset
    bias += (output.zero << shift) - residual.zero * residual_multiplier
    return IntegerLayer(**common, multiplier=multiplier.astype(np.int32), bias=bias, shift=shift,
                        residual_multiplier=residual_multiplier, low=0 if layer.relu and not output.offset else -128,
                        offset_output=output.offset, **_average_pool(layer, network, output))


def quantise(network: SupermaskNetwork, images: np.ndarray, *, provenance: dict | None = None) -> IntegerNetwork:
    """The integer network of ``network`` (in evaluation mode), calibrated with ``images``, uint8 (n, c, h, w).

    Supermask layers get the exact coat indices of their scores, in the smallest code of each; a dense
    network's weights are stored in 8 bits, a pruned one's in as many as it was trained for, with a step per output
    channel. A few hundred images are enough.
    """
    scales = calibrate(network, images)
    layers = tuple(_layer(module, network, scales) for module in network.layers.values())
    return IntegerNetwork(network.topology, network.seed, network.rounds, layers, network.convention,
                          dict(provenance or {}))
