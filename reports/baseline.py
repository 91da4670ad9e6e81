"""What a network is held against: the same network with stored weights of 8, 4 or 1 bits on the same engine."""

from __future__ import annotations

import dataclasses

import numpy as np

from arch.config import EngineConfig
from compiler import Program, compile_network
from golden.integer import IntegerLayer, IntegerNetwork
from reports.actions import LayerRecord
from reports.records import program_records
from reports.stored import BITS, stored_estimate


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


def stored_program(network: IntegerNetwork, config: EngineConfig, bits: int = 8, *, batch: int = 1) -> Program:
    """The :func:`stored_network` of ``bits`` bits, compiled for the engine of its
    :func:`~reports.stored.stored_estimate`. Raises CompileError if no such engine can run it."""
    engine = stored_estimate(network.topology, config, bits, batch=batch).config
    return compile_network(stored_network(network, bits), engine, batch=batch)


def stored_records(program: Program, bits: int) -> tuple[LayerRecord, ...]:
    """:func:`reports.records.program_records` of a :func:`stored_program`: weights of one bit need no random stream."""
    records = program_records(program)
    return tuple(dataclasses.replace(record, stream_steps=0) for record in records) if bits == 1 else records


def int8_bytes(network: IntegerNetwork, config: EngineConfig, *, batch: int = 1) -> dict[str, int]:
    """Bytes of a run of the :func:`stored_program` of 8 bits, by ``<stream>_bytes``: planned, not compiled."""
    return stored_estimate(network.topology, config, batch=batch).bytes
