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
    """Passes follow each other without a gap as long as weights, halves and window reads let them. Windows are decided
    on, pass a slice of two registers, are taken from it by the activation memory and read there."""

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
        # When what was decided on last is taken from the slice in front of the activation memory, and when it is read.
        self._taken = self._read = 0
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
            # Reads of the layer before may wait beyond this cycle. That it is known late harms nobody: the dispatcher
            # also needs room in the post-processor's queue, which takes the layer after those reads.
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
                        if contested or self._read > begin + 1:
                            decided, free, last = yield from self._read_contested(begin, layer.windows(tile)[work])
                            before, latest = decided[max(pixels - 2, 0)], decided[pixels - 1]
                        else:
                            before, latest, free = (
                                begin + pixels - 2, begin + pixels - 1, begin + max(pixels, latency.ACCUMULATE))
                            last = latest + latency.WINDOW_READ
                            self._taken, self._read = free, free + 1
                            self._publish(begin + latency.WINDOW_READ, last, partial(_window_list, layer, tile, work))
                        if pixels == 1:
                            before = previous
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
        """Process: the cycles of a pass's decisions, the next cycle in which something can be decided, and the one of
        the last read, with reads refused where the post-processor reads pooled bytes in the same memory. Those are
        known some cycles ahead. The slice holds two windows; one is taken from it when the one before is read."""
        kernel, free, taken, read = self._kernel, begin, self._taken, self._read
        first = max(free + latency.WINDOW_READ, read + 1)
        decided, reads = [], []
        for touched in windows + [0] * (latency.ACCUMULATE - len(windows)):
            decided.append(free)
            free, taken = max(free, taken) + 1, max(free + 1, read)
            cycle = taken + 1
            while True:
                if touched and cycle >= kernel.now + latency.POST_POOL_READ - latency.POST_READ:
                    if reads:
                        self._publish(first, cycle - 1, reads.copy)
                        first, reads = cycle, []
                    yield cycle - 1
                refused = self._urgent.get(cycle, 0) & touched
                reads.append(0 if refused else touched)
                if not refused:
                    break
                cycle += 1
            read = cycle
            if touched:
                last = read
        self._publish(first, read, reads.copy)
        self._taken, self._read = taken, read
        return decided, free, last
