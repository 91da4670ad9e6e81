"""The arithmetic of one layer against the independent vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from golden import arithmetic
from golden.topology import Pool

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "arithmetic.json").read_text())


def test_requantise_vectors():
    assert VECTORS["columns"] == ["acc", "m", "r", "m_res", "b", "s", "low", "wide", "y"]
    for acc, m, r, m_res, b, s, low, wide, y in VECTORS["requantise"]:
        result = arithmetic.requantise(
            np.array([acc], np.int64), multiplier=[m], bias=[b], shift=s, residual=np.array([r], np.int8),
            residual_multiplier=m_res, clamp=arithmetic.INT32 if wide else (low, 127))
        assert result.tolist() == [y]


def test_average_pool_vectors():
    for case in VECTORS["averages"]:
        values = np.array(case["values"], np.int8).reshape(1, -1, 1, 1)
        assert arithmetic.average_pool(values, case["pm"], case["ps"]).ravel().tolist() == [case["y"]]


@pytest.mark.parametrize("case", VECTORS["layers"], ids=lambda case: case["note"])
def test_layer_vectors(case):
    def tensor(role):
        return np.array(case[role], np.int8).reshape(1, *case[f"{role}_shape"])

    out, channels, height, width = case["weight_shape"]
    weights = np.array(case["weights"], np.int8).reshape(out, height, width, channels)
    sums = arithmetic.convolve(tensor("input"), weights, stride=case["stride"], padding=case["padding"],
                               pad_value=case["pad_value"])
    assert list(sums.shape[1:]) == case["map_shape"]
    residual = None
    if case["residual"] is not None:
        residual = np.array(case["residual"], np.int8).reshape(sums.shape)
    values = arithmetic.requantise(
        sums, multiplier=case["m"], bias=case["b"], shift=case["s"], residual=residual,
        residual_multiplier=case["m_res"], clamp=arithmetic.INT32 if case["wide"] else (case["low"], 127))
    assert values.ravel().tolist() == case["map"]
    if case["pool"] is not None:
        stored = values.astype(np.int8)
        if case["pool"]["kind"] == "max":
            pool = Pool(**{key: case["pool"][key] for key in ("kind", "kernel", "stride", "padding")})
            values = arithmetic.max_pool(stored, pool)
        else:
            values = arithmetic.average_pool(stored, case["pool"]["pm"], case["pool"]["ps"])
    assert list(values.shape[1:]) == case["output_shape"]
    assert values.ravel().tolist() == case["output"]


def test_sums_past_float32_stay_exact():
    """2304 products of 127 * 127 need 26 bits; an odd sum would not survive float32."""
    activations = np.full((1, 3, 3, 256), 127, np.int8)
    weights = np.full((1, 3, 3, 256), 127, np.int8)
    weights[0, 0, 0, 0] = 126
    sums = arithmetic.convolve(activations, weights, stride=1, padding=0, pad_value=0)
    assert sums.tolist() == [[[[2304 * 127 * 127 - 127]]]]
