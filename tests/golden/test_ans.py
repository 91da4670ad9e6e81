"""Tables of code `ans`: equal to the text of the specification, near the entropy, and what is made of them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import ans, codes
from golden.densities import uniform_densities
from golden.lanes import interleave
from tests.golden import naive_ans

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "codes.json").read_text())


def histogram(densities, weights=1 << 20):
    """Counts of the indices 0..N at kept fractions ``densities``."""
    kept = [1, *densities, 0]
    return [round(weights * (low - high)) for low, high in zip(kept, kept[1:])]


def draw(densities, weights, seed=1):
    """Independent random indices at kept fractions ``densities``."""
    values = np.random.default_rng(seed).random(weights, np.float32)
    return sum((values < density).astype(np.uint8) for density in densities)


def frequencies_of(cuts):
    """Frequencies whose running sums are ``cuts``."""
    return tuple(np.diff([0, *sorted(cuts), 1024]).tolist())


some_frequencies = st.lists(st.integers(1, 1024), min_size=1, max_size=7).map(frequencies_of)


@settings(deadline=None, max_examples=60)
@given(frequencies=some_frequencies, offset=st.integers(0, 15))
def test_tables_are_those_of_the_specification(frequencies, offset):
    table = ans.decoding_table(frequencies, offset)
    assert list(zip(table.symbols, table.bits, table.bases)) == naive_ans.table(frequencies, offset)
    for symbol in range(len(frequencies)):  # every state comes from exactly one entry of a symbol
        covered = [state for kind, bits, base in zip(table.symbols, table.bits, table.bases) if kind == symbol
                   for state in range(base, base + (1 << bits))]
        assert sorted(covered) == (list(range(1024)) if frequencies[symbol] else [])


def test_vectors_of_tables():
    for case in VECTORS["ans_tables"]:
        table = ans.decoding_table(case["frequencies"], case["offset"])
        entries = np.stack([np.arange(1024), table.symbols, table.bits, table.bases], axis=1)
        assert entries[[entry[0] for entry in case["entries"]]].tolist() == case["entries"]
        text = "".join(f"{symbol} {bits} {base}\n" for _, symbol, bits, base in entries)
        assert hashlib.sha256(text.encode()).hexdigest() == case["sha256"]


@pytest.mark.parametrize("counts, frequencies", [
    ([7, 0, 0], (1024, 0, 0)), ([0, 7], (1, 1023)), ([0, 0, 1, 0], (1, 0, 1023, 0)), ([1, 1], (512, 512)),
    ([3_000_000, 1], (1023, 1)), ([1, 3_000_000], (1, 1023)), ([1] * 8, (128,) * 8),
    ([0, 1, 1 << 40], (0, 1, 1023)), ([10 ** 6, 1, 1, 1, 1, 1, 1, 1], (1017, 1, 1, 1, 1, 1, 1, 1)),
    ([700, 200, 100, 24], (700, 200, 100, 24)),
])
def test_histograms_with_one_answer(counts, frequencies):
    assert ans.best_table(counts)[0] == frequencies
    symbols = np.repeat(np.arange(len(counts)), np.minimum(counts, 50)).astype(np.uint8)
    parameters = {"coats": len(counts) - 1, "lanes": 4, **dict(zip(("frequencies", "offset"), ans.best_table(counts)))}
    data, bits = codes.encode(symbols, "ans", **parameters)
    np.testing.assert_array_equal(codes.decode(data, bits, symbols.size, "ans", **parameters), symbols)


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(0, 10_000), min_size=2, max_size=8).filter(any))
def test_frequencies_cannot_be_bettered(counts):
    frequencies, offset = ans.best_table(counts)
    assert ans.valid_frequencies(frequencies, len(counts)) and ans.valid_offset(offset)
    assert ans.best_table(list(counts)) == (frequencies, offset)
    occurring = [index for index, count in enumerate(counts) if count]
    assert all(frequencies[index] for index in occurring)

    def cost(frequencies):
        return -sum(counts[index] * np.log2(frequencies[index]) for index in occurring)

    for source in occurring:
        for target in occurring:
            changed = list(frequencies)
            changed[source] -= 1
            changed[target] += 1
            if changed[source] and ans.valid_frequencies(changed, len(counts)):
                assert cost(changed) >= cost(frequencies) - 1e-9 * sum(counts)


@pytest.mark.parametrize("coats", [1, 2, 3, 5, 7])
def test_expected_bits_are_near_the_entropy(coats):
    losses = []
    for density in (.5, .3, .1, .05, .02, .01, .005):
        counts = histogram(uniform_densities(density, coats))
        losses.append(ans.expected_bits(counts) / codes.shannon_bits(counts) - 1)
    assert max(losses) < .0085 and np.mean(losses) < .0025
    assert max(losses[:4]) < .0005 or coats > 3


@pytest.mark.parametrize("densities", [(.3,), (.3, .0788, .0315), (.02, .01), uniform_densities(.005, 7)], ids=str)
def test_expected_bits_are_those_of_a_long_sequence(densities):
    symbols = draw(densities, 1 << 20)
    counts = np.bincount(symbols, minlength=len(densities) + 1)
    lengths = {}
    for offset in {0, ans.best_table(counts)[1]}:
        frequencies = ans.best_table(counts)[0]
        coded, = ans.encode([ans.Steps(symbols.reshape(-1, 16), frequencies, offset)])
        lengths[offset] = int(coded.lengths.sum(dtype=np.int64))
    best = lengths[ans.best_table(counts)[1]]
    assert best == pytest.approx(ans.expected_bits(counts), rel=1e-3)
    assert best <= lengths[0]


@settings(deadline=None, max_examples=6)
@given(frequencies=some_frequencies, offset=st.integers(0, 15), data=st.data())
def test_no_last_state_gives_fewer_bits(frequencies, offset, data):
    occurring = [symbol for symbol, frequency in enumerate(frequencies) if frequency]
    symbols = data.draw(st.lists(st.sampled_from(occurring), min_size=1, max_size=6))
    column = np.array(symbols, np.uint8)[:, None]
    coded, = ans.encode([ans.Steps(column, frequencies, offset)])
    least = min(naive_ans.bit_count(symbols, frequencies, offset, state) for state in range(0, 1024, 31))
    assert 10 + coded.lengths.sum() == naive_ans.bit_count(symbols, frequencies, offset, 0) <= least


def test_any_last_state_is_decoded():
    """An encoder's choice: the decoder does not look at it."""
    frequencies, offset = (700, 200, 124), 3
    entries = naive_ans.table(frequencies, offset)
    symbols, state, bits = [0, 1, 2, 0, 0, 1], 777, []
    for wanted in reversed(symbols):
        after = state
        state, = [entry for entry, (symbol, taken, base) in enumerate(entries)
                  if symbol == wanted and base <= after < base + 2 ** taken]
        _, taken, base = entries[state]
        bits = [after - base >> place & 1 for place in range(taken)] + bits
    bits = [state >> place & 1 for place in range(10)] + bits
    number = sum(bit << place for place, bit in enumerate(bits))
    size = -(-len(bits) // 16)
    data = number.to_bytes(2 * size, "little")
    decoded = codes.decode(data, 16 * size, 6, "ans", coats=2, frequencies=frequencies, offset=offset, lanes=1)
    assert decoded.tolist() == symbols


def test_layers_are_coded_together_as_alone():
    """Layers of different lengths, lanes and tables, with holes anywhere."""
    rng = np.random.default_rng(5)
    layers = []
    for steps, lanes, coats in ((40, 3, 1), (7, 16, 7), (1, 1, 3), (40, 1, 2), (300, 5, 3)):
        symbols = rng.integers(0, coats + 1, (steps, lanes)).astype(np.uint8)
        frequencies, _ = ans.best_table(np.bincount(symbols.ravel(), minlength=coats + 1))
        symbols[rng.random(symbols.shape) < .2] = ans.HOLE
        layers.append(ans.Steps(symbols, frequencies, int(rng.integers(16))))
    for together, layer in zip(ans.encode(layers), layers, strict=True):
        alone, = ans.encode([layer])
        for name in ("first", "values", "lengths"):
            np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
        assert not together.lengths[layer.symbols == ans.HOLE].any()
        used = range(layer.symbols.shape[1])
        words = interleave(together.values, together.lengths, np.array(used), together.head)
        steps = [[(lane, (step, lane)) for lane in used if layer.symbols[step, lane] != ans.HOLE]
                 for step in range(len(layer.symbols))]
        decoded, requested = naive_ans.decode(words.words, steps, used, layer.frequencies, layer.offset)
        assert decoded == {place: layer.symbols[place] for step in steps for _, place in step}
        assert words.requested.tolist() == requested
