"""The weight path: mask buffer, decoder and weight builder (hw/masks.py, decoder.py, ans.py, walker.py, builder.py)."""

from __future__ import annotations

from bisect import insort
from collections import deque

from arch import latency
from arch.config import MASK_WORD_BITS, MAX_COATS, EngineConfig
from arch.descriptor import Code
from compiler.timing.kernel import Events, Kernel, Queue, Signal
from compiler.timing.memory import Client, content_beats
from compiler.timing.work import Layer

ANS_BANKS = 2
QUEUED_STEPS = 8
"""Steps whose requests can wait behind the step being served."""


class MaskReader(Client):
    """Fills the ring of the mask buffer."""

    def __init__(self, kernel: Kernel, config: EngineConfig, channel, index: int, layers: list[Layer], reads: Queue):
        super().__init__(kernel, config, channel, index)
        self._layers = layers
        self._reads = reads
        self._size = config.mask_bytes // config.bus_bytes
        self._asked = 0
        #: Cycles in which there is room for one beat more, checksums included, in order.
        self._room: list[int] = []
        self._roomier = Signal(kernel)
        #: Beat by beat, the cycle in which content was written to the ring.
        self.written = Events(kernel)
        kernel.start(self._run())

    def _run(self):
        for number, layer in enumerate(self._layers):
            taken = max((yield from self._reads.visible(number)), self.free)
            self._reads.take(taken)
            beats = 0 if layer.mask_reuse else layer.mask_beats
            yield from self.read(taken, layer.mask_address, content_beats(beats, self.config))

    def fits(self, cycle: int, beats: int):
        self._asked += beats
        needed = self._asked - self._size
        while needed > 0:
            if len(self._room) < needed:
                yield self._roomier
            elif self._room[needed - 1] > max(cycle, self.kernel.now):
                yield self._room[needed - 1], self._roomier
            else:
                return max(cycle, self._room[needed - 1])
        return cycle

    def make_room(self, cycle: int, beats: int = 1):
        """From ``cycle`` on there is room for ``beats`` beats more."""
        for _ in range(beats):
            insort(self._room, cycle)
        self._roomier.notify()

    def beat(self, content: bool, offered: int):
        self.last_beat = offered
        if content:
            self.written.post(offered)
        else:
            self.make_room(offered + 1)
        return offered
        yield


