"""The accelerator's control and status registers, as registers.rdl describes them: decode (hw/control.py) and driver
come from here.

The description becomes Python (register_table.py), C and documents by ``python -m hw.registers``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from arch import register_table

ADDRESS_BITS = 12
"""Width of a register's byte address."""


class Access(enum.Enum):
    """What software may do with a register."""

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
    #: What it holds after power-up, or always if hardware cannot change it; None if hardware says what it holds.
    reset: int | None

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return (1 << self.bits) - 1 << self.lsb


@dataclass(frozen=True)
class Register:
    """A 32-bit register at byte address ``offset``."""

    name: str
    offset: int
    access: Access
    description: str
    fields: tuple[RegisterField, ...]

    @classmethod
    def of(cls, name: str, offset: int, access: str, description: str, fields: tuple[tuple, ...]) -> Register:
        """A row of register_table.py."""
        return cls(name, offset, Access(access), description, tuple(RegisterField(*field) for field in fields))


REGISTERS = tuple(Register.of(*row) for row in register_table.REGISTERS)
"""Every register, by ascending offset."""

OFFSETS = {register.name: register.offset for register in REGISTERS}
"""Byte addresses by name."""

FIELDS = {f"{register.name}.{field.name}": field for register in REGISTERS for field in register.fields}
"""Fields by the names of register and field."""

MAP_VERSION = FIELDS["VERSION.registers"].reset
"""Version of this table, which software finds in register VERSION."""
