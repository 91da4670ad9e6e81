"""The mask buffer: a reader fills a ring, an aligner hands out its words (hw/masks.py)."""

from __future__ import annotations

from bisect import insort

from arch.config import MASK_WORD_BITS, EngineConfig
from arch.latency import BURST_SPACE
from compiler.timing.kernel import Events, Kernel, Queue, Signal
from compiler.timing.memory import Client, content_beats
from compiler.timing.work import Layer

_PRIME = 4
"""From a jump, or a beat being written, to its words being there and those of the row behind them."""

_SPACE = 3
"""From the cycle in which the last row of a beat is taken to the first one in which its reader sees the room."""


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
            elif self._room[needed - 1] + BURST_SPACE > max(cycle, self.kernel.now):
                yield self._room[needed - 1] + BURST_SPACE, self._roomier
            else:
                return max(cycle, self._room[needed - 1] + BURST_SPACE)
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
    """Hands out the words of the ring in rows of ``refill_words``. A row is fetched, moves to a second register, and to
    a first one, where its words are taken, when the row before it is used up."""

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
        self._drained = -1  # when the last stored word was taken
        self.jump(0, cycle)

    def jump(self, word: int, cycle: int):
        """In ``cycle`` the aligner goes to ``word``."""
        self.word = word
        # Of the row of the next word: when it is seen in the first register. `_second` is when it was seen in the
        # second one, `_behind` when the row behind it is. After `_used`, the cycle that used up a row, all three are
        # still that row's until somebody asks for the next one.
        self._jumped, self._used = cycle, None
        self._second = self._first = self._behind = 0

    def known(self, words: int) -> int:
        """Of how many of the next ``words`` words it is known when their beats are there."""
        come = (len(self._written) - self.beat) * self._beat_words
        return words if come >= self.stored else min(words, max(0, come - self.word))

    def take(self, words: int, cycle: int, served: list[int]):
        """Takes ``words`` words that are asked for from ``cycle`` on and appends the cycle of each to ``served``."""
        refill, stored = self._refill, self.stored
        while words:
            word = self.word
            taken = min(words, refill - word % refill)
            if word < stored:
                self._arrive(word // refill)
                cycle = max(cycle, self._first)
                if word + taken >= stored:
                    self._drained = cycle
                if (word + taken) % refill == 0 or word + taken >= stored:
                    self._used = cycle
                if self.frees:
                    passed = min(word + taken, stored) // self._beat_words
                    if passed > self._passed:
                        self._reader.make_room(cycle + _SPACE, passed - self._passed)
                        self._passed = passed
            else:
                # Those of the last stored word's row come with it, others when it has been taken.
                cycle = max(cycle, self._drained + (word // refill > (stored - 1) // refill))
            served.extend([cycle] * taken)
            self.word += taken
            words -= taken

    def end(self, layer: Layer, cycle: int):
        """The next layer begins in ``cycle``: the rest of the last beat is dropped."""
        if self.frees and layer.mask_content > self._passed:
            self._reader.make_room(cycle + _SPACE, layer.mask_content - self._passed)
            self._passed = layer.mask_content

    def steady(self, words: int, cycle: int) -> bool:
        """Whether the next ``words`` words are there so early that from ``cycle`` on a row is handed out per cycle."""
        if not words:
            return True
        if self.word + words > self.stored:
            return False
        beat = self.beat + (self.word + words - 1) // self._beat_words
        return (beat < len(self._written) and self._written[beat] + _PRIME <= cycle
                and (self._jumped is None or self._jumped + _PRIME <= cycle))

    def skip(self, served: list[int]):
        """Takes words at full rate, in the cycles ``served``."""
        word, size = self.word, self._beat_words
        self.word = word + len(served)
        if self.frees:
            for passed in range(self._passed + 1, self.word // size + 1):
                self._reader.make_room(served[passed * size - 1 - word] + _SPACE)
            self._passed = self.word // size
        # The registers are as after any row that has come in time.
        end = served[-1]
        self._jumped = None
        self._first, self._second, self._behind = end, end - 1, 0
        self._used = end if self.word % self._refill == 0 or self.word == self.stored else None
        if self.word == self.stored:
            self._drained = end

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
