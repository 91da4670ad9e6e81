"""Fixed latencies, in cycles, that blocks promise to each other and the compiler's cycle prediction relies on.

Each is enforced by the test of the block that promises it, or by tests/engine/test_timing.py, where predicted cycles
have to equal counted ones.
"""

from arch.config import EngineConfig

ACTIVATION_READ = 4
"""From a read of the activation memory to its data."""

ACTIVATION_WRITE = 2
"""From the data of a write to the activation memory to the first read that sees them."""

PASS_STEP = 2
"""From the cycle in which the pass sequencer takes a layer's command to the first one in which it can decide on a pass
of the layer."""

WINDOW_READ = 2
"""From the decision on a window to its read: it passes a register and is taken a cycle before the read."""

ACCUMULATE = 3
"""Shortest distance of two accumulations into the same partial sum: a pass lasts at least this long."""

BUILT = 3
"""From the cycle in which the last symbols of a weight slot meet their signs to the first one in which the pass
sequencer can decide on a pass with it."""

SLOT_FREED = ACTIVATION_READ + 2
"""From the read of a pass's last window to the first cycle in which its weight slot can be claimed again."""

ANS_HELD = 2
"""From the cycle in which a command for code `ans` waits to the one in which its table is ready if a bank holds it."""

ANS_TABLE = 1036
"""The same if it has to be built: 2 to look, 7 for the boundaries, 1024 entries, 3 in the pipeline."""

BURST_LENGTH = 2
"""From the cycle in which a reader or a store takes a command, or is granted a burst, to the first one in which it
knows the next burst: a reader decides on it, a store shows its request."""

BURST_SPACE = 2
"""From the first cycle in which a reader's consumer has room to the first one in which the reader decides on a burst
that needs it."""

BURST_REQUEST = 1
"""From the cycle in which a reader decides on a burst to the one in which it shows the request."""

TAG = 2
"""From the cycle in which a burst is granted to the first one in which its beats can be taken."""

QUIET = 3
"""From the last beat that anyone reads to the first cycle in which the dispatcher can end the program."""

JUDGE = 1
"""From the cycle in which the dispatcher has a whole descriptor to the first one in which it can obey it."""

ROOM = 1
"""From the first cycle in which there is room for a command to the first one in which the dispatcher can obey it."""

GIVE = 1
"""From the cycle in which the dispatcher obeys a descriptor to the one in which its units get their commands."""

CRC = 2
"""From a beat to the checksum register after it."""

LOAD_BEAT = 1
"""From a beat that the load unit takes to the first cycle in which its data can come at the activation memory."""

MET = 1
"""From the cycle in which a load, a store or a layer is at hand and all it waits for has been counted to the first one
in which it can begin."""

DONE = 2
"""From the last beat that a load writes, or the cycle in which a store sees its last acknowledgement counted, to the
first cycle in which it counts as done."""


def word_wait(config: EngineConfig) -> int:
    """From a step in which decoder lanes ask for words to the first one that can use them, less the cycles in which
    these words are taken from the mask buffer."""
    return 2 * config.step_cycles - 1


def tree_levels(config: EngineConfig) -> int:
    """Levels of additions in a column's adder tree. The trees of bit planes are joined by more of them."""
    levels = config.lanes.bit_length() - 1
    return levels + (config.planes - 1).bit_length() if config.lane == "planes" else levels


def tree_stages(config: EngineConfig) -> int:
    """Registers in a column between the activations and the dot product, besides those of the products: one every two
    levels of additions. Lanes of planes have another one in front, as activations and slot come from afar."""
    return (tree_levels(config) + 1) // 2 + (config.lane == "planes")


def array_depth(config: EngineConfig) -> int:
    """From a beat of the array to the first cycle in which a drain request may address its sum: the adder tree, the
    product and the sum."""
    return tree_stages(config) + 2


REQUANTISE = 5
"""From a beat's entry into the requantiser to its result."""

POST_TILE = 1
"""From the pulse that a half is complete to the decision of its first step in a post-processor that waits for it."""

POST_READ = 2
"""From the decision of a step in the post-processor to the read of its residual, for which it waits. The cycles that it
has to wait come on top of the three that follow."""

POST_HALF_FREED = 4
"""From the decision of a half's last step to the pulse that the half is free."""

POST_WRITE = 8 + REQUANTISE
"""From the decision of a step in the post-processor to its write, and to `layer_done` with the layer's last write."""

POST_POOL_READ = POST_WRITE - 1 - ACTIVATION_READ
"""From the decision of a step that updates a pooled byte to the read of that byte."""

POST_COLUMN_TILE = 5
"""Idle cycles of the post-processor between two column tiles."""

POST_LAYER = POST_WRITE + ACTIVATION_WRITE - 1 - POST_READ
"""Idle cycles of the post-processor between two layers: the first step of a layer may read what the last one wrote."""

POST_AVERAGE = POST_WRITE - 4
"""Idle cycles of the post-processor before the steps that write the averages of a column tile."""

POOL_UPDATE = POST_WRITE + ACTIVATION_WRITE - 1 - POST_POOL_READ
"""Shortest distance of two maximum-pool updates of the same activation byte: a pixel's updates last at least this
long, and the last pixel of a map row idles this long, since its window may hold the next pixel of a narrow map. At this
distance a read would not see the byte yet: the post-processor keeps it."""
