"""The engine's counters, as registers.rdl describes them. All are cumulative since the program's start."""

from arch import register_table

COUNTERS: dict[str, str] = register_table.COUNTERS
"""What each counter counts, by name, in the order of its ports and registers."""

STREAMS = ("program", "mask", "parameter", "load", "store")
"""What crosses the memory interface. Each has its counter of bytes, ``<stream>_bytes``; only the last one writes."""

COUNTER_BITS: int = register_table.COUNTER_BITS
"""Width of a counter."""
