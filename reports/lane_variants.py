"""Lanes that engines do not have, synthesised beside planes: cells of a lane of a column of `edge`, by how weights of 2
or 4 bits are applied and products are added. Record and command: docs/lane.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.planes import add_with_carry, plane_dot
from hw.weights import plane_row
from reports.area.blocks import standalone_verilog
from reports.area.cost import Cost, cost_of_cells
from reports.area.memories import Shape, fpga_memory
from reports.area.synthesis import FPGAS, commands, run_yosys
from reports.tables import print_markdown
from reports.tools import find_yosys

__all__ = ["CONFIGS", "VARIANTS", "Variant", "VariantColumns"]

CONFIGS = {bits: EngineConfig.preset("edge", weight_bits=bits, lane="planes") for bits in (2, 4)}
"""The engine by width of weights."""

Node = tuple[Value, Value]
"""A summand, and one bit that goes with it: see :func:`_tree`."""


@dataclass(frozen=True)
class Variant:
    """A form of the lane."""

    #: Adds the logic of some columns and returns the dot product of each and a bit still to be added to it. Arguments:
    #: module, configuration, activations, a row for every ``columns`` columns.
    dots: Callable[[Module, EngineConfig, data.View, Sequence[Value]], list[Node]]
    #: A row from the weights of ``columns`` columns, lane by lane.
    encode: Callable[[EngineConfig, Sequence[Sequence[int]]], int]
    #: Bits of a row.
    row_bits: Callable[[EngineConfig], int]
    weight_bits: tuple[int, ...] = (2, 4)
    #: Columns that share a row.
    columns: int = 1
    #: Lane n takes its inputs n cycles later than lane 0.
    skewed: bool = False
    #: Maps to multiplier blocks.
    multipliers: bool = False
    targets: tuple[str, ...] = tuple(FPGAS)


class VariantColumns(wiring.Component):
    """``count`` columns of a variant that take the same activations, without weight slots and partial sums: the row is
    what a slot gives, ``partials`` is what the partial sums' memories give. What a variant makes from activations for
    all columns is there once.

    Latency: as :class:`hw.column.Column` for the sum; the dot product's differs by variant, and is constant.
    """

    def __init__(self, config: EngineConfig, variant: Variant, count: int):
        self._config, self._variant, self._count = config, variant, count
        rows = count // variant.columns
        super().__init__({
            #: One run of activations, and the rows to multiply it with.
            "activations": In(data.ArrayLayout(signed(8), config.lanes)),
            "rows": In(data.ArrayLayout(variant.row_bits(config), rows)),
            #: By column: what either half's memory read, and the sum to write.
            "partials": In(data.ArrayLayout(data.ArrayLayout(signed(config.accumulator_bits), 2), count)),
            "sums": Out(data.ArrayLayout(signed(config.accumulator_bits), count)),
            #: As in :class:`hw.column.Column`.
            "goes_on": In(2),
        })

    def elaborate(self, platform):
        m = Module()
        rows = [self.rows[index] for index in range(len(self.rows))]
        dots = self._variant.dots(m, self._config, self.activations, rows)
        for column, (dot, carry) in enumerate(dots):
            low, high = (_register(m, Mux(goes_on, partial, 0))
                         for goes_on, partial in zip(self.goes_on, self.partials[column]))
            m.d.comb += self.sums[column].eq(add_with_carry((low | high).as_signed(), dot, carry))
        return m


def _register(m: Module, value: Value) -> Value:
    register = Signal(value.shape(), reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _flip(value: Value, bit: Value) -> Value:
    """One's complement of a signed value where ``bit`` is set."""
    return value ^ bit.replicate(len(value)).as_signed()


