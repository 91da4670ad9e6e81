"""Identifiers in the modules of a design: the source's names, and for what it leaves nameless or tells apart by number,
names after what it is connected to."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping

from hw.verilog_syntax import *

__all__ = ["Names", "name_nets", "natural"]

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

_CLOCKS = re.compile(r"(\w+_)?(clk|rst)")

_TERM = "_term"
"""Ends names of parts of an expression, which begin with what it is assigned to."""


def natural(name: str) -> list:
    """Sorts names as people do: those with numbers by the numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _plain(name: str) -> str:
    """The identifier that a name wants."""
    # Amaranth tells nets of one name apart by numbers of its own.
    plain = re.sub(r"\$\d+", "", name.lstrip("\\"))
    plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "n"
    return plain if re.match(r"[A-Za-z]", plain) else f"n{plain}"


class Names:
    """Plain identifiers for the names of one scope: the same letters where they will do, no two the same."""

    def __init__(self):
        self._taken: set[str] = set()
        self._names: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._names[name]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, wanted: str | None = None) -> str:
        """The identifier of ``name``, made of ``wanted`` if given."""
        plain = _plain(wanted or name)
        plain = f"{plain}_" if plain in _KEYWORDS else plain
        candidate, count = plain, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{plain}_{count}"
        self._taken.add(candidate)
        self._names[name] = candidate
        return candidate


class _Namer:
    """What nets of a module are connected to, and so what those without a name of their own might be called."""

    def __init__(self, module: Module, modules: dict[str, Module], names: dict[str, Names], own: Container[str]):
        self._module, self._names = module, names
        plain = Counter(map(_plain, module.nets))
        self._weak = {name for name in module.nets if not _CLOCKS.fullmatch(_plain(name)) and not (
            name in own and name in module.ports) and (self._nameless(name) or plain[_plain(name)] > 1)}
        #: Ports of instances that drive a net, that a net goes to as it is, and what else it is a part of: suggestions.
        self._sources: dict[str, str] = {}
        self._sinks: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._roles: dict[str, set[str]] = defaultdict(set)
        self._terms: dict[str, set[str]] = defaultdict(set)
        self._values: dict[str, Expression] = {}
        self._wants: dict[str, str] = {}
        for instance in module.instances:
            theirs = modules[instance.module]
            for port, value in instance.ports.items():
                place = instance.name, names[instance.module][port]
                if theirs.nets[port].direction == "output":
                    if isinstance(value, Name):
                        self._sources[value.name] = "_".join(place)
                elif isinstance(value, Name):
                    self._sinks[value.name].add(place)
                else:
                    for read in reads(value):
                        self._roles[read.name].add("_".join(place) + _TERM)
        for assign in module.assigns:
            self._note_assignment(assign, [])
            if isinstance(assign.target, Name):
                self._values[assign.target.name] = assign.value
        for process in module.processes:
            self._note_body(process.body, [])

    def _nameless(self, name: str) -> bool:
        return name.startswith("\\$") or bool(re.fullmatch(r"_\d+_|\\port\$\d+\$\d+", name))

    def _note_body(self, body: list[Statement], conditions: list[Expression]):
        for statement in body:
            match statement:
                case Assign():
                    self._note_assignment(statement, conditions)
                case If(branches):
                    above = list(conditions)
                    for condition, inner in branches:
                        above += [] if condition is None else [condition]
                        self._note_body(inner, above)
                case Case(subject, branches):
                    for _, inner in branches:
                        self._note_body(inner, [*conditions, subject])

    def _note_assignment(self, assign: Assign, conditions: list[Expression]):
        target, value = assign.target, assign.value
        if isinstance(target, Select) and target.address is not None:
            # A memory is written.
            roles = [(target.address, "address"), (value, "data"), *((condition, "enable") for condition in conditions)]
            for expression, role in roles:
                whole = isinstance(expression, Name)
                for read in reads(expression):
                    self._roles[read.name].add(f"{_plain(target.name)}_{role}{'' if whole else _TERM}")
            return
        if isinstance(value, Select) and value.address is not None and isinstance(target, Name):
            # A memory is read.
            self._roles[target.name].add(f"{_plain(value.name)}_word")
            for read in reads(value.address):
                self._roles[read.name].add(f"{_plain(value.name)}_address{'' if read == value.address else _TERM}")
            return
        if isinstance(target, (Name, Select)):
            for expression in value, *conditions:
                for read in reads(expression):
                    self._terms[read.name].add(target.name)

    def want(self, name: str) -> str:
        """What a net might be called, others apart."""
        if name not in self._weak:
            return _plain(name)
        if name not in self._wants:
            # What leads back here finds this.
            self._wants[name] = fallback = "n" if name.startswith("\\$auto") else _plain(name)
            self._wants[name] = self._after_neighbours(name) or fallback
        return self._wants[name]

    def _after_neighbours(self, name: str) -> str | None:
        if name in self._sources:
            return self._sources[name]
        sinks = self._sinks[name]
        ports = {port for _, port in sinks}
        if len(ports) == 1:
            return "_".join(*sinks) if len(sinks) == 1 else ports.pop()
        net = self._module.nets[name]
        if len(self._roles[name]) == 1:
            (role,) = self._roles[name]
            return role.removesuffix(_TERM) if net.direction == "input" else role
        if not self._nameless(name):
            return None
        targets = self._terms[name] - {name}
        if net.direction == "output":
            value = self._values.get(name)
            match value:
                case Select(source, high, low, None):
                    return f"{self.want(source)}_{high}_{low}"
                case Name(source):
                    return f"{self.want(source)}_out"
            return None
        if len(targets) == 1 and not sinks and not self._roles[name] and name in self._values:
            wanted = self.want(targets.pop())
            return wanted if wanted == "n" or wanted.endswith(_TERM) else wanted + _TERM
        if len(targets) == 1 and net.direction == "input":
            return f"{self.want(targets.pop())}_in"
        return None

    def names(self) -> Names:
        names, module = Names(), self._module
        for name in sorted(module.nets, key=lambda name: (
                name in self._weak, name not in module.ports, self._nameless(name))):
            names.add(name, self.want(name))
        for instance in module.instances:
            names.add(f"{instance.name} instance", f"u_{instance.name}")
        return names


def name_nets(modules: list[Module], ports: Mapping[str, Container[str]]) -> dict[str, Names]:
    """Identifiers of every module's nets and instances, by module. ``ports`` keep their names, by module."""
    by_name = {module.name: module for module in modules}
    names: dict[str, Names] = {}

    def visit(module: Module):
        for instance in module.instances:
            if instance.module not in names:
                visit(by_name[instance.module])
        names[module.name] = _Namer(module, by_name, names, ports.get(module.name, ())).names()

    for module in modules:
        if module.name not in names:
            visit(module)
    return names
