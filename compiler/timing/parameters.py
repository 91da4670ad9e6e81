"""The parameter buffer: beats become records, one per cycle, and records become rows (hw/parameters.py)."""

from __future__ import annotations

from bisect import bisect_right

from arch.config import EngineConfig
from arch.descriptor import PARAMETER_BYTES
from arch.latency import BURST_SPACE
from compiler.timing.kernel import Events, Kernel, Queue
from compiler.timing.memory import Client, content_beats
from compiler.timing.work import Layer

LAYERS_AHEAD = 4
"""Depth of the queue of layers whose rows are not all released."""


class Parameters(Client):
    """Reader and buffer of the parameters."""

    def __init__(self, kernel: Kernel, config: EngineConfig, channel, index: int, layers: list[Layer],
                 commands: Queue, reads: Queue):
        super().__init__(kernel, config, channel, index)
        self._layers = layers
        self._commands = commands
        self._reads = reads
        self._rows = config.parameter_channels // config.requantiser_lanes
        self._ahead = Queue(kernel, LAYERS_AHEAD)
        #: By row: the first cycle in which it is counted, and in which its place is free again.
        self._complete = Events(kernel)
        self._freed = Events(kernel)
        #: By layer: its first row, once its command is taken; when its rows may be used; when all are released.
        self._first_rows: list[int] = []
        self._opened = Events(kernel)
        self._left = Events(kernel)
        # The gearbox: bytes in it, records it still gives, records in the row at work, and when it can go on.
        self._level = self._records = self._slot = self._clock = 0
        self._unpacked = Events(kernel)
        # For `fits`: beats asked for, content of layers before this one, rows of layers before this one.
        self._asked = self._before = self._rows_before = 0
        self._checksums = Events(kernel)
        kernel.start(self._run())
        kernel.start(self._open())

    def _run(self):
        unpacked = fetched = 0
        for number, layer in enumerate(self._layers):
            taken = max((yield from self._commands.visible(number)), (yield from self._reads.visible(number)),
                        (yield from self._ahead.room()), unpacked, self.free)
            self._commands.take(taken)
            self._reads.take(taken)
            self._ahead.write(taken)
            if layer.parameter_reuse:
                self._first_rows.append(self._first_rows[-1])
                continue
            self._first_rows.append(len(self._complete.cycles))
            self._rows_before = len(self._complete.cycles)
            self._records, self._clock = layer.out_channels, taken + 1
            yield from self.read(taken, layer.parameter_address, content_beats(layer.parameter_beats, self.config))
            unpacked = yield from self._unpacked.get(fetched)
            fetched += 1
            self._before += layer.parameter_content

    def fits(self, cycle: int, beats: int):
        self._asked += beats
        config = self.config
        when = cycle - BURST_SPACE
        while True:
            checksums, freed = (bisect_right(events.cycles, when) for events in (self._checksums, self._freed))
            free = (self._rows - self._rows_before + freed) * config.requantiser_lanes * PARAMETER_BYTES
            space = (free + PARAMETER_BYTES - 1) // config.bus_bytes + 1
            if self._asked - self._before - checksums <= space:
                return when + BURST_SPACE
            # The next change, unless an earlier one is posted before the clock is there.
            later = [events.cycles[number] for events, number in ((self._checksums, checksums), (self._freed, freed))
                     if number < len(events.cycles)]
            if not later or min(later) + BURST_SPACE > self.kernel.now:
                yield (*([min(later) + BURST_SPACE] if later else []), self._checksums, self._freed)
                when = max(when, self.kernel.now - BURST_SPACE)
            else:
                when = min(later)

    def beat(self, content: bool, offered: int):
        self.last_beat = offered
        if not content:
            self._checksums.post(offered + 1)
            return offered
        self._unpack()
        self.last_beat = offered = max(offered, self._clock)
        self._level += self.config.bus_bytes
        self._clock = offered + 1
        self._unpack()
        return offered
        yield

    def _unpack(self):
        """Gives records as long as there are any and places for them."""
        lanes = self.config.requantiser_lanes
        while self._records and self._level >= PARAMETER_BYTES:
            # The place of the row at work is free when the row that was there is.
            before = len(self._complete.cycles) - self._rows
            if before >= len(self._freed.cycles):
                return
            if before >= 0:
                self._clock = max(self._clock, self._freed.cycles[before])
            self._clock += 1  # the record is given
            self._level -= PARAMETER_BYTES
            self._records -= 1
            self._slot += 1
            if self._slot == lanes or not self._records:
                self._slot = 0
                self._complete.post(self._clock)
            if not self._records:
                self._level = 0
                self._unpacked.post(self._clock)

    def _open(self):
        """One layer after another is the one whose rows are used."""
        left = 0
        for number in range(len(self._layers)):
            taken = max((yield from self._ahead.visible(number)), left)
            self._ahead.take(taken)
            self._opened.post(taken + 1)
            left = yield from self._left.get(number)

    def ready(self, layer: int, rows: int):
        """Process: the first cycle in which ``rows`` rows of layer number ``layer`` can be used."""
        opened = yield from self._opened.get(layer)
        return max(opened, (yield from self._complete.get(self._first_rows[layer] + rows - 1)))

    def release(self, cycle: int, rows: int, keep: bool, last: bool):
        """``rows`` rows are done with, which the buffer is told in ``cycle``; ``last`` of their layer."""
        if not keep:
            for _ in range(rows):
                self._freed.post(cycle + 1)
            self._unpack()
        if last:
            self._left.post(cycle + 1)
