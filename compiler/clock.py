"""The tiling of every strip, by when what it waits for is done."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from arch import descriptor, latency
from arch.config import EngineConfig
from compiler.geometry import Geometry
from compiler.schedule import Tiling, Timeline, best_tiling, run_layer
from compiler.sizes import MaskSize


class Clock:
    """When everything happens, by the model of :mod:`compiler.schedule`: loads and stores at a beat per cycle."""

    def __init__(self, config: EngineConfig):
        self._config = config
        self._array = Timeline()
        self._loads, self._stores = [3 * descriptor.BYTES // config.bus_bytes], [0]
        self._tilings: dict[tuple, Tiling] = {}
        # Decoding tables that are held, the one in use last; when the builder began the last layer.
        self._tables: list[Hashable] = []
        self._decoded = self._loads[0]

    def _ready(self, waits: dict[str, int]) -> int:
        done = (0, *self._array.done)
        return max(done[waits.get("wait_layers", 0)], self._loads[waits.get("wait_loads", 0)],
                   self._stores[waits.get("wait_stores", 0)])

    def load(self, waits: dict[str, int], size: int):
        """A LOAD of ``size`` bytes."""
        self._loads.append(max(self._loads[-1], self._ready(waits)) + size // self._config.bus_bytes)

    def store(self, waits: dict[str, int], size: int):
        """A STORE of ``size`` bytes."""
        self._stores.append(max(self._stores[-1], self._ready(waits)) + size // self._config.bus_bytes)

    def layer(self, waits: dict[str, int], geometry: Geometry, mask: MaskSize, table: Hashable | None,
              awaited: bool) -> Tiling:
        """A LAYER; ``table`` stands for the decoding table of code `ans`, ``awaited`` if another one waits for it.
        Returns its tiling; strips alike get the same."""
        ready = self._ready(waits)
        before, self._array = self._array, self._with_table(table)
        key = geometry, awaited
        if key not in self._tilings:
            self._tilings[key] = best_tiling(before, geometry, mask, self._config, ready, awaited)
        self._array = run_layer(self._array, geometry, mask, self._tilings[key], self._config, ready)
        return self._tilings[key]

    def _with_table(self, table: Hashable | None) -> Timeline:
        """The timeline with a builder that waits for a decoding table, made while the layer before is decoded."""
        begin = self._array.builder
        if table is not None and table not in self._tables:
            begin = max(begin, self._decoded + latency.ANS_TABLE)
            self._tables = [*self._tables[-1:], table]
        elif table is not None and table == self._tables[0]:
            self._tables.reverse()
        self._decoded = begin
        return replace(self._array, builder=begin)

    @property
    def cycles(self) -> int:
        """When everything is done."""
        return max(*self._array.done, self._loads[-1], self._stores[-1])

    @property
    def done(self) -> tuple[int, ...]:
        """When the output of each LAYER operation so far is complete."""
        return self._array.done

    @property
    def layers(self) -> int:
        """LAYER operations so far."""
        return len(self._array.done)
