"""How emitted Verilog is put: rewritings of what Yosys prints that change how it reads, not what it does."""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["portable", "tidy"]

_NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
"""A name; an escaped one ends with a space."""

_ZEROED_MEMORY = re.compile(r"  initial begin\n((?:    (\w+)\[\d+\] = \d+'[dh]0+;\n)+)  end\n")
"""A memory whose words all start at zero: a statement per word."""

_NEXT_VALUE = re.compile(r"  always @\* begin\n    if \(\\\$auto\$\S+ \) begin end\n((?:    .*\n)*?)  end\n")
"""A signal as a process."""

_REGISTER = re.compile(rf"  always @\((posedge {_NAME})\)\n    ({_NAME}) ?<= (\\\S+ );\n")
"""A register that takes a signal in every cycle."""

_ASSIGNMENT = re.compile(rf"( *(?:.*: )?)({_NAME})( ?\[[\d:]+\])? = (.*\n)")
"""A statement of a process."""

_TRIGGER = re.compile(r"  reg (\\\$auto\$\S+ ) = 0;\n")
"""What processes pretend to depend on."""

_PARTIAL_WRITES = re.compile(
    rf"  always @\((posedge {_NAME})\) begin\n"
    r"(    if \((\S+?) ?\[0\]\)\n      (\S+)\[(\S+?) ?\]\[\d+:0\] <= (\S+?) ?\[\d+:0\];\n(?:    if .*\n      .*;\n)*)"
    r"  end\n")
"""A write port with an enable per part of the word: a statement per part."""


def _zero_by_loop(match: re.Match) -> str:
    """The same as a loop: the activation memory alone would be two fifths of the text."""
    words, memory = match[1].splitlines(), match[2]
    value = words[0].split(" = ")[1]
    return (f"  integer {memory}_index;\n  initial\n    for ({memory}_index = 0; {memory}_index < {len(words)}; "
            f"{memory}_index = {memory}_index + 1)\n      {memory}[{memory}_index] = {value}\n")


def _spaced(name: str) -> str:
    """``name`` as it stands before something else: an escaped name ends with a space."""
    return f"{name.strip()} " if name.startswith("\\") else name


def _clocked(process: str, signal: str, register: str) -> str | None:
    """Body of a clocked process that does to ``register`` what ``process`` and a clock do by way of ``signal``."""
    lines = []
    for index, line in enumerate(process.splitlines(keepends=True)):
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment is None:
            lines.append(line)
            continue
        indent, target, part, value = assignment.groups()
        if target != signal:
            return None
        # A register keeps its value by itself; but a later statement may say so against an earlier one.
        if index or part or value.rstrip(";\n").strip() != register.strip():
            lines.append(f"{indent}{_spaced(register)}{part or ''} <= {value}".replace("  <=", " <="))
    return "".join(lines)


def _clock_registers(module: str) -> str:
    """``module`` with every register in a process of its own, which assigns it only where its value changes, instead of
    a register that takes the value of a process in every cycle."""
    uses = Counter(re.findall(r"\\\S+ ", module))
    processes = {}
    for process in _NEXT_VALUE.finditer(module):
        first = _ASSIGNMENT.fullmatch(process[1].splitlines(keepends=True)[0])
        if first is not None:
            processes[first[2]] = process
    changes = []
    for register in _REGISTER.finditer(module):
        clock, name, signal = register.groups()
        process = processes.get(signal)
        # Its declaration, its use here, and nothing outside its process.
        if process is None or uses[signal] != process[1].count(signal) + 2:
            continue
        body = _clocked(process[1], signal, name)
        declaration = re.search(rf"  reg (?:\[\S+\] )?{re.escape(signal)};\n", module)
        if body is None or signal in body or declaration is None:
            continue
        changes += [(register.span(), ""), (declaration.span(), ""),
                    (process.span(), f"  always @({clock}) begin\n{body}  end\n")]
    parts, at = [], 0
    for (start, end), text in sorted(changes):
        parts += [module[at:start], text]
        at = end
    module = "".join((*parts, module[at:]))
    # What Yosys makes processes depend on, so that they run at all.
    trigger = _TRIGGER.search(module)
    return module if trigger is None or module.count(trigger[1]) > 1 else module.replace(trigger[0], "")


def _write_at_once(match: re.Match) -> str:
    """The same, and for Verilator as one statement."""
    clock, statements, enable, memory, address, data = match.groups()
    enable, address, data = map(_spaced, (enable, address, data))
    low, mask = 0, []
    for index, (line, statement) in enumerate(zip(*[iter(statements.splitlines())] * 2)):
        high = int(re.search(r"\]\[(\d+):\d+\] <= ", statement)[1])
        if (line, statement) != (f"    if ({enable}[{index}])",
                                 f"      {memory}[{address}][{high}:{low}] <= {data}[{high}:{low}];"):
            return match[0]
        mask.append(f"{{{high + 1 - low}{{{enable}[{index}]}}}}")
        low = high + 1
    word = f"{memory}[{address}]"
    return (f"`ifdef VERILATOR\n"
            f"  // The writes below as one: Verilator would ask for every enable twice in every cycle.\n"
            f"  always @({clock})\n    if (| {enable})\n"
            f"      {word} <= {word} ^ (({word} ^ {data}) & {{{', '.join(reversed(mask))}}});\n"
            f"`else\n{match[0]}`endif\n")


def portable(text: str) -> str:
    """``text``, as Yosys prints modules, with memories zeroed by a loop and registers assigned where they change."""
    text = _ZEROED_MEMORY.sub(_zero_by_loop, text)
    return "".join(map(_clock_registers, re.split(r"(?<=endmodule\n)", text)))


def tidy(text: str) -> str:
    """As :func:`portable`, with writes of parts of a word also as one statement, for Verilator."""
    return _PARTIAL_WRITES.sub(_write_at_once, portable(text))
