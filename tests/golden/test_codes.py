"""Codes of a packed file: vectors, round trips, damage, sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import ans, codes
from golden.codes import CodeError
from golden.densities import uniform_densities
from tests.golden import naive_ans

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


def ans_parameters(case):
    return {"coats": case["size"], "frequencies": tuple(case["frequencies"]), "offset": case["offset"],
            "lanes": case["lanes"]}


def test_vectors_of_ans():
    for case in VECTORS["ans_packed"]:
        values = np.array(case["values"], np.uint8)
        data, bits = codes.encode(values, "ans", **ans_parameters(case))
        assert (data.hex(), bits) == (case["hex"], case["coded_bits"])
        decoded = codes.decode(data, bits, values.size, "ans", **ans_parameters(case))
        np.testing.assert_array_equal(decoded, values)


@pytest.mark.parametrize("case", VECTORS["ans_damaged"], ids=lambda case: case["error"])
def test_vectors_of_damaged_ans_are_refused(case):
    data = bytes.fromhex(case["hex"])
    with pytest.raises(CodeError, match={"exhausted": "exhausted", "left_over": "left over"}[case["error"]]):
        codes.decode(data, 8 * len(data), case["count"], "ans", **ans_parameters(case))


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


def ans_format(symbols, coats, lanes=1):
    frequencies, offset = ans.best_table(np.bincount(symbols, minlength=coats + 1))
    return {"coats": coats, "frequencies": frequencies, "offset": offset, "lanes": lanes}


def draw_ans(data, largest):
    """Symbols, and a format for them with any offset and any number of lanes."""
    coats = data.draw(st.integers(1, 7))
    symbols = np.array(data.draw(st.lists(st.integers(0, coats), min_size=1, max_size=largest)), np.uint8)
    lanes = 1 << data.draw(st.integers(0, 8))
    return symbols, {**ans_format(symbols, coats, lanes), "offset": data.draw(st.integers(0, 15))}


def ans_by_hand(coded, count, parameters):
    return naive_ans.decode_file(coded, count, *(parameters[name] for name in ("lanes", "frequencies", "offset")))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_ans_is_decoded_by_its_definition(data):
    symbols, parameters = draw_ans(data, 600)
    coded, bits = codes.encode(symbols, "ans", **parameters)
    assert bits == 8 * len(coded) and bits % 16 == 0
    assert codes.decode(coded, bits, symbols.size, "ans", **parameters).tolist() == symbols.tolist()
    assert ans_by_hand(coded, symbols.size, parameters) == symbols.tolist()


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_flipped_bit_of_ans_is_an_error_or_another_valid_stream(data):
    """Whatever is accepted is what the definition decodes. The bits of the last state mean nothing."""
    symbols, parameters = draw_ans(data, 120)
    coded, bits = codes.encode(symbols, "ans", **parameters)
    damaged = bytearray(coded)
    position = data.draw(st.integers(0, bits - 1))
    damaged[position // 8] ^= 1 << position % 8
    try:
        decoded = codes.decode(bytes(damaged), bits, symbols.size, "ans", **parameters)
    except CodeError:
        return
    assert ans_by_hand(bytes(damaged), symbols.size, parameters) == decoded.tolist()


@settings(deadline=None, max_examples=100)
@given(data=st.data(), words=st.integers(-2, 2).filter(bool))
def test_ans_of_another_length_is_refused(data, words):
    symbols, parameters = draw_ans(data, 120)
    coded, bits = codes.encode(symbols, "ans", **parameters)
    changed = coded + bytes(2 * words) if words > 0 else coded[:2 * words]
    with pytest.raises(CodeError, match="exhausted" if words < 0 else "left over|must be left out"):
        codes.decode(changed, 8 * len(changed), symbols.size, "ans", **parameters)


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


HALVES = {"coats": 1, "frequencies": (512, 512)}


@pytest.mark.parametrize("data, bits, count, code, parameter, message", [
    (b"\x00", 9, 9, "raw", {"coats": 1}, "must have 2 bytes for its 9 bits, not 1"),
    (b"\x10", 4, 4, "raw", {"coats": 1}, "bit 4 of the bit stream must be zero"),
    (b"\x00", 6, 4, "raw", {"coats": 2}, "must have 8 bits for 4 symbols of 2, not 6"),
    (b"\x30", 8, 4, "raw", {"coats": 2}, "symbol 2 at bit 4: coat index must be in 0..2, not 3"),
    (b"\x05", 3, 2, "unary", {"coats": 2}, "ends at bit 3, within symbol 1 of 2"),
    (b"\x01", 3, 3, "unary", {"coats": 2}, "of 3 bits must hold 3 symbols, not 2"),
    (b"\x00", 4, 3, "unary", {"coats": 2}, "of 4 bits must hold 3 symbols, not 4"),
    (b"", 0, 0, "huffman", {}, "code must be one of"),
    (b"", 0, 0, "ans", {"coats": 8}, "coats must be in 1..7, not 8"),
    (b"", 0, 1, "ans", HALVES, "bit stream: its 0 words are exhausted within the symbols of lane 0"),
    (b"", 0, 0, "ans", HALVES, "needs at least one symbol"),
    (b"\0", 8, 1, "ans", HALVES, "must be whole words of 16 bits, not 8 bits"),
    (b"\0\0\0", 16, 1, "ans", HALVES, "must have 2 bytes for its 16 bits, not 3"),
    (b"\0\x10", 16, 1, "ans", HALVES, "bits of lane 0 after its last symbol must be zero"),
    (b"\0\0\0\0", 32, 2, "ans", HALVES, "last word, number 1, must be left out"),
    (bytes(6), 48, 2, "ans", HALVES, "1 of its 3 words are left over"),
    (b"\0\0", 16, 2, "ans", {**HALVES, "lanes": 2}, "1 words are exhausted within the symbols of lane 1"),
    (b"", 0, 1, "ans", {"coats": 1, "frequencies": (512, 511)}, "frequencies must be 2 integers of sum 1024"),
    (b"", 0, 1, "ans", {"coats": 1, "frequencies": (0, 1024)}, "frequencies must be 2 integers of sum 1024"),
    (b"", 0, 1, "ans", {"coats": 1, "frequencies": (1025, -1)}, "frequencies must be 2 integers of sum 1024"),
    (b"", 0, 1, "ans", {"coats": 1, "frequencies": (512., 512)}, "frequencies must be 2 integers of sum 1024"),
    (b"", 0, 1, "ans", {"coats": 2, "frequencies": (512, 512)}, "frequencies must be 3 integers of sum 1024"),
    (b"", 0, 1, "ans", {**HALVES, "offset": 16}, "offset must be in 0..15, not 16"),
    *((b"", 0, 1, "ans", {**HALVES, "lanes": lanes}, "lanes must be a power of two up to 256")
      for lanes in (0, 3, 512, -1, 1.)),
    (b"", 0, 0, "raw", {"coats": 8}, "coats must be in 1..7, not 8"),
    (b"", 0, 0, "stored", {"width": 3}, "width must be 2, 4 or 8, not 3"),
])
def test_what_is_wrong_and_where(data, bits, count, code, parameter, message):
    with pytest.raises(CodeError, match=message):
        codes.decode(data, bits, count, code, **parameter)


@pytest.mark.parametrize("symbols, code, parameter, message", [
    ([0, 2, 1, 3], "unary", {"coats": 2}, "symbol 3: coat index must be in 0..2, not 3"),
    ([0, -1], "raw", {"coats": 2}, "symbol 1: coat index must be in 0..2, not -1"),
    ([0, 1, 2], "ans", HALVES, "symbol 2: coat index must be in 0..1, not 2"),
    ([0, 2, 1], "ans", {"coats": 2, "frequencies": (1000, 0, 24)}, "symbol 2: the frequency of coat index 1 must not"),
    ([], "ans", HALVES, "needs at least one symbol"),
    ([0, 8], "stored", {"width": 4}, "symbol 1: weight must be in -8..7, not 8"),
])
def test_symbols_that_do_not_fit_are_refused(symbols, code, parameter, message):
    with pytest.raises(CodeError, match=message):
        codes.encode(np.array(symbols), code, **parameter)


def test_the_smallest_code_is_chosen():
    assert codes.best_code([70, 30]) == "raw"  # one bit in both, and less entropy than a lane costs
    assert codes.best_code([70, 22, 5, 3]) == "unary"
    assert codes.best_code([10, 20, 30, 40]) == "raw"
    assert codes.best_code([5000, 5000]) == "raw"
    assert codes.best_code([5000, 2500, 2500]) == "unary"  # just its entropy
    assert codes.best_code([7000, 2212, 473, 315]) == "ans"
    assert codes.best_code([7000, 3000]) == "ans"
    for counts in ([7000, 2212, 473, 315], [99_500, 500], [1 << 20] * 3):
        symbols = np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts), dtype=np.uint8), counts))
        parameters = ans_format(symbols, len(counts) - 1, codes.ans_lanes(counts))
        bits = codes.encode(symbols, "ans", **parameters)[1]
        assert bits == pytest.approx(codes.coded_bits(counts, "ans"), rel=.002, abs=16)


def test_lanes_cost_little_and_bound_the_steps():
    for density in (.5, .05, .005, 1e-6, 0):
        for weights in (1, 100, 36_864, 147_456, 2_359_296, 40_000_000):
            counts = [weights - round(density * weights), round(density * weights)]
            lanes = codes.ans_lanes(counts)
            assert lanes in (1, 2, 4, 8, 16, 32, 64, 128, 256)
            assert weights / lanes <= 1 << 17 or lanes == 256
            if lanes > 1 and weights / lanes * 2 < 1 << 17:
                assert codes.LANE_BITS * lanes <= .004 * codes.shannon_bits(counts)


@pytest.mark.parametrize("coats", [1, 2, 3, 5, 7])
def test_ans_is_near_the_entropy(coats):
    """Layers of every size, down to half a percent of weights kept, also with another index than 0 the common one."""
    rng = np.random.default_rng(coats)
    layers, limits = [], []
    for weights in (1280, 36_864, 147_456, 589_824):
        for density in (.5, .3, .1, .05, .02, .01, .005):
            draw = rng.random(weights, np.float32)
            symbols = sum((draw < kept).astype(np.uint8) for kept in uniform_densities(density, coats))
            for order in (np.arange(coats + 1), np.roll(np.arange(coats + 1), coats // 2 + 1)):
                indices = order[symbols]
                counts = np.bincount(indices, minlength=coats + 1)
                lanes = codes.ans_lanes(counts)
                layers.append((indices, codes.Format(code="ans", **ans_format(indices, coats, lanes))))
                limits.append(1.01 * codes.shannon_bits(counts) + 16 * lanes + 8 * 32)
    coded = codes.encode_layers(layers)
    for (_, bits), limit in zip(coded, limits, strict=True):
        assert bits <= limit
    decoded = codes.decode_layers([codes.Coded(data, bits, indices.size, form)
                                   for (data, bits), (indices, form) in zip(coded, layers)])
    for found, (indices, _) in zip(decoded, layers, strict=True):
        np.testing.assert_array_equal(found, indices)


def test_an_error_is_that_of_its_layer():
    symbols = np.zeros(100, np.uint8)
    form = codes.Format(code="ans", **HALVES)
    (data, bits), = codes.encode_layers([(symbols, form)])
    good, short, raw = codes.decode_layers([
        codes.Coded(data, bits, 100, form), codes.Coded(data[:-2], bits - 16, 100, form),
        codes.Coded(b"\1", 8, 8, codes.Format(code="raw", coats=1))])
    np.testing.assert_array_equal(good, symbols)
    assert isinstance(short, CodeError) and "exhausted" in str(short)
    assert raw.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


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
    parameters = ans_format(indices, 3, 256)
    coded, bits = codes.encode(indices, "ans", **parameters)
    assert bits <= 1.001 * codes.shannon_bits(np.bincount(indices))
    np.testing.assert_array_equal(codes.decode(coded, bits, indices.size, "ans", **parameters), indices)
