"""A reader of Verilog as Yosys prints it: modules, nets, processes and expressions as plain objects.

Only what ``write_verilog`` prints of Amaranth's designs is understood; anything else raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Assign", "Binary", "Case", "Concat", "Const", "Expression", "If", "Instance", "MemoryInit", "Module",
           "Name", "Net", "Process", "Repeat", "Select", "Signed", "Statement", "Ternary", "Unary", "parse", "reads"]


@dataclass(frozen=True)
class Const:
    """``width`` bits; ``bits`` may hold ``x`` and ``?``."""

    width: int
    bits: str

    @classmethod
    def of(cls, value: int, width: int) -> Const:
        return cls(width, format(value & (1 << width) - 1, f"0{width}b"))

    @property
    def value(self) -> int:
        return int(self.bits, 2)


@dataclass(frozen=True)
class Name:
    name: str


@dataclass(frozen=True)
class Select:
    """Bits ``high`` to ``low`` of a name, or of a memory's word; a bare word if ``high`` is None."""

    name: str
    high: int | None
    low: int | None
    #: Address of a memory's word.
    address: Expression | None = None


@dataclass(frozen=True)
class Concat:
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    count: int
    part: Expression


@dataclass(frozen=True)
class Signed:
    part: Expression


@dataclass(frozen=True)
class Unary:
    operator: str
    part: Expression


