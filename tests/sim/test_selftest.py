"""The self-test, Verilated: what a terminal on its serial line and an eye on its LED see."""

from pathlib import Path

import pytest

from arch.descriptor import Error
from hw.uart import BAUD
from sim.selftest import self_test

PAGE = Path(__file__).parents[2] / "docs" / "selftest.md"

SECOND = 2 * BAUD
"""Cycles of a second, with the slowest clock but one: a bit takes two cycles."""


@pytest.fixture(scope="module")
def test():
    return self_test()


def shown(test, changes=None):
    """Lines and changes of the verdict's LED in two seconds. The clock's LED is lit in the first half of each."""
    events = test.simulate(SECOND, round(2.1 * SECOND), changes)
    assert [cycle + 1 for cycle, kind, _ in events if kind == "alive"][1:] == [
        SECOND // 2, SECOND, 3 * SECOND // 2, 2 * SECOND]
    assert [level for _, kind, level in events if kind == "alive"] == ["1", "0"] * 2 + ["1"]
    return ([(cycle, text) for cycle, kind, text in events if kind == "line"],
            [(cycle, text) for cycle, kind, text in events if kind == "led"])


def fields(line: str) -> dict[str, str]:
    return dict(field.split("=") for field in line.split() if "=" in field)


def word(test, address: int) -> int:
    return address // test.config.bus_bytes


def first(test, stream: str) -> int:
    """Word of memory that the first transfer of a stream begins with."""
    return word(test, next(transfer.address for transfer in test.program.transfers if transfer.stream == stream))


def test_passes(test):
    lines, led = shown(test)
    text = lines[0][1]
    assert [text for _, text in lines] == [text] * 3
    cycles = int(fields(text)["cycles"])
    assert text == f"topcoat tiny: PASS cycles={cycles:010} crc={test.checksum:08x} error=0"
    assert f"    {text}\n" in PAGE.read_text()
    # One cycle more of latency than the ideal memory, and requests one by one.
    assert 1 < cycles / test.program.predicted_cycles < 1.02
    # A line is sent when the test ends and with every second.
    assert [cycle // SECOND for cycle, _ in lines] == [0, 1, 2]
    assert [level for _, level in led] == ["1"] and cycles < led[0][0] < lines[0][0]


@pytest.mark.parametrize("damage, error", [
    ("program", Error.PROGRAM_CRC), ("mask", Error.MASK_CRC), ("parameter", Error.PARAMETER_CRC), ("load", Error.NONE),
])
def test_damaged_memory_fails(test, damage, error):
    lines, led = shown(test, {first(test, damage): 1 << 20})
    said = fields(lines[0][1])
    assert len(lines) == 3 and {text for _, text in lines} == {lines[0][1]}
    assert lines[0][1].startswith("topcoat tiny: FAIL ") and int(said["error"], 16) == error
    # Results are read if there was no error, and are wrong.
    assert int(said["crc"], 16) != test.checksum and (int(said["crc"], 16) != 0) == (error == Error.NONE)
    # It blinks: lit in the first half of each second.
    assert [level for _, level in led] == ["1", "0"] * 2 + ["1"]
    assert [cycle + 1 for cycle, _ in led[1:]] == [SECOND // 2, SECOND, 3 * SECOND // 2, 2 * SECOND]


@pytest.mark.parametrize("place", (0, 77, -1))
def test_every_expected_word_counts(test, place):
    words = word(test, len(test.expected))
    lines, _ = shown(test, {word(test, len(test.content)) + place % words: 1})
    said = fields(lines[0][1])
    assert lines[0][1].startswith("topcoat tiny: FAIL ")
    assert said["crc"] == f"{test.checksum:08x}" and said["error"] == "0"
