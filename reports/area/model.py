"""Cells of every block of an engine, from the points of one target, for any configuration.

By structure: columns times a column, decoder lanes times a lane, generators times a generator, each from its own point.
What is left of a block is taken from its nearest point and scaled by a model of it: a sum of the terms of ``TERMS``,
whose weights are fitted to the block's points, never negative. So a configuration with a point has exactly its cells,
and a larger one near it never has fewer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from arch.config import MASK_WORD_BITS, EngineConfig
from reports.area.cost import Cost, measured
from reports.area.points import load
from reports.area.register_file import REGISTER_FILE_BITS

__all__ = ["AreaModel", "TERMS", "area_model"]


def _log2(value: int) -> int:
    return value.bit_length() - 1


TERMS: dict[str, Callable[[EngineConfig], tuple[float, ...]]] = {
    # A multiplexer of a row's words in front of every lane; tables of two lanes have multiplexers.
    "decoder": lambda c: (1, c.decoder_lanes, c.decoder_lanes * c.refill_words,
                          c.decoder_lanes * (c.table_lanes - 1)),
    # A lane chooses among 8 table entries; rows of signs and counts of them.
    "builder": lambda c: (1, c.build_columns, c.decoder_lanes, c.decoder_lanes * c.weight_bits),
    # Multiplexers in front of and behind the banks; three rotators.
    "activations": lambda c: (1, c.activation_banks, c.lanes * c.activation_banks, c.lanes * _log2(c.lanes),
                              (max(c.requantiser_lanes, 4) + c.bus_bytes) * _log2(c.lanes)),
    # Which words of a row are stored; the choice of a row of a beat's.
    "mask_buffer": lambda c: (1, c.refill_words, c.bus_bits - MASK_WORD_BITS * c.refill_words),
    # A gearbox from beats to records.
    "parameter_buffer": lambda c: (1, c.bus_bits, c.requantiser_lanes),
    "requantiser": lambda c: (1, c.requantiser_lanes),
    # Sums of all columns to the requantiser's lanes, and its results to bytes.
    "post_processor": lambda c: (1, c.requantiser_lanes, c.columns),
    # Checksums and queues as wide as the bus; activations on their way to the array.
    "control": lambda c: (1, c.bus_bits, c.lanes + c.columns),
}
"""What a block's cells grow with. Widths of addresses and counts, which grow with the logarithm of a memory, are left
out."""

COLUMNS = {"multiplier": "column", "planes": "plane_column"}
"""The block that a column is, by the form of its lanes."""

COSTS = ("luts", "flip_flops", "um2")
"""The fields of a cost: each is fitted by itself."""


def _nonnegative_fit(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weights >= 0 with small relative errors: least squares, dropping the most negative weight until none is left."""
    weights = np.zeros(terms.shape[1])
    if not values.any():
        return weights
    used = list(range(terms.shape[1]))
    scaled, ones = terms / values[:, None], np.ones(len(values))
    while used:
        solution = np.linalg.lstsq(scaled[:, used], ones, rcond=None)[0]
        if solution.min() >= 0:
            weights[used] = solution
            break
        del used[int(solution.argmin())]
    return weights


class _FittedBlock:
    """A block with points for some configurations and a model between and beyond them."""

    def __init__(self, terms: Callable[[EngineConfig], tuple[float, ...]], points: list[tuple[EngineConfig, Cost]]):
        self._terms = terms
        self._costs = [cost for _, cost in points]
        matrix = np.array([terms(config) for config, _ in points], float)
        self._weights = [_nonnegative_fit(matrix, np.array([getattr(cost, field) for cost in self._costs]))
                         for field in COSTS]
        self._places = np.log2(1 + matrix)
        self._fitted = [self._fit(row) for row in matrix]

    def _fit(self, terms: np.ndarray) -> Cost:
        return Cost(*(float(weights @ terms) for weights in self._weights))

    def cost(self, config: EngineConfig) -> tuple[Cost, bool]:
        """Cost of a configuration, and whether it is that of a point."""
        terms = np.array(self._terms(config), float)
        distances = np.abs(self._places - np.log2(1 + terms)).sum(1)
        nearest = int(distances.argmin())
        cost, near, here = self._costs[nearest], self._fitted[nearest], self._fit(terms)
        if distances[nearest] == 0:
            return cost, True
        return Cost(*(getattr(cost, field) * getattr(here, field) / (getattr(near, field) or 1)
                      for field in COSTS)), False

    @property
    def error(self) -> float:
        """Largest relative difference between the fit and a point, in LUTs or square micrometres."""
        return max(abs(fitted.main / cost.main - 1) for fitted, cost in zip(self._fitted, self._costs))


