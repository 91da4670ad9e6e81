"""Sites of block memories."""

import numpy as np
import pytest

from reports.synth.memories import Wiring, memory_sites, place_memories, spread
from reports.synth.targets import TARGETS

ECP5 = TARGETS["ecp5"]


def grid(side, cells_between=3):
    """Memories in a grid, each joined to its neighbours by rows of logic cells, numbered in any order: nets by cell,
    and the numbers of the memories, row by row."""
    order = np.random.default_rng(0).permutation(side * side)
    numbers = order.reshape(side, side)
    nets = [[] for _ in range(side * side)]
    net = 0
    for pairs in (zip(numbers[:, :-1].flat, numbers[:, 1:].flat), zip(numbers[:-1].flat, numbers[1:].flat)):
        for first, last in pairs:
            chain = [first, *range(len(nets), len(nets) + cells_between), last]
            nets += [[] for _ in range(cells_between)]
            for one, other in zip(chain, chain[1:]):
                nets[one].append(net)
                nets[other].append(net)
                net += 1
    return nets, numbers.ravel()


def test_length_is_half_the_perimeter_of_nets():
    wiring = Wiring.of([[0, 1], [0, 2], [0], [3], range(10, 20)])
    # One net of three cells; the others have one.
    assert wiring.length(np.array([[1., 4., 2., 99., 99.], [5., 5., 9., 0., 0.]])) == 3 + 4


def test_memories_that_nothing_joins_have_sites():
    sites = np.array([(3, 3), (6, 6), (9, 9)])
    found = memory_sites(Wiring.of([[0], [1]]), np.zeros(2), np.arange(2), sites, (9, 9), rounds=3)
    assert len(set(found)) == 2


def test_clocks_are_no_wiring():
    cells = [[0, 1 + number // 2] for number in range(3000)]
    assert Wiring.of(cells).counts.tolist() == [2] * 1500


def test_memories_of_a_grid_are_placed_as_a_grid():
    """As long as sites in the right order make it, within a third; any order makes it three times as long."""
    nets, memories = grid(6)
    wiring = Wiring.of(nets)
    area = np.ones(len(nets))
    area[memories] = 0
    sites = np.array([(10 * column, 10 * row) for row in range(6) for column in range(6)])

    def length(chosen):
        """Of memories joined directly."""
        places = chosen.reshape(6, 6, 2)
        return sum(np.abs(np.diff(places, axis=axis)).sum() for axis in (0, 1))

    found = memory_sites(wiring, area, memories, sites, (51, 51))
    assert sorted(found) == list(range(36))
    assert length(sites) <= length(sites[found]) < 4 / 3 * length(sites)
    assert length(sites[np.random.default_rng(1).permutation(36)]) > 3 * length(sites)
    assert (memory_sites(wiring, area, memories, sites, (51, 51)) == found).all()


def test_too_few_sites():
    nets, memories = grid(2)
    with pytest.raises(ValueError, match="4 block memories are more than 3 sites"):
        memory_sites(Wiring.of(nets), np.ones(len(nets)), memories, np.zeros((3, 2)), (9, 9))


def test_an_even_placement_stays():
    places = (np.indices((32, 32)).reshape(2, -1) + .5) * 2.
    assert spread(places, np.ones(1024), np.arange(1024), (64, 64)) == pytest.approx(places, abs=1)


@pytest.mark.parametrize("cluster", [.01, 3., 20.])
def test_no_quarter_of_a_spread_placement_is_too_dense(cluster):
    """In every quarter, at most what evenly spread cells filled to .85 would have; cells stay inside, roughly in their
    order, and those that are not to be moved stay."""
    rng = np.random.default_rng(2)
    places = 30 + cluster * rng.normal(size=(2, 6000))
    area = rng.choice([1., 2.], 6000)
    cells = np.arange(5000)
    found = spread(places, area, cells, (64, 64))
    assert (found[:, 5000:] == places[:, 5000:]).all()
    assert found[:, :5000].min() >= 0 and found[:, :5000].max() <= 64
    dense = np.histogram2d(*found[:, cells], bins=2, range=((0, 64), (0, 64)), weights=area[cells])[0]
    assert dense.max() <= 1.01 * area[cells].sum() / 4 / .85
    assert np.corrcoef(found[0, cells], places[0, cells])[0, 1] > .6


@pytest.mark.parametrize("device, memories", [("25k", 56), ("45k", 108), ("85k", 208)])
def test_devices_have_their_block_memories(device, memories):
    """As many as Lattice's data sheet (FPGA-DS-02012, table 1.1) says, inside the grid."""
    bels = ECP5.memory_sites[device].bels()
    columns, rows = ECP5.grids[device]
    assert len(bels) == len(set(bels.values())) == memories
    assert all(0 < column < columns and 0 < row < rows for column, row in bels.values())


def test_block_memories_alone_get_a_site():
    nets, memories = grid(3)
    cells = {f"cell {number}": {"type": "DP16KD" if number in memories else "LUT4", "attributes": {},
                                "connections": {"A": joined, "CLK": [7000], "B": ["0"]}}
             for number, joined in enumerate(nets)}
    place_memories(cells, ECP5, "25k")
    bels = ECP5.memory_sites["25k"].bels()
    chosen = [cell["attributes"].get("BEL") for cell in cells.values()]
    assert [number for number, bel in enumerate(chosen) if bel] == sorted(memories)
    assert len(set(chosen) - {None}) == 9 and set(chosen) - {None} <= bels.keys()


def test_a_design_without_block_memories_stays():
    cells = {"cell": {"type": "LUT4", "attributes": {}, "connections": {"A": [2]}}}
    place_memories(cells, ECP5, "85k")
    assert cells["cell"]["attributes"] == {}
