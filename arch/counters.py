"""The engine's counters, by name, in the order of its ports. All are cumulative since the program's start."""

COUNTERS = {
    "cycles": "cycles since start, until done",
    "beats": "cycles in which the array took a pixel of a pass",
    "useful_macs": "multiply-accumulates with a weight and an activation of the layer (padding included)",
    "stall_weights": "cycles a pass waited for its weights to be built",
    "stall_input": "cycles a layer waited for layers or loads it depends on",
    "stall_sums": "cycles a tile waited for a free half of the partial sums",
    "stall_bank": "cycles the window read was refused by the activation memory",
    "stall_short": "cycles added to passes shorter than the accumulate latency",
    "built_weights": "weights built",
    "zero_weights": "weights built whose value is zero",
    "saturations": "outputs clamped from above 127",
    "program_bytes": "bytes read: descriptors",
    "mask_bytes": "bytes read: coded masks or stored weights",
    "parameter_bytes": "bytes read: requantisation parameters",
    "load_bytes": "bytes read: activations",
    "store_bytes": "bytes written: activations",
}
"""What each counter counts."""

COUNTER_BITS = 48
"""Width of a counter."""
