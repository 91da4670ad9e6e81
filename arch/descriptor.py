"""The engine's instructions: 128-byte descriptors, field by field (docs/specification.md, "Program").

A descriptor is 32 little-endian 32-bit words; a field is a run of bits in one word. Fields an operation does not name
are zero.
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass

WORDS = 32
"""32-bit words in a descriptor."""

BYTES = 4 * WORDS
"""Bytes in a descriptor."""

PARAMETER_BYTES = 9
"""Bytes of one channel's parameter record: 18-bit multiplier, 48-bit bias, zeros."""

MAGIC = 0x544F4354
"""First word of a program: "TCOT" in memory order."""

VERSION = 2
"""Version of the program format."""


class Opcode(enum.IntEnum):
    """What a descriptor asks for."""

    BEGIN = 1
    """First of a program: format version, configuration hash and seed."""
    LOAD = 2
    """Copy from memory to the activation memory."""
    LAYER = 3
    """One convolution with its requantisation and pool."""
    STORE = 4
    """Copy from the activation memory to memory."""
    END = 5
    """Last of a program: done when everything before it is."""


class Code(enum.IntEnum):
    """How a layer's weights are coded in its mask segment."""

    RAW = 0
    """Coat indices of ``symbol_bits`` bits."""
    UNARY = 1
    """Coat indices in truncated unary; ``symbol_bits`` is the number of coats."""
    STORED = 2
    """Signed weights of ``symbol_bits`` bits: no stream, no table."""
    ANS = 3
    """Coat indices in table-based asymmetric numeral systems; ``symbol_bits`` is the width of a state."""


class PoolMode(enum.IntEnum):
    """What follows the requantiser."""

    NONE = 0
    MAX = 1
    AVERAGE = 2


class Error(enum.IntEnum):
    """Why an engine stopped. ``error_position`` is the index of the descriptor it stopped at."""

    NONE = 0
    BAD_PROGRAM = 1
    """The program does not begin with the magic number and this format version."""
    WRONG_CONFIGURATION = 2
    """The program was compiled for another configuration."""
    BAD_OPCODE = 3
    """An unknown operation."""
    MASK_EXHAUSTED = 4
    """A layer's mask stream ended before its weights did."""
    MASK_LEFT_OVER = 5
    """A layer's weights ended before its mask stream did."""
    BAD_SYMBOL = 6
    """A raw coat index larger than the table."""
    IMPOSSIBLE = 7
    """An operation that could never end or that nothing can need: it waits for more than was started before it, moves
    or computes nothing, moves more than the activation memory holds, uses again what the layer before did not keep, or
    has an address inside a beat; or a program that begins inside one."""
    PROGRAM_CRC = 8
    """A descriptor's checksum does not match."""
    MASK_CRC = 9
    """The checksum of a segment of masks does not match."""
    PARAMETER_CRC = 10
    """The checksum of a segment of parameters does not match."""
    BUS_READ = 11
    """The memory answered a read with an error."""
    BUS_WRITE = 12
    """The memory answered a write with an error."""
    WATCHDOG = 13
    """Nothing moved for ``watchdog_cycles`` cycles."""


@dataclass(frozen=True)
class Field:
    """``bits`` bits from bit ``lsb`` of word ``word``; two's complement if ``signed``."""

    word: int
    lsb: int
    bits: int
    signed: bool = False

    def insert(self, name: str, value: int, words: list[int]):
        """Put ``value`` into ``words``. Raises ValueError if the field cannot hold it."""
        value = int(value)
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)
        if not low <= value <= high:
            raise ValueError(f"descriptor field {name} must be in {low}..{high}, not {value}")
        words[self.word] |= (value & (1 << self.bits) - 1) << self.lsb

    def extract(self, words: list[int]) -> int:
        """The value in ``words``."""
        value = words[self.word] >> self.lsb & (1 << self.bits) - 1
        return value - (1 << self.bits) if self.signed and value >> self.bits - 1 else value


