"""Energy of a run: action counts times what one action costs, as a range over named constant sets and DRAM costs.

What the model takes for granted is listed in docs/assumptions.md, each with its unit and source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from arch.config import ANS_BITS, BIAS_BITS, MASK_WORD_BITS, MULTIPLIER_BITS, EngineConfig
from arch.counters import STREAMS
from arch.latency import REQUANTISE
from hw.lane import symbol_bits
from reports.actions import Actions
from reports.area import area
from reports.costs import CostSet, cost_set, cost_sets

DRAM_PJ_PER_BIT = (4., 8., 20.)
"""What a bit that crosses the memory interface costs, either way, if nothing else is asked for."""

NODE_NM = 45
"""Technology of the constant sets, if nothing else is asked for."""

COMPONENTS = ("array", "partial sums", "weight slots", "weight builder", "generator", "decoder", "mask buffer",
              "activation memory", "parameters", "requantiser", "clock")
"""Parts of the chip that energy is broken down into."""

OPS_PER_MAC = 2
"""Operations in a multiply-accumulate."""

_BLOCK_BITS = 64
_WORD_BITS = 32
_ANS_ENTRY_BITS = ANS_BITS + 4 + 3
"""A decoding table's entry: base, number of bits, symbol."""


@dataclass(frozen=True)
class Price:
    """What one ``action`` (an attribute of :class:`~reports.actions.Actions`) costs in ``component``."""

    component: str
    action: str
    pj: float


def _multiply_accumulate(config: EngineConfig, costs: CostSet) -> float:
    """One lane's share of a column: multiplier, adder tree, accumulator, and the registers behind each."""
    lanes, levels = config.lanes, config.lanes.bit_length() - 1
    operand = 8 if config.weight_bits == 8 else config.weight_bits - 1  # the others are sign and magnitude
    product = 8 + operand
    adders, registers = config.accumulator_bits, lanes * product + config.accumulator_bits
    for level in range(1, levels + 1):
        bits = (lanes >> level) * (product + level)
        adders += bits
        registers += bits if level % 2 == 0 or level == levels else 0
    if costs.multiply_includes_add:
        return costs.multiply(8, operand)
    return costs.multiply(8, operand) + (costs.add(adders) + costs.register(registers)) / lanes


