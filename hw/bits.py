"""Comparisons and sums of a few bits, out of gates: in an FPGA carry cells would take more."""

from functools import reduce
from operator import or_

from amaranth import *

__all__ = ["above", "add", "count_ones", "exceeds", "one_of"]


def above(value: Value, count: int) -> Value:
    """``count`` bits: bit i is ``value`` > i."""
    bits = Const(0, 1)
    for bit in value:
        every = bit.replicate(len(bits))
        bits = Cat(bits | every, bits & every)
    return Cat(bits, Const(0, max(0, count - len(bits))))[:count]


def exceeds(left: Value, right: Value) -> Value:
    """Whether ``left`` > ``right``; both are equally wide."""
    result = Const(0, 1)
    for a, b in zip(left, right):
        result = a & ~b | ~(a ^ b) & result
    return result


def add(left: Value, right: Value, width: int) -> Value:
    """The low ``width`` bits of ``left`` + ``right``."""
    places, carry = [], Const(0, 1)
    for index in range(width):
        a, b = (value[index] if index < len(value) else Const(0, 1) for value in (left, right))
        places.append(a ^ b ^ carry)
        carry = a & b | carry & (a | b)
    return Cat(places)


def count_ones(bits: list[Value]) -> Value:
    """Number of set bits, as a balanced tree: of four by gates, and sums of those."""
    if len(bits) > 4:
        return count_ones(bits[:len(bits) // 2]) + count_ones(bits[len(bits) // 2:])
    if len(bits) == 1:
        return bits[0]
    a, b, c, d = bits + [Const(0, 1)] * (4 - len(bits))
    return Cat(a ^ b ^ c ^ d, (a & b) ^ (c & d) ^ (a ^ b) & (c ^ d), a & b & c & d)[:len(bits).bit_length()]


def one_of(values: list[Value], select: Value) -> Value:
    """The one of ``values`` whose bit of ``select`` is set, or 0."""
    return reduce(or_, (value & bit.replicate(len(value)) for value, bit in zip(values, select)))