def _tree(m: Module, nodes: list[Node], *, flips: bool = False) -> Node:
    """Adds up nodes, with a register every two levels. The bit of a node is added to it; with ``flips`` the node is
    one's-complemented first where the bit is set: a negation. That is done where the node is a right operand, in its
    carry chain; the first node's bit is left to the result's."""
    level = 0
    while len(nodes) > 1:
        level += 1
        sums = []
        for (low, later), (high, carry) in zip(nodes[::2], nodes[1::2]):
            if flips:
                high = _flip(high, carry)
            sums.append((add_with_carry(low, high, carry), later))
        registered = level % 2 == 0 or len(sums) == 1
        nodes = [(_register(m, value), _register(m, bit)) for value, bit in sums] if registered else sums
    return nodes[0]


def _join(m: Module, low: Node, high: Node, shift: int, *, flips: bool = False) -> Node:
    """``low`` + ``high`` * 2 ** ``shift``: the low bits pass."""
    (value, later), (upper, carry) = low, high
    if flips:
        upper = _flip(upper, carry)
    total = add_with_carry((value >> shift).as_signed(), upper, carry)
    return _register(m, Cat(value[:shift], total).as_signed()), _register(m, later)


def _flipped(node: Node) -> Node:
    """The node with its sign applied: what an accumulator takes."""
    value, flip = node
    return _flip(value, flip), flip


def _product(m: Module, zero: Value, value: Value, carry: Value) -> Node:
    """A leaf's registers, with a reset that makes the product zero, and its carry as well."""
    return _register(m, Mux(zero, 0, value).as_signed()), _register(m, Mux(zero, 0, carry))


def _pack(fields: Sequence[tuple[int, int]]) -> int:
    """One integer from (value, bits), the first in the low bits."""
    word = place = 0
    for value, bits in fields:
        word |= value % (1 << bits) << place
        place += bits
    return word


def _relative_signs(negative: Sequence[bool]) -> list[bool]:
    """By leaf of a tree with ``flips``: whether its sign differs from that of the leaf that the tree adds it to."""
    return [sign != negative[leaf & leaf - 1] if leaf else sign for leaf, sign in enumerate(negative)]


# Planes, as engines have them.

def _plane_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    layout = plane_row(config)
    dots = []
    for row in rows:
        column = Module()
        stages = latency.tree_stages(config) - 1
        dots.append(plane_dot(column, config, stages, activations, data.View(layout, row), 1))
        m.submodules += column
    return dots


