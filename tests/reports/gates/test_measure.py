import numpy as np
import pytest

from arch.config import EngineConfig
from hw.column import Column
from reports.area.blocks import BLOCKS
from reports.gates.blocks import PARTS
from reports.gates.measure import RUNS, engine, separate
from reports.gates.record import Recording

CYCLES = 600


def recording(random: np.random.Generator, **ports: int) -> Recording:
    """Any bits on ports of these widths."""
    bits = sum(ports.values())
    return Recording(ports, random.integers(0, 256, (CYCLES, 4 * -(-bits // 32)), dtype=np.uint8))


def test_ports_are_side_by_side():
    data = np.array([[0b10110101, 0b11001010, 0b1, 0], [0b1, 0, 0b1, 0]], np.uint8)
    ports = Recording({"a": 3, "b": 9, "c": 1, "d": 4}, data)
    assert [list(ports.values(name)) for name in ports.ports] == [
        [0b101, 1], [0b101010110, 0], [0, 0], [0b1110, 0b1000]]
    assert ports.bits("b").tolist() == [[0, 1, 1, 0, 1, 0, 1, 0, 1], [0] * 9]


@pytest.mark.parametrize("weight_bits", RUNS)
def test_weights_that_a_column_multiplies_with(weight_bits):
    """Against a walk over the cycles."""
    config = EngineConfig.preset("tiny", weight_bits=weight_bits)
    row_bits = config.lanes * weight_bits + 4
    column = recording(np.random.default_rng(weight_bits), rst=1, row_comes=1, row_slot=2, row=row_bits, slot=2,
                       store_valid=2)
    part, = (part for part in PARTS if part.block == "column")
    zero, nonzero = part.counts({"it": column}, "it", config)
    slots, stages = [0] * config.weight_slots, Column.tree_stages(config)
    rows = column.bits("row")
    for cycle in range(CYCLES):
        beat = cycle + stages + 1 < CYCLES and column.values("store_valid")[cycle + stages + 1] != 0
        expected = slots[column.values("slot")[cycle]] if beat else 0
        assert nonzero[cycle] == expected and zero[cycle] == (config.lanes - expected if beat else 0)
        if cycle and column.values("row_comes")[cycle - 1]:
            weights = rows[cycle, :config.lanes * weight_bits].reshape(config.lanes, weight_bits)
            slots[column.values("row_slot")[cycle - 1]] = int(weights.any(1).sum())
    assert nonzero.sum() > 100


def test_energies_are_told_apart():
    random = np.random.default_rng(3)
    counts = [random.integers(0, 5, CYCLES), random.integers(0, 9, CYCLES)]
    assert separate(3. * counts[0] + .5 * counts[1], counts) == pytest.approx([3, .5])
    # What is left over belongs to what was done; nothing has a price below zero.
    noisy = separate(3. * counts[0] + random.random(CYCLES), counts)
    assert noisy[0] * counts[0].sum() + noisy[1] * counts[1].sum() == pytest.approx(
        3. * counts[0].sum() + CYCLES / 2, rel=.05)
    assert separate(5. * counts[0] - 2. * counts[1] + 20, counts)[1] == 0
    assert separate(np.full(CYCLES, 2.), [np.eye(1, CYCLES, 7)[0], np.zeros(CYCLES)]) == pytest.approx([2 * CYCLES, 0])
    with pytest.raises(ValueError, match="^nothing was done$"):
        separate(np.ones(CYCLES), [np.zeros(CYCLES)])


def test_parts_are_blocks_with_points():
    assert {part.block for part in PARTS} <= set(BLOCKS)
    assert all(len(set(part.prices)) == len(part.prices) for part in PARTS)


def test_engines_that_are_measured():
    assert {width: engine(width).weight_bits for width in RUNS} == {width: width for width in RUNS}
    assert engine(4) == EngineConfig.preset("edge", table_lanes=1) and engine(8).accumulator_bits == 32
