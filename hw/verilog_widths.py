"""Widths and signs of expressions, and expressions in which every width is explicit."""

from __future__ import annotations

from collections.abc import Iterator

from hw.verilog_syntax import *

__all__ = ["fitted", "is_signed", "is_temporary", "settled", "truth", "width_of"]

_COMPARE = ("==", "!=", "<", "<=", ">", ">=")
_SHIFT = ("<<", ">>", "<<<", ">>>")


def is_temporary(name: str) -> bool:
    """A net that only Yosys or Amaranth named."""
    return name.startswith("\\$")


def width_of(module: Module, expression: Expression) -> int:
    """Bits of an expression by itself, its surroundings apart (IEEE 1364-2001, 4.4)."""
    def width(part: Expression) -> int:
        return width_of(module, part)

    match expression:
        case Const(bits):
            return bits
        case Name(name):
            return module.nets[name].width
        case Select(name, None):
            return module.nets[name].width
        case Select(_, high, low):
            return high - low + 1
        case Concat(parts):
            return sum(map(width, parts))
        case Repeat(count, part):
            return count * width(part)
        case Signed(part):
            return width(part)
        case Unary(operator, part):
            return width(part) if operator in "~-" else 1
        case Binary(operator, left, right):
            if operator in _COMPARE or operator in ("&&", "||"):
                return 1
            return width(left) if operator in _SHIFT else max(width(left), width(right))
        case Ternary(_, yes, no):
            return max(width(yes), width(no))


def is_signed(expression: Expression) -> bool:
    """An expression that is extended by its sign."""
    match expression:
        case Signed():
            return True
        case Unary(operator, part):
            return operator in "~-" and is_signed(part)
        case Binary(operator, left, right):
            if operator in _COMPARE:
                return False
            return is_signed(left) and (operator in _SHIFT or is_signed(right))
        case Ternary(_, yes, no):
            return is_signed(yes) and is_signed(no)
    return False


def _low_bits(module: Module, expression: Expression, width: int) -> Expression:
    """The lowest bits of something that has more of them and no operators."""
    match expression:
        case Const(_, bits):
            return Const(width, bits[-width:])
        case Name(name):
            return Select(name, width - 1, 0)
        case Select(name, None, _, address):
            return Select(name, width - 1, 0, address)
        case Select(name, _, low, address):
            return Select(name, low + width - 1, low, address)
        case Concat(parts):
            kept = []
            for part in reversed(parts):
                bits = width_of(module, part)
                kept.insert(0, part if bits <= width else _low_bits(module, part, width))
                width -= min(bits, width)
                if not width:
                    return Concat(tuple(kept)) if len(kept) > 1 else kept[0]
        case Repeat(_, part) if width_of(module, part) == 1:
            return Repeat(width, part)
    raise ValueError(f"no {width} bits of {expression}")


def _sign(module: Module, expression: Expression) -> Expression:
    match expression:
        case Const(_, bits):
            return Const(1, bits[0])
        case Name(name):
            high = module.nets[name].width - 1
            return Select(name, high, high) if high else expression
        case Select(name, None, _, address):
            high = module.nets[name].width - 1
            return Select(name, high, high, address)
        case Select(name, high, _, address):
            return Select(name, high, high, address)
        case Concat(parts):
            return _sign(module, parts[0])
        case Repeat(_, part):
            return _sign(module, part)
    raise ValueError(f"no sign of {expression}")


