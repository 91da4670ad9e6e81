"""Dot products without multipliers, for FPGAs: an adder tree per bit of the weights, over activations or zeros."""

from amaranth import *
from amaranth.lib import data

from arch import latency
from arch.config import EngineConfig

__all__ = ["SIGN_GROUP", "add_with_carry", "encode_planes", "plane_dot"]

SIGN_GROUP = 2
"""Lanes whose products are added with their signs relative to the first of them: a power of two. 1 is the smallest on
7-series, where the LUT of a carry cell negates for nothing, all lanes on ECP5 (docs/lane.md)."""


def _first_lane(lane: int, group: int) -> int:
    """The lane that the sign of ``lane`` (> 0) is relative to: the first of its group; for a first one the first of the
    lanes that the tree adds its own and their followers to."""
    first = lane & -group
    return first if first != lane else lane & (lane - 1)


def encode_planes(config: EngineConfig, row: data.View, group: int = SIGN_GROUP) -> Value:
    """A row of the weight builder (:func:`hw.weights.weight_row`) as :func:`plane_dot` takes it
    (:func:`hw.weights.plane_row`)."""
    if config.weight_bits == 8:
        return ~row.weights.as_value()
    signs = [weight[-1] for weight in row.weights]
    flips = [sign ^ signs[_first_lane(lane, group)] if lane else sign for lane, sign in enumerate(signs)]
    return Cat(*(~weight[:-1] for weight in row.weights), *flips)


def add_with_carry(low: Value, high: Value, carry: Value) -> Value:
    """Exact sum of two signed numbers and a bit, in one carry chain: the bit enters below the lowest ones.

    Sums of three operands are to be avoided: Yosys compresses those with full adders, 2 LUTs a bit, before it adds.
    """
    return (Cat(1, low).as_signed() + Cat(carry, high).as_signed())[1:].as_signed()


def plane_dot(m: Module, config: EngineConfig, stages: int, activations: data.View, row: data.View,
              group: int = SIGN_GROUP) -> tuple[Value, Value]:
    """Adds the dot product of ``activations`` and weights; returns it and a bit still to be added to it, both valid
    ``stages`` + 1 cycles later. ``row`` has the layout of :func:`hw.weights.plane_row`.

    The product register of a bit is reset where the bit is 0: no LUT. An activation that counts negatively is
    one's-complemented; the missing one goes into the carry chain that adds it. Within a group of lanes that is done
    before the registers, once for all bits, relative to the group's first lane; that lane's own sign is left to the
    adder that joins the group to another. The first lane of all leaves its sign to the result. Weights of 8 bits are
    two's complement: no signs, the top bit's tree is subtracted.
    """
    lanes, twos = config.lanes, config.weight_bits == 8
    planes = range(config.planes)
    levels, depth = lanes.bit_length() - 1, latency.tree_levels(config)

    def stage(level: int) -> int:
        """Registers in front of an addition of ``level``."""
        return (level - 1) * stages // depth

    def domain(level: int) -> str:
        return "sync" if level == depth or stage(level + 1) > stage(level) else "comb"

    # Cycle 0. ``late`` are the signs left to additions, by the first lane of the right operand (0: the result's).
    flips = [Const(0)] * lanes if twos else list(row.flips)
    late, products, carries = {}, [[] for _ in planes], [{} for _ in planes]
    for lane in range(lanes):
        level = (lane & -lane).bit_length() if lane else depth + 1
        waits = stages if lane == 0 else stage(level)
        flipped = lane % group != 0 and not twos
        value = activations[lane].as_unsigned()
        if flipped:
            value = value ^ flips[lane].replicate(len(value))
        for plane in planes:
            zero = row.zeros[lane][plane]
            product = Signal(signed(8), name=f"product_{plane}_{lane}", reset_less=True)
            m.d.sync += product.eq(Mux(zero, 0, value))
            products[plane].append(product)
            if flipped:
                carries[plane][lane] = _delayed(m, Mux(zero, 0, flips[lane]), waits + 1, f"carry_{plane}_{lane}")
        if not flipped and not twos:
            late[lane] = _delayed(m, flips[lane], waits + 1, f"flip_{lane}")

    # The trees. The right operand of addition ``index`` starts with lane ``lane``.
    sums = products
    for level in range(1, levels + 1):
        added = [[] for _ in planes]
        for plane in planes:
            for index, (low, high) in enumerate(zip(sums[plane][::2], sums[plane][1::2])):
                lane = (2 * index + 1) << level - 1
                if twos:
                    value = low + high
                elif lane in late:
                    value = add_with_carry(low, high ^ late[lane].replicate(len(high)).as_signed(), late[lane])
                else:
                    value = add_with_carry(low, high, carries[plane][lane])
                result = Signal(signed(8 + level), name=f"sum_{plane}_{level}_{index}", reset_less=True)
                m.d[domain(level)] += result.eq(value)
                added[plane].append(result)
        sums = added

    # The trees' sums are joined in pairs; the lower one's low bits pass.
    joined, shift = [tree for tree, in sums], 1
    for level in range(levels + 1, depth + 1):
        values = [low + ((-high if twos and level == levels + 1 and high is joined[-1] else high) << shift)
                  for low, high in zip(joined[::2], joined[1::2])] + joined[len(joined) & ~1:]
        joined = [Signal(value.shape(), name=f"joined_{level}_{index}", reset_less=True)
                  for index, value in enumerate(values)]
        m.d[domain(level)] += [result.eq(value) for result, value in zip(joined, values)]
        shift *= 2
    dot, = joined
    if twos:
        return dot, Const(0)
    return dot ^ late[0].replicate(len(dot)).as_signed(), late[0]


def _delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value`` of ``cycles`` cycles ago."""
    for cycle in range(cycles):
        later = Signal(len(value), name=f"{name}_{cycle}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value
