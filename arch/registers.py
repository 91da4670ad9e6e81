"""The accelerator's control and status registers: one table, from which decode (hw/control.py) and document are made.

``python -m arch.registers > docs/registers.md`` writes the document.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from arch.counters import COUNTER_BITS, COUNTERS

MAP_VERSION = 1
"""Version of this table, which software finds in register VERSION."""

ADDRESS_BITS = 12
"""Width of a register's byte address."""


class Access(enum.Enum):
    """What software may do with a register; its name in SystemRDL terms."""

    READ = "r"
    """Read only; a write is an error."""
    READ_WRITE = "rw"
    """Keeps what was written."""
    CLEAR = "w1c"
    """Set by hardware; a one written clears the bit."""
    PULSE = "w1p"
    """A one written acts once; reads as zero."""


@dataclass(frozen=True)
class RegisterField:
    """``bits`` bits of a register from bit ``lsb``; bits between fields read as zero."""

    name: str
    lsb: int
    bits: int
    description: str


@dataclass(frozen=True)
class Register:
    """A 32-bit register at byte address ``offset``. Resets to zero unless hardware says what it holds."""

    name: str
    offset: int
    access: Access
    description: str
    fields: tuple[RegisterField, ...]


def _value(name: str, offset: int, access: Access, description: str, bits: int = 32) -> Register:
    """A register with one field, ``value``."""
    return Register(name, offset, access, description, (RegisterField("value", 0, bits, description),))


def _counters(base: int) -> tuple[Register, ...]:
    """Two registers per counter: low 32 bits, high bits."""
    registers = []
    for index, (name, description) in enumerate(COUNTERS.items()):
        low, high = f"{name}_low".upper(), f"{name}_high".upper()
        offset = base + 8 * index
        registers += [
            _value(low, offset, Access.READ, description),
            _value(high, offset + 4, Access.READ, f"bits {COUNTER_BITS - 1}:32 of {name}", COUNTER_BITS - 32),
        ]
    return tuple(registers)


COUNTERS_OFFSET = 0x100
"""Of the first counter's low half; the others follow, 8 bytes each, in the order of ``arch.counters.COUNTERS``."""

REGISTERS = (
    _value("ID", 0x000, Access.READ, 'magic number, "TCOT" in memory order'),
    Register("VERSION", 0x004, Access.READ, "versions", (
        RegisterField("program", 0, 16, "of the program format (docs/specification.md)"),
        RegisterField("registers", 16, 16, "of this table"),
    )),
    _value("CONFIGURATION", 0x008, Access.READ, "configuration hash (docs/specification.md, section 5)"),
    Register("ARRAY", 0x00C, Access.READ, "multiply positions", (
        RegisterField("columns", 0, 16, "output channels computed at once"),
        RegisterField("lanes", 16, 16, "multiply positions of a column"),
    )),
    Register("WEIGHTS", 0x010, Access.READ, "weights", (
        RegisterField("bits", 0, 16, "of a weight"),
        RegisterField("build_columns", 16, 16, "columns whose weights are built in one cycle"),
    )),
    Register("BUS", 0x014, Access.READ, "memory interface", (
        RegisterField("bits", 0, 16, "of a beat"),
        RegisterField("burst_beats", 16, 16, "beats of the longest burst"),
    )),
    _value("ACTIVATION_MEMORY", 0x018, Access.READ, "bytes of the on-chip activation memory"),
    _value("MASK_BUFFER", 0x01C, Access.READ, "bytes of the on-chip buffer of coded masks"),
    _value("PARAMETER_BUFFER", 0x020, Access.READ, "channels whose requantisation parameters fit on chip"),
    Register("CONTROL", 0x040, Access.PULSE, "commands", (
        RegisterField("start", 0, 1, "run the program at PROGRAM_ADDRESS; ignored unless STATUS.ready"),
        RegisterField("reset", 1, 1,
                      "soft reset: stop whatever runs; wins over start; over when STATUS.resetting is 0"),
        RegisterField("snapshot", 2, 1, "take all counters at once"),
    )),
    Register("STATUS", 0x044, Access.READ, "what the engine does", (
        RegisterField("busy", 0, 1, "a program is running"),
        RegisterField("done", 1, 1, "the last program has ended, with or without an error"),
        RegisterField("error", 2, 1, "the program failed: ERROR says why; only a soft reset clears this"),
        RegisterField("resetting", 3, 1, "a soft reset waits for the memory to answer what was asked before it"),
        RegisterField("ready", 4, 1, "a start would be obeyed: neither busy, nor failed, nor resetting"),
    )),
    _value("ERROR", 0x048, Access.READ,
           "why the program failed: number of an `Error` of arch/descriptor.py, 0 if it did not", 4),
    _value("ERROR_POSITION", 0x04C, Access.READ, "index of the descriptor it failed at", 16),
    _value("ERROR_SEGMENT", 0x050, Access.READ,
           "number of the segment of masks or parameters with a wrong checksum", 16),
    _value("PROGRAM_ADDRESS", 0x054, Access.READ_WRITE,
           "byte address of the program's first descriptor, a multiple of a beat"),
    Register("INTERRUPT_ENABLE", 0x058, Access.READ_WRITE, "what raises `irq`", (
        RegisterField("done", 0, 1, "INTERRUPT_PENDING.done"),
    )),
    Register("INTERRUPT_PENDING", 0x05C, Access.CLEAR, "what has happened", (
        RegisterField("done", 0, 1, "a program has ended, with or without an error"),
    )),
    *_counters(COUNTERS_OFFSET),
)
"""Every register, by ascending offset."""

