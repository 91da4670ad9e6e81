"""Prints modules as Verilog-2001: ports with their directions in the header, plain identifiers, a file per module."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from types import MappingProxyType

from hw.verilog_names import Names, natural
from hw.verilog_syntax import *

__all__ = ["print_module"]

_WIDTH = 116

def _constant(constant: Const) -> str:
    if set(constant.bits) - set("01"):
        return f"{constant.width}'b{constant.bits}"
    if "1" not in constant.bits and constant.width > 1:
        return f"{constant.width}'h0"
    if constant.width == 1:
        return f"1'b{constant.bits}"
    return f"{constant.width}'h{constant.value:0{(constant.width + 3) // 4}x}"


class _Printer:
    def __init__(self, module: Module, names: Names):
        self._module, self._names = module, names

    def expression(self, expression: Expression, inside: str = "") -> str:
        """``inside``: the operator around it, if any."""
        match expression:
            case Const():
                return _constant(expression)
            case Name(name):
                return self._names[name]
            case Select(name, high, low, address):
                net = self._module.nets[name]
                word = "" if address is None else f"[{self.expression(address)}]"
                if high is None or net.width == 1:
                    return f"{self._names[name]}{word}"
                return f"{self._names[name]}{word}[{high if high == low else f'{high}:{low}'}]"
            case Concat(parts):
                return f"{{{', '.join(map(self.expression, parts))}}}"
            case Repeat(count, part):
                return f"{{{count}{{{self.expression(part)}}}}}"
            case Signed(part):
                return f"$signed({self.expression(part)})"
            case Unary(operator, part):
                inner = self.expression(part, "!")
                # `^~` would be another operator.
                text = f"{operator}({inner})" if operator in "&|^" and isinstance(part, Unary) else f"{operator}{inner}"
                # A reduction beside another operator reads as something else.
                return f"({text})" if inside and operator in "&|^" else text
            case Binary(operator, left, right):
                text = f"{self.expression(left, operator)} {operator} {self.expression(right, operator)}"
                return f"({text})" if inside and not (inside == operator and operator in "&|^") else text
            case Ternary(condition, yes, no):
                text = (f"{self.expression(condition, '?')} ? {self.expression(yes, '?')} : "
                        f"{self.expression(no, ':')}")
                return f"({text})" if inside and inside != ":" else text

    def _line(self, indent: int, text: str) -> str:
        pad = "  " * indent
        return textwrap.fill(text, _WIDTH, initial_indent=pad, subsequent_indent=f"{pad}    ",
                             break_long_words=False, break_on_hyphens=False) + "\n"

    def _block(self, indent: int, head: str, body: list[Statement], operator: str) -> str:
        """``head`` and the statements that it governs."""
        if len(body) == 1 and isinstance(body[0], Assign):
            inner = body[0]
            text = f"{head} {self.expression(inner.target)} {operator} {self.expression(inner.value)};"
            if len(text) + 2 * indent <= _WIDTH:
                return f"{'  ' * indent}{text}\n"
        if not body:
            return self._line(indent, f"{head} begin end")
        return self._line(indent, f"{head} begin") + self.body(indent + 1, body, operator) + f"{'  ' * indent}end\n"

    def body(self, indent: int, body: list[Statement], operator: str) -> str:
        parts = []
        for statement in body:
            match statement:
                case Assign(target, value):
                    parts.append(self._line(indent, f"{self.expression(target)} {operator} {self.expression(value)};"))
                case If(branches):
                    for index, (condition, inner) in enumerate(branches):
                        head = "else" if condition is None else f"if ({self.expression(condition)})"
                        head = f"else {head}" if index and condition is not None else head
                        parts.append(self._block(indent, head, inner, operator))
                case Case(subject, branches):
                    labels = [label for labels, _ in branches for label in labels]
                    keyword = "casez" if any("?" in label.bits for label in labels) else "case"
                    parts.append(self._line(indent, f"{keyword} ({self.expression(subject)})"))
                    for labels, inner in branches:
                        head = ", ".join(map(self.expression, labels)) + ":" if labels else "default:"
                        parts.append(self._block(indent + 1, head, inner, operator) if inner
                                     else self._line(indent + 1, f"{head} ;"))
                    if all(labels for labels, _ in branches):
                        parts.append(f"{'  ' * (indent + 1)}default: ;\n")
                    parts.append(f"{'  ' * indent}endcase\n")
        return "".join(parts)

    def declaration(self, net: Net) -> str:
        bits = f" [{net.width - 1}:0]" if net.width > 1 else ""
        words = "" if net.depth is None else f" [0:{net.depth - 1}]"
        return f"{net.direction} {'reg' if net.register else 'wire'}{bits} {self._names[net.name]}{words}".lstrip()

    def starts(self) -> str:
        """Values at power-up."""
        module, lines = self._module, []
        registers = [net for net in module.nets.values() if net.initial is not None and net.register]
        if module.memories:
            lines.append(f"  integer {self._names['word index']};\n")
        if registers or module.memories:
            lines.append("  initial begin\n")
            lines += [f"    {self._names[net.name]} = {_constant(net.initial)};\n" for net in registers]
            index = self._names["word index"] if module.memories else ""
            nets = [module.nets[memory.memory] for memory in module.memories]
            for depth, alike in groupby(nets, lambda net: net.depth):
                zeroes = [f"{self._names[net.name]}[{index}] = {_constant(Const.of(0, net.width))};" for net in alike]
                lines.append(f"    for ({index} = 0; {index} < {depth}; {index} = {index} + 1) begin\n"
                             + "".join(f"      {zero}\n" for zero in zeroes) + "    end\n")
            for memory in module.memories:
                lines += [f"    {self._names[memory.memory]}[{place}] = {_constant(value)};\n"
                          for place, value in sorted(memory.words.items()) if value.value]
            lines.append("  end\n")
        return "".join(lines)


def _plain_register(process: Process) -> Expression | None:
    """Clock of a process that only sets registers, no memory's words and none to them: for others, synthesis knows
    processes by what they look like. None if it does anything else."""
    plain = all(isinstance(statement, Assign) and not any(
        isinstance(side, Select) and side.address is not None for side in (statement.target, statement.value))
        for statement in process.body)
    return process.clock if plain else None


def _processes(module: Module) -> Iterator[Process]:
    """The processes of a module, neighbours that only set registers as one."""
    for clock, run in groupby(module.processes, _plain_register):
        if clock is None:
            yield from run
        else:
            yield Process(clock, [statement for process in run for statement in process.body])


def _sorted_assignments(module: Module) -> list[Assign]:
    """The continuous assignments in the order they have, but what one reads before it."""
    drivers: dict[str, list[Assign]] = {}
    for assign in module.assigns:
        drivers.setdefault(getattr(assign.target, "name", ""), []).append(assign)
    order: dict[int, Assign] = {}
    seen = set()

    def visit(assign: Assign):
        if id(assign) not in seen:
            seen.add(id(assign))
            for read in reads(assign.value):
                for driver in drivers.get(read.name, ()):
                    visit(driver)
            order[id(assign)] = assign

    for assign in module.assigns:
        visit(assign)
    return list(order.values())


def print_module(module: Module, names: dict[str, Names], modules: dict[str, str], comment: str,
                 groups: Mapping[str, str] = MappingProxyType({})) -> str:
    """A module's text. ``names`` are the identifiers of all modules' nets, ``modules`` those of the modules; ``groups``
    are comments on the ports that begin at a port."""
    printer = _Printer(module, names[module.name])
    own = names[module.name]
    if module.memories and "word index" not in own:
        own.add("word index", "index")
    parts = [comment, f"module {modules[module.name]} (\n"]
    for port in module.ports:
        parts += [f"  // {groups[port]}\n"] if port in groups else []
        parts.append(f"  {printer.declaration(module.nets[port])}{'' if port == module.ports[-1] else ','}\n")
    parts.append(");\n")
    inner = [net for net in module.nets.values() if not net.direction]
    parts += [f"  {printer.declaration(net)};\n" for net in sorted(inner, key=lambda net: natural(own[net.name]))]
    parts.append(printer.starts())
    parts.append("\n")
    parts += [printer._line(1, f"assign {printer.expression(assign.target)} = {printer.expression(assign.value)};")
              for assign in _sorted_assignments(module)]
    for process in _processes(module):
        clocked = process.clock is not None
        head = f"always @(posedge {printer.expression(process.clock)})" if clocked else "always @*"
        parts += ["\n", printer._block(1, head, process.body, "<=" if clocked else "=")]
    for instance in sorted(module.instances, key=lambda instance: natural(instance.name)):
        theirs = names[instance.module]
        connections = [f"    .{theirs[port]}({printer.expression(value)})"
                       for port, value in sorted(instance.ports.items(), key=lambda item: natural(theirs[item[0]]))]
        parts += ["\n", f"  {modules[instance.module]} {own[f'{instance.name} instance']} (\n",
                  ",\n".join(connections), "\n  );\n"]
    parts.append("endmodule\n")
    return "".join(parts)
