"""The weight builder and its walker: when the weights of each pass are there (hw/builder.py, walker.py, ans.py)."""

from __future__ import annotations

from arch import latency
from arch.config import MAX_COATS, EngineConfig
from arch.depths import ANS_BANKS
from arch.descriptor import Code
from compiler.timing.decoder import LayerDecoder
from compiler.timing.kernel import Events, Kernel, Queue, RecentEvents, Signal
from compiler.timing.masks import Aligner, MaskReader
from compiler.timing.work import Layer


class WeightPath:
    """Decoder and weight builder."""

    def __init__(self, kernel: Kernel, config: EngineConfig, layers: list[Layer], queues: dict[str, Queue],
                 reader: MaskReader):
        self._kernel = kernel
        self._config = config
        self._layers = layers
        self._queues = queues
        self._reader = reader
        #: Steps for which there are places between the walker and where they meet their symbols.
        self._places = 1 << (config.rounds + 2).bit_length()
        self._random_latency = config.rounds + 1
        #: By pass: the first cycle in which its weights can be used, and in which its slot can be written again.
        self.built = Events(kernel)
        self.freed = Events(kernel)
        # By layer: when its decode and mask commands are taken; when it has finished and the mask buffer has settled.
        self._started, self._active, self._finished, self._settled = (Events(kernel) for _ in range(4))
        # By layer: when its first step leaves the walker, and the first cycle in which that one's signs are there.
        self._walked = Events(kernel)
        self._signed = [Events(kernel) for _ in layers]
        #: By step: when symbols and signs meet.
        self.met = RecentEvents(kernel)
        #: By layer: the same of its last step.
        self.last_met = Events(kernel)
        #: Notified when mask words come.
        self.written = reader.written
        #: For the second and later of a layer's first steps, how many advances it is behind the one before.
        self._gaps = Events(kernel)
        self._gaps_used = 0
        for process in self._take_commands, self._walk, self._build:
            kernel.start(process())

    def _take_commands(self):
        """Decoder and mask buffer take a layer's commands when the one before it has ended."""
        finished = settled = bank = 0
        held = [None] * ANS_BANKS
        for number, layer in enumerate(self._layers):
            start = yield from self._queues["decode"].visible(number)
            if layer.code == Code.ANS:
                key = tuple(layer.fields[name] for name in (
                    "ans_offset", *(f"frequency_{symbol}" for symbol in range(1, MAX_COATS + 1))))
                if key in held:
                    bank = int(held[1] == key)
                    start += latency.ANS_HELD
                else:
                    bank = 1 - bank
                    held[bank] = key
                    start += latency.ANS_TABLE
            start = max(start, finished)
            self._queues["decode"].take(start)
            self._started.post(start)
            active = max((yield from self._queues["mask"].visible(number)), finished, settled)
            self._queues["mask"].take(active)
            self._active.post(active)
            finished = (yield from self._finished.get(number)) + 1
            settled = (yield from self._settled.get(number)) + 1

    def _walk(self):
        """The walker runs ahead of the decoder until the random streams are full, or the queue of places.

        The pipeline of a random stream moves in numbered advances: request number i, if there was one in that advance,
        is at the output after advance i + latency - 1 and leaves with advance i + latency, which is the cycle in which
        it meets its symbols.
        """
        places, delay = self._places, self._random_latency
        advance = moved = 0  # the last advance that was looked at, and its cycle
        requests: dict[int, int] = {}  # advance to step
        first = taken = walked = 0
        for number, layer in enumerate(self._layers):
            # The table of the layer before has to be in use, or that of a second layer would replace it.
            free = 0
            if number >= 1:
                free = taken + 2
            if number >= 2:
                free = max(free, (yield from self.last_met.get(number - 2)) + 1)
            taken = max((yield from self._queues["build"].visible(number)), walked + 1 if number else 0, free)
            self._queues["build"].take(taken)
            last = first + layer.steps - 1
            walked = taken + 1
            if layer.code == Code.STORED:
                self._walked.post(max(walked + 1, (yield from self.met.get(first - places)) + 1))
                self._signed[number].post(0)
                if layer.steps >= places:  # what the random streams still hold is met by now, and forgotten later
                    while requests and advance + 1 - delay <= max(requests):
                        moved = yield from self._advance(advance, moved, requests)
                        advance += 1
                    requests = {}
                walked = max(walked + layer.steps, (yield from self.met.get(last - places)) + 1)
                first = last + 1
                continue
            # Later than these, steps follow each other in consecutive advances.
            early = min(layer.steps, places + delay)
            for step in range(first, first + early):
                before, room = advance, (yield from self.met.get(step - places)) + 1
                while True:
                    moved = yield from self._advance(advance, moved, requests)
                    advance += 1
                    if moved > walked and moved >= room:
                        break
                walked = moved
                requests[advance] = step
                requests.pop(advance - 2 * delay, None)
                if step == first:
                    self._walked.post(moved)
                    self._kernel.start(self._sign(number, advance, moved, dict(requests)))
                else:
                    self._gaps.post(advance - before)
            if layer.steps > early:
                advance += layer.steps - early
                requests = {advance - (last - step): step for step in range(last + 1 - delay, last + 1)}
                walked = moved = yield from self.met.get(last - delay)
            first = last + 1

    def _advance(self, advance: int, moved: int, requests: dict[int, int]):
        """Process: the cycle of the advance after ``advance``, which happened in cycle ``moved``."""
        step = requests.get(advance + 1 - self._random_latency)
        return moved + 1 if step is None else max(moved + 1, (yield from self.met.get(step)))

    def _sign(self, number: int, advance: int, moved: int, requests: dict[int, int]):
        """Process: when the signs of the first step of layer ``number``, which was accepted in ``advance``, come
        out."""
        for later in range(advance, advance + self._random_latency - 1):
            moved = yield from self._advance(later, moved, requests)
        self._signed[number].post(moved + 1)

    def _build(self):
        aligner = Aligner(self._config, self._reader)
        beat = next_beat = 0
        build = None
        for number, layer in enumerate(self._layers):
            if not layer.mask_reuse:
                beat, next_beat = next_beat, next_beat + layer.mask_content
            start = yield from self._started.get(number)
            active = yield from self._active.get(number)
            walked = yield from self._walked.get(number)
            signed = yield from self._signed[number].get(0)
            aligner.begin(layer, beat, build.settled if build else 0)
            build = _LayerBuild(self, layer, LayerDecoder(layer, aligner, start, active), build)
            yield from build.run(max(start + 1, walked + 2), signed)

    def claim(self, number: int, wait):
        """Process: the first cycle in which pass ``number`` has a slot; ``wait`` says how to wait for a signal."""
        before = number - self._config.weight_slots
        while before >= len(self.freed.cycles):
            yield from wait(self.freed)
        return self.freed.cycles[before] if before >= 0 else 0

    def gap(self):
        """Process: by how many advances of the random stream the next one of a layer's first steps is behind the one
        before it."""
        self.met.notify()
        self._gaps_used += 1
        return (yield from self._gaps.get(self._gaps_used - 1))

    def spread_steps(self, layer: Layer) -> int:
        """How many of a layer's first steps have signs with gaps between them."""
        return 0 if layer.code == Code.STORED else min(layer.steps, self._places + self._random_latency)

    def end(self, finished: int, settled: int):
        """A layer's decoder has finished, and its mask buffer has settled."""
        self._finished.post(finished)
        self._settled.post(settled)


