"""Sites for the block memories of a design, from an analytic placement of its netlist.

nextpnr 0.11 places block memories where they are best and then, one after the other, on the nearest site that is free:
in a design that takes nearly all of them the last ones end up far from what they are connected to, and everything else
is placed around that. Here memories are on sites of their own at every step.

Method: each axis is solved as a quadratic program of the bound-to-bound net model (Spindler, Schlichtmann, Johannes:
"Kraftwerk2", IEEE TCAD 27, 2008), with cells held ever more strongly to where a spread placement has them (Kim, Lee,
Markov: "SimPL", IEEE TCAD 31, 2012). The spread placement halves the device until regions hold a few cells, and gives
memories the sites that are nearest to them in sum: a linear assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg

from reports.synth.targets import Target

__all__ = ["ROUNDS", "Wiring", "memory_sites", "place_memories", "spread"]

ROUNDS = 80
"""More make the placement shorter by less than a hundredth."""

_LARGEST_NET = 1_000
"""Cells. Clock, reset and constants, which reach everything, say nothing about places."""

_HOLD = .01
"""Weight of the spread placement in the first round, in nets of two cells; it grows by as much with every round."""

_MEMORY_HOLD = 4
"""A memory is held as much more strongly: it has more nets than another cell."""

_FREE = 1e-6
"""Of a cell that is not spread: next to nothing, but equations without would have no solution."""

_FLIP_FLOP = .25
"""Its area in LUTs: most are beside the LUT in front of them."""

_FILL = .85
"""Mean density of the logic over that of its densest parts."""

_TOLERANCE = 1e-4
"""Relative error of a solution, which the next round's begins with."""

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


def memory_sites(wiring: Wiring, area: np.ndarray, memories: np.ndarray, sites: np.ndarray, extent: tuple[int, int], *,
                 rounds: int = ROUNDS, seed: int = 1, progress: Callable[[str], None] = lambda stage: None,
                 ) -> np.ndarray:
    """For each of ``memories`` (numbers of cells) the number of its site, all different.

    ``area`` (cells) is how much room each takes, of all of which the ``extent``, columns and rows of tiles, is filled
    evenly; 0 for memories and for other cells that are not spread, as multipliers. ``sites`` (at least as many as
    memories, 2) are columns and rows. Raises ValueError if there are too few.
    """
    if len(sites) < len(memories):
        raise ValueError(f"{len(memories)} block memories are more than {len(sites)} sites")
    centre = np.array(extent)[:, None] / 2
    places = centre + np.random.default_rng(seed).normal(size=(2, wiring.cells))
    logic = np.flatnonzero(area)
    places = np.stack([wiring.solved(place, np.full(wiring.cells, middle), np.full(wiring.cells, 1e-4))
                       for place, (middle,) in zip(places, centre)])
    weights = np.full(wiring.cells, _FREE)
    weights[logic], weights[memories] = _HOLD, _HOLD * _MEMORY_HOLD
    goal = places
    for number in range(rounds):
        if number:
            hold = weights * number / np.maximum(np.abs(places - goal), 1)
            places = np.stack([wiring.solved(*axis) for axis in zip(places, goal, hold)])
        goal = spread(places, area, logic, extent)
        distance = np.abs(goal[:, memories, None] - sites.T[:, None]).sum(axis=0)
        _, found = linear_sum_assignment(distance)
        goal[:, memories] = sites[found].T
        if number % 10 == 9:
            progress(f"round {number + 1} of {rounds}: {wiring.length(places):,.0f} of wire solved, "
                     f"{wiring.length(goal):,.0f} spread")
    return found


def place_memories(cells: Mapping[str, dict], target: Target, device: str, *, seed: int = 1,
                   progress: Callable[[str], None] = lambda stage: None):
    """Gives every block memory among the cells of a flat netlist (Yosys's JSON) an attribute ``BEL`` for nextpnr.

    Raises ValueError if ``device`` has too few.
    """
    kinds = [cell["type"] for cell in cells.values()]
    memories = np.array([number for number, kind in enumerate(kinds) if kind in target.bram], int)
    if not memories.size:
        return
    bels = target.memory_sites[device].bels()
    area = np.array([target.lut.get(kind, 0) + _FLIP_FLOP * (kind in target.ff) for kind in kinds])
    wiring = Wiring.of({bit for bits in cell["connections"].values() for bit in bits if isinstance(bit, int)}
                       for cell in cells.values())
    found = memory_sites(wiring, area, memories, np.array(list(bels.values())), target.grids[device], seed=seed,
                         progress=progress)
    names, places = list(cells), list(bels)
    for memory, site in zip(memories, found):
        cells[names[memory]]["attributes"]["BEL"] = places[site]