class Aligner:
    """Hands out the words of the ring, up to ``refill_words`` per cycle. A row of so many words is fetched, moves to a
    second register, and to a first one when the row before it is used up; words come from both."""

    def __init__(self, config: EngineConfig, reader: MaskReader):
        self._refill = config.refill_words
        self._beat_words = config.bus_bits // MASK_WORD_BITS
        self._reader = reader
        self._written = reader.written.cycles
        #: Whether beats whose words are taken make room for others.
        self.frees = True
        #: First beat of the layer, counted over the program, its stored words, and the next word.
        self.beat = self.stored = self.word = 0
        self._passed = 0

    def begin(self, layer: Layer, beat: int, cycle: int):
        """``layer`` begins at ``beat``, where the aligner has jumped in ``cycle``."""
        self.beat, self.stored = beat, layer.mask_words
        self.frees = not layer.mask_keep
        self._passed = 0
        self.jump(0, cycle)

    def jump(self, word: int, cycle: int):
        """In ``cycle`` the aligner goes to ``word``."""
        self.word = word
        # Of the row of the next word: when it is seen in the first register. `_second` is when it was seen in the second
        # one, `_behind` when the row behind it is. After `_used`, the cycle that used up a row, all three are still that
        # row's until somebody asks for the next one.
        self._jumped, self._used = cycle, None
        self._second = self._first = self._behind = 0

    def known(self, words: int) -> bool:
        """Whether it is known when the beats of the next ``words`` words are there."""
        last = min(self.word + words, self.stored) - 1
        return last < self.word or self.beat + last // self._beat_words < len(self._written)

    def take(self, words: int, cycle: int, served: list[int]) -> int:
        """Takes ``words`` words from ``cycle`` on, appends the cycle of each to ``served`` and returns the last one."""
        refill, stored, word = self._refill, self.stored, self.word
        while words:
            taken = min(words, refill)
            if word < stored:
                self._arrive(word // refill)
                cycle = max(cycle, self._first)
                in_first = refill - word % refill
                # A row that ends the stored words or is used from its beginning needs none behind it.
                if taken > in_first and stored - word > in_first and self._row_behind(word // refill) > cycle:
                    taken = in_first
                if taken >= in_first:
                    self._used = cycle
                if self.frees:
                    passed = min(word + taken, stored) // self._beat_words
                    if passed > self._passed:
                        self._reader.make_room(cycle + 1, passed - self._passed)
                        self._passed = passed
            served.extend([cycle] * taken)
            word += taken
            words -= taken
            cycle += 1
        self.word = word
        return cycle - 1

    def end(self, layer: Layer, cycle: int):
        """The next layer begins in ``cycle``: the rest of the last beat is dropped."""
        if self.frees and layer.mask_content > self._passed:
            self._reader.make_room(cycle + 1, layer.mask_content - self._passed)
            self._passed = layer.mask_content

    def _present(self, row: int) -> int:
        return self._written[self.beat + row * self._refill // self._beat_words] + 1

    def _row_behind(self, row: int) -> int:
        if not self._behind:
            self._behind = max(max(self._present(row + 1), self._second - 1) + 2, self._first)
        return self._behind

    def _arrive(self, row: int):
        """Makes ``row``, which the next word is in, the first one."""
        if self._jumped is not None:
            self._second = max(self._present(row), self._jumped + 1) + 2
            self._first, self._jumped = self._second + 1, None
        elif self._used is not None:
            self._second = self._row_behind(row - 1)
            self._first = max(self._used, self._second) + 1
        else:
            return
        self._behind, self._used = 0, None


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
        config, reader = self._config, self._reader
        slots = config.weight_slots
        aligner = Aligner(config, reader)
        met = self._met.cycles
        beat = next_beat = 0
        settled = 0  # when the aligner jumped to the layer's beginning
        passes = gaps = 0
        fire = meet = -1
        for number, layer in enumerate(self._layers):
            if not layer.mask_reuse:
                beat, next_beat = next_beat, next_beat + layer.mask_content
            start = yield from self._started.get(number)
            active = yield from self._active.get(number)
            walked = yield from self._walked.get(number)
            signed = yield from self._signed[number].get(0)
            aligner.begin(layer, beat, settled)
            asked, current, following = (part.tolist() for part in (
                layer.requests.asked, layer.requests.current, layer.requests.following))
            used = layer.used_lanes
            served: list[int] = []
            # Requests in order: the cycle in which they were made, and how many words; and the cycle from which on each
            # is the one being served.
            waiting = deque(((start, used), (start, used)))
            serving: list[int] = []
            made = len(waiting)
            clock = active + 1
            finishing = keeping = False
            released = 0

            def progress():
                """Serves what can be served with what is known, and ends the layer."""
                nonlocal clock, finishing, settled
                while waiting:
                    asked_in, words = waiting[0]
                    begin = max(clock, asked_in + 1)
                    if len(serving) == made - len(waiting):
                        serving.append(begin)
                    if not aligner.known(words):
                        break
                    clock = aligner.take(words, begin, served) + 1
                    waiting.popleft()
                if len(served) >= layer.mask_words and not keeping:
                    zero = served[layer.mask_words - 1] + 1  # no stored word is left
                    settled = max(zero, released)
                    aligner.end(layer, settled)
                    if finishing:
                        finishing = False
                        self._finished.post(max(fire + 1, zero))
                        self._settled.post(settled)

            progress()
            ready = max(start + 1, walked + 2, fire + 1)
            step = 0
            left = layer.steps
            spread = 0 if layer.code == Code.STORED else min(left, self._places + self._random_latency)
            rewinds = len(layer.tile_sizes) - 1
            for channels in layer.tile_channels:
                groups = -(-channels // config.build_columns)
                tile_step = step
                for tile in range(rewinds + 1):
                    if rewinds and tile == 0:
                        while waiting:
                            yield reader.written
                            progress()
                        ready = max(ready, clock) + 1
                        saved = aligner.word
                        aligner.frees, keeping = False, True
                    elif rewinds:
                        waiting.clear()
                        serving.clear()
                        made = 0
                        del served[saved:]
                        aligner.jump(saved, ready)
                        clock = ready = ready + 1
                        if tile == rewinds:
                            aligner.frees, keeping = not layer.mask_keep, False
                            released = ready
                            progress()
                    step = tile_step
                    for _ in range(layer.passes):
                        for group in range(groups):
                            need = max(current[step], following[step])
                            while need >= len(served) or made - QUEUED_STEPS >= len(serving):
                                yield reader.written
                                progress()
                            fire = max(ready, meet, served[current[step]] + 2, served[following[step]] + 1,
                                       serving[made - QUEUED_STEPS] if made >= QUEUED_STEPS else 0)
                            ready = fire + 1
                            words = asked[step + 1] - asked[step]
                            step += 1
                            left -= 1
                            if words:
                                waiting.append((fire, words))
                                made += 1
                            if left == 0:
                                finishing = True
                            if words or finishing:
                                progress()
                            meet = ready
                            if group == 0:
                                while passes - slots >= len(self.freed.cycles):
                                    yield self.freed, reader.written
                                    progress()
                                meet = max(meet, signed, self.freed.cycles[passes - slots] if passes >= slots else 0)
                            if spread:
                                if layer.steps - left > 1:
                                    self._met.notify()
                                    meet = max(meet, met[-1] + (yield from self._gaps.get(gaps)))
                                    gaps += 1
                                spread -= 1
                            met.append(meet)
                        passes += 1
                        self.built.post(meet + latency.BUILT)
                        self._met.notify()
            while finishing:
                yield reader.written
                progress()