class _LayerBuild:
    """The steps of one layer. A step is decoded while the one before it meets its signs, and waits for a free slot with
    the first step of its pass only: so the first step of a pass is decoded as soon as the pass before it has been
    built."""

    def __init__(self, path: WeightPath, layer: Layer, decoder: LayerDecoder, before: _LayerBuild | None):
        self._path = path
        self._layer = layer
        self._decoder = decoder
        #: The last cycles in which a step was decoded and met its signs; passes of the program so far.
        self.fire, self.meet, self.passes = (before.fire, before.meet, before.passes) if before else (-1, -1, 0)
        #: When the mask buffer is where the next layer begins.
        self.settled = 0
        self._cycles = layer.config.step_cycles
        self._ready = 0  # from when on the decoder looks at the next step, which it can decode `_cycles` - 1 later
        self._signed = 0
        self._rewinds = len(layer.tile_sizes) - 1
        self._left = layer.steps  # steps to decode
        self._tile_left = 0  # of them, those in this column tile if it is decoded for the last time
        self._spread = path.spread_steps(layer)
        self._saves = len(layer.tile_channels) if self._rewinds else 0
        self._keeping = self._ended = False
        self._released = 0

    def run(self, ready: int, signed: int):
        """Process: all steps. The first one is at hand from ``ready`` on, its signs from ``signed`` on."""
        layer = self._layer
        self._ready, self._signed = max(ready, self.fire + 1), signed
        self._progress()
        first = 0
        for channels in layer.tile_channels:
            groups = -(-channels // layer.config.build_columns)
            for tile in range(self._rewinds + 1):
                if self._rewinds and tile == 0:
                    yield from self._save()
                elif self._rewinds:
                    self._restore(layer.passes * groups if tile == self._rewinds else 0)
                decoded = first
                for work in range(layer.passes):
                    begin = first + work * groups
                    # The first step of the next pass is decoded with this one.
                    stop = begin + groups + (work < layer.passes - 1)
                    decoded = yield from self._pass(begin, groups, decoded, stop)
            first += layer.passes * groups
        self._path.last_met.post(self.meet)
        while not self._ended:
            yield from self._wait()

    def _pass(self, begin: int, groups: int, decoded: int, stop: int):
        """Process: the pass of ``groups`` steps from ``begin`` on, of which those before ``decoded`` are decoded
        already; returns where the next one is to go on."""
        path, met = self._path, self._path.met.cycles
        free = None
        for step in range(begin, begin + groups):
            if step == decoded:
                yield from self._decode(step)
                decoded += 1
            if free is None:
                free = yield from path.claim(self.passes, self._wait)
            self.meet = max(self._ready, self.meet + 1, free, self._signed)
            if self._spread:
                if self._spread < path.spread_steps(self._layer):
                    self.meet = max(self.meet, met[-1] + (yield from path.gap()))
                self._spread -= 1
            met.append(self.meet)
            if step == begin and not self._spread:
                cycles = self._decoder.run(begin + 1, stop, self.meet + self._cycles - 1)
                if cycles:
                    met += [cycle + 1 for cycle in cycles[:groups - 1]]
                    self.meet = met[-1]
                    self._decoded(cycles[-1], len(cycles))
                    self._progress()
                    decoded = stop
                    break
        self.passes += 1
        path.built.post(self.meet + latency.BUILT)
        path.met.posted()
        return decoded

    def _decode(self, step: int):
        """Process: decodes ``step`` when its words are there and the step before it has met its signs."""
        decoder = self._decoder
        while not decoder.knows(step):
            yield from self._wait()
        cycle = max(self._ready + self._cycles - 1, self.meet + self._cycles - 1, decoder.ready(step))
        decoder.decode(step, cycle)
        self._decoded(cycle, 1)
        if not self._left or len(decoder.served) >= self._layer.mask_words:
            self._progress()

    def _decoded(self, cycle: int, steps: int):
        self.fire, self._ready = cycle, cycle + 1
        self._left -= steps
        self._tile_left -= steps

    def _save(self):
        """Process: the next step is decoded again later. It waits until nothing is asked for."""
        while self._decoder.pending:
            yield from self._wait()
        self._progress()
        self._ready = max(self._ready, self.fire + 2, self._decoder.clock + 1) + 1
        self._decoder.save()
        self._keeping = True
        self._saves -= 1

    def _restore(self, steps: int):
        """Back to the saved step; ``steps`` to go if it is for the last time, else 0."""
        self._decoder.restore(self._ready, release=steps > 0)
        self._ready += 1
        if steps:
            self._keeping, self._released, self._tile_left = False, self._ready, steps
            self._progress()

    def _wait(self, *signals: Signal):
        """Process: waits for one of ``signals``, or for mask words if any are asked for."""
        yield (*signals, self._path.written) if self._decoder.pending or not signals else signals
        self._progress()

    def _progress(self):
        """Serves what can be served, and ends the layer: the mask buffer settles when it has no stored word left, the
        decoder has finished when its last step is decoded as well."""
        decoder, words = self._decoder, self._layer.mask_words
        decoder.serve()
        if self._ended or self._keeping or len(decoder.served) < words:
            return
        served = decoder.served[words - 1] + 1
        self.settled = max(served, self._released)
        # The rest of the last beat is dropped then, unless it is saved in the same cycle.
        if not self._saves or self.settled < max(self._ready, decoder.clock) + self._cycles * self._tile_left + 1:
            decoder.drop_rest(self.settled)
        if not self._left:
            self._ended = True
            self._path.end(max(self.fire + 1, served), self.settled)