def _generator_block(config: EngineConfig, costs: CostSet) -> float:
    """Threefry2x32: an addition per round, two per key injection; a block's register at each end of every round."""
    additions = config.rounds + 2 * (1 + config.rounds // 4)
    return costs.add(_WORD_BITS * additions) + costs.register(_BLOCK_BITS * (config.rounds + 1))


def _flip_flops(config: EngineConfig, weight_path: bool) -> float:
    """Of all blocks, with or without the path that makes weights from masks; memories left out: as synthesised for
    ECP5, where none is doubled and none becomes a memory."""
    return area(config, "ecp5", weight_path=weight_path).logic.flip_flops


@lru_cache(maxsize=4096)
def prices(config: EngineConfig, costs: CostSet, *, weight_path: bool = True) -> tuple[Price, ...]:
    """What the actions of an engine of ``config`` cost in the set ``costs``; several may be of one action. Without
    ``weight_path`` the clock leaves out generator, decoder and weight builder, as areas of stored weights do. Raises
    StalePoint for a set with a price of the clock if the area points are of other RTL."""
    accumulator, lanes = config.accumulator_bits, config.lanes
    record = MULTIPLIER_BITS + BIAS_BITS
    mac = _multiply_accumulate(config, costs)
    slot_row = lanes * config.weight_bits + lanes.bit_length()
    sums = config.partial_sums * accumulator / 8
    bank = config.activation_bytes / (2 * config.activation_banks)
    parameters = config.parameter_channels * record / 8 / config.requantiser_lanes
    tables = 2 * (1 << ANS_BITS) * _ANS_ENTRY_BITS / 8
    requantise = (costs.multiply(accumulator, MULTIPLIER_BITS) + costs.add(2 * BIAS_BITS)
                  + costs.register(REQUANTISE * BIAS_BITS + 2 * (accumulator + record)))
    rows = [
        Price("array", "nonzero_macs", mac),
        Price("array", "zero_macs", mac * costs.zero_mac),
        Price("array", "idle_macs", 0.),
        Price("array", "window_bytes", costs.register(2 * 8)),  # behind the memory, and in front of the columns
        Price("partial sums", "sum_reads", costs.read(sums, accumulator)),
        Price("partial sums", "sum_writes", costs.write(sums, accumulator)),
        Price("partial sums", "sum_drains", costs.read(sums, accumulator)),
        Price("weight slots", "slot_writes", costs.register(slot_row)),
        Price("weight slots", "slot_reads", costs.register(slot_row)),
        Price("weight builder", "weights_built", costs.register(2 * config.weight_bits)),
        Price("generator", "generator_blocks", _generator_block(config, costs)),
        # A word passes a register, a queue of rows and two words of its lane; a symbol moves a position and is handed
        # on.
        Price("decoder", "mask_words", costs.register(4 * MASK_WORD_BITS)),
        Price("decoder", "weights_built", costs.register(4 + symbol_bits(config))),
        Price("decoder", "ans_symbols", costs.read(tables, _ANS_ENTRY_BITS) + costs.register(ANS_BITS)),
        Price("decoder", "ans_entries", config.decoder_lanes * costs.write(tables, _ANS_ENTRY_BITS)),
        Price("mask buffer", "mask_buffer_reads", costs.read(config.mask_bytes, config.bus_bits)),
        Price("mask buffer", "mask_buffer_writes", costs.write(config.mask_bytes, config.bus_bits)),
        Price("activation memory", "activation_reads", costs.read(bank, 8 * lanes)),
        Price("activation memory", "activation_writes", costs.write(bank, 8 * lanes)),
        Price("parameters", "parameter_reads", costs.read(parameters, record)),
        Price("parameters", "parameter_writes", costs.write(parameters, record)),
        Price("requantiser", "requantised", requantise),
        Price("requantiser", "residuals", costs.multiply(8, MULTIPLIER_BITS) + costs.add(BIAS_BITS)),
        Price("clock", "cycles", costs.clock(_flip_flops(config, weight_path)) if costs.clock_bit_pj else 0.),
    ]
    measured = {(price.component, price.action): price.pj for price in costs.measured
                if price.weight_bits in (None, config.weight_bits)}
    return tuple(Price(row.component, row.action, measured.get((row.component, row.action), row.pj)) for row in rows)


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of a run in one constant set and at one DRAM cost."""

    costs: CostSet
    dram_pj_per_bit: float
    #: pJ by :data:`COMPONENTS`.
    components: dict[str, float]
    #: pJ by stream, at the memory.
    dram: dict[str, float]

    @property
    def on_chip_pj(self) -> float:
        """Everything but DRAM."""
        return sum(self.components.values())

    @property
    def dram_pj(self) -> float:
        """All streams."""
        return sum(self.dram.values())

    @property
    def total_pj(self) -> float:
        """On chip and DRAM."""
        return self.on_chip_pj + self.dram_pj

    def to_json(self) -> dict:
        """Plain JSON values, in pJ."""
        return {"set": self.costs.name, "node_nm": self.costs.node_nm, "dram_pj_per_bit": self.dram_pj_per_bit,
                "total": self.total_pj, "on_chip": self.on_chip_pj, "dram": self.dram_pj,
                "components": dict(self.components), "dram_streams": dict(self.dram),
                "uncovered": list(self.costs.uncovered)}


def _on_chip(actions: Actions, config: EngineConfig, costs: CostSet) -> dict[str, float]:
    components = dict.fromkeys(COMPONENTS, 0.)
    # Weights without a sign from the random stream are stored.
    for price in prices(config, costs, weight_path=actions.generator_blocks > 0):
        components[price.component] += getattr(actions, price.action) * price.pj
    return components


@dataclass(frozen=True)
class EnergyRange:
    """The same run in several constant sets, at several DRAM costs each."""

    energies: tuple[Energy, ...]

    @property
    def low(self) -> Energy:
        """The least."""
        return min(self.energies, key=lambda energy: energy.total_pj)

    @property
    def high(self) -> Energy:
        """The most."""
        return max(self.energies, key=lambda energy: energy.total_pj)

    def against(self, baseline: EnergyRange) -> dict[tuple[str, float], float]:
        """``baseline``'s energy over this one's, always within a set and a DRAM cost, which are the keys. Raises
        ValueError if the two have different ones."""
        one, other = ({(energy.costs.name, energy.dram_pj_per_bit): energy.total_pj for energy in energies}
                      for energies in (self.energies, baseline.energies))
        if one.keys() != other.keys():
            raise ValueError("ratios of energies must be taken within the same constant sets and DRAM costs")
        return {key: other[key] / value for key, value in one.items()}

    def to_json(self) -> dict:
        """Plain JSON values, in pJ."""
        return {"low": self.low.total_pj, "high": self.high.total_pj,
                "energies": [energy.to_json() for energy in self.energies]}


def nodes() -> tuple[int, ...]:
    """Technology nodes that there are sets of, in nm, ascending."""
    return tuple(sorted({costs.node_nm for costs in cost_sets().values()}))


def default_sets(node_nm: int = NODE_NM) -> tuple[CostSet, ...]:
    """The sets of one technology node: figures of different nodes make no range. Raises ValueError for a node without
    sets."""
    if node_nm not in nodes():
        raise ValueError(f"node must be one of {', '.join(map(str, nodes()))} nm, not {node_nm}")
    return tuple(costs for costs in cost_sets().values() if costs.node_nm == node_nm)


def energies(actions: Actions, config: EngineConfig, *, sets: Iterable[CostSet | str] | None = None,
             dram_pj_per_bit: Iterable[float] = DRAM_PJ_PER_BIT) -> EnergyRange:
    """Energy of a run with these ``actions`` on an engine of ``config``.

    ``sets`` are constant sets or their names, :func:`default_sets` if not given. Raises ValueError for an unknown name,
    for no set, and for a DRAM cost below zero.
    """
    chosen = default_sets() if sets is None else tuple(
        cost_set(costs) if isinstance(costs, str) else costs for costs in sets)
    prices_of_dram = tuple(dram_pj_per_bit)
    if not chosen or not prices_of_dram:
        raise ValueError("sets and dram_pj_per_bit must name at least one each")
    if min(prices_of_dram) < 0:
        raise ValueError(f"dram_pj_per_bit must be at least 0, not {min(prices_of_dram)!r}")
    moved = {stream: 8 * getattr(actions, f"{stream}_bytes") for stream in STREAMS}
    result = []
    for costs in chosen:
        components = _on_chip(actions, config, costs)
        result += [Energy(costs=costs, dram_pj_per_bit=price, components=components,
                          dram={stream: price * bits for stream, bits in moved.items()}) for price in prices_of_dram]
    return EnergyRange(tuple(result))


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How a published figure counts energy per operation, and the figure."""

    name: str
    #: The chip's name.
    title: str
    #: fJ per operation by what was run.
    published: dict[str, float]
    #: nm; None where our sources do not say.
    node_nm: int | None
    #: Whether the DRAM devices' energy is in it.
    includes_dram: bool
    source: str
    #: What is counted, and what is not known.
    remark: str
    #: Constant sets of the nodes nearest to the chip's.
    sets: tuple[str, ...]

    def femtojoules_per_op(self, energy: Energy, macs: int) -> float:
        """``energy`` of a run of ``macs`` multiply-accumulates of the network, counted the same way: 1 MAC is 2
        operations, those with a zero weight or with padding included."""
        picojoules = energy.total_pj if self.includes_dram else energy.on_chip_pj
        return 1000 * picojoules / (OPS_PER_MAC * macs)

    def range(self, energies: EnergyRange, macs: int) -> tuple[float, float]:
        """Least and most of :meth:`femtojoules_per_op` over all sets."""
        values = [self.femtojoules_per_op(energy, macs) for energy in energies.energies]
        return min(values), max(values)


CONVENTIONS = {convention.name: convention for convention in (
    Convention(
        name="hiddenite", title="Hiddenite", published={"CIFAR-100": 28.7, "ImageNet": 62.5}, node_nm=40,
        includes_dram=False,
        source="Hirose et al., Hiddenite, ISSCC 2022: 34.8 and 16.0 TOPS/W",
        remark="Taken as the chip without DRAM devices. Operations are those of the dense network; whether clock tree "
               "and leakage at its operating point are in the figure is not known to us: they are in none of ours.",
        sets=("horowitz-45", "hwcomponents-45", "hwcomponents-40", "zigzag-45")),
    Convention(
        name="braintta", title="BrainTTA", published={"binary": 35., "ternary": 67., "int8": 405.}, node_nm=None,
        includes_dram=False,
        source="Molendijk et al., BrainTTA, arXiv 2211.11331, 2022",
        remark="Peak efficiency, taken as a system on chip with its own memories and no DRAM; ours is of networks.",
        sets=("horowitz-45", "hwcomponents-45", "hwcomponents-22", "zigzag-45", "zigzag-22")),
)}
"""Chips that energies are compared with, by name."""