@dataclass(frozen=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Ternary:
    condition: Expression
    yes: Expression
    no: Expression


Expression = Const | Name | Select | Concat | Repeat | Signed | Unary | Binary | Ternary


@dataclass
class Assign:
    target: Expression
    value: Expression


@dataclass
class If:
    #: (condition, body), the first that holds; the last one's condition is None for `else`.
    branches: list[tuple[Expression | None, list[Statement]]]


@dataclass
class Case:
    subject: Expression
    #: (labels, body); no labels for `default`.
    branches: list[tuple[list[Expression], list[Statement]]]


Statement = Assign | If | Case


@dataclass
class Net:
    name: str
    width: int
    register: bool = False
    #: "input", "output" or "".
    direction: str = ""
    #: Value at power-up.
    initial: Const | None = None
    #: Words of a memory.
    depth: int | None = None


@dataclass
class Process:
    #: None for a combinational one.
    clock: Expression | None
    body: list[Statement]


@dataclass
class Instance:
    module: str
    name: str
    ports: dict[str, Expression]


@dataclass
class MemoryInit:
    memory: str
    #: Words that start as something; all others as zero.
    words: dict[int, Const]


@dataclass
class Module:
    name: str
    ports: list[str]
    nets: dict[str, Net] = field(default_factory=dict)
    assigns: list[Assign] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    memories: list[MemoryInit] = field(default_factory=list)


_TOKEN = re.compile(r"\s*(?:(?://[^\n]*|/\*.*?\*/|\(\*(?!\)).*?\*\))\s*)*"
                    r"(?P<token>\\\S+|\$?[A-Za-z_][\w$]*|\d+'s?[bdh][0-9a-fA-FxXzZ?_]+|\d+|\"[^\"]*\"|>>>|<<<|<=|>=|==|!=|&&"
                    r"|\|\||<<|>>|[-+*/%&|^~!<>=?:;,.(){}\[\]@#])", re.S)

_PRECEDENCE = [["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!="], ["<", "<=", ">", ">="], ["<<", ">>", "<<<", ">>>"],
               ["+", "-"], ["*", "/", "%"]]
_LEVEL = {operator: level for level, operators in enumerate(_PRECEDENCE) for operator in operators}


def constant(text: str) -> Const:
    """A literal; a bare number has 32 bits."""
    size, quote, digits = text.partition("'")
    if not quote:
        return Const.of(int(size), 32)
    width, digits = int(size), digits.removeprefix("s").replace("_", "")
    base, digits = digits[0], digits[1:]
    if base == "d":
        return Const.of(int(digits), width)
    if base == "h":
        digits = "".join(digit * 4 if digit in "xz?" else format(int(digit, 16), "04b") for digit in digits)
    return Const(width, digits.replace("z", "?").rjust(width, "0")[-width:])


class _Parser:
    def __init__(self, text: str):
        self._tokens, self._at, place = [], 0, 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"unexpected {text[place:place + 40].strip()!r}")
            self._tokens.append(match["token"])
            place = match.end()

    def peek(self, ahead: int = 0) -> str:
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else ""

    def next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def accept(self, token: str) -> bool:
        if self.peek() == token:
            self._at += 1
            return True
        return False

    def expect(self, *tokens: str):
        for token in tokens:
            found = self.next()
            if found != token:
                around = " ".join(self._tokens[max(0, self._at - 12):self._at + 4])
                raise ValueError(f"expected {token!r}, not {found!r}, in: {around}")

    # Expressions.

    def primary(self) -> Expression:
        token = self.next()
        if token == "(":
            value = self.expression()
            self.expect(")")
            return value
        if token == "{":
            if self.peek().isdigit() and self.peek(1) == "{":
                count = int(self.next())
                self.expect("{")
                part = self.expression()
                self.expect("}", "}")
                return Repeat(count, part)
            parts = [self.expression()]
            while self.accept(","):
                parts.append(self.expression())
            self.expect("}")
            return Concat(tuple(parts))
        if token == "$signed":
            return Signed(self.primary())
        if token in ("~", "!", "-", "&", "|", "^"):
            return Unary(token, self.primary())
        if token[0].isdigit():
            return Signed(constant(token)) if "'s" in token else constant(token)
        if not re.match(r"[A-Za-z_\\]", token):
            raise ValueError(f"unexpected {token!r} in an expression")
        return self.selected(token)

    def selected(self, name: str) -> Expression:
        """``name`` with what is selected of it: a memory's word, bits."""
        address = None
        while self.accept("["):
            first = self.expression()
            if self.accept(":"):
                low = self.expression()
                self.expect("]")
                return Select(name, first.value, low.value, address)
            self.expect("]")
            if self.peek() == "[" or not isinstance(first, Const) or first.width != 32:
                address = first
            else:
                return Select(name, first.value, first.value, address)
        return Name(name) if address is None else Select(name, None, None, address)

    def binary(self, level: int) -> Expression:
        if level == len(_PRECEDENCE):
            return self.primary()
        left = self.binary(level + 1)
        while _LEVEL.get(self.peek()) == level:
            operator = self.next()
            left = Binary(operator, left, self.binary(level + 1))
        return left

    def expression(self) -> Expression:
        condition = self.binary(0)
        if not self.accept("?"):
            return condition
        yes = self.expression()
        self.expect(":")
        return Ternary(condition, yes, self.expression())

    # Statements.

    def block(self) -> list[Statement]:
        """The statements of a `begin` .. `end`, or a single one."""
        if not self.accept("begin"):
            return self.statement()
        body = []
        while not self.accept("end"):
            body += self.statement()
        return body

    def statement(self) -> list[Statement]:
        if self.accept(";"):
            return []
        if self.peek() == "begin":  # on its own: a case without branches but the default
            return self.block()
        if self.accept("if"):
            branches = []
            while True:
                self.expect("(")
                condition = self.expression()
                self.expect(")")
                branches.append((condition, self.block()))
                if not self.accept("else"):
                    break
                if not self.accept("if"):
                    branches.append((None, self.block()))
                    break
            return [If(branches)]
        if self.accept("casez"):
            self.expect("(")
            subject = self.expression()
            self.expect(")")
            branches = []
            while not self.accept("endcase"):
                labels = []
                if self.accept("default"):
                    self.expect(":")
                else:
                    labels.append(self.expression())
                    while self.accept(","):
                        labels.append(self.expression())
                    self.expect(":")
                branches.append((labels, self.block()))
            return [Case(subject, branches)]
        target = self.primary()
        if not self.accept("="):
            self.expect("<=")
        value = self.expression()
        self.expect(";")
        return [Assign(target, value)]

    # Modules.

    def range(self) -> tuple[int, int]:
        self.expect("[")
        bounds = []
        for end in (":", "]"):
            sign = -1 if self.accept("-") else 1
            bounds.append(sign * int(self.next()))
            self.expect(end)
        return bounds[0], bounds[1]

    def declaration(self, module: Module):
        kind = self.next()
        high, low = self.range() if self.peek() == "[" else (0, 0)
        name = self.next()
        net = module.nets.setdefault(name, Net(name, high - low + 1))
        if kind in ("input", "output"):
            net.direction = kind
        net.register |= kind == "reg"
        if self.peek() == "[":
            first, last = self.range()
            net.depth = abs(first - last) + 1
        if self.accept("="):
            initial = self.expression()
            net.initial = Const.of(initial.value, net.width)
        self.expect(";")

    def initial(self, module: Module):
        """A memory's words, by a loop or one by one."""
        if self.accept("for"):
            while self.next() != ")":
                pass
            self.expect_word(module)
            return
        self.expect("begin")
        while not self.accept("end"):
            self.expect_word(module)

    def expect_word(self, module: Module):
        name = self.next()
        self.expect("[")
        index = self.next()
        self.expect("]", "=")
        value = self.expression()
        self.expect(";")
        if not module.memories or module.memories[-1].memory != name:
            module.memories.append(MemoryInit(name, {}))
        if index.isdigit():
            module.memories[-1].words[int(index)] = value
        elif value.value:
            raise ValueError(f"memory {name} starts with {value.bits} everywhere")

    def process(self) -> Process:
        self.expect("@")
        clock = None
        if not self.accept("*"):
            self.expect("(")
            if self.accept("*"):
                self.expect(")")
            else:
                self.expect("posedge")
                clock = self.expression()
                self.expect(")")
        return Process(clock, self.block())

    def module(self) -> Module:
        module = Module(self.next(), [])
        self.expect("(")
        while not self.accept(")"):
            module.ports.append(self.next())
            self.accept(",")
        self.expect(";")
        while not self.accept("endmodule"):
            token = self.peek()
            if token in ("input", "output", "wire", "reg"):
                self.declaration(module)
            elif self.accept("integer"):
                self.next()
                self.expect(";")
            elif self.accept("initial"):
                self.initial(module)
            elif self.accept("assign"):
                target = self.primary()
                self.expect("=")
                module.assigns.append(Assign(target, self.expression()))
                self.expect(";")
            elif self.accept("always"):
                module.processes.append(self.process())
            else:
                instance = Instance(self.next(), self.next(), {})
                self.expect("(")
                while not self.accept(")"):
                    self.expect(".")
                    port = self.next()
                    self.expect("(")
                    instance.ports[port] = self.expression()
                    self.expect(")")
                    self.accept(",")
                self.expect(";")
                module.instances.append(instance)
        return module

    def modules(self) -> list[Module]:
        found = []
        while self.peek():
            self.expect("module")
            found.append(self.module())
        return found


def parse(text: str) -> list[Module]:
    """The modules of ``text``, in its order."""
    return _Parser(text).modules()


def reads(expression: Expression) -> Iterator[Name | Select]:
    """Every name, or selection of one, that an expression reads, those of addresses included."""
    match expression:
        case Name():
            yield expression
        case Select(address=address):
            yield expression
            if address is not None:
                yield from reads(address)
        case Concat(parts):
            for part in parts:
                yield from reads(part)
        case Repeat(_, part) | Signed(part) | Unary(_, part):
            yield from reads(part)
        case Binary(_, left, right):
            yield from reads(left)
            yield from reads(right)
        case Ternary(condition, yes, no):
            yield from reads(condition)
            yield from reads(yes)
            yield from reads(no)