def _encode_planes(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    column, = weights
    zeros = [(~abs(weight), config.planes) for weight in column]
    return _pack(zeros + [(flip, 1) for flip in _relative_signs([weight < 0 for weight in column])])


# Booth: two digits of -2 to 2, each a shift and a sign, and a tree for each.

def _booth_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    dots = []
    for row in rows:
        trees = []
        for digit in range(2):
            nodes = []
            for lane in range(config.lanes):
                zero, two, minus = row.word_select(2 * lane + digit, 3)
                value = Mux(two, activations[lane] << 1, activations[lane])
                nodes.append(_product(m, zero, _flip(value, minus), minus))
            trees.append(_tree(m, nodes))
        dots.append(_join(m, *trees, 2))
    return dots


def _encode_booth(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    column, = weights
    fields = []
    for weight in column:
        low = (weight + 2) % 4 - 2
        for digit in low, (weight - low) // 4:
            fields.append(((digit == 0) | (abs(digit) == 2) << 1 | (digit < 0) << 2, 3))
    return _pack(fields)


# Multiples of an activation, made once for all columns; each lane selects one.

def _multiple_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    lanes = range(config.lanes)
    once = [_register(m, activations[lane]) for lane in lanes]
    odd = {factor: [_register(m, activations[lane] * Const(factor, signed(4))) for lane in lanes]
           for factor in (3, 5, 7)}
    dots = []
    for row in rows:
        nodes = []
        for lane in lanes:
            one, three, five, seven = once[lane], *(odd[factor][lane] for factor in (3, 5, 7))
            word = _register(m, row.word_select(lane, 4))
            multiples = (one, one, one << 1, three, one << 2, five, three << 1, seven)
            chosen = Cat(*(Cat(*(multiple[min(bit, len(multiple) - 1)] for multiple in multiples))
                           .bit_select(word[:3], 1) for bit in range(11)))
            nodes.append((_register(m, Mux(word[:3] == 0, 0, chosen).as_signed()), _register(m, word[3])))
        dots.append(_flipped(_tree(m, nodes, flips=True)))
    return dots


def _encode_multiples(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    column, = weights
    flips = _relative_signs([weight < 0 for weight in column])
    return _pack([(abs(weight) | flip << 3, 4) for weight, flip in zip(column, flips)])


# The low two bits of a magnitude select 0, 1, 2 or 3 times the activation, the top bit is a plane.

def _digit_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    lanes = range(config.lanes)
    once = [_register(m, activations[lane]) for lane in lanes]
    thrice = [_register(m, activations[lane] * Const(3, signed(3))) for lane in lanes]
    dots = []
    for row in rows:
        nodes, plane = [], []
        for lane in lanes:
            word = _register(m, row.word_select(lane, 4))
            chosen = Mux(word[0], Mux(word[1], thrice[lane], once[lane]), once[lane] << 1)
            flip = _register(m, word[3])
            nodes.append((_register(m, Mux(word[:2] == 0, 0, chosen).as_signed()), flip))
            plane.append((_register(m, Mux(word[2], once[lane], 0).as_signed()), flip))
        low, high = _tree(m, nodes, flips=True), _tree(m, plane, flips=True)
        dots.append(_flipped(_join(m, low, (high[0], Const(0)), 2)))
    return dots


# Sums and differences of two neighbouring activations, made once for all columns: a plane selects one per pair.

def _pair_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    pairs = []
    for lane in range(0, config.lanes, 2):
        left, right = activations[lane], activations[lane + 1]
        pairs.append([_register(m, value) for value in (left, right, left + right, left - right)])
    dots = []
    for row in rows:
        row, trees = _register(m, row), []
        for plane in range(config.planes):
            nodes = []
            for pair, (left, right, total, difference) in enumerate(pairs):
                zero, one, plus, flip = row.word_select(plane * len(pairs) + pair, 4)
                # ``one``: both lanes' bits are not set; ``plus``: the left one, or the sum.
                value = Mux(one, Mux(plus, left, right), Mux(plus, total, difference))
                nodes.append((_register(m, Mux(zero, 0, value).as_signed()), _register(m, flip)))
            trees.append(_tree(m, nodes, flips=True))
        dot = trees[0]
        if len(trees) == 3:
            later = _register(m, trees[2][0]), _register(m, trees[2][1])
            dot = _join(m, _join(m, dot, trees[1], 1, flips=True), later, 2, flips=True)
        dots.append(_flipped(dot))
    return dots


def _encode_pairs(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    column, = weights
    chosen, signs = [], []
    for plane in range(config.planes):
        for left, right in zip(column[::2], column[1::2]):
            first, second = ((abs(weight) >> plane & 1) * (1 if weight > 0 else -1) for weight in (left, right))
            signs.append((first or second) < 0)
            both = first and second
            chosen.append((not first and not second) | (not both) << 1 | bool(first == second if both else first) << 2)
    count = config.lanes // 2
    flips = []
    for plane in range(config.planes):
        negative = signs[plane * count:(plane + 1) * count]
        root = negative[0] != signs[0] if plane else negative[0]
        flips += [root, *_relative_signs(negative)[1:]]
    return _pack([(word | flip << 3, 4) for word, flip in zip(chosen, flips)])


# Carry-save: all planes in one heap of bits, compressed by counters, and one carry chain at the end.

def _count(bits: Sequence[Value], outputs: int) -> list[Value]:
    """The number of set bits, as tables: one LUT per bit of it where a LUT has as many inputs."""
    word = Cat(*bits)
    return [Const(sum((index.bit_count() >> bit & 1) << index for index in range(1 << len(bits))), 1 << len(bits))
            .bit_select(word, 1) for bit in range(outputs)]


def _heap_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value],
               widest: int) -> list[Node]:
    lanes = range(config.lanes)
    width = config.lanes.bit_length() + 7 + config.planes
    dots = []
    for row in rows:
        heap = [[] for _ in range(width)]
        for lane in lanes:
            minus = row[config.planes * config.lanes + lane]
            value = _flip(activations[lane], minus)
            for plane in range(config.planes):
                product, carry = _product(m, row[config.planes * lane + plane], value, minus)
                # A top bit t counts -t: 1 - t, and one less for all.
                for bit, place in enumerate(Cat(product[:-1], ~product[-1])):
                    heap[plane + bit].append(place)
                heap[plane].append(carry)
        constant = -config.lanes * 128 * ((1 << config.planes) - 1) % (1 << width)
        for place in range(width):
            if constant >> place & 1:
                heap[place].append(Const(1, 1))
        level = 0
        while max(map(len, heap)) > 2:
            level += 1
            after = [[] for _ in range(width + 2)]
            for place, bits in enumerate(heap):
                while len(bits) > 2:
                    size = widest if len(bits) >= widest else 3
                    for higher, bit in enumerate(_count(bits[:size], size.bit_length())):
                        after[place + higher].append(bit)
                    bits = bits[size:]
                after[place] += bits
            heap = [[_register(m, bit) for bit in bits] if level % 2 == 0 else bits for bits in after[:width]]
        low, high = (Cat(*(bits[index] if len(bits) > index else Const(0, 1) for bits in heap)) for index in range(2))
        dots.append((_register(m, (low + high)[:width].as_signed()), Const(0)))
    return dots


def _encode_heap(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    column, = weights
    return _pack([(~abs(weight), config.planes) for weight in column] + [(weight < 0, 1) for weight in column])


# Multiplier blocks: two columns' weights in one operand, each sum of products in a field of its own.

def _packed_operand(config: EngineConfig, row: Value, lane: int, shift: int) -> Value:
    low, high = row.word_select(2 * lane, config.weight_bits), row.word_select(2 * lane + 1, config.weight_bits)
    return Cat(low, low[-1].replicate(shift - len(low)), high).as_signed()


def _fields(total: Value, shift: int) -> list[Node]:
    """Both fields: the upper one lacks one where the lower one is negative."""
    return [(total[:shift].as_signed(), Const(0)), (total[shift:].as_signed(), total[shift - 1])]


def _packed_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    """For operands of 18 bits: a field of 14 holds the sum of 8 products."""
    dots = []
    for row in rows:
        halves = []
        for first in range(0, config.lanes, 8):
            sums = []
            for lane in range(first, first + 8):
                product = activations[lane] * _packed_operand(config, row, lane, 14)
                sums.append(_register(m, product))
            while len(sums) > 1:
                # One carry chain each: see add_with_carry.
                sums = [add_with_carry(low, high, Const(0)) for low, high in zip(sums[::2], sums[1::2])]
                if len(sums) != 2:
                    sums = [_register(m, value) for value in sums]
            halves.append(_fields(sums[0], 14))
        for (low, _), (high, carry) in zip(*halves):
            # Both halves of the upper column lack one: one carry here, one at the accumulator.
            other = halves[0][1][1] if carry is not halves[1][0][1] else Const(0)
            dots.append((_register(m, add_with_carry(low, high, carry)), _register(m, other)))
    return dots


def _chained_dots(m: Module, config: EngineConfig, activations: data.View, rows: Sequence[Value]) -> list[Node]:
    """For DSP48E1: 20 bits of an operand of 25, and the sum goes from block to block."""
    dots = []
    for row in rows:
        total = None
        for lane in range(config.lanes):
            operand = _register(m, _packed_operand(config, row, lane, 16))
            product = _register(m, _register(m, activations[lane]) * operand)
            total = _register(m, product if total is None else (total + product)[:32].as_signed())
        dots += _fields(total, 16)
    return dots


def _encode_packed(config: EngineConfig, weights: Sequence[Sequence[int]]) -> int:
    fields = []
    for low, high in zip(*weights):
        fields += [(low, config.weight_bits), (high - (low < 0), config.weight_bits)]
    return _pack(fields)


def _heap(widest: int) -> Variant:
    return Variant(lambda *arguments: _heap_dots(*arguments, widest), _encode_heap,
                   lambda config: config.weight_bits * config.lanes)


VARIANTS = {
    "planes, signs relative within 1": Variant(_plane_dots, _encode_planes, lambda config: plane_row(config).size),
    "Booth digits": Variant(_booth_dots, _encode_booth, lambda config: 6 * config.lanes, (4,)),
    "multiples 0 to 7, shared": Variant(_multiple_dots, _encode_multiples, lambda config: 4 * config.lanes, (4,)),
    "multiples 0 to 3, shared, and a plane": Variant(
        _digit_dots, _encode_multiples, lambda config: 4 * config.lanes, (4,)),
    "sums of pairs, shared": Variant(
        _pair_dots, _encode_pairs, lambda config: 2 * config.planes * config.lanes),
    "carry-save, 3:2": _heap(3),
    "carry-save, 6:3 and 3:2": _heap(6),
    "multiplier blocks, two columns each": Variant(
        _packed_dots, _encode_packed, lambda config: 8 * config.lanes, (4,), columns=2, multipliers=True),
    "multiplier blocks, two columns each, chained": Variant(
        _chained_dots, _encode_packed, lambda config: 8 * config.lanes, (4,), columns=2, skewed=True, multipliers=True,
        targets=("xc7",)),
}
"""Variants by name."""

_MULTIPLIERS = {"ecp5": "MULT18X18D", "xc7": "DSP48E1"}


def _synthesised(config: EngineConfig, variant: Variant, count: int, target: str, yosys: str) -> tuple[Cost, int]:
    """Cells of ``count`` columns, and multiplier blocks."""
    script = commands(target, None)
    if variant.multipliers:
        script = script.replace(" -nodsp", "")
    module, _ = run_yosys(standalone_verilog(VariantColumns(config, variant, count)), script, yosys)
    cells = module["num_cells_by_type"]
    return cost_of_cells(cells, 0., target), cells.get(_MULTIPLIERS[target], 0)


def _rows(target: str, yosys: str) -> Iterator[tuple[str, ...]]:
    """Rows of the table: columns as the difference of two counts of them, what they share as the rest."""
    for bits, config in CONFIGS.items():
        for name, variant in VARIANTS.items():
            if bits not in variant.weight_bits or target not in variant.targets:
                continue
            count, lanes = variant.columns, variant.columns * config.lanes
            (single, _), (double, blocks) = (
                _synthesised(config, variant, number, target, yosys) for number in (count, 2 * count))
            own = double + single * -1
            shared = (single + own * -1) * (1 / (config.columns * config.lanes))
            slots = Shape(name="weight slots", count=1, depth=config.weight_slots, width=variant.row_bits(config),
                          registered=False)
            logic, memory = own.luts / lanes, fpga_memory(slots, target).luts / lanes
            flip_flops = own.flip_flops / lanes + shared.flip_flops
            values = logic, shared.luts, memory, logic + shared.luts + memory, flip_flops
            yield f"{bits}", name, *(f"{round(value, 1) + 0:.1f}" for value in values), f"{blocks / (2 * lanes):.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Exit status of ``python -m reports.lane_variants``."""
    parser = argparse.ArgumentParser(prog="python -m reports.lane_variants", description=__doc__)
    parser.add_argument("target", choices=FPGAS)
    parser.add_argument("--yosys", help="Yosys to run")
    options = parser.parse_args(arguments)
    header = ("weight bits", "lane", "logic", "shared", "weight slots", "sum", "flip-flops", "multiplier blocks")
    return print_markdown(header, lambda: _rows(options.target, find_yosys(options.yosys)), unit="lane")


if __name__ == "__main__":
    sys.exit(main())
