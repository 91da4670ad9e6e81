"""What a network is held against: the same network with stored weights of 8, 4 or 1 bits on the same engine."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from arch.config import EngineConfig
from compiler import CompileError, Program, compile_network
from golden.integer import IntegerLayer, IntegerNetwork
from reports.actions import LayerRecord
from reports.engines import int8_engine
from reports.records import program_records
from sim.network import BYTES

BITS = (8, 4, 1)
"""Widths of stored weights that there are baselines of."""

LARGEST_BUFFER = 1 << 20
"""Bytes of the largest buffer for weights that the baseline is given."""


def _stored(layer: IntegerLayer, bits: int) -> IntegerLayer:
    """The layer with stored weights, all the same: no byte of a program depends on their values.

    Weights of one bit, +1 or -1, are raw indices of a table of these two, by which the stream's signs turn into any.
    """
    shape = layer.layer
    weights = np.zeros((shape.out_channels, shape.kernel, shape.kernel, shape.in_channels), np.int8)
    symbols = {"code": "raw", "indices": weights.view(np.uint8), "stored": None, "table": (1, -1)} if bits == 1 else {
        "code": "stored", "indices": None, "stored": weights, "table": ()}
    return dataclasses.replace(layer, **symbols, symbol_bits=bits, frequencies=(), offset=0, densities=(), kept=())


def stored_network(network: IntegerNetwork, bits: int) -> IntegerNetwork:
    """``network`` with stored weights of ``bits`` bits, one of :data:`BITS`."""
    if bits not in BITS:
        raise ValueError(f"bits must be one of {BITS}, not {bits!r}")
    return dataclasses.replace(network, layers=tuple(_stored(layer, bits) for layer in network.layers))


def stored_program(network: IntegerNetwork, config: EngineConfig, bits: int = 8, *, batch: int = 1,
                   growth: int = 2) -> Program:
    """The :func:`stored_network` of ``bits`` bits, compiled for the engine that suits it.

    That engine differs from ``config`` in its width of weights, for 8 bits in that of sums, and in a buffer for
    weights, of up to ``LARGEST_BUFFER`` bytes, that is made ``growth`` times as large until every layer's cross the
    memory interface once: if doubled, the baseline at its best, since a larger one costs energy and saves no byte.
    Raises CompileError if no such engine can run it.
    """
    stored = stored_network(network, bits)
    engine = int8_engine(config) if bits == 8 else dataclasses.replace(config, weight_bits=max(bits, 2))
    while True:
        largest = engine.mask_bytes >= LARGEST_BUFFER
        try:
            program = compile_network(stored, engine, batch=batch)
            if largest or not _fetches_again(program):
                return program
        except CompileError:
            if largest:
                raise
        engine = dataclasses.replace(engine, mask_bytes=min(growth * engine.mask_bytes, LARGEST_BUFFER))


def _fetches_again(program: Program) -> bool:
    """Whether an image fetches the weights of a layer more than once."""
    fetches = Counter(transfer.layer for transfer in program.transfers if transfer.stream == "mask")
    return max(fetches.values()) > program.batch


def stored_records(program: Program, bits: int) -> tuple[LayerRecord, ...]:
    """:func:`reports.records.program_records` of a :func:`stored_program`: weights of one bit need no random stream."""
    records = program_records(program)
    return tuple(dataclasses.replace(record, stream_steps=0) for record in records) if bits == 1 else records


def int8_bytes(network: IntegerNetwork, config: EngineConfig, *, batch: int = 1) -> dict[str, int]:
    """Planned bytes of a run, by ``<stream>_bytes``, of the :func:`stored_program` of 8 bits. Any buffer that is large
    enough gives the same, so the largest is tried at once."""
    program = stored_program(network, config, batch=batch, growth=LARGEST_BUFFER)
    return {name: program.predicted[name] for name in BYTES}
