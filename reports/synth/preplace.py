"""Sites in a device that are chosen before nextpnr places the rest, from an analytic placement of the netlist.

nextpnr 0.11 places block memories and multipliers where they are best and then, one after the other, on the nearest
site that is free: in a design that takes nearly all of them the last ones end up far from what they are connected to,
and everything else is placed around that. Here they are on sites of their own at every step. Nor does nextpnr know,
when it places logic, where wires get scarce: where this placement needs most of them, rows of LUTs are kept free.

Method: each axis is solved as a quadratic program of the bound-to-bound net model (Spindler, Schlichtmann, Johannes:
"Kraftwerk2", IEEE TCAD 27, 2008), with cells held ever more strongly to where a spread placement has them (Kim, Lee,
Markov: "SimPL", IEEE TCAD 31, 2012). The spread placement halves the device until regions hold a few cells, and gives
blocks the sites that are nearest to them in sum: a linear assignment. Wires are estimated by the nets' bounding boxes
(Spindler, Johannes: "Fast and Accurate Routing Demand Estimation", DATE 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg

from reports.synth.blocks import RESERVED
from reports.synth.targets import Target

__all__ = ["ROUNDS", "Wiring", "block_sites", "crowded_tiles", "density", "logic_tiles", "preplace",
           "spare_tiles", "spread"]

ROUNDS = 80
"""More make the placement shorter by less than a hundredth."""

_LARGEST_NET = 1_000
"""Cells. Clock, reset and constants, which reach everything, say nothing about places."""

_HOLD = .01
"""Weight of the spread placement in the first round, in nets of two cells; it grows by as much with every round."""

_BLOCK_HOLD = 4
"""A block is held as much more strongly: it has more nets than another cell."""

_FREE = 1e-6
"""Of a cell that is not spread: next to nothing, but equations without would have no solution."""

_FLIP_FLOP = .25
"""Its area in LUTs: most are beside the LUT in front of them."""

_FILL = .85
"""Mean density of the logic over that of its densest parts."""

_TOLERANCE = 1e-4
"""Relative error of a solution, which the next round's begins with."""

_EVERY = 4
"""In crowded places a row of so many is kept free. Carry chains, which run along rows, have the others."""

_CROWDED = 1.25
"""Wires around a place where logic is to be thinner, by the mean of all logic."""

_KEPT_FREE = .1
"""Of the device's logic, at most."""

_USED = .85
"""Of the device's logic, by the design and what is kept free: nextpnr needs some for itself."""

_NEIGHBOURHOOD = 9
"""Side of the square of tiles over which wires are averaged: nextpnr's placement differs from this one by some."""

_FEW = 6
"""A region of no more cells is not halved again."""


@dataclass(frozen=True)
class Wiring:
    """The nets of two and more cells, as numbers of cells."""

    cells: int
    #: All nets' cells, net after net.
    pins: np.ndarray
    #: Where each net begins in ``pins``, and the cells it has.
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, connections: Iterable[Iterable[int]]) -> Wiring:
        """Of every cell, the numbers of the nets it is connected to, each once."""
        members: dict[int, list[int]] = {}
        cells = 0
        for cell, nets in enumerate(connections):
            cells += 1
            for net in nets:
                members.setdefault(net, []).append(cell)
        kept = [found for found in members.values() if 2 <= len(found) <= _LARGEST_NET]
        counts = np.array([len(found) for found in kept], int)
        return cls(cells, np.array([cell for found in kept for cell in found], int), np.cumsum(counts) - counts, counts)

    def length(self, places: np.ndarray) -> float:
        """Half the perimeter of every net's bounding box, in sum, of ``places`` (2, cells)."""
        found = places[:, self.pins]
        return float((np.maximum.reduceat(found, self.starts, axis=1)
                      - np.minimum.reduceat(found, self.starts, axis=1)).sum())

    def _springs(self, place: np.ndarray):
        """The bound-to-bound model of one axis, as a Laplacian: each net's two outermost cells are joined to each other
        and to all others, with weights that make the energy the length at ``place``."""
        found = place[self.pins]
        net = np.repeat(np.arange(len(self.starts)), self.counts)
        order = np.lexsort((found, net))
        lowest, highest = self.pins[order[self.starts]], self.pins[order[self.starts + self.counts - 1]]
        rank = np.empty(len(order), int)
        rank[order] = np.arange(len(order)) - self.starts[net[order]]
        above, between = rank > 0, (rank > 0) & (rank < self.counts[net] - 1)
        one = np.concatenate((self.pins[above], self.pins[between]))
        other = np.concatenate((lowest[net[above]], highest[net[between]]))
        size = np.concatenate((self.counts[net[above]], self.counts[net[between]]))
        weight = 1 / ((size - 1) * np.maximum(np.abs(place[one] - place[other]), .5))
        springs = coo_matrix((weight, (one, other)), (self.cells, self.cells)).tocsr()
        springs = springs + springs.T
        return diags(np.asarray(springs.sum(axis=1)).ravel()) - springs

    def solved(self, place: np.ndarray, goal: np.ndarray, hold: np.ndarray) -> np.ndarray:
        """One axis anew: cells drawn to each other by their nets and to ``goal`` with weight ``hold``, each (cells)."""
        return cg(self._springs(place) + diags(hold), hold * goal, place, rtol=_TOLERANCE, maxiter=200)[0]


