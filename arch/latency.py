"""Fixed latencies, in cycles, that blocks promise to each other and the compiler's cycle prediction relies on.

Each is enforced by the test of the block that promises it.
"""

ACTIVATION_READ = 2
"""From an accepted activation-memory request to its data."""

ACCUMULATE = 3
"""Shortest distance of two accumulations into the same partial sum: a pass lasts at least this long."""

REQUANTISE = 5
"""From a beat's entry into the requantiser to its result."""

POST_TILE = 1
"""From the pulse that a half is complete to the decision of its first step in a post-processor that waits for it."""

POST_HALF_FREED = 1
"""From the decision of a half's last step to the pulse that the half is free."""

POST_WRITE = 5 + REQUANTISE
"""From the decision of a step in the post-processor to its write, and to `layer_done` with the layer's last write."""

POST_POOL_READ = POST_WRITE - 1 - ACTIVATION_READ
"""From the decision of a step that updates a pooled byte to the read of that byte."""

POST_COLUMN_TILE = 2
"""Idle cycles of the post-processor between two column tiles."""

POST_LAYER = POST_WRITE
"""Idle cycles of the post-processor between two layers: the first step of a layer may read what the last one wrote."""

POST_AVERAGE = POST_WRITE - 3
"""Idle cycles of the post-processor before the steps that write the averages of a column tile."""

POOL_UPDATE = POST_WRITE + 1 - POST_POOL_READ
"""Shortest distance of two maximum-pool updates of the same activation byte: a pixel's updates last at least this
long, and the last pixel of a map row idles this long, since its window may hold the next pixel of a narrow map."""
