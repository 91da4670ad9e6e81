"""The weight builder and its walker: when the weights of each pass are there (hw/builder.py, walker.py, ans.py)."""

from __future__ import annotations

from arch import latency
from arch.config import MAX_COATS, EngineConfig
from arch.descriptor import Code
from compiler.timing.decoder import LayerDecoder
from compiler.timing.kernel import Events, Kernel, Queue
from compiler.timing.masks import Aligner, MaskReader
from compiler.timing.work import Layer

ANS_BANKS = 2
"""Decoding tables that are held."""


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
        self._met = Events(kernel)
        #: For the second and later of a layer's first steps, how many advances it is behind the one before.
        self._gaps = Events(kernel)
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
        ends: list[int] = []
        for number, layer in enumerate(self._layers):
            # The table of the layer before has to be in use, or that of a second layer would replace it.
            free = 0
            if number >= 1:
                free = taken + 2
            if number >= 2:
                free = max(free, (yield from self._met.get(ends[-2])) + 1)
            taken = max((yield from self._queues["build"].visible(number)), walked + 1 if number else 0, free)
            self._queues["build"].take(taken)
            last = first + layer.steps - 1
            ends.append(last)
            walked = taken + 1
            if layer.code == Code.STORED:
                self._walked.post(max(walked + 1, (yield from self._met.get(first - places)) + 1))
                self._signed[number].post(0)
                walked = max(walked + layer.steps, (yield from self._met.get(last - places)) + 1)
                first = last + 1
                continue
            # Later than these, steps follow each other in consecutive advances.
            early = min(layer.steps, places + delay)
            for step in range(first, first + early):
                before, room = advance, (yield from self._met.get(step - places)) + 1
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
                walked = moved = yield from self._met.get(last - delay)
            first = last + 1

    def _advance(self, advance: int, moved: int, requests: dict[int, int]):
        """Process: the cycle of the advance after ``advance``, which happened in cycle ``moved``."""
        step = requests.get(advance + 1 - self._random_latency)
        return moved + 1 if step is None else max(moved + 1, (yield from self._met.get(step)))

    def _sign(self, number: int, advance: int, moved: int, requests: dict[int, int]):
        """Process: when the signs of the first step of layer ``number``, which was accepted in ``advance``, come out."""
        for later in range(advance, advance + self._random_latency - 1):
            moved = yield from self._advance(later, moved, requests)
        self._signed[number].post(moved + 1)

    def _build(self):
        config = self._config
        aligner = Aligner(config, self._reader)
        met, freed = self._met.cycles, self.freed.cycles
        beat = next_beat = settled = passes = gaps = 0
        fire = meet = -1
        for number, layer in enumerate(self._layers):
            if not layer.mask_reuse:
                beat, next_beat = next_beat, next_beat + layer.mask_content
            start = yield from self._started.get(number)
            active = yield from self._active.get(number)
            walked = yield from self._walked.get(number)
            signed = yield from self._signed[number].get(0)
            aligner.begin(layer, beat, settled)
            decoder = LayerDecoder(layer, aligner, start, active)
            released = 0
            finishing = keeping = False

            def progress():
                """Serves requests, and ends the layer when its last step is decoded and its last stored word served."""
                nonlocal finishing, settled
                decoder.serve()
                if len(decoder.served) >= layer.mask_words and not keeping:
                    served = decoder.served[layer.mask_words - 1] + 1
                    settled = max(served, released)
                    # The rest of the last beat is dropped then, unless that is saved in the same cycle.
                    if saves == 0 or settled < max(ready, decoder.clock) + undecoded:
                        aligner.end(layer, settled)
                    if finishing:
                        finishing = False
                        self._finished.post(max(fire + 1, served))
                        self._settled.post(settled)

            ready = max(start + 1, walked + 2, fire + 1)  # the next step is at hand
            rewinds = len(layer.tile_sizes) - 1
            saves = len(layer.tile_channels) if rewinds else 0  # still to come
            undecoded = 0  # steps before the next one
            progress()
            left = layer.steps
            # Steps whose signs may come with gaps.
            spread = 0 if layer.code == Code.STORED else min(left, self._places + self._random_latency)
            step = tile_pass = 0
            for channels in layer.tile_channels:
                groups = -(-channels // config.build_columns)
                tile_step = step
                for tile in range(rewinds + 1):
                    if rewinds and tile == 0:
                        # Save: when nothing is asked for.
                        while decoder.pending:
                            yield self._reader.written
                            progress()
                        progress()
                        ready = max(ready, decoder.clock) + 1
                        saved = aligner.word
                        aligner.frees, keeping = False, True
                        saves -= 1
                    elif rewinds:
                        decoder.restore(saved, ready)
                        ready += 1
                        if tile == rewinds:
                            aligner.frees, keeping = not layer.mask_keep, False
                            released, undecoded = ready, layer.passes * groups
                            progress()
                    step, decoded = tile_step, tile_step  # steps met, and decoded
                    for work in range(layer.passes):
                        stop = step + groups
                        planned = decoder.plan.valid[tile_pass + work]
                        while step < stop:
                            if step == decoded:
                                while not decoder.knows(step):
                                    yield self._reader.written
                                    progress()
                                fire = max(ready, meet, decoder.ready(step))
                                decoder.decode(step, fire)
                                ready = fire + 1
                                decoded += 1
                                left -= 1
                                undecoded -= 1
                                finishing = left == 0
                                if finishing or len(decoder.served) >= layer.mask_words:
                                    progress()
                            meet = max(ready, meet + 1)
                            if step == stop - groups:
                                while passes - config.weight_slots >= len(freed):
                                    yield self.freed, self._reader.written
                                    progress()
                                meet = max(meet, signed, freed[passes - config.weight_slots]
                                           if passes >= config.weight_slots else 0)
                            if spread:
                                if layer.steps - left > 1:
                                    self._met.notify()
                                    meet = max(meet, met[-1] + (yield from self._gaps.get(gaps)))
                                    gaps += 1
                                spread -= 1
                            met.append(meet)
                            step += 1
                            if planned and not spread and step == stop - groups + 1:
                                after = stop if work == layer.passes - 1 else stop + 1
                                cycles = decoder.run(step, after, meet)
                                if cycles:
                                    met += [cycle + 1 for cycle in cycles[:groups - 1]]
                                    meet, fire = met[-1], cycles[-1]
                                    ready = fire + 1
                                    left -= after - step
                                    undecoded -= after - step
                                    step, decoded = stop, after
                                    finishing = left == 0
                                    progress()
                        passes += 1
                        self.built.post(meet + latency.BUILT)
                        self._met.notify()
                tile_pass += layer.passes
            while finishing:
                yield self._reader.written
                progress()
