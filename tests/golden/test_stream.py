"""The random stream: known answers, layout, and statistical quality."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import stream

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "stream.json").read_text())
PI_SEED = 0x0370734413198A2E
PI_COUNTER = {"stream": 0x85A308D3, "first_block": 0x243F6A88}


@pytest.mark.parametrize("seed, counter, rounds, words", [
    (0, {"stream": 0, "first_block": 0}, 13, (0x9D1C5EC6, 0x8BD50731)),
    (0, {"stream": 0, "first_block": 0}, 20, (0x6B200159, 0x99BA4EFE)),
    (PI_SEED, PI_COUNTER, 13, (0xBA3E4725, 0xF27D669E)),
    (PI_SEED, PI_COUNTER, 20, (0xC4923A9C, 0x483DF7A0)),
])
def test_known_answers(seed, counter, rounds, words):
    assert tuple(stream.blocks(seed, count=1, rounds=rounds, **counter)[0]) == words


def threefry(seed, stream_id, block, rounds):
    """Threefry2x32 in Python integers, written from the paper's description."""
    mask = 0xFFFFFFFF
    key = [seed & mask, seed >> 32]
    key.append(key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (block + key[0]) & mask, (stream_id + key[1]) & mask
    for step in range(rounds):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[step % 8]
        x = (x + y) & mask
        y = ((y << turn | y >> (32 - turn)) & mask) ^ x
        if (step + 1) % 4 == 0:
            turn = (step + 1) // 4
            x, y = (x + key[turn % 3]) & mask, (y + key[(turn + 1) % 3] + turn) & mask
    return x, y


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 4), st.sampled_from(stream.ROUNDS))
def test_blocks_equal_the_scalar_model(seed, stream_id, first, rounds):
    expected = [threefry(seed, stream_id, first + block, rounds) for block in range(4)]
    assert [tuple(pair) for pair in stream.blocks(seed, stream_id, first, 4, rounds)] == expected


@pytest.mark.parametrize("arguments, message", [
    ((0, 0, 0, 1, 12), "rounds must be one of"),
    ((1 << 64, 0, 0, 1), "seed must be an unsigned 64-bit integer"),
    ((0, -1, 0, 1), "stream must be an unsigned 32-bit id"),
    ((0, 0, (1 << 32) - 1, 2), "blocks must be within"),
])
def test_range_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        stream.blocks(*arguments)


def test_bit_order():
    low, high = stream.blocks(5, 6, 7, 1)[0].tolist()
    word = low | high << 32
    expected = [-1 if word >> bit & 1 else 1 for bit in range(64)]
    assert stream.signs(5, 6, 7, 1).tolist() == expected
    assert [stream.sign(5, 6, 7 * 64 + bit) for bit in range(64)] == expected


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 70), st.data())
def test_weight_signs_follow_the_canonical_index(out, height, width, channels, data):
    tensor = stream.weight_signs(9, 3, out, height, width, channels)
    assert tensor.shape == (out, height, width, channels) and tensor.dtype == np.int8
    place = [data.draw(st.integers(0, size - 1)) for size in tensor.shape]
    index = stream.canonical_index(*place, kernel_height=height, kernel_width=width, in_channels=channels)
    assert index == (place[0] * height + place[1]) * -(-width * channels // 64) * 64 + place[2] * channels + place[3]
    assert tensor[tuple(place)] == stream.sign(9, 3, index)


def gf2_rank(rows):
    """Rank over GF(2) of rows given as Python integers."""
    rank = 0
    rows = list(rows)
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


@pytest.mark.parametrize("seed, stream_id", [(0, 0), (0, 1), (1, 0), (1, 12345), (2**64 - 1, 2**32 - 1)])
@pytest.mark.parametrize("rounds", stream.ROUNDS)
def test_sign_matrices_have_nearly_full_rank(seed, stream_id, rounds):
    # A random 512 x 512 bit matrix has rank below 509 with probability 2e-5 or so.
    octets = stream.blocks(seed, stream_id, 0, 512 * 8, rounds).view(np.uint8).reshape(512, 64)
    assert gf2_rank(int.from_bytes(row.tobytes(), "little") for row in octets) >= 509


def test_no_two_blocks_alias():
    # A bijection of the 64-bit counter for every key: 2**20 (stream, block) pairs give 2**20 outputs.
    words = np.concatenate([stream.blocks(7, stream_id, 0, 1024).view(np.uint64) for stream_id in range(1024)])
    assert len(np.unique(words)) == 1 << 20


BITS = 1 << 20
LIMIT = 5 / BITS**.5  # five standard deviations of the mean of BITS products of independent signs


def test_signs_are_balanced_and_uncorrelated_over_lags():
    signs = stream.signs(3, 4, 0, BITS // 64 + 16).astype(np.float32)
    assert abs(signs[:BITS].mean()) < LIMIT
    for lag in (*range(1, 65), 96, 128, 192, 256, 288, 512, 576):
        assert abs(np.dot(signs[:BITS], signs[lag:lag + BITS]) / BITS) < LIMIT, lag


@pytest.mark.parametrize("seed, stream_id", [(3, 5), (4, 4), (3 | 1 << 32, 4), (3, 4 | 1 << 31), (3 ^ 1 << 63, 4)])
def test_neighbouring_streams_and_seeds_are_uncorrelated(seed, stream_id):
    first = stream.signs(3, 4, 0, BITS // 64).astype(np.float32)
    other = stream.signs(seed, stream_id, 0, BITS // 64).astype(np.float32)
    assert abs(np.dot(first, other) / BITS) < LIMIT


def test_independent_vectors():
    """Blocks, single signs and the signs of whole layers."""
    for case in VECTORS["blocks"]:
        words = stream.blocks(case["seed"], case["stream"], case["block"], 1, case["rounds"])[0]
        assert [f"{word:08x}" for word in words] == case["words"]
    for case in VECTORS["signs"]:
        assert stream.sign(case["seed"], case["stream"], case["index"], case["rounds"]) == case["sign"]
    for case in VECTORS["layers"]:
        out, channels, height, width = case["shape"]
        signs = stream.weight_signs(case["seed"], case["stream"], out, height, width, channels, case["rounds"])
        assert "".join("+" if sign > 0 else "-" for sign in signs.ravel()) == case["signs"]


def test_vectors_are_what_their_generator_writes():
    generator = Path(__file__).parents[1] / "vectors" / "generate.py"
    assert subprocess.run([sys.executable, generator, "--check"], check=False).returncode == 0