def fitted(module: Module, expression: Expression, width: int) -> Expression:
    """``expression`` as it comes out where ``width`` bits are asked for, with operands of the widths that they are
    worked out in. The one bit more of a sum, and the factors of a product, stay implicit."""
    def fit(part: Expression) -> Expression:
        return fitted(module, part, width)

    match expression:
        case Signed(part):
            bits = width_of(module, part)
            if bits >= width:
                return Signed(fitted(module, part, width))
            part = settled(module, part)
            if isinstance(part, Const):
                return Signed(Const(width, part.bits[0] * (width - bits) + part.bits))
            sign = _sign(module, part)
            return Signed(Concat((sign if width - bits == 1 else Repeat(width - bits, sign), part)))
        case Unary("~" | "-" as operator, part):
            return Unary(operator, fit(part))
        case Binary(operator, left, right) if operator in ("+", "-", "*", "&", "|", "^"):
            if not (is_signed(left) and is_signed(right)):
                left, right = (side.part if isinstance(side, Signed) else side for side in (left, right))
            sides = []
            for side in left, right:
                bits = width_of(module, side)
                alone = settled(module, side)
                # What may give way to its value must not be worked out in more bits than it has.
                nameless = isinstance(alone, Name) and is_temporary(alone.name)
                implicit = bits < width if operator == "*" else (
                    bits == width - 1 and operator in "+-" and not nameless)
                sides.append(alone if implicit else fit(side))
            # A sum of two implicit sides is as wide as they are; its carry comes from what it is assigned to.
            return Binary(operator, *sides)
        case Binary(operator, left, right) if operator in _SHIFT:
            return Binary(operator, fit(left), settled(module, right))
        case Ternary(condition, yes, no):
            return Ternary(truth(module, condition), fit(yes), fit(no))
    bits = width_of(module, expression)
    expression = settled(module, expression)
    if bits > width:
        return _low_bits(module, expression, width)
    if bits == width:
        return expression
    if isinstance(expression, Const):
        return Const(width, "0" * (width - bits) + expression.bits)
    zeros = Const.of(0, width - bits)
    return Concat((zeros, *(expression.parts if isinstance(expression, Concat) else (expression,))))


def truth(module: Module, expression: Expression) -> Expression:
    """``expression`` as a condition: one bit."""
    expression = settled(module, expression)
    return expression if width_of(module, expression) == 1 else Binary("!=", expression, Const.of(
        0, width_of(module, expression)))


def settled(module: Module, expression: Expression) -> Expression:
    """``expression`` with operands of one width, where nothing around it matters."""
    match expression:
        case Const() | Name():
            return expression
        case Select(name, high, low, address):
            if address is None and (low, high) == (0, module.nets[name].width - 1) and not module.nets[name].depth:
                return Name(name)
            return Select(name, high, low, None if address is None else settled(module, address))
        case Concat(parts):
            flat = []
            for part in parts:
                part = settled(module, part)
                flat += part.parts if isinstance(part, Concat) else (part,)
            merged = []
            for part, run in _runs(flat):
                merged.append(part if run == 1 else Repeat(run, part))
            return Concat(tuple(merged)) if len(merged) > 1 else merged[0]
        case Repeat(count, part):
            return Repeat(count, settled(module, part))
        case Unary("!", part):
            bits = width_of(module, part)
            part = settled(module, part)
            return Unary("~", part) if bits == 1 else Binary("==", part, Const.of(0, bits))
        case Unary("&" | "|" | "^" as operator, part):
            part = settled(module, part)
            return Unary(operator, part) if width_of(module, part) > 1 else part
        case Binary(operator, left, right) if operator in _COMPARE:
            bits = max(width_of(module, left), width_of(module, right))
            if not (is_signed(left) and is_signed(right)):
                left, right = (side.part if isinstance(side, Signed) else side for side in (left, right))
            return Binary(operator, fitted(module, left, bits), fitted(module, right, bits))
        case Binary("&&" | "||" as operator, left, right):
            return Binary(operator[0], truth(module, left), truth(module, right))
        case _:
            return fitted(module, expression, width_of(module, expression))


def _runs(parts: list) -> Iterator[tuple[Expression, int]]:
    """Equal neighbours, and how many they are."""
    start = 0
    for index in range(1, len(parts) + 1):
        if index == len(parts) or parts[index] != parts[start]:
            # Two of a name read better than a repetition.
            yield from ([(parts[start], index - start)] if index - start > 2 or isinstance(parts[start], Const)
                        else [(parts[start], 1)] * (index - start))
            start = index
