"""The post-processor: when finished sums are drained, and what that reads and writes (hw/drain.py, postprocess.py)."""

from __future__ import annotations

from arch import latency
from arch.config import EngineConfig
from arch.descriptor import PoolMode
from compiler.timing.kernel import Kernel, Queue, Tape
from compiler.timing.parameters import Parameters
from compiler.timing.passes import PassSequencer
from compiler.timing.transfer import Done
from compiler.timing.work import Layer


class _Walk:
    """When steps, or cycles without one, are decided and go on, through the register slice to the read."""

    def __init__(self):
        self.restart(0)

    def restart(self, cycle: int):
        """Nothing waits; what comes next is decided in ``cycle``."""
        #: When the last step was decided, its residual was taken, and was read: from then on the next can be taken.
        self.decided, self._taken, self.read = cycle - 1, cycle, cycle + 1
        self._taken_before = cycle - 1

    def decide(self) -> int:
        """Decides the next step as soon as there is room. The first cycle in which its residual can be read; ``read``
        is set to it."""
        self.decided = max(self.decided, self._taken_before) + 1
        self._taken_before, self._taken = self._taken, max(self.decided + 1, self.read)
        self.read = self._taken + 1
        return self.read

    def wait(self, cycle: int):
        """No steps are decided up to ``cycle``."""
        if cycle > self.read:
            self.restart(cycle + 1)
        while self.decided < cycle:
            self.decide()


