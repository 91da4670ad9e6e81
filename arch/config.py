"""The engine's parameters: one frozen object from which RTL, compiler and simulation derive every width and depth."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

STREAM_BLOCK = 64
"""Signs in one block of the random stream (docs/specification.md, "Random stream")."""

MASK_WORD_BITS = 16
"""Bits a decoder lane takes from the mask stream at a time (docs/specification.md, "Mask stream")."""

MULTIPLIER_BITS = 18
"""Width of the requantiser's signed multipliers."""

BIAS_BITS = 48
"""Width of the requantiser's bias and sum."""

LANES = ("multiplier", "planes")
"""How a lane multiplies (docs/lane.md)."""

MAX_COATS = 7
"""Largest number of coats: the scale table has MAX_COATS + 1 entries."""

ANS_BITS = 10
"""Width of an `ans` state: a decoding table has 2 ** ANS_BITS entries (docs/specification.md, "ans")."""

ANS_STEP = 643
"""Distance, in table entries, of a symbol's consecutive entries in an `ans` table: odd, so every entry is reached."""

ANS_OFFSETS = 16
"""Places at which the spreading of symbols over an `ans` table may begin."""

SEGMENT_BYTES = 4096
"""Bytes of a checked segment of masks or parameters, CRC-32 included (docs/specification.md, "Memory image")."""


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Parameters of one engine. All memories are given for the whole engine, in bytes or entries as named.

    Raises ValueError, with the parameter's name, for a combination that cannot be built.
    """

    name: str = "custom"
    #: Output channels computed at once: columns of the array.
    columns: int
    #: Multiply positions of one column: bytes of the activation run read per cycle.
    lanes: int
    #: Width of a weight in the array: 2 (ternary), 4 (table entries -7..7) or 8 (int8).
    weight_bits: int = 4
    #: Width of a partial sum.
    accumulator_bits: int = 24
    #: Columns whose weights are built in one cycle.
    build_columns: int = 1
    #: Weight tiles a lane can hold: one in use, the others built ahead.
    weight_slots: int = 4
    #: Outputs requantised per cycle.
    requantiser_lanes: int
    #: Pixels in one half of the double-buffered partial-sum memory.
    partial_sums: int
    #: On-chip activation memory, in bytes.
    activation_bytes: int
    #: Independently addressed parts of the activation memory (address bits at the top).
    activation_banks: int = 4
    #: On-chip buffer for the coded masks, in bytes.
    mask_bytes: int
    #: Mask words handed to decoder lanes per cycle.
    refill_words: int
    #: Channels whose requantisation parameters fit on chip.
    parameter_channels: int
    #: Width of the memory interface.
    bus_bits: int = 64
    #: Longest burst, in beats.
    burst_beats: int = 16
    #: Rounds of the Threefry generator.
    rounds: int = 13
    #: Cycles without any progress after which a program ends with an error.
    watchdog_cycles: int = 1 << 16
    #: Cycles in which a decoder lane decodes a symbol: 1, or 2 for a faster clock.
    step_cycles: int = 1
    #: Decoder lanes that share the memories of their `ans` tables: 1, or 2 through memories that have two ports to read
    #: with, one of which also writes. Changes no cycle.
    table_lanes: int = 1
    #: Whether the post-processor's writes are brought out for layer checks. Changes no cycle.
    trace: bool = True
    #: How a lane multiplies: "multiplier", or "planes", smaller on FPGAs.
    lane: str = "multiplier"

    def __post_init__(self):
        def require(condition: bool, field: str, expected: str):
            if not condition:
                raise ValueError(f"{field} must be {expected}, not {getattr(self, field)!r}")

        for field in ("columns", "lanes", "requantiser_lanes", "partial_sums", "activation_bytes", "activation_banks",
                      "mask_bytes", "parameter_channels", "bus_bits", "burst_beats", "weight_slots", "build_columns",
                      "refill_words"):
            require(_power_of_two(getattr(self, field)), field, "a power of two")
        require(self.weight_bits in (2, 4, 8), "weight_bits", "2, 4 or 8")
        require(self.lane in LANES, "lane", f"one of {', '.join(LANES)}")
        require(16 <= self.accumulator_bits <= 32, "accumulator_bits", "in 16..32")
        require(4 <= self.lanes <= STREAM_BLOCK, "lanes", f"in 4..{STREAM_BLOCK}")
        require(2 <= self.columns, "columns", "at least 2")
        require(self.build_columns <= self.columns, "build_columns", "at most columns")
        require(self.weight_slots >= 2, "weight_slots", "at least 2")
        require(self.requantiser_lanes <= min(self.columns, self.lanes), "requantiser_lanes",
                "at most columns and lanes")
        require(self.partial_sums >= 16, "partial_sums", "at least 16")
        require(32 <= self.bus_bits <= 1024, "bus_bits", "in 32..1024")
        require(self.bus_bits // 8 <= 2 * self.lanes, "bus_bits", "at most 16 x lanes")
        require(self.refill_words * MASK_WORD_BITS <= self.bus_bits, "refill_words", "at most bus_bits / 16")
        require(self.burst_beats <= 256, "burst_beats", "at most 256")
        require(self.activation_bytes >= self.activation_banks * 4 * self.lanes, "activation_bytes",
                "at least 4 words per bank")
        require(self.mask_bytes >= 2 * self.burst_beats * self.bus_bits // 8, "mask_bytes", "at least two bursts")
        # A full burst of 9-byte records behind a column tile in use.
        require(9 * (self.parameter_channels - self.columns) >= self.burst_beats * self.bus_bytes, "parameter_channels",
                "enough for a column tile and a burst")
        require(self.rounds in (13, 20), "rounds", "13 or 20")
        require(self.step_cycles in (1, 2), "step_cycles", "1 or 2")
        require(self.table_lanes in (1, 2), "table_lanes", "1 or 2")
        # An `ans` table is built in 1,036 cycles in which nothing else may move.
        require(2048 <= self.watchdog_cycles < 1 << 32, "watchdog_cycles", "in 2048..2^32-1")

    @property
    def macs_per_cycle(self) -> int:
        """Multiply positions of the array."""
        return self.columns * self.lanes

    @property
    def decoder_lanes(self) -> int:
        """Coat indices decoded per cycle: one per weight built."""
        return self.build_columns * self.lanes

    @property
    def bus_bytes(self) -> int:
        """Bytes in one beat."""
        return self.bus_bits // 8

    @property
    def bank_bytes(self) -> int:
        """Bytes in one activation bank."""
        return self.activation_bytes // self.activation_banks

    @property
    def activation_address_bits(self) -> int:
        """Width of a byte address in the activation memory."""
        return (self.activation_bytes - 1).bit_length()

    @property
    def planes(self) -> int:
        """Bits of a weight's magnitude, or of an 8-bit weight in two's complement."""
        return self.weight_bits if self.weight_bits == 8 else self.weight_bits - 1

    @property
    def weight_limit(self) -> int:
        """Largest magnitude of a table entry or stored weight: 1, 7 or 127 (8 bits also hold -128)."""
        return (1 << (self.weight_bits - 1)) - 1

    @property
    def hash(self) -> int:
        """32 bits over every parameter that a program depends on: it runs only where it was compiled for."""
        fields = {key: value for key, value in dataclasses.asdict(self).items()
                  if key not in ("name", "table_lanes", "trace")}
        # Older than these choices.
        if self.lane == LANES[0]:
            del fields["lane"]
        if self.step_cycles == 1:
            del fields["step_cycles"]
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
        return int.from_bytes(digest.digest()[:4], "little")

    @classmethod
    def preset(cls, name: str, /, **overrides) -> EngineConfig:
        """The preset ``name`` with single parameters replaced. Raises ValueError for an unknown preset."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
        return dataclasses.replace(PRESETS[name], **overrides)