def spread(places: np.ndarray, area: np.ndarray, cells: np.ndarray, extent: tuple[float, float]) -> np.ndarray:
    """``places`` (2, all cells) with ``cells`` moved apart, in their order, until no part of ``extent`` has more than
    its share of their ``area`` (all cells), by :data:`_FILL`."""
    result = places.copy()
    share = area[cells].sum() / (extent[0] * extent[1]) / _FILL
    regions = [(cells, np.zeros(2), np.array(extent, float))]
    while regions:
        members, low, high = regions.pop()
        size = high - low
        if len(members) <= _FEW or size.max() < 1.5:
            result[:, members] = np.clip(places[:, members], low[:, None], high[:, None])
            continue
        axis = int(size[1] > size[0])
        middle = (low[axis] + high[axis]) / 2
        members = members[np.argsort(places[axis, members], kind="stable")]
        before = np.cumsum(area[members])
        room, half = share * size.prod() / 2, before[-1] / 2
        natural = np.searchsorted(places[axis, members], middle)
        wanted = before[natural - 1] if natural else 0.
        wanted = np.clip(wanted, min(before[-1] - room, half), max(room, half))
        cut = int(np.searchsorted(before, wanted, side="right"))
        for part, side in ((members[:cut], (low[axis], middle)), (members[cut:], (middle, high[axis]))):
            if len(part):
                bounds = low.copy(), high.copy()
                bounds[0][axis], bounds[1][axis] = side
                regions.append((part, *bounds))
    return result


