"""What a network's traffic is held against: the same network with stored 8-bit weights on the same engine."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from arch.config import EngineConfig
from compiler import Program, compile_network
from golden.integer import IntegerLayer, IntegerNetwork
from sim.network import BYTES

LARGEST_BUFFER = 1 << 20
"""Bytes of the largest buffer for weights that the baseline is given."""


def _stored(layer: IntegerLayer) -> IntegerLayer:
    """The layer with stored weights, all of them zero: no byte of a program depends on their values."""
    shape = layer.layer
    weights = np.zeros((shape.out_channels, shape.kernel, shape.kernel, shape.in_channels), np.int8)
    return dataclasses.replace(layer, code="stored", indices=None, stored=weights, table=(), symbol_bits=8,
                               frequencies=(), offset=0, densities=(), kept=())


def int8_bytes(network: IntegerNetwork, config: EngineConfig, *, batch: int = 1) -> dict[str, int]:
    """Planned bytes of a run, by ``<stream>_bytes``, of ``network`` with 8-bit stored weights.

    The engine differs from ``config`` in its width of weights and of sums, and in a buffer for weights, of up to
    ``LARGEST_BUFFER`` bytes, with which every layer's cross the memory interface once: the baseline at its best. Raises
    CompileError if no such engine can run it.
    """
    stored = dataclasses.replace(network, layers=tuple(map(_stored, network.layers)))
    engine = dataclasses.replace(config, weight_bits=8, accumulator_bits=32)
    program = compile_network(stored, engine, batch=batch)
    while engine.mask_bytes < LARGEST_BUFFER and (again := _fetched_again(program)):
        # Room for these weights and a burst.
        needed = 1 << (max(again) + engine.burst_beats * engine.bus_bytes - 1).bit_length()
        engine = dataclasses.replace(engine, mask_bytes=min(max(needed, 2 * engine.mask_bytes), LARGEST_BUFFER))
        program = compile_network(stored, engine, batch=batch)
    return {name: program.predicted[name] for name in BYTES}


def _fetched_again(program: Program) -> list[int]:
    """Bytes of the weights of every layer that an image fetches more than once."""
    fetches = Counter((transfer.layer, transfer.bytes) for transfer in program.transfers if transfer.stream == "mask")
    return [size for (_, size), count in fetches.items() if count > program.batch]