PRESETS = {config.name: config for config in (
    # Small and lopsided on purpose: columns, lanes and requantiser lanes all differ, so tests see a mixed-up index.
    EngineConfig(name="tiny", columns=4, lanes=8, requantiser_lanes=2, partial_sums=32, activation_bytes=16 << 10,
                 mask_bytes=4 << 10, refill_words=2, parameter_channels=64),
    # 256 multiply positions and the memories of an ECP5-85K.
    EngineConfig(name="edge", columns=16, lanes=16, requantiser_lanes=8, partial_sums=128,
                 activation_bytes=256 << 10, activation_banks=8, mask_bytes=16 << 10, refill_words=4,
                 parameter_channels=512, table_lanes=2),
    # 1,024 multiply positions: ResNet-18 at 224x224 stays on chip.
    EngineConfig(name="base", columns=32, lanes=32, requantiser_lanes=16, partial_sums=128,
                 activation_bytes=1 << 20, activation_banks=8, mask_bytes=64 << 10, refill_words=8,
                 parameter_channels=2048, bus_bits=256),
    # 4,096 multiply positions, as Hiddenite (Hirose et al., ISSCC 2022), the chip it is compared with.
    EngineConfig(name="hiddenite", columns=64, lanes=64, build_columns=2, requantiser_lanes=64, partial_sums=128,
                 activation_bytes=2 << 20, activation_banks=8, mask_bytes=128 << 10, refill_words=32,
                 parameter_channels=2048, bus_bits=512),
)}
"""Configurations by name."""
