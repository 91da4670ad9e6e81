"""What an operation waits for: whatever reads or writes the same bytes and is not before it anyhow.

The loads, the stores and the layers of a program each run in program order, but a load may be ahead of a layer that
comes before it, and so on. Within a unit only one thing is not in order: a layer's windows are read while layers before
it still write. Everything else that a layer does, its post-processor does when the layer before is done, and never
before the layer's own windows, so that a layer which has waited for a transfer reads residuals and writes behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arch.config import EngineConfig
from compiler.ring import Span


class _Bytes:
    """For every cell of a memory and every unit, how many of the unit's operations there were when one of them last
    read or wrote it: what to wait for."""

    def __init__(self, cells: int, cell: int, units: tuple[str, ...]):
        self._cell, self._cells = cell, cells
        self._last = {unit: np.zeros(cells, np.int16) for unit in units}

    def _slices(self, span: Span) -> Iterator[slice]:
        first = span[0] // self._cell % self._cells
        last = first - (-span[1] // self._cell)
        yield slice(first, min(last, self._cells))
        if last > self._cells:
            yield slice(0, last - self._cells)

    def last(self, unit: str, span: Span) -> int:
        """Operations of ``unit`` up to the last one that used the span."""
        return max(int(self._last[unit][cells].max()) for cells in self._slices(span))

    def mark(self, unit: str, span: Span, count: int):
        """The operation of ``unit`` number ``count``, from one, uses the span."""
        for cells in self._slices(span):
            self._last[unit][cells] = count


class Hazards:
    """Follows a program operation by operation. Methods take what an operation reads and writes, spans of activation
    memory or of memory, and return its ``wait_layers``, ``wait_loads`` and ``wait_stores``: the smallest that do."""

    def __init__(self, config: EngineConfig, memory_bytes: int):
        beat = config.bus_bytes
        # A layer's reads and writes are told apart: only writes hold up the windows of a later layer.
        self._chip = _Bytes(config.activation_bytes, 1, ("layer reads", "layer writes", "load", "store"))
        self._memory = _Bytes(memory_bytes // beat, beat, ("load", "store"))
        self._layers = self._loads = self._stores = 0

    def load(self, memory: Span, chip: Span) -> dict[str, int]:
        """A LOAD from ``memory`` to ``chip``."""
        waits = {"wait_layers": max(self._chip.last("layer reads", chip), self._chip.last("layer writes", chip)),
                 "wait_stores": max(self._chip.last("store", chip), self._memory.last("store", memory))}
        self._loads += 1
        self._chip.mark("load", chip, self._loads)
        self._memory.mark("load", memory, self._loads)
        return waits

    def store(self, memory: Span, chip: Span) -> dict[str, int]:
        """A STORE from ``chip`` to ``memory``."""
        waits = {"wait_layers": self._chip.last("layer writes", chip),
                 "wait_loads": max(self._chip.last("load", chip), self._memory.last("load", memory))}
        self._stores += 1
        self._chip.mark("store", chip, self._stores)
        self._memory.mark("store", memory, self._stores)
        return waits

    def layer(self, windows: Span, residual: Span | None, output: Span) -> dict[str, int]:
        """A LAYER that reads ``windows`` and ``residual`` and writes ``output``."""
        chip, reads = self._chip, [windows] + ([] if residual is None else [residual])
        waits = {"wait_layers": chip.last("layer writes", windows),
                 "wait_loads": max(chip.last("load", span) for span in (*reads, output)),
                 "wait_stores": chip.last("store", output)}
        self._layers += 1
        for span in reads:
            chip.mark("layer reads", span, self._layers)
        chip.mark("layer writes", output, self._layers)
        return waits
