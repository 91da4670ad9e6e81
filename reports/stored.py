"""Stored weights at their best, from shapes alone: what coats are held against."""

from __future__ import annotations

import dataclasses

from arch.config import EngineConfig
from compiler import CompileError
from compiler.estimate import Estimate, estimate
from compiler.expected import Stored
from golden.topology import Topology
from reports.engines import stored_engine

BITS = (8, 4, 1)
"""Widths of stored weights that there are baselines of."""

LARGEST_BUFFER = 1 << 20
"""Bytes of the largest buffer for weights that a baseline is given."""


def stored_estimate(topology: Topology, config: EngineConfig, bits: int = 8, *, batch: int = 1) -> Estimate:
    """A run with stored weights of ``bits`` bits, one of :data:`BITS`, on the engine that suits them: its ``config``.

    That engine is :func:`reports.engines.stored_engine` with a buffer for weights, of up to ``LARGEST_BUFFER`` bytes,
    that is doubled until an image fetches every layer's once: a larger one costs energy and saves no byte. Bytes are
    exactly the compiled program's, as no stored weight is shorter than another. Raises CompileError if no such engine
    can run it, ValueError for other widths.
    """
    if bits not in BITS:
        raise ValueError(f"bits must be one of {BITS}, not {bits!r}")
    engine = stored_engine(config, bits)
    while True:
        largest = engine.mask_bytes >= LARGEST_BUFFER
        try:
            run = estimate(topology, engine, Stored(bits), batch=batch)
            if largest or all(layer.mask_fetches <= batch for layer in run.layers):
                return run
        except CompileError:
            if largest:
                raise
        engine = dataclasses.replace(engine, mask_bytes=2 * engine.mask_bytes)