class _Columns:
    """The column: points for widths of weights and numbers of lanes, a straight line between and beyond them."""

    def __init__(self, points: list[tuple[EngineConfig, Cost]]):
        #: By width of weights and lanes: width of sums and cost.
        self._known: dict[int, dict[int, tuple[int, Cost]]] = {}
        for config, cost in points:
            known = self._known.setdefault(config.weight_bits, {})
            if config.lanes in known:
                # With another width of sums: what a bit more of it costs.
                width, narrow = known[config.lanes]
                self._sum_bit = (cost + narrow * -1) * (1 / (config.accumulator_bits - width))
            else:
                known[config.lanes] = config.accumulator_bits, cost

    def cost(self, config: EngineConfig) -> tuple[Cost, bool]:
        """Cost of one column, and whether it is that of a point."""
        known = self._known[config.weight_bits]
        near, far = sorted(known, key=lambda lanes: abs(lanes - config.lanes))[:2]
        width, cost = known[near]
        cost += (known[far][1] + cost * -1) * ((config.lanes - near) / (far - near))
        return cost + self._sum_bit * (config.accumulator_bits - width), (near, width) == (
            config.lanes, config.accumulator_bits)


class AreaModel:
    """The points of one target, ready to be combined."""

    def __init__(self, target: str):
        self.points = load(target)
        costs = {}
        for point in self.points.points:
            costs.setdefault(point.sample.block, []).append((point.sample.config, measured(point, target)))
        self._columns = {lane: _Columns(costs[block]) for lane, block in COLUMNS.items() if block in costs}
        self._generators = {config.rounds: cost for config, cost in costs["generator"]}
        self._lanes = {config.weight_bits == 8: cost for config, cost in costs["decoder_lane"]}
        self._table = costs["ans_table"][0][1]
        self._fitted = {name: _FittedBlock(terms, costs[name]) for name, terms in TERMS.items()}
        #: Square micrometres of a register file's bit by its depth.
        self._register_bits = {
            point.sample.config.weight_slots: point.area / (REGISTER_FILE_BITS * point.sample.config.weight_slots)
            for point in self.points.of("register_file")}

    def cost(self, name: str, config: EngineConfig) -> tuple[Cost, bool]:
        """Cells of all of an engine's blocks of that name, and whether they are points' as they are, not modelled."""
        if name == "column":
            column, known = self._columns[config.lane].cost(config)
            return column * config.columns, known
        if name == "generator":
            return self._generators[config.rounds] * config.build_columns, True
        if name == "decoder_lane":
            return self._lanes[config.weight_bits == 8] * config.decoder_lanes, True
        if name == "ans_table":
            return self._table, True
        return self._fitted[name].cost(config)

    @property
    def errors(self) -> dict[str, float]:
        """Largest relative difference between a block's fit and its points, for blocks that are fitted."""
        return {name: block.error for name, block in self._fitted.items()}

    def register_bit(self, depth: int) -> float:
        """Square micrometres of a bit of a register file: linear in log2 of the depth between points, the nearest one's
        outside."""
        known = sorted(self._register_bits)
        return float(np.interp(math.log2(depth), [math.log2(value) for value in known],
                               [self._register_bits[value] for value in known]))


@functools.cache
def area_model(target: str) -> AreaModel:
    """The model of a target. Raises StalePoint for one without points of this RTL."""
    return AreaModel(target)