def density(wiring: Wiring, places: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
    """Wire per tile (``extent``) at ``places`` (2, cells): each net's half perimeter, spread over its bounding box.
    Cells outside count as at the border."""
    found = np.clip(places[:, wiring.pins], 0, np.array(extent)[:, None] - 1)
    low = np.minimum.reduceat(found, wiring.starts, axis=1).astype(int)
    high = np.maximum.reduceat(found, wiring.starts, axis=1).astype(int) + 1
    size = high - low
    share = (size.sum(axis=0) - 2) / size.prod(axis=0)
    steps = np.zeros((extent[0] + 2, extent[1] + 2))
    for (column, row), sign in (((low[0], low[1]), 1), ((high[0], high[1]), 1),
                                ((low[0], high[1]), -1), ((high[0], low[1]), -1)):
        np.add.at(steps, (column, row), sign * share)
    return steps.cumsum(axis=0).cumsum(axis=1)[:extent[0], :extent[1]]


def block_sites(wiring: Wiring, area: np.ndarray, blocks: Sequence[tuple[np.ndarray, np.ndarray]],
                extent: tuple[int, int], *, rounds: int = ROUNDS, seed: int = 1,
                progress: Callable[[str], None] = lambda stage: None) -> tuple[list[np.ndarray], np.ndarray]:
    """Sites for blocks, and where everything is, (2, cells), when they have them.

    ``blocks``: of each kind the numbers of its cells, and its sites (at least as many, 2) by column and row. What is
    returned for it are the numbers of sites, all different. ``area`` (cells) is how much room each cell takes, of all
    of which the ``extent``, columns and rows of tiles, is filled evenly; 0 for blocks and for cells that are not
    spread, as pads. Raises ValueError if there are too few sites.
    """
    for members, sites in blocks:
        if len(sites) < len(members):
            raise ValueError(f"{len(members)} blocks are more than {len(sites)} sites")
    centre = np.array(extent)[:, None] / 2
    places = centre + np.random.default_rng(seed).normal(size=(2, wiring.cells))
    logic = np.flatnonzero(area)
    places = np.stack([wiring.solved(place, np.full(wiring.cells, middle), np.full(wiring.cells, 1e-4))
                       for place, (middle,) in zip(places, centre)])
    weights = np.full(wiring.cells, _FREE)
    weights[logic] = _HOLD
    for members, _ in blocks:
        weights[members] = _HOLD * _BLOCK_HOLD
    goal = places
    for number in range(rounds):
        if number:
            hold = weights * number / np.maximum(np.abs(places - goal), 1)
            places = np.stack([wiring.solved(*axis) for axis in zip(places, goal, hold)])
        goal = spread(places, area, logic, extent)
        found = []
        for members, sites in blocks:
            distance = np.abs(goal[:, members, None] - sites.T[:, None]).sum(axis=0)
            found.append(linear_sum_assignment(distance)[1])
            goal[:, members] = sites[found[-1]].T
        if number % 10 == 9:
            progress(f"round {number + 1} of {rounds}: {wiring.length(places):,.0f} of wire solved, "
                     f"{wiring.length(goal):,.0f} spread")
    return found, goal


def crowded_tiles(wires: np.ndarray, logic: np.ndarray, most: int) -> np.ndarray:
    """Where one row in four is to be kept free, (2, n), n at most ``most``: of ``logic`` (columns and rows of tiles,
    true where they have LUTs), the tiles with most of ``wires`` (the same) around them."""
    around = uniform_filter(wires, _NEIGHBOURHOOD)
    chosen = np.zeros_like(logic)
    chosen[:, ::_EVERY] = logic[:, ::_EVERY] & (around[:, ::_EVERY] > _CROWDED * wires[logic].mean())
    tiles = np.array(np.nonzero(chosen))
    return tiles[:, np.argsort(-around[*tiles], kind="stable")[:most]]


def spare_tiles(tiles: int, used: float) -> int:
    """How many ``tiles`` of logic may be kept free by a design that fills ``used`` of them."""
    return max(0, int(min(_KEPT_FREE * tiles, _USED * tiles - used)))


def logic_tiles(target: Target, device: str) -> np.ndarray:
    """(columns, rows): where ``device`` has LUTs."""
    layout = target.layouts[device]
    logic = np.zeros(target.grids[device], bool)
    logic[2:-2, 2:-2] = True
    logic[:, [*layout.memories.rows, *layout.multipliers.rows]] = False
    return logic


def preplace(cells: MutableMapping[str, dict], target: Target, device: str, *, seed: int = 1,
             progress: Callable[[str], None] = lambda stage: None):
    """Gives every block memory and multiplier among the cells of a flat netlist (Yosys's JSON) an attribute ``BEL`` for
    nextpnr, and adds LUTs without nets, named :data:`RESERVED` and their site, where others are to be kept out.

    Multipliers take every second site while these suffice. Raises ValueError if ``device`` has too few sites.
    """
    layout, extent = target.layouts[device], target.grids[device]
    kinds = [cell["type"] for cell in cells.values()]
    memories, multipliers = (np.flatnonzero([kind in blocks for kind in kinds]) for blocks in (target.bram, target.dsp))
    every_second = layout.multipliers.bels(first=2)
    bels = (layout.memories.bels(),
            every_second if len(multipliers) <= len(every_second) else layout.multipliers.bels())
    area = np.array([target.lut.get(kind, 0) + _FLIP_FLOP * (kind in target.ff) for kind in kinds])
    wiring = Wiring.of({bit for bits in cell["connections"].values() for bit in bits if isinstance(bit, int)}
                       for cell in cells.values())
    blocks = [(members, np.array(list(sites.values()))) for members, sites in zip((memories, multipliers), bels)]
    found, places = block_sites(wiring, area, blocks, extent, seed=seed, progress=progress)
    names = list(cells)
    for (members, _), chosen, sites in zip(blocks, found, map(list, bels)):
        for member, site in zip(members, chosen):
            cells[names[member]]["attributes"]["BEL"] = sites[site]

    logic = logic_tiles(target, device)
    used = sum(target.lut.get(kind, 0) for kind in kinds) / len(target.lut_sites)
    tiles = crowded_tiles(density(wiring, places, extent), logic, spare_tiles(logic.sum(), used))
    progress(f"{tiles.shape[1]} of {logic.sum()} tiles of logic kept free")
    for column, row in tiles.T:
        for site in target.lut_sites:
            cells[f"{RESERVED}{column}_{row}_{site}"] = {
                "hide_name": 0, "type": target.lut_cell, "parameters": {}, "port_directions": {}, "connections": {},
                "attributes": {"BEL": f"X{column}/Y{row}/{site}"}}
