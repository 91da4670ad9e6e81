"""The tiling of every strip, by when what it waits for is done."""

from __future__ import annotations

from arch import descriptor
from arch.config import EngineConfig
from compiler.geometry import Geometry
from compiler.masks import MaskStream
from compiler.schedule import Tiling, Timeline, best_tiling, run_layer


class Clock:
    """When everything happens, by the model of :mod:`compiler.schedule`: loads and stores at a beat per cycle."""

    def __init__(self, config: EngineConfig):
        self._config = config
        self._array = Timeline()
        self._loads, self._stores = [3 * descriptor.BYTES // config.bus_bytes], [0]
        self._tilings: dict[tuple, Tiling] = {}

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

    def layer(self, waits: dict[str, int], geometry: Geometry, stream: MaskStream, awaited: bool) -> Tiling:
        """A LAYER; ``awaited`` if another one waits for it. Returns its tiling; strips alike get the same."""
        ready = self._ready(waits)
        key = geometry, awaited
        if key not in self._tilings:
            self._tilings[key] = best_tiling(self._array, geometry, stream, self._config, ready, awaited)
        self._array = run_layer(self._array, geometry, stream, self._tilings[key], self._config, ready)
        return self._tilings[key]

    @property
    def layers(self) -> int:
        """LAYER operations so far."""
        return len(self._array.done)