FIELDS = {
    # All operations.
    "opcode": Field(0, 0, 8),
    #: Layers that must have written their output before this operation may start.
    "wait_layers": Field(0, 8, 12),
    #: Loads that must have ended before this operation may start.
    "wait_loads": Field(0, 20, 12),
    #: Stores that must have ended before this operation may start.
    "wait_stores": Field(30, 0, 12),
    #: CRC-32 of the 124 bytes before it.
    "crc": Field(31, 0, 32),
    # BEGIN.
    "magic": Field(1, 0, 32),
    "version": Field(2, 0, 32),
    "configuration": Field(3, 0, 32),
    "seed_low": Field(4, 0, 32),
    "seed_high": Field(5, 0, 32),
    # LOAD and STORE: `beats` beats from or to `memory_address`; both addresses are multiples of a beat.
    "memory_address": Field(1, 0, 32),
    "activation_address": Field(2, 0, 24),
    "beats": Field(3, 0, 24),
    # LAYER: input window. Bytes are activation bytes, a pixel is in_channels bytes, a row is width x in_channels.
    "input_address": Field(1, 0, 24),
    "pad_value": Field(1, 24, 8, signed=True),
    "input_height": Field(2, 0, 16),
    "row_bytes": Field(2, 16, 16),
    #: Bytes from one output pixel's window to the next: stride x in_channels.
    "step_bytes": Field(3, 0, 16),
    #: Bytes of the left padding: padding x in_channels.
    "pad_bytes": Field(3, 16, 16),
    #: Bytes of one kernel row's run: kernel x in_channels.
    "run_bytes": Field(4, 0, 16),
    "kernel_rows": Field(4, 16, 4),
    "stride": Field(4, 20, 4),
    "pad_rows": Field(4, 24, 4),
    #: Bytes from the window row of one output row to the next: stride x row_bytes.
    "row_step_bytes": Field(5, 0, 24),
    #: Chunks of `lanes` bytes in one run: ceil(run_bytes / lanes).
    "run_chunks": Field(6, 0, 16),
    #: Random-stream blocks in one run: ceil(run_bytes / 64).
    "run_blocks": Field(6, 16, 16),
    # LAYER: output map of the convolution and its tiling.
    "map_height": Field(7, 0, 16),  # not read by the engine: for tools that read programs
    "map_width": Field(7, 16, 16),
    "pixels": Field(8, 0, 24),
    "pixel_tiles": Field(9, 0, 16),
    #: Pixels of a pixel tile; the last tile holds the rest.
    "tile_pixels": Field(9, 16, 16),
    "out_channels": Field(10, 0, 16),
    "column_tiles": Field(10, 16, 16),  # likewise
    # LAYER: weights.
    "stream": Field(11, 0, 32),
    #: A multiple of a beat.
    "mask_address": Field(12, 0, 32),
    #: 16-bit words of the mask stream; words past the last are zero.
    "mask_words": Field(13, 0, 32),
    "code": Field(14, 0, 4),
    "symbol_bits": Field(14, 4, 4),
    #: Largest valid coat index.
    "coats": Field(14, 8, 4),
    #: The next layer decodes the same mask stream again (``mask_reuse``), or has the same parameters: they stay.
    "mask_keep": Field(14, 12, 1),
    "mask_reuse": Field(14, 13, 1),
    "parameter_keep": Field(14, 14, 1),
    "parameter_reuse": Field(14, 15, 1),
    #: Where the spreading of symbols over the `ans` table begins, in ANS_OFFSETS-ths of the table.
    "ans_offset": Field(14, 16, 4),
    #: Entries of coat indices 1 to 7 in the `ans` table; index 0 has the rest.
    "frequency_1": Field(26, 0, 10),
    "frequency_2": Field(26, 10, 10),
    "frequency_3": Field(26, 20, 10),
    "frequency_4": Field(27, 0, 10),
    "frequency_5": Field(27, 10, 10),
    "frequency_6": Field(27, 20, 10),
    "frequency_7": Field(28, 0, 10),
    #: Beats to fetch, checksums included; 0 with ``mask_reuse`` or ``parameter_reuse``.
    "mask_beats": Field(29, 0, 28),
    "parameter_beats": Field(30, 12, 20),
    "table_low": Field(15, 0, 32),
    "table_high": Field(16, 0, 32),
    # LAYER: requantisation.
    #: A multiple of a beat. 9-byte records, one per output channel: 18-bit multiplier, 48-bit bias, 6 zero bits.
    "parameter_address": Field(17, 0, 32),
    "residual": Field(18, 0, 1),
    "wide": Field(18, 1, 1),
    "pool": Field(18, 2, 2),
    "shift": Field(18, 4, 6),
    "clamp_low": Field(18, 16, 8, signed=True),
    "residual_multiplier": Field(19, 0, 18, signed=True),
    "residual_address": Field(20, 0, 24),
    "output_address": Field(21, 0, 24),
    # LAYER: pool.
    "pool_kernel": Field(22, 0, 4),
    "pool_stride": Field(22, 4, 4),
    "pool_padding": Field(22, 8, 4),
    "pool_shift": Field(22, 12, 6),
    #: Padding above the map; ``pool_padding`` is to the left. They differ where a layer computes a strip of its map.
    "pool_row_padding": Field(22, 18, 4),
    "pool_height": Field(23, 0, 16),
    "pool_width": Field(23, 16, 16),
    "pool_multiplier": Field(24, 0, 18, signed=True),
    #: Bytes of one row of the pooled map: pool_width x out_channels.
    "pool_row_bytes": Field(25, 0, 24),
}
"""Every field by name."""


def pack(**values: int) -> bytes:
    """One descriptor as its 128 bytes, checksum included. Raises ValueError for a value its field cannot hold, KeyError
    for no field."""
    words = [0] * WORDS
    for name, value in values.items():
        FIELDS[name].insert(name, value, words)
    content = b"".join(word.to_bytes(4, "little") for word in words[:-1])
    return content + zlib.crc32(content).to_bytes(4, "little")


def unpack(content: bytes) -> dict[str, int]:
    """All fields of one descriptor, those of other operations included."""
    words = [int.from_bytes(content[first:first + 4], "little") for first in range(0, BYTES, 4)]
    return {name: field.extract(words) for name, field in FIELDS.items()}
