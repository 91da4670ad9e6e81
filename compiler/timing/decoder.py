"""The coat decoder: when lanes have the words that a step needs (hw/decoder.py, lane.py)."""

from __future__ import annotations

from collections import deque

import numpy as np

from compiler.timing.masks import Aligner
from compiler.timing.work import Layer


class LayerDecoder:
    """The steps of one layer: what they ask for, when that is served, and when they can be decoded.

    A word is asked for, can be served ``step_cycles`` later, is a lane's following word in the next cycle and can be
    its current one in the one after, and ``step_cycles`` - 1 later a step that needs it can be decoded.
    """

    def __init__(self, layer: Layer, aligner: Aligner, start: int, active: int):
        self._layer = layer
        self._aligner = aligner
        self._saved = 0
        self._cycles = layer.config.step_cycles
        requests = layer.requests
        self._asked, self._current, self._following = (
            part.tolist() for part in (requests.asked, requests.current, requests.following))
        #: The cycle in which every word so far was served.
        self.served: list[int] = []
        # The first cycle in which words can be served, and requests in order that wait, with the first cycle in which
        # they could be served.
        self._active = active + 1
        self._waiting = deque(((start + 1 + self._cycles, layer.used_lanes),))
        self._again = layer.used_lanes
        self.plan = _Plan(layer)

    def serve(self):
        """Serves what can be served with the beats that have come."""
        waiting, aligner = self._waiting, self._aligner
        while waiting:
            cycle, words = waiting.popleft()
            known = aligner.known(words)
            aligner.take(known, max(self._active, cycle), self.served)
            if known < words:
                waiting.appendleft((cycle, words - known))
                break
            if self._again:
                # The second requests of all lanes.
                waiting.append((self.clock + self._cycles, self._again))
                self._again = 0

    @property
    def clock(self) -> int:
        """The cycle from which on nothing is asked for any more, if nothing is ``pending``."""
        return self.served[-1] + 1 if self.served else 0

    @property
    def pending(self) -> bool:
        """Whether there are requests whose service is not known."""
        return bool(self._waiting)

    def knows(self, step: int) -> bool:
        """Whether it is known when ``step`` can be decoded."""
        return max(self._current[step], self._following[step]) < len(self.served)

    def ready(self, step: int) -> int:
        """The first cycle in which the lanes can decode ``step``; words that have not been served are left out."""
        served = self.served
        return self._cycles + max(served[word] + late if word < len(served) else 0
                                  for word, late in ((self._current[step], 1), (self._following[step], 0)))

    def decode(self, step: int, cycle: int):
        """``step`` is decoded in ``cycle``."""
        words = self._asked[step + 1] - self._asked[step]
        if words:
            self._waiting.append((cycle + self._cycles, words))
            self.serve()

    def save(self):
        """The decoder will come back to where it is; nothing is asked for."""
        self._saved = self._aligner.word
        self._aligner.frees = False

    def restore(self, cycle: int, *, release: bool):
        """In ``cycle`` the decoder goes back to where it was saved, and forgets what it has asked for; with ``release``
        for the last time."""
        self._waiting.clear()
        del self.served[self._saved:]
        self._aligner.jump(self._saved, cycle)
        if release:
            self._aligner.frees = not self._layer.mask_keep

    def drop_rest(self, cycle: int):
        """The mask buffer goes on to the next layer in ``cycle``."""
        self._aligner.end(self._layer, cycle)

    def run(self, first: int, stop: int, cycle: int) -> list[int]:
        """Decodes steps ``first`` to ``stop`` - 1 from ``cycle`` on at once and returns the cycle of each, if nothing
        is left to be served then; otherwise does nothing and returns an empty list."""
        words = self._asked[stop] - self._asked[first]
        plan = self.plan
        if self._waiting or not self._aligner.steady(words, cycle):
            return []
        # What is served up to the cycle in which the first request can be must not be what the first steps wait for.
        if self.clock + self._cycles > cycle and (self.clock > cycle + self._cycles or any(
                self.ready(step) > cycle + plan.decoded[step] for step in range(first, min(first + 2, stop)))):
            return []
        if words:
            begin, end = self._asked[first] - self._asked[0], self._asked[stop] - self._asked[0]
            served = (plan.served[begin:end] + cycle).tolist()
            self._aligner.skip(served)
            self.served += served
        return (plan.decoded[first:stop] + cycle).tolist()


class _Plan:
    """The course of every pass if nothing is left to be served when it begins, and all its words are there.

    Cycles count from the one in which the second step of a pass can be decoded; the first one was decoded long ago. The
    first step of the next pass over the column tile belongs to the pass. ``decoded`` is by step; ``served`` is by word,
    those of the first two requests left out.
    """

    def __init__(self, layer: Layer):
        requests, refill, cycles = layer.requests, layer.config.refill_words, layer.config.step_cycles
        asked = requests.asked - requests.asked[0]
        rows = requests.asked // refill
        words = np.diff(asked)
        # The step that asks for a word, and how many rows behind its first one the word is; with a place at the end for
        # words of the first two requests, whose numbers are negative.
        owner = np.append(np.repeat(np.arange(len(words)), words), -1)
        behind = np.append(np.arange(requests.asked[0], requests.asked[-1]) // refill - np.repeat(rows[:-1], words), 0)
        serving, decoded = np.full(len(words), -1), np.zeros(len(words), np.int64)
        first = 0
        for channels in dict.fromkeys(layer.tile_channels):
            tiles = layer.tile_channels.count(channels)
            groups = -(-channels // layer.config.build_columns)
            numbers = first + np.arange(tiles * layer.passes * groups).reshape(tiles, layer.passes, groups)
            first += numbers.size
            nexts = np.full((tiles, layer.passes, 1), -1)
            nexts[:, :-1] = numbers[:, 1:, :1]
            begin = numbers[:, :, 0].ravel()
            cycle = np.zeros(begin.size, np.int64)  # from which on the next step can be decoded
            row = np.zeros(begin.size, np.int64)  # from which on the row of the next word is there
            for steps in np.concatenate([numbers[:, :, 1:], nexts], axis=2).reshape(-1, groups).T:
                exists = steps >= 0
                for needed, late in (requests.current, 1), (requests.following, 0):
                    word = np.maximum(needed[steps] - requests.asked[0], -1)
                    there = serving[owner[word]] + behind[word] + cycles + late
                    cycle = np.where(owner[word] > begin, np.maximum(cycle, there), cycle)
                decoded[steps[exists]] = cycle[exists]
                asks = exists & (words[steps] > 0)
                start = np.maximum(row, cycle + cycles)
                serving[steps[asks]] = start[asks]
                row = np.where(asks, start + rows[steps + 1] - rows[steps], row)
                cycle += cycles
        self.decoded = decoded
        self.served = serving[owner[:-1]] + behind[:-1]
