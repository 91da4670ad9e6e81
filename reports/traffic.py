"""The least bytes that must cross the memory interface to run a network: what an engine's traffic is measured against.

Nothing here comes from the compiler. Layers run one after another in their order, each on a whole tensor.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from arch.descriptor import PARAMETER_BYTES
from golden import codes
from golden.topology import IMAGE, Layer, Topology

if TYPE_CHECKING:
    from golden.integer import IntegerNetwork  # needs PyTorch, floors of shapes do not


@dataclass(frozen=True, kw_only=True)
class TrafficFloor:
    """Bytes of one run, all images of the batch together."""

    #: Coat indices at their Shannon bound; stored weights as they are.
    masks: int
    #: Multiplier and bias of every output channel.
    parameters: int
    #: Input images, each read once.
    image: int
    #: The last layer's tensors, each written once.
    logits: int
    spill_writes: int
    spill_reads: int

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return sum(asdict(self).values())

    def to_json(self) -> dict:
        """Plain JSON values, ``total`` included."""
        return {**asdict(self), "total": self.total}


def _tensor_bytes(topology: Topology) -> dict[str, int]:
    wide = {layer.name for layer in topology.layers if layer.wide}
    return {name: math.prod(shape) * (4 if name in wide else 1) for name, shape in topology.shapes().items()}


def _sources(layer: Layer) -> set[str]:
    return {layer.input} if layer.residual is None else {layer.input, layer.residual}


def _live(topology: Topology) -> list[dict[str, int]]:
    """For the boundary behind every layer: the tensors that later layers read, each with the first that does."""
    boundaries, following = [], {}
    for position in reversed(range(len(topology.layers))):
        layer = topology.layers[position]
        boundaries.append(dict(following))
        following.pop(layer.name, None)
        following.update(dict.fromkeys(_sources(layer), position))
    return boundaries[::-1]


def spills(topology: Topology, activation_bytes: int) -> tuple[int, int]:
    """Bytes (written, read) of one image because an activation memory of ``activation_bytes`` cannot hold them.

    At the boundary behind every layer, the tensors that later layers read, the image among them, are alive. The bytes
    by which they exceed the memory are away, in DRAM:

    - first those that are away already, since an earlier boundary behind their tensor's last use;
    - then those of the tensors whose next use is farthest; of equals, bytes that DRAM holds from before (of the image:
      all) before others, larger tensors before smaller.

    A byte is written the first time that it goes away, a byte of the image never. Bytes that are away are read once by
    the next layer that uses them, and may stay from then on. No room is asked for beyond that, such as for what a
    running layer reads and writes. For :data:`golden.networks.NETWORKS` no other choice of bytes moves less.
    """
    sizes = _tensor_bytes(topology)
    away: dict[str, int] = {}
    saved = {IMAGE: sizes[IMAGE]}
    written = read = 0
    for layer, live in zip(topology.layers, _live(topology)):
        read += sum(away.pop(name, 0) for name in _sources(layer))
        excess = sum(sizes[name] - away.get(name, 0) for name in live) - activation_bytes
        candidates = []
        for name, use in live.items():
            clean = saved.get(name, 0) - away.get(name, 0)
            dirty = sizes[name] - saved.get(name, 0)
            candidates += [(-use, False, -sizes[name], name, clean), (-use, True, -sizes[name], name, dirty)]
        for _, dirty, _, name, present in sorted(candidates):
            taken = max(0, min(excess, present))
            excess -= taken
            away[name] = away.get(name, 0) + taken
            if dirty:
                saved[name] = saved.get(name, 0) + taken
                written += taken
    return written, read


def topology_floor(topology: Topology, mask_bits: float, activation_bytes: int, *, batch: int = 1) -> TrafficFloor:
    """:func:`traffic_floor` of a network that is known by its shapes and the bits of all its masks or weights."""
    sizes = _tensor_bytes(topology)
    written, read = spills(topology, activation_bytes)
    return TrafficFloor(masks=math.ceil(mask_bits / 8),
                        parameters=PARAMETER_BYTES * sum(layer.out_channels for layer in topology.layers),
                        image=batch * sizes[IMAGE], logits=batch * sizes[topology.layers[-1].name],
                        spill_writes=batch * written, spill_reads=batch * read)


def traffic_floor(network: IntegerNetwork, activation_bytes: int, *, batch: int = 1) -> TrafficFloor:
    """The least bytes of a run of ``batch`` images on an engine with that activation memory.

    Masks and parameters are read once per run, as if their on-chip memories held all of them; an image's activations
    never meet those of another one. Spills: see :func:`spills`.
    """
    bits = 0.
    for layer in network.layers:
        if layer.code == "stored":
            bits += layer.layer.weights * layer.symbol_bits
        else:
            bits += codes.shannon_bits(np.bincount(layer.indices.ravel()))
    return topology_floor(network.topology, bits, activation_bytes, batch=batch)
