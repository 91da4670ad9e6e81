"""Mask streams: equal to the published vectors, and decoded back by a naive decoder."""

import json
from pathlib import Path

import numpy as np
import pytest

from arch.config import EngineConfig
from arch.descriptor import Code
from compiler.lower import CODES
from compiler.masks import encode
from tests.compiler.interpreter import decode

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mask_stream.json").read_text())


def engine(columns, lanes, build_columns):
    return EngineConfig.preset("tiny", columns=columns, lanes=lanes, build_columns=build_columns, bus_bits=32)


def stream_of(shape, code, size, values, config):
    """The stream of a kernel of ``shape`` (out, in, ky, kx) for values in canonical order."""
    out, channels, kernel, width = shape
    values = np.asarray(values, np.int16).astype(np.uint8).reshape(out, kernel, width * channels)
    return encode(code, values, size.bit_length() if code == "raw" else size, config)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['engine']}-{case['shape']}-{case['code']}")
def test_vectors(case):
    stream = stream_of(case["shape"], case["code"], case["size"], case["values"], engine(*case["engine"]))
    assert [f"{word:04x}" for word in stream.words.tolist()] == case["words"]
    assert stream.bits == case["bits"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("columns, lanes, build_columns", [(4, 8, 1), (4, 8, 4), (8, 4, 2), (16, 16, 1)])
@pytest.mark.parametrize("out, channels, kernel", [(1, 1, 1), (5, 3, 5), (10, 20, 3), (33, 7, 1)])
def test_decoded_back(code, columns, lanes, build_columns, out, channels, kernel):
    rng = np.random.default_rng([out, columns, build_columns])
    config = engine(columns, lanes, build_columns)
    for size in (2, 4, 8) if code == "stored" else (1, 3, 4, 7):
        count = out * channels * kernel * kernel
        if code == "stored":
            values = rng.integers(-(1 << size - 1), 1 << size - 1, count)
        else:
            values = rng.integers(0, size + 1, count) * (rng.random(count) < .4)
        stream = stream_of((out, channels, kernel, kernel), code, size, values, config)
        decoded = decode(stream.words.tolist(), code=CODES[code], size=size.bit_length() if code == "raw" else size,
                         out=out, kernel=kernel, run=kernel * channels, config=config)
        assert np.array_equal(decoded.symbols.ravel(), values & (1 << size) - 1 if code == "stored" else values)
        assert stream.tile_words == tuple(decoded.tile_words)


def test_bits_are_counted():
    stream = stream_of((2, 4, 1, 1), "unary", 3, [0, 1, 2, 3, 3, 0, 0, 1], engine(4, 8, 1))
    assert stream.bits == 1 + 2 + 3 + 3 + 3 + 1 + 1 + 2


def test_naive_decoder_notices_damage():
    config = engine(4, 8, 1)
    words = stream_of((4, 8, 3, 3), "raw", 1, [1] * 288, config).words.tolist()
    arguments = {"code": Code.RAW, "size": 1, "out": 4, "kernel": 3, "run": 24, "config": config}
    with pytest.raises(AssertionError, match="beyond the stored words"):
        decode(words[:-1], **arguments)
    with pytest.raises(AssertionError, match="left over"):
        decode(words + [0] * 32, **arguments)
