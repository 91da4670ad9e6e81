"""Prints modules as Verilog-2001: ports with their directions in the header, plain identifiers, a file per module."""

from __future__ import annotations

import re
import textwrap

from hw.verilog_rewrite import is_temporary
from hw.verilog_syntax import *

__all__ = ["Names", "print_module"]

_WIDTH = 116

_KEYWORDS = frozenset("""
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
endpackage endprimitive endprogram endproperty endspecify endsequence endtable endtask enum event eventually expect
export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
inside instance int integer interconnect interface intersect join join_any join_none large let liblist library local
localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand
trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void
wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
""".split())
"""Of Verilog and SystemVerilog, which most tools read files as."""


class Names:
    """Plain identifiers for the names of one scope: the same letters where they will do, no two the same."""

    def __init__(self, taken: frozenset[str] = _KEYWORDS):
        self._taken = set(taken)
        self._names: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._names[name]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, wanted: str | None = None) -> str:
        """The identifier of ``name``, made of ``wanted`` if given."""
        # Amaranth tells nets of one name apart by numbers of its own.
        plain = re.sub(r"\$\d+", "", (wanted or name).lstrip("\\"))
        plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "n"
        if not re.match(r"[A-Za-z]", plain):
            plain = f"n{plain}"
        candidate, count = plain, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{plain}_{count}"
        self._taken.add(candidate)
        self._names[name] = candidate
        return candidate


def net_names(module: Module) -> Names:
    """Identifiers of a module's nets and instances: ports first, names that mean something before those that do not."""
    names = Names()
    order = sorted(module.nets, key=lambda name: (name not in module.ports, is_temporary(name)))
    for name in order:
        names.add(name, "n" if is_temporary(name) else "word" if re.fullmatch(r"_\d+_", name) else None)
    for instance in module.instances:
        names.add(f"{instance.name} instance", f"u_{instance.name}")
    return names


def _constant(constant: Const) -> str:
    if set(constant.bits) - set("01"):
        return f"{constant.width}'b{constant.bits}"
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
            for memory in module.memories:
                net, index = module.nets[memory.memory], self._names["word index"]
                words = {place: value for place, value in memory.words.items() if value.value}
                lines.append(f"    for ({index} = 0; {index} < {net.depth}; {index} = {index} + 1)\n"
                             f"      {self._names[net.name]}[{index}] = {_constant(Const.of(0, net.width))};\n")
                lines += [f"    {self._names[net.name]}[{place}] = {_constant(value)};\n"
                          for place, value in sorted(words.items())]
            lines.append("  end\n")
        return "".join(lines)


def print_module(module: Module, names: dict[str, Names], modules: dict[str, str], comment: str) -> str:
    """A module's text. ``names`` are the identifiers of all modules' nets, ``modules`` those of the modules."""
    printer = _Printer(module, names[module.name])
    own = names[module.name]
    if module.memories:
        own.add("word index", "index")
    parts = [comment, f"module {modules[module.name]} (\n"]
    ports = [printer.declaration(module.nets[port]) for port in module.ports]
    parts += [",\n".join(f"  {port}" for port in ports), "\n);\n"]
    inner = [net for net in module.nets.values() if not net.direction]
    parts += [f"  {printer.declaration(net)};\n" for net in sorted(inner, key=lambda net: own[net.name])]
    parts.append(printer.starts())
    parts.append("\n")
    parts += [printer._line(1, f"assign {printer.expression(assign.target)} = {printer.expression(assign.value)};")
              for assign in module.assigns]
    for process in module.processes:
        clocked = process.clock is not None
        head = f"always @(posedge {printer.expression(process.clock)})" if clocked else "always @*"
        parts += ["\n", printer._block(1, head, process.body, "<=" if clocked else "=")]
    for instance in module.instances:
        theirs = names[instance.module]
        connections = [f"    .{theirs[port]}({printer.expression(value)})"
                       for port, value in sorted(instance.ports.items(), key=lambda item: theirs[item[0]])]
        parts += ["\n", f"  {modules[instance.module]} {own[f'{instance.name} instance']} (\n",
                  ",\n".join(connections), "\n  );\n"]
    parts.append("endmodule\n")
    return "".join(parts)
