"""Fixed latencies, in cycles, that blocks promise to each other and the compiler's cycle prediction relies on.

Each is enforced by the test of the block that promises it.
"""

ACTIVATION_READ = 2
"""From an accepted activation-memory request to its data."""

ACCUMULATE = 3
"""Shortest distance of two accumulations into the same partial sum: a pass lasts at least this long."""

POOL_UPDATE = 4
"""Shortest distance of two maximum-pool updates of the same activation byte: a pixel's updates last at least this
long, and the last pixel of a map row idles this long, since its window may hold the next pixel of a narrow map."""
