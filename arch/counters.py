"""The engine's counters, by name, in the order of its ports. All are cumulative since the program's start."""

COUNTERS = {
    "cycles": "cycles since start, until done",
    "beats": "cycles in which the array took a pixel of a pass",
    "useful_macs": "multiply-accumulates with a weight and an activation of the layer (padding included)",
    "stall_weights": "cycles a pass waited for its weights while they were being built",
    "stall_memory": "cycles a pass waited for its weights while their coded masks were still on their way",
    "stall_activations": "cycles a layer waited for loads or stores it depends on",
    "stall_write_back": "cycles a layer waited for the write-back of layers it depends on",
    "stall_sums": "cycles a tile waited for a free half of the partial sums",
    "stall_bank": "cycles the activation memory refused a window read",
    "stall_short": "cycles added to passes shorter than the accumulate latency",
    "residual_waits": "cycles the post-processor's residual reads were refused by the activation memory",
    "built_weights": "weights built",
    "zero_weights": "weights built whose value is zero",
    "saturations": "outputs clamped from above 127",
    "program_bytes": "bytes read: descriptors",
    "mask_bytes": "bytes read: coded masks or stored weights, checksums included",
    "parameter_bytes": "bytes read: requantisation parameters, checksums included",
    "load_bytes": "bytes read: activations",
    "store_bytes": "bytes written: activations",
}
"""What each counter counts."""

STREAMS = ("program", "mask", "parameter", "load", "store")
"""What crosses the memory interface. Each has its counter of bytes, ``<stream>_bytes``; only the last one writes."""

COUNTER_BITS = 48
"""Width of a counter."""
