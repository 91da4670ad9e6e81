"""Sites that are chosen before nextpnr places."""

import numpy as np
import pytest

from reports.synth.blocks import RESERVED
from reports.synth.preplace import (
    Wiring, block_sites, crowded_tiles, density, logic_tiles, preplace, spare_tiles, spread,
)
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
    (found,), _ = block_sites(Wiring.of([[0], [1]]), np.zeros(2), [(np.arange(2), sites)], (9, 9), rounds=3)
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

    (found,), places = block_sites(wiring, area, [(memories, sites)], (51, 51))
    assert (places[:, memories] == sites[found].T).all()
    assert sorted(found) == list(range(36))
    assert length(sites) <= length(sites[found]) < 4 / 3 * length(sites)
    assert length(sites[np.random.default_rng(1).permutation(36)]) > 3 * length(sites)
    assert (block_sites(wiring, area, [(memories, sites)], (51, 51))[0][0] == found).all()


def test_too_few_sites():
    nets, memories = grid(2)
    with pytest.raises(ValueError, match="4 blocks are more than 3 sites"):
        block_sites(Wiring.of(nets), np.ones(len(nets)), [(memories, np.zeros((3, 2)))], (9, 9))


def test_each_kind_of_block_has_its_own_sites():
    """Two chains of one memory, one multiplier each; sites of one kind are no sites of the other."""
    wiring = Wiring.of([[0], [0, 1], [1], [2], [2, 3], [3]])
    area = np.array([0., 1., 0., 0., 1., 0.])
    kinds = [(np.array([0, 3]), np.array([(1, 1), (8, 1)])), (np.array([2, 5]), np.array([(8, 7), (1, 7), (4, 7)]))]
    (memories, multipliers), places = block_sites(wiring, area, kinds, (9, 9))
    assert sorted(memories) == [0, 1] and len(set(multipliers)) == 2
    assert (places[1, [0, 3]] == 1).all() and (places[1, [2, 5]] == 7).all()
    # A chain does not cross the other.
    assert (np.sign(places[0, 0] - places[0, 3]) == np.sign(places[0, 2] - places[0, 5]))


def test_density_is_the_length_of_nets_over_their_boxes():
    wiring = Wiring.of([[0], [0, 1], [1], [2], [2]])
    # One net over 3 x 2 tiles, half perimeter 2 + 1; one over 1 x 1; one in a single column of four.
    found = density(wiring, np.array([[1., 3.9, 3.2, 7., 7.9], [2.1, 3., 3.5, 1., 4.5]]), (9, 6))
    expected = np.zeros((9, 6))
    expected[1:4, 2:4] += 3 / 6
    expected[7, 1:5] += 3 / 4
    assert found == pytest.approx(expected)
    outside = density(Wiring.of([[0], [0]]), np.array([[-3.5, 80.], [2., 2.]]), (9, 6))
    assert outside[:, 2] == pytest.approx(np.full(9, 8 / 9)) and outside.sum() == pytest.approx(8)


def test_rows_are_kept_free_where_wires_are_dense():
    """There alone, one in four, where there is logic, and no more than asked for."""
    logic = np.zeros((100, 80), bool)
    logic[2:-2, 2:-2] = True
    logic[:, 20] = False
    wires = np.ones((100, 80))
    assert crowded_tiles(wires, logic, 400).shape == (2, 0)
    wires[60:80, 10:30] = 4
    tiles = crowded_tiles(wires, logic, 400)
    inner = {(column, row) for column in range(60, 80) for row in (12, 16, 24, 28)}
    assert inner <= set(map(tuple, tiles.T))
    assert all(56 <= column < 84 and 6 <= row < 34 and row % 4 == 0 and row != 20 for column, row in tiles.T)
    wires[10:90, 10:70] = 4
    tiles = crowded_tiles(wires, logic, 400)
    assert tiles.shape[1] == 400 == len(set(map(tuple, tiles.T)))


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


@pytest.mark.parametrize("device, memories, multipliers, luts", [
    ("25k", 56, 28, 24_288), ("45k", 108, 72, 43_848), ("85k", 208, 156, 83_640)])
def test_devices_have_their_blocks(device, memories, multipliers, luts):
    """As many as Lattice's data sheet (FPGA-DS-02012, table 1.1) says, inside the grid; LUTs as nextpnr counts them."""
    layout, (columns, rows) = ECP5.layouts[device], ECP5.grids[device]
    assert not set(layout.memories.rows) & set(layout.multipliers.rows)
    assert len(layout.multipliers.bels(first=2)) == multipliers // 2
    assert len(ECP5.lut_sites) * logic_tiles(ECP5, device).sum() == luts
    for sites, number in ((layout.memories, memories), (layout.multipliers, multipliers)):
        bels = sites.bels()
        assert len(bels) == len(set(bels.values())) == number
        assert all(0 < column < columns and 0 < row < rows for column, row in bels.values())


def _cells(nets, memories):
    return {f"cell {number}": {"type": "DP16KD" if number in memories else "MULT18X18D" if number == 20 else "LUT4",
                               "attributes": {}, "connections": {"A": joined, "CLK": [7000], "B": ["0"]}}
            for number, joined in enumerate(nets)}


def test_blocks_alone_get_a_site_and_what_keeps_logic_out_has_no_nets():
    nets, memories = grid(3)
    cells = _cells(nets, memories)
    preplace(cells, ECP5, "25k")
    layout = ECP5.layouts["25k"]
    chosen = {name: cell["attributes"].get("BEL") for name, cell in cells.items() if not name.startswith(RESERVED)}
    assert [number for number, bel in enumerate(chosen.values()) if bel] == sorted([*memories, 20])
    assert chosen.pop("cell 20") in layout.multipliers.bels(first=2)
    chosen = set(chosen.values()) - {None}
    assert len(chosen) == 9 and chosen <= layout.memories.bels().keys()
    reserved = [cell for name, cell in cells.items() if name.startswith(RESERVED)]
    assert reserved and not any(cell["connections"] for cell in reserved)
    places = {cell["attributes"]["BEL"] for cell in reserved}
    assert len(places) == len(reserved) <= .1 * 8 * 69 * 44
    assert not any(f"/Y{row}/" in place for place in places for row in (0, 1, 13, 25, 37, 49, 50))


@pytest.mark.parametrize("used, spare", [
    (0, 100), (740., 100), (800., 50), (810.5, 39), (850, 0), (1000, 0), (1300., 0)])
def test_a_full_device_keeps_nothing_free(used, spare):
    assert spare_tiles(1000, used) == spare


def test_many_multipliers_take_all_sites():
    cells = {f"cell {number}": {"type": "MULT18X18D", "attributes": {}, "connections": {"A": [number // 2]}}
             for number in range(15)}
    preplace(cells, ECP5, "25k")
    assert len({cell["attributes"]["BEL"] for name, cell in cells.items() if not name.startswith(RESERVED)}) == 15


def test_a_design_without_blocks_has_no_sites():
    cells = {f"cell {number}": {"type": "LUT4", "attributes": {}, "connections": {"A": [2]}} for number in range(2)}
    preplace(cells, ECP5, "85k")
    assert not any("BEL" in cell["attributes"] for name, cell in cells.items() if not name.startswith(RESERVED))
