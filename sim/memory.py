"""How the simulated memory behaves: its timing, by name or number, and the faults that a test injects."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from arch.config import EngineConfig
from compiler.timing import Memory

CLOCK_HZ = 400e6
"""Clock of engine and bus for which the memories' bandwidths and latencies are turned into beats and cycles."""

_LARGEST_PERIOD = 64


@dataclass(frozen=True, kw_only=True)
class MemoryTiming(Memory):
    """A memory that may also stall. The default is the ideal memory: one beat per cycle each way, no latency, no
    stalls."""

    #: Chance that a handshake is held up in a cycle.
    stall: float = 0.0
    #: Of the stalls.
    seed: int = 1

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.stall <= 0.95:
            raise ValueError(f"stall must be in 0..0.95, not {self.stall!r}")
        if not 0 < self.seed < 1 << 64:
            raise ValueError(f"seed must be in 1..2^64-1, not {self.seed!r}")

    @property
    def cycles_per_beat(self) -> float:
        """Average cycles a beat takes in a long burst."""
        return self.rate[1] / self.rate[0] / (1 - self.stall)


IDEAL = MemoryTiming()
"""One beat per cycle each way, no latency, no stalls."""


@dataclass(frozen=True, kw_only=True)
class MemoryDevice:
    """A kind of memory, by what its users see of it. Reads and writes each get the sustained bandwidth: a network's
    traffic is nearly all reads."""

    #: What it is, and where its numbers are from.
    basis: str
    #: Peak bandwidth in bytes per second.
    peak: float
    #: Share of it that long bursts get.
    efficiency: float
    #: From a request at the engine to its first beat, in seconds.
    latency: float

    @property
    def sustained(self) -> float:
        """Bytes per second of long bursts."""
        return self.peak * self.efficiency

    def timing(self, config: EngineConfig) -> MemoryTiming:
        """As ``config``'s bus sees it at :data:`CLOCK_HZ`; at most a beat per cycle."""
        share = Fraction(self.sustained / (config.bus_bytes * CLOCK_HZ)).limit_denominator(_LARGEST_PERIOD)
        share = min(Fraction(1), max(share, Fraction(1, _LARGEST_PERIOD)))
        return MemoryTiming(latency=round(self.latency * CLOCK_HZ), rate=share.as_integer_ratio())


DEVICES = {
    "lpddr4": MemoryDevice(
        basis="LPDDR4-3200 (JESD209-4), two 16-bit channels: 3.2 GT/s x 4 bytes. 75 % after refresh, activation and "
              "turnaround and 150 ns through controller and interconnect are assumptions",
        peak=12.8e9, efficiency=.75, latency=150e-9),
    "ddr4": MemoryDevice(
        basis="DDR4-2400 (JESD79-4), 64 bits: 2.4 GT/s x 8 bytes. 90 % in long bursts and 105 ns to a closed page "
              "through controller and interconnect are assumptions near what was measured on an FPGA (Wang et al., "
              "Shuhai, FCCM 2020)",
        peak=19.2e9, efficiency=.9, latency=105e-9),
    "hbm2": MemoryDevice(
        basis="HBM2 (JESD235), one of 32 pseudo channels: 1.8 GT/s x 8 bytes. 90 % in long bursts (425 of 460 GB/s "
              "were measured with all of them, same paper); 140 ns is an assumption",
        peak=14.4e9, efficiency=.9, latency=140e-9),
}
"""Memories by name, besides "ideal"."""

NAMES = ("ideal", *DEVICES)
"""What a memory can be called."""


def basis(name: str) -> str:
    """What memory ``name`` is, and where its numbers are from."""
    return "one beat per cycle each way, no latency" if name == "ideal" else DEVICES[name].basis


def memory_timing(name: str, config: EngineConfig, *, latency: int | None = None,
                  rate: tuple[int, int] | None = None) -> MemoryTiming:
    """Timing of memory ``name`` behind an engine of ``config``; ``latency`` and ``rate`` replace its own. Raises
    ValueError for an unknown name or numbers out of range."""
    if name not in NAMES:
        raise ValueError(f"memory must be one of {', '.join(NAMES)}, not {name!r}")
    timing = IDEAL if name == "ideal" else DEVICES[name].timing(config)
    return MemoryTiming(latency=timing.latency if latency is None else latency,
                        rate=timing.rate if rate is None else rate)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong in every run, or, with ``reset_cycle``, before the reset. Beats and cycles count from the start
    of the run; None is never."""

    #: Read beat that is bad: inverted, and marked with ``read_error``.
    read_error_beat: int | None = None
    #: Written beat whose burst fails: its data are lost, its ``write_done`` is marked with ``write_error``.
    write_error_beat: int | None = None
    #: From this cycle on the memory offers and accepts nothing more.
    stuck_cycle: int | None = None
    #: In this cycle of the first run, be it over or not, engine and memory are reset; then the run starts again.
    reset_cycle: int | None = None

    def __post_init__(self):
        for name, least in (("read_error_beat", 0), ("write_error_beat", 0), ("stuck_cycle", 0), ("reset_cycle", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < 1 << 48:
                raise ValueError(f"{name} must be in {least}..2^48-1 or None, not {value!r}")


NO_FAULTS = Faults()
"""Nothing goes wrong."""
