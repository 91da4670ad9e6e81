"""The arithmetic of one layer on whole tensors: convolution, requantisation and pools, exact in integers.

Tensors are (images, height, width, channels), weights (out, ky, kx, c). Source: docs/specification.md, "Arithmetic".
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from golden.topology import Pool

INT8 = (-128, 127)
INT32 = (-(1 << 31), (1 << 31) - 1)


def half(shift: int) -> int:
    """What is added before an arithmetic right shift by ``shift`` so that it rounds half up."""
    return 1 << shift - 1 if shift else 0


def convolve(activations: np.ndarray, weights: np.ndarray, *, stride: int, padding: int, pad_value: int) -> np.ndarray:
    """Sums of int8 ``activations`` times int8 ``weights``, int64 (n, oh, ow, out), ``pad_value`` outside the map.

    Runs as a floating-point convolution of integers, in float32 where no order of summation can pass 2**24.
    """
    largest = 128 * np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(1).max()
    dtype = torch.float32 if largest < 1 << 24 else torch.float64
    padded = np.pad(activations, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=pad_value)
    with torch.inference_mode():
        # Both permuted views are torch's channels-last layout.
        sums = functional.conv2d(torch.from_numpy(padded).permute(0, 3, 1, 2).to(dtype),
                                 torch.from_numpy(weights).permute(0, 3, 1, 2).to(dtype), stride=stride)
        return sums.permute(0, 2, 3, 1).contiguous().to(torch.int64).numpy()


def requantise(sums: np.ndarray, *, multiplier, bias, shift: int, clamp: tuple[int, int], residual=None,
               residual_multiplier: int = 0) -> np.ndarray:
    """``clamp((sums * multiplier + residual * residual_multiplier + bias + half) >> shift)`` in int64.

    ``multiplier`` and ``bias`` have one entry per channel. ``sums`` (int64) is overwritten.
    """
    sums *= np.asarray(multiplier, np.int64)
    sums += np.asarray(bias, np.int64) + half(shift)
    if residual is not None:
        sums += residual.astype(np.int64) * residual_multiplier
    sums >>= shift
    return np.clip(sums, *clamp, out=sums)


def max_pool(values: np.ndarray, pool: Pool) -> np.ndarray:
    """Largest stored value inside the map of every window."""
    # Every window holds a value of the map, so padding with the smallest one never shows.
    edge = (pool.padding, pool.padding)
    padded = np.pad(values, ((0, 0), edge, edge, (0, 0)), constant_values=INT8[0])
    height, width = (pool.output_size(size) for size in values.shape[1:3])
    windows = [padded[:, row:row + pool.stride * height:pool.stride, column:column + pool.stride * width:pool.stride]
               for row in range(pool.kernel) for column in range(pool.kernel)]
    pooled = windows[0].copy()
    for window in windows[1:]:
        np.maximum(pooled, window, out=pooled)
    return pooled


def average_pool(values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Sum over the map times ``multiplier``, shifted right by ``shift`` with rounding: int8 (n, 1, 1, c)."""
    sums = values.sum((1, 2), dtype=np.int64, keepdims=True)
    return np.clip((sums * multiplier + half(shift)) >> shift, *INT8).astype(np.int8)
