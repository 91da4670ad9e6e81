"""The pass sequencer: when every pass begins, and what it reads (hw/sequencer.py, passes.py)."""

from __future__ import annotations

from functools import partial

from arch import latency
from arch.config import EngineConfig
from arch.descriptor import PoolMode
from compiler.timing.kernel import Events, Kernel, Queue, Signal, Tape
from compiler.timing.transfer import Done
from compiler.timing.builder import WeightPath
from compiler.timing.work import Layer


def _window_list(layer: Layer, tile: int, work: int) -> list[int]:
    return layer.windows(tile)[work]


class PassSequencer:
    """Passes follow each other without a gap as long as weights, halves and window reads let them."""

    def __init__(self, kernel: Kernel, config: EngineConfig, layers: list[Layer], queue: Queue, done: Done,
                 weights: WeightPath, urgent: dict[int, int]):
        self._kernel = kernel
        self._layers = layers
        self._queue = queue
        self._done = done
        self._weights = weights
        self._urgent = urgent
        self._depth = latency.array_depth(config)
        #: By layer: the cycle of its layer_start.
        self.started = Events(kernel)
        #: By tile: the cycle in which the post-processor is told that its sums are complete.
        self.tile_done = Events(kernel)
        #: By tile: the first cycle in which a half is free again.
        self.half_freed = Events(kernel)
        #: The window reads, and the last cycle of which they are known besides those that the clock has passed.
        self.windows = Tape()
        self.known = 0
        self.moved = Signal(kernel)
        kernel.start(self._run())

    def _contested(self, number: int) -> bool:
        """Whether updates of a pooled map can refuse the window reads of layer ``number``."""
        layer = self._layers[number]
        return any(other.pool == PoolMode.MAX and other.read_memories & layer.window_memories
                   for other in self._layers[layer.wait_layers:number + 1])

    def _run(self):
        tiles = passes = 0
        # The next cycle in which something can be decided, and the ones of the last decision and the one before it.
        free, before, latest = 0, -1, -1
        idle = 0  # the first cycle in which no layer is walked: the walk is a step ahead of the decisions
        for number, layer in enumerate(self._layers):
            visible = yield from self._queue.visible(number)
            met = max(visible + layer.pad_rows, (yield from self._done.met(layer)))
            start = max(met + latency.MET, idle)
            self._queue.take(start)
            self.started.post(start)
            contested = self._contested(number)
            free = max(free, start + latency.PASS_STEP)
            for _ in layer.tile_channels:
                for tile, pixels in enumerate(layer.tile_sizes):
                    freed = yield from self.half_freed.get(tiles - 2)
                    for work in range(layer.passes):
                        begin = max(free, (yield from self._weights.built.get(passes)), 0 if work else freed)
                        previous = latest
                        if contested:
                            before, latest, last = yield from self._read_contested(begin, layer.windows(tile)[work])
                        else:
                            last = begin + pixels
                            before, latest = last - 2, last - 1
                            self._publish(begin + 1, last, partial(_window_list, layer, tile, work))
                        if pixels == 1:
                            before = previous
                        free = last + max(latency.ACCUMULATE - pixels, 0)
                        self._weights.freed.post(last + latency.SLOT_FREED)
                        passes += 1
                    self.tile_done.post(last + latency.ACTIVATION_READ + self._depth)
                    tiles += 1
            idle = max(start + 1, before) + 1

    def _publish(self, first: int, last: int, masks):
        self.windows.add(self._kernel.now, first, last + 1 - first, masks)
        self.known = last
        self.moved.notify()

    def _read_contested(self, begin: int, windows: list[int]):
        """Process: the cycles of the last two decisions and of the last read, with reads refused where the
        post-processor reads pooled bytes in the same memory. Those are known some cycles ahead. A window is
        decided on in the cycle in which the one before is read."""
        kernel = self._kernel
        cycle = first = begin + 1
        before, latest, last, reads = begin, begin, begin, []
        for touched in windows:
            while True:
                if cycle >= kernel.now + latency.POST_POOL_READ - latency.POST_READ:
                    if reads:
                        self._publish(first, cycle - 1, reads.copy)
                        first, reads = cycle, []
                    yield cycle - 1
                refused = self._urgent.get(cycle, 0) & touched
                reads.append(0 if refused else touched)
                cycle += 1
                if not refused:
                    break
            before, latest, last = latest, last, cycle - 1
        self._publish(first, last, reads.copy)
        return before, latest, last
