"""The engine's RTL against the independent arithmetic vectors, whole layers: tests/vectors/arithmetic.json.

An image brings a vector's input and, in further channels, its residual; layers of 1x1 unit weights copy them into
tensors of their own, offset or not as the vector asks; the vector's layer comes last.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import compile_network
from golden.integer import IntegerLayer, IntegerNetwork
from golden.topology import IMAGE, Layer, Pool, Topology
from sim.native import NativeBackend

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "arithmetic.json").read_text())["layers"]
CONFIG = EngineConfig.preset("tiny", name="int8", weight_bits=8, accumulator_bits=32, bus_bits=32, rounds=20,
                             requantiser_lanes=4, partial_sums=16)


def integer_layer(layer: Layer, weights: np.ndarray, *, m, b, s=0, low=-128, m_res=0, offset_input, offset_output,
                  pm=0, ps=0) -> IntegerLayer:
    """A layer of stored 8-bit weights (out, ky, kx, c)."""
    return IntegerLayer(layer=layer, code="stored", indices=None, stored=weights.astype(np.int8), table=(),
                        symbol_bits=8, multiplier=np.array(m, np.int32), bias=np.array(b, np.int64),
                        residual_multiplier=m_res, shift=s, low=low, offset_input=offset_input,
                        offset_output=offset_output, pool_multiplier=pm, pool_shift=ps)


def copy(name: str, channels: int, first: int, count: int, stride: int, offset: bool) -> IntegerLayer:
    """Copies ``count`` channels of the image, from ``first`` on, of every ``stride``-th pixel."""
    layer = Layer(name=name, input=IMAGE, in_channels=channels, out_channels=count, kernel=1, stride=stride, relu=False)
    weights = np.zeros((count, 1, 1, channels), np.int8)
    weights[np.arange(count), 0, 0, first + np.arange(count)] = 1
    return integer_layer(layer, weights, m=[1] * count, b=[0] * count, offset_input=True, offset_output=offset)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["note"])
def test_layer(case):
    height, width, in_channels = case["input_shape"]
    out, _, kernel, _ = case["weight_shape"]
    stride, offset = case["stride"], case["pad_value"] == -128
    tensors = [np.array(case["input"], np.int8).reshape(case["input_shape"])]
    if case["residual"] is not None:
        rows, columns, _ = case["map_shape"]
        residual = np.zeros((height, width, out), np.int8)
        residual[:rows * stride:stride, :columns * stride:stride] = np.reshape(case["residual"], case["map_shape"])
        tensors.append(residual)
    image = np.concatenate(tensors, axis=2)
    channels = image.shape[2]

    layers = [copy("input", channels, 0, in_channels, 1, offset)]
    if case["residual"] is not None:
        layers.append(copy("residual", channels, in_channels, out, stride, False))
    pool = case["pool"] and Pool(**{key: value for key, value in case["pool"].items() if key not in ("pm", "ps")})
    average = {key: case["pool"][key] for key in ("pm", "ps")} if pool and pool.kind == "average" else {}
    last = Layer(name="vector", input="input", in_channels=in_channels, out_channels=out, kernel=kernel, stride=stride,
                 padding=case["padding"], residual="residual" if case["residual"] is not None else None,
                 pool=pool or None, wide=case["wide"], relu=False)
    weights = np.reshape(case["weights"], (out, kernel, kernel, in_channels))
    layers.append(integer_layer(last, weights, m=case["m"], b=case["b"], s=case["s"], low=case["low"],
                                m_res=case["m_res"], offset_input=offset, offset_output=False, **average))
    network = IntegerNetwork(topology=Topology(name="vector", input_shape=(channels, height, width),
                                               layers=tuple(layer.layer for layer in layers)),
                             seed=1, rounds=20, layers=tuple(layers), convention="released")
    result = NativeBackend(CONFIG).run(compile_network(network, CONFIG), image[None])
    assert result.outputs[0].ravel().tolist() == case["output"]
    assert list(result.outputs[0].shape) == case["output_shape"]
