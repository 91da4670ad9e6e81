"""What a network's traffic is held against: the same network with stored 8-bit weights on the same engine."""

from __future__ import annotations

import dataclasses

import numpy as np

from arch.config import EngineConfig
from compiler.lower import compile_network
from golden.integer import IntegerLayer, IntegerNetwork
from sim.network import BYTES


def _stored(layer: IntegerLayer) -> IntegerLayer:
    """The layer with stored weights, all of them zero: no byte of a program depends on their values."""
    shape = layer.layer
    weights = np.zeros((shape.out_channels, shape.kernel, shape.kernel, shape.in_channels), np.int8)
    return dataclasses.replace(layer, code="stored", indices=None, stored=weights, table=(), symbol_bits=8,
                               frequencies=(), offset=0, densities=(), kept=())


def int8_bytes(network: IntegerNetwork, config: EngineConfig, *, batch: int = 1) -> dict[str, int]:
    """Planned bytes of a run, by ``<stream>_bytes``, of ``network`` with 8-bit stored weights on an engine that differs
    from ``config`` in nothing but its width of weights. Raises CompileError if that engine cannot run it."""
    stored = dataclasses.replace(network, layers=tuple(map(_stored, network.layers)))
    program = compile_network(stored, dataclasses.replace(config, weight_bits=8), batch=batch)
    return {name: program.predicted[name] for name in BYTES}
