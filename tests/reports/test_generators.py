"""The forms of the random stream of docs/generator.md, most of which no engine has."""

import random

import pytest

from arch.config import PRESETS
from golden import stream as golden
from reports import generators
from reports.generators import VARIANTS, RingStream, cycles_at, main
from tests.hw.test_threefry import answers


@pytest.mark.parametrize("rounds", golden.ROUNDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_order_under_stalls(name, rounds):
    rng = random.Random(rounds)
    seed = rng.getrandbits(64)
    requests = [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(20)]
    expected = [tuple(golden.blocks(seed, stream, block, 1, rounds)[0].tolist()) for block, stream in requests]
    assert answers(VARIANTS[name][0](rounds), seed, requests, rng)[0] == expected


@pytest.mark.parametrize("rounds", golden.ROUNDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_rate(name, rounds):
    form, interval = VARIANTS[name]
    # Whole windows of a ring's trips: 5 or 10 blocks each.
    (_, short), (_, long) = (answers(form(rounds), 1, [(block, 2) for block in range(count)]) for count in (10, 40))
    assert long - short == 30 * interval(rounds)


def test_a_ring_has_the_latency_that_it_promises():
    assert answers(RingStream(13, 2), 1, [(0, 2)])[1] == 13 + 4 + 1


def test_blocks_that_are_kept_are_made_once():
    """A run of 3x3x64 bytes has 12 rows of 16 weights in 3 blocks."""
    edge = PRESETS["edge"]
    fast, slow, kept = (cycles_at("fashion", edge, interval, keep)
                        for interval, keep in ((1, False), (4, False), (4, True)))
    assert fast <= kept < slow


def test_every_row_has_a_cell_for_every_column(monkeypatch, capsys):
    module = {"num_cells_by_type": {"LUT4": 1200, "CCU2C": 10, "TRELLIS_FF": 7}}
    monkeypatch.setattr(generators, "run_yosys", lambda *_: (module, ()))
    assert main(["ecp5", "--yosys", "true"]) == 0
    header, line, *rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| 13 | a register per round | 1 | 1,220 | 7 |"
    assert len(rows) == 2 * len(VARIANTS) and header.count("|") == line.count("|") == rows[0].count("|")


def test_cycles(monkeypatch, capsys):
    monkeypatch.setattr(generators, "cycles_at", lambda network, config, interval, kept: 1000 * interval - 100 * kept)
    assert main(["cycles", "--presets", "edge", "--networks", "fashion"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "| edge | fashion | 1,000 | +100.0% | +300.0% | +90.0% | +290.0% |")


def test_a_yosys_that_is_missing_is_one_line(capsys):
    assert main(["xc7", "--yosys", "/no/such/yosys"]) == 1
    assert "error: no Yosys found" in capsys.readouterr().err