class PostProcessor:
    """Takes one layer after another; halves of the partial sums, in order, pixel by pixel."""

    def __init__(self, kernel: Kernel, config: EngineConfig, layers: list[Layer], queue: Queue, done: Done,
                 parameters: Parameters, sequencer: PassSequencer, urgent: dict[int, int], reads: Tape, writes: Tape):
        self._kernel = kernel
        self._config = config
        self._layers = layers
        self._queue = queue
        self._done = done
        self._parameters = parameters
        self._sequencer = sequencer
        self._urgent = urgent
        self._reads = reads
        self._writes = writes
        kernel.start(self._run())

    def _contested(self, number: int) -> bool:
        """Whether window reads can refuse residuals of layer ``number``: its own, and those of layers that need not
        wait for it."""
        layer = self._layers[number]
        if not layer.residual:
            return False
        for other in self._layers[number:]:
            if other.wait_layers > number:
                return False
            if other.window_memories & layer.read_memories:
                return True
        return False

    def _run(self):
        sequencer = self._sequencer
        tiles, free = 0, 0
        walk = _Walk()
        for number, layer in enumerate(self._layers):
            visible = yield from self._queue.visible(number)
            taken = max(visible, free)
            self._queue.take(taken)
            contested = self._contested(number)
            # In this cycle it looks for a finished half.
            waits = taken + latency.POST_COLUMN_TILE - latency.POST_READ
            rows = 0
            for column in range(len(layer.tile_channels)):
                rows += layer.rows(column)
                first = 0
                for tile, pixels in enumerate(layer.tile_sizes):
                    done = yield from sequencer.tile_done.get(tiles)
                    if tile == 0:
                        ready = yield from self._parameters.ready(number, rows)
                        walk.restart(max(waits, done, ready) + latency.POST_TILE)
                    elif done > walk.decided:
                        walk.wait(done)
                    if layer.pool == PoolMode.MAX and layer.residual:
                        yield from self._drain_pool_contested(walk, layer, column, first, pixels)
                    elif contested:
                        yield from self._drain_contested(walk, layer, column, first, pixels)
                    else:
                        drain = self._drain_pool if layer.pool == PoolMode.MAX else self._drain
                        walk.restart(drain(walk.decided + 1, layer, column, first, pixels) + 1)
                    # The decision of the last step, if nothing had made steps wait.
                    end = walk.read - latency.POST_READ
                    sequencer.half_freed.post(end + latency.POST_HALF_FREED + 1)
                    tiles += 1
                    first += pixels
                self._parameters.release(end + latency.POST_HALF_FREED, layer.rows(column), layer.parameter_keep,
                                         column == len(layer.tile_channels) - 1)
                if layer.pool == PoolMode.AVERAGE:
                    groups = layer.groups(column)
                    begin = end + latency.POST_AVERAGE + 1
                    self._write(begin, groups, lambda layer=layer, column=column: layer.averages(column).tolist())
                    end = begin + groups - 1
                waits = end + latency.POST_COLUMN_TILE
            self._done.layers.post(end + latency.POST_WRITE + 1)
            free = end + latency.POST_READ + latency.POST_LAYER - latency.POST_COLUMN_TILE

    def _write(self, begin: int, steps: int, masks):
        """Steps decided from ``begin`` on, one per cycle, write ``masks()``."""
        self._writes.add(self._kernel.now, begin + latency.POST_WRITE, steps, masks)

    def _drain(self, begin: int, layer: Layer, column: int, first: int, pixels: int) -> int:
        """The last decision for ``pixels`` pixels from ``first`` on, a group per cycle from ``begin`` on."""
        steps = pixels * layer.groups(column)
        if layer.pool != PoolMode.AVERAGE:
            self._write(begin, steps, lambda: layer.writes(column, first, pixels).ravel().tolist())
        if layer.residual:
            self._reads.add(self._kernel.now, begin + latency.POST_READ, steps,
                            lambda: layer.residuals(column, first, pixels).ravel().tolist())
        return begin + steps - 1

    def _drain_contested(self, walk: _Walk, layer: Layer, column: int, first: int, pixels: int):
        """Process: the same, where a window read of the same memory makes a residual wait."""
        kernel, sequencer = self._kernel, self._sequencer
        residuals = layer.residuals(column, first, pixels).ravel().tolist()
        writes = ([0] * len(residuals) if layer.pool == PoolMode.AVERAGE
                  else layer.writes(column, first, pixels).ravel().tolist())
        cycle, step = walk.decide(), 0
        read: list[int] = []
        written: list[int] = []

        def goes():
            """The residual is read in ``cycle``."""
            nonlocal cycle, step
            walk.read = cycle
            cycle += 1
            step += 1
            if step < len(residuals):
                walk.decide()

        while step < len(residuals):
            known = max(kernel.now, sequencer.known)
            if cycle > known:
                self._publish(cycle, read, written)
                read, written = [], []
                yield cycle
                continue
            windows, until = sequencer.windows.run(cycle)
            until = min(until, known + 1)
            if windows is None:
                count = min(until - cycle, len(residuals) - step)
                read += residuals[step:step + count]
                written += writes[step:step + count]
                for _ in range(count):
                    goes()
                continue
            for window in windows[:until - cycle]:
                # No store reads where a residual waits.
                read.append(residuals[step])
                if window & residuals[step]:
                    written.append(0)
                    cycle += 1
                else:
                    written.append(writes[step])
                    goes()
                if step == len(residuals):
                    break
        self._publish(cycle, read, written)

    def _publish(self, cycle: int, read: list[int], written: list[int]):
        """Before ``cycle``, one step per cycle has read and will write these memories."""
        begin = cycle - len(read)
        self._reads.add(self._kernel.now, begin, len(read), lambda: read)
        self._write(begin - latency.POST_READ, len(written), lambda: written)

    def _drain_pool(self, begin: int, layer: Layer, column: int, first: int, pixels: int) -> int:
        """The last decision where every pixel updates the pooled pixels it belongs to."""
        groups = layer.groups(column)
        pooled, writes = layer.pooled(column), layer.pooled_writes(column)
        cycle = begin
        written: list[int] = []
        for pixel in range(first, first + pixels):
            for target, later in layer.targets[pixel]:
                if later:
                    for group, touched in enumerate(pooled[target]):
                        self._urgent[cycle + latency.POST_POOL_READ + group] = touched
                written += writes[target]
                cycle += groups
            steps = len(layer.targets[pixel]) * groups
            if (pixel + 1) % layer.map_width == 0:
                idle = latency.POOL_UPDATE
            else:
                idle = max(latency.POOL_UPDATE, steps) - steps if steps else 1
            cycle += idle
            written += [0] * idle
        self._write(begin, cycle - begin, lambda: written)
        return cycle - 1

    def _drain_pool_contested(self, walk: _Walk, layer: Layer, column: int, first: int, pixels: int):
        """Process: the same with residuals, which give way to window reads and to reads of pooled bytes. Decision by
        decision, as in hw/drain.py."""
        kernel, sequencer = self._kernel, self._sequencer
        groups = layer.groups(column)
        pooled, writes = layer.pooled(column), layer.pooled_writes(column)
        residuals = layer.residuals(column, first, pixels).tolist()
        for pixel in range(first, first + pixels):
            row_end = (pixel + 1) % layer.map_width == 0
            steps = [(group, target, later) for target, later in layer.targets[pixel] for group in range(groups)]
            step, hold, fresh = 0, latency.POOL_UPDATE - 1, True
            ends = False
            while not ends:
                cycle = walk.decide()
                empty = step == len(steps)
                last = False
                if not empty:
                    group, target, later = steps[step]
                    touched = residuals[pixel - first][group]
                    while True:
                        while cycle > max(kernel.now, sequencer.known):
                            yield cycle
                        if not (cycle in self._urgent or sequencer.windows.at(cycle) & touched):
                            break
                        self._publish(cycle + 1, [touched], [0])
                        cycle += 1
                    self._publish(cycle + 1, [touched], [writes[target][group]])
                    if later:
                        self._urgent[cycle - latency.POST_READ + latency.POST_POOL_READ] = pooled[target][group]
                    walk.read = cycle
                    step += 1
                    last = step == len(steps)
                if row_end:
                    ends = empty and hold == 0
                else:
                    ends = (empty or last) and (hold == 0 or (empty and fresh))
                if not empty and row_end:
                    hold = latency.POOL_UPDATE - 1
                elif hold:
                    hold -= 1
                if not empty and group == groups - 1:
                    fresh = False