OFFSETS = {register.name: register.offset for register in REGISTERS}
"""Byte addresses by name."""

_INTRODUCTION = """\
# Registers of the accelerator

Generated from `arch/registers.py` by `python -m arch.registers > docs/registers.md`.

AXI4-Lite, 32-bit data, byte addresses of {address_bits} bits of which the lowest two are ignored. An access to an
address that is not in the table, and a write to a read-only register, is answered SLVERR and changes nothing. Writes
honour byte strobes. After power-up every register that can be written is zero.

Access: `r` read only; `rw` keeps what was written; `w1c` set by hardware, a one written clears; `w1p` a one written
acts once, reads as zero.

A run: write PROGRAM_ADDRESS, write 1 to INTERRUPT_ENABLE, write 1 to CONTROL; when `irq` rises write 1 to
INTERRUPT_PENDING, read STATUS. `irq` is high while a bit is set in both INTERRUPT_PENDING and INTERRUPT_ENABLE.

After an error, or to give a program up, write 2 to CONTROL and wait until STATUS.resetting is 0. Meanwhile the data of
reads that were asked for are taken and dropped, and writes that were announced are completed with all byte strobes off.
It does not end before the memory has answered: of a memory that never does, only `rst` frees the accelerator.
A soft reset leaves PROGRAM_ADDRESS, the interrupt registers and the snapshot of the counters as they are.

Counters are read from a snapshot of all of them in one cycle, taken when a program ends and at CONTROL.snapshot.

| register | offset | access | bits | field | meaning |
|---|---|---|---|---|---|
"""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def document() -> str:
    """The table as Markdown: docs/registers.md."""
    lines = []
    for register in REGISTERS:
        fields = [(str(field.lsb) if field.bits == 1 else f"{field.lsb + field.bits - 1}:{field.lsb}", field.name,
                   field.description) for field in register.fields]
        place = register.name, f"0x{register.offset:03X}", register.access.value
        if [name for _, name, _ in fields] == ["value"]:
            lines.append(_row(*place, *fields[0]))
        else:
            lines.append(_row(*place, "", "", register.description))
            lines += [_row("", "", "", *field) for field in fields]
    return _INTRODUCTION.format(address_bits=ADDRESS_BITS) + "".join(lines)


if __name__ == "__main__":
    print(document(), end="")
