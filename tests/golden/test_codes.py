"""Codes of a packed file: vectors, round trips, damage, sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import codes
from golden.codes import CodeError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "codes.json").read_text())


def size(code, value):
    return {"width": value} if code == "stored" else {"coats": value}


def test_vectors_encode_and_decode():
    for case in VECTORS["cases"]:
        kind = np.int8 if case["code"] == "stored" else np.uint8
        values, parameter = np.array(case["values"], kind), size(case["code"], case["size"])
        data, bits = codes.encode(values, case["code"], **parameter)
        assert (data.hex(), bits) == (case["hex"], case["bits"])
        decoded = codes.decode(data, bits, values.size, case["code"], **parameter)
        assert decoded.dtype == kind
        np.testing.assert_array_equal(decoded, values)


def test_vectors_of_damage_are_refused():
    for case in VECTORS["damaged"]:
        data = bytes.fromhex(case["hex"])
        bits = 8 * len(data)
        if case["error"] == "bad_symbol":
            bits = case["count"] * codes.raw_width(case["size"])
        with pytest.raises(CodeError, match="symbol .* coat index must be" if case["error"] == "bad_symbol" else "bit"):
            codes.decode(data, bits, case["count"], case["code"], **size(case["code"], case["size"]))


def unary_by_hand(symbols, coats):
    """The truncated unary bits as text, first bit first."""
    return "".join("1" * symbol + "0" * (symbol < coats) for symbol in symbols)


@settings(deadline=None, max_examples=100)
@given(coats=st.integers(1, 7), data=st.data())
def test_unary_and_raw_follow_their_definitions(coats, data):
    symbols = data.draw(st.lists(st.integers(0, coats), max_size=60))
    array = np.array(symbols, np.uint8)
    width = codes.raw_width(coats)
    expected = {"unary": unary_by_hand(symbols, coats),
                "raw": "".join(f"{symbol:0{width}b}"[::-1] for symbol in symbols)}
    for code, text in expected.items():
        coded, bits = codes.encode(array, code, coats=coats)
        assert bits == len(text) == codes.coded_bits(np.bincount(array, minlength=coats + 1), code)
        assert "".join(f"{byte:08b}"[::-1] for byte in coded) == text.ljust(8 * len(coded), "0")
        assert codes.decode(coded, bits, len(symbols), code, coats=coats).tolist() == symbols


@settings(deadline=None, max_examples=60)
@given(width=st.sampled_from((2, 4, 8)), data=st.data())
def test_stored_is_twos_complement_low_bit_first(width, data):
    limit = 1 << width - 1
    values = data.draw(st.lists(st.integers(-limit, limit - 1), max_size=40))
    coded, bits = codes.encode(np.array(values, np.int8), "stored", width=width)
    number = sum((value & (1 << width) - 1) << width * position for position, value in enumerate(values))
    assert (int.from_bytes(coded, "little"), bits) == (number, width * len(values))
    assert codes.decode(coded, bits, len(values), "stored", width=width).tolist() == values


@settings(deadline=None, max_examples=150)
@given(coats=st.integers(1, 7), data=st.data())
def test_a_flipped_bit_is_an_error_or_another_valid_stream(coats, data):
    """Decoding never invents symbols: whatever it accepts codes back to the very same bytes."""
    code = data.draw(st.sampled_from(("raw", "unary")))
    symbols = np.array(data.draw(st.lists(st.integers(0, coats), min_size=1, max_size=40)), np.uint8)
    coded, bits = codes.encode(symbols, code, coats=coats)
    damaged = bytearray(coded)
    position = data.draw(st.integers(0, 8 * len(coded) - 1))
    damaged[position // 8] ^= 1 << position % 8
    try:
        decoded = codes.decode(bytes(damaged), bits, symbols.size, code, coats=coats)
    except CodeError:
        return
    assert codes.encode(decoded, code, coats=coats) == (bytes(damaged), bits)
    assert (decoded != symbols).any()


@pytest.mark.parametrize("data, bits, count, code, parameter, message", [
    (b"\x00", 9, 9, "raw", {"coats": 1}, "must have 2 bytes for its 9 bits, not 1"),
    (b"\x10", 4, 4, "raw", {"coats": 1}, "bit 4 of the bit stream must be zero"),
    (b"\x00", 6, 4, "raw", {"coats": 2}, "must have 8 bits for 4 symbols of 2, not 6"),
    (b"\x30", 8, 4, "raw", {"coats": 2}, "symbol 2 at bit 4: coat index must be in 0..2, not 3"),
    (b"\x05", 3, 2, "unary", {"coats": 2}, "ends at bit 3, within symbol 1 of 2"),
    (b"\x01", 3, 3, "unary", {"coats": 2}, "of 3 bits must hold 3 symbols, not 2"),
    (b"\x00", 4, 3, "unary", {"coats": 2}, "of 4 bits must hold 3 symbols, not 4"),
    (b"", 0, 0, "ans", {}, "code must be one of"),
    (b"", 0, 0, "raw", {"coats": 8}, "coats must be in 1..7, not 8"),
    (b"", 0, 0, "stored", {"width": 3}, "width must be 2, 4 or 8, not 3"),
])
def test_what_is_wrong_and_where(data, bits, count, code, parameter, message):
    with pytest.raises(CodeError, match=message):
        codes.decode(data, bits, count, code, **parameter)


@pytest.mark.parametrize("symbols, code, parameter, message", [
    ([0, 2, 1, 3], "unary", {"coats": 2}, "symbol 3: coat index must be in 0..2, not 3"),
    ([0, -1], "raw", {"coats": 2}, "symbol 1: coat index must be in 0..2, not -1"),
    ([0, 8], "stored", {"width": 4}, "symbol 1: weight must be in -8..7, not 8"),
])
def test_symbols_that_do_not_fit_are_refused(symbols, code, parameter, message):
    with pytest.raises(CodeError, match=message):
        codes.encode(np.array(symbols), code, **parameter)


def test_the_smaller_code_is_chosen():
    assert codes.best_code([70, 30]) == "raw"  # one bit in both
    assert codes.best_code([70, 22, 5, 3]) == "unary"
    assert codes.best_code([10, 20, 30, 40]) == "raw"


def test_sizes_of_the_released_densities():
    """Expected lengths of the paper's three-coat ResNet-50: 1.379 bits in unary, 1.207 by Shannon."""
    counts = np.array([7000, 2212, 473, 315])
    assert codes.coded_bits(counts, "unary") / 1e4 == pytest.approx(1 + .3 + .0788, abs=1e-6)
    assert codes.shannon_bits(counts) / 1e4 == pytest.approx(1.207, abs=1e-3)
    assert codes.shannon_bits([5, 0, 0]) == 0
    megabytes = codes.paper_bits(11_164_352, (.3, .0788, .0315), 4800) / 8 / 2 ** 20
    assert megabytes == pytest.approx(1.85, abs=.005)  # ResNet-18 for CIFAR-10
    assert codes.paper_bits(100, (), 0) == 3200


def test_a_whole_resnet_50_round_trips():
    """25 million weights."""
    draw = np.random.default_rng(1).random(25_500_000, np.float32)
    indices = np.zeros(draw.size, np.uint8)
    for density in (.3, .0788, .0315):
        indices += draw < density
    coded, bits = codes.encode(indices, "unary", coats=3)
    np.testing.assert_array_equal(codes.decode(coded, bits, indices.size, "unary", coats=3), indices)
