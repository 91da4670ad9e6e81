"""The coat decoder: when lanes have the words that a step needs (hw/decoder.py, lane.py)."""

from __future__ import annotations

from collections import deque

import numpy as np

from arch.depths import QUEUED_STEPS
from compiler.timing.masks import Aligner
from compiler.timing.work import Layer

"""Steps whose requests can wait behind the step being served."""

CURRENT, FOLLOWING = 2, 1
"""From the cycle in which a word is served to the one in which a lane has it as its current or as its following
word."""


class LayerDecoder:
    """The steps of one layer: what they ask for, when that is served, and when they can be decoded."""

    def __init__(self, layer: Layer, aligner: Aligner, start: int, active: int):
        self._layer = layer
        self._aligner = aligner
        self._saved = 0
        requests = layer.requests
        self._asked, self._current, self._following = (
            part.tolist() for part in (requests.asked, requests.current, requests.following))
        #: The cycle in which every word so far was served.
        self.served: list[int] = []
        #: The cycle from which on words can be served next.
        self.clock = active + 1
        # Requests in order: those that wait, with the cycle in which they were made, and the cycle from which on each
        # was the one being served.
        self._waiting = deque(((start, layer.used_lanes), (start, layer.used_lanes)))
        self._serving: list[int] = []
        self._made = len(self._waiting)
        self.plan = _Plan(layer)

    def serve(self):
        """Serves what can be served with the beats that have come."""
        waiting, aligner = self._waiting, self._aligner
        while waiting:
            made, words = waiting[0]
            begin = max(self.clock, made + 1)
            if len(self._serving) == self._made - len(waiting):
                self._serving.append(begin)
            if not aligner.known(words):
                break
            self.clock = aligner.take(words, begin, self.served) + 1
            waiting.popleft()

    @property
    def pending(self) -> bool:
        """Whether there are requests whose service is not known."""
        return bool(self._waiting)

    def knows(self, step: int) -> bool:
        """Whether it is known when ``step`` can be decoded."""
        return (max(self._current[step], self._following[step]) < len(self.served)
                and self._made - QUEUED_STEPS < len(self._serving))

    def ready(self, step: int) -> int:
        """The first cycle in which the lanes can decode ``step`` and its requests can be queued."""
        return max(self.served[self._current[step]] + CURRENT, self.served[self._following[step]] + FOLLOWING,
                   self._serving[self._made - QUEUED_STEPS] if self._made >= QUEUED_STEPS else 0)

    def _arrival(self, step: int) -> int:
        """The first cycle in which the lanes have all words that ``step`` needs and that have been served."""
        served = self.served
        return max(served[word] + delay if word < len(served) else 0 for word, delay in (
            (self._current[step], CURRENT), (self._following[step], FOLLOWING)))

    def decode(self, step: int, cycle: int):
        """``step`` is decoded in ``cycle``."""
        words = self._asked[step + 1] - self._asked[step]
        if words:
            self._waiting.append((cycle, words))
            self._made += 1
            self.serve()

    def save(self):
        """The decoder will come back to where it is; nothing is asked for."""
        self._saved = self._aligner.word
        self._aligner.frees = False

    def restore(self, cycle: int, *, release: bool):
        """In ``cycle`` the decoder goes back to where it was saved, and forgets what it has asked for; with ``release``
        for the last time."""
        self._waiting.clear()
        self._serving.clear()
        self._made = 0
        del self.served[self._saved:]
        self._aligner.jump(self._saved, cycle)
        self.clock = cycle + 1
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
        if self.clock >= cycle and (self.clock > cycle + 1 or any(
                self._arrival(step) > cycle + plan.decoded[step] for step in range(first, min(first + CURRENT, stop)))):
            return []
        if words:
            begin, end = self._asked[first] - self._asked[0], self._asked[stop] - self._asked[0]
            served = (plan.served[begin:end] + cycle).tolist()
            self._aligner.skip(served)
            self.served += served
            self._serving = [begin + cycle for begin in plan.serving[first:stop] if begin >= 0]
            self._made = len(self._serving)
            self.clock = served[-1] + 1
        return (plan.decoded[first:stop] + cycle).tolist()


class _Plan:
    """The course of every pass if nothing is left to be served when it begins.

    Cycles count from the one in which the second step of a pass can be decoded; the first one was decoded long ago. The
    first step of the next pass over the column tile belongs to the pass. ``decoded`` is by step, ``serving`` too: from
    when on its request is served, -1 for none; ``served`` is by word, those of the first two requests left out.
    ``valid`` says for each pass, column tile by column tile, whether its requests fit the queue: otherwise its course
    is another one.
    """

    def __init__(self, layer: Layer):
        requests, refill = layer.requests, layer.config.refill_words
        asked = requests.asked - requests.asked[0]
        words = np.diff(asked)
        # The step that asks for a word, and how many cycles behind its first one the word is served; with a place at
        # the end for words of the first two requests, whose numbers are negative.
        owner = np.append(np.repeat(np.arange(len(words)), words), -1)
        behind = np.append((np.arange(len(owner) - 1) - np.repeat(asked[:-1], words)) // refill, 0)
        serving, decoded = np.full(len(words), -1), np.zeros(len(words), np.int64)
        self.valid: list[bool] = []
        first = 0
        for channels in dict.fromkeys(layer.tile_channels):
            tiles = layer.tile_channels.count(channels)
            groups = -(-channels // layer.config.build_columns)
            numbers = first + np.arange(tiles * layer.passes * groups).reshape(tiles, layer.passes, groups)
            first += numbers.size
            nexts = np.full((tiles, layer.passes, 1), -1)
            nexts[:, :-1] = numbers[:, 1:, :1]
            begin = numbers[:, :, 0].ravel()
            valid = np.ones(begin.size, bool)
            cycle = np.zeros(begin.size, np.int64)  # from which on the next step can be decoded
            end = np.full(begin.size, -1)  # in which a word is served last
            for steps in np.concatenate([numbers[:, :, 1:], nexts], axis=2).reshape(-1, groups).T:
                exists = steps >= 0
                for needs, delay in (requests.current, CURRENT), (requests.following, FOLLOWING):
                    word = np.maximum(needs[steps] - requests.asked[0], -1)
                    there = serving[owner[word]] + behind[word] + delay
                    cycle = np.where(owner[word] > begin, np.maximum(cycle, there), cycle)
                decoded[steps[exists]] = cycle[exists]
                valid &= ~exists | (end < cycle + QUEUED_STEPS - CURRENT)
                asks = exists & (words[steps] > 0)
                start = np.maximum(end, cycle) + 1
                serving[steps[asks]] = start[asks]
                end = np.where(asks, start + -(-words[steps] // refill) - 1, end)
                cycle += 1
            self.valid += valid.tolist()
        self.decoded = decoded
        self.served = serving[owner[:-1]] + behind[:-1]
        self.serving = serving.tolist()
