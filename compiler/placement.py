"""Placing one layer: where its strips find their input and residual, where they put their output, and what crosses the
memory interface meanwhile.

A tensor between two layers is in DRAM up to a row, and on chip from a row that is not behind it to its end, at
consecutive addresses: see :class:`~compiler.states.Resident`. What strips read of its rows in DRAM only is loaded,
strip by strip, into a *transient* place; output strips that are not to stay on chip are written to transient places and
stored. The rows that stay are written where nothing lies that this strip or a later one needs, often over the layer's
own input.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from arch.config import EngineConfig
from compiler.geometry import Geometry, Strip, Tensor, tensors
from compiler.ring import Span, gaps, overlap
from compiler.sizes import LayerSizes
from compiler.states import Choice, Cut, Piece, Placed, State
from compiler.walk import Walk

_BASES = 8


class Placer:
    """Places layers of one network on one engine, of which ``chip`` has the ``activation_bytes``, ``bank_bytes``,
    ``bus_bytes`` and ``lanes``."""

    def __init__(self, layers: tuple[Geometry, ...], sizes: tuple[LayerSizes, ...], chip: EngineConfig):
        self.layers, self.sizes = layers, sizes
        self.tensors = tensors(layers, chip)
        self.ring, self.beat, self.bank_bytes = chip.activation_bytes, chip.bus_bytes, chip.bank_bytes
        self.alignment = max(chip.bus_bytes, chip.lanes)
        self._last_use = {name: max(tensor.uses, default=-1) for name, tensor in self.tensors.items()}

    def _beats(self, size: int) -> int:
        return -(-size // self.beat) * self.beat

    def span(self, tensor: Tensor, base: int, first: int, last: int) -> Span:
        """Bytes of rows of a tensor at ``base``; with its last row, to the end of the beat."""
        end = last * tensor.row_bytes
        if last == tensor.rows:
            end = -(-end // self.beat) * self.beat
        return base + first * tensor.row_bytes, end - first * tensor.row_bytes

    def lives(self, name: str, index: int) -> bool:
        """Whether a layer after number ``index`` reads the tensor."""
        return self._last_use[name] > index

    def is_stored(self, geometry: Geometry) -> bool:
        """Whether anyone reads the output."""
        return self._last_use[geometry.name] >= 0 or geometry.index == len(self.layers) - 1

    def in_place(self, geometry: Geometry) -> bool:
        """Whether the output may be written over the residual: every byte is read before it is written, and by no one
        after."""
        layer = geometry.layer
        return (layer.residual is not None and layer.residual != layer.input and not layer.wide and layer.pool is None
                and not self.lives(layer.residual, geometry.index))

    def cut(self, geometry: Geometry, strips: tuple[Strip, ...]) -> Cut:
        """A layer in ``strips``."""
        output, sizes, pieces = self.tensors[geometry.name], self.sizes[geometry.index], []
        layer, whole = geometry.layer, 0
        for strip in strips:
            if (len(pieces) == whole and strip.first % output.quantum == 0
                    and strip.last == output.rounded(strip.last)):
                whole += 1
            rows = {layer.input: (strip.input_first, strip.input_last)}
            if layer.residual is not None:
                first, last = rows.get(layer.residual, (strip.map_first, strip.map_last))
                rows[layer.residual] = min(first, strip.map_first), max(last, strip.map_last)
            offset, size = self.span(output, 0, strip.first, strip.last)
            count = strip.map_last - strip.map_first
            pieces.append(Piece(strip, rows, offset, size, count, count * geometry.map_shape[1], sizes.cycles(count)))
        stored = tuple(itertools.accumulate((piece.size for piece in pieces), initial=0))
        return Cut(tuple(pieces), whole, stored, sum(piece.cycles for piece in pieces))

    def in_whole_beats(self, geometry: Geometry, cut: Cut, streamed: int) -> bool:
        """Whether the first ``streamed`` strips can be stored: a transfer begins and ends at a beat."""
        return streamed <= cut.whole or not self.is_stored(geometry)

    def _occupied(self, state: State, choice: Choice, replaced: str | None) -> list[list[tuple[str, Span]]]:
        """What must not be overwritten while each strip runs, and of which tensor: rows that it, a later strip or a
        later layer reads. Output that stays may take the place of the rows of ``replaced`` that its strip reads."""
        pieces = choice.cut.pieces
        found: list[list[tuple[str, Span]]] = [[] for _ in pieces]
        for name, resident in state.residents.items():
            tensor, needed = self.tensors[name], choice.keep[name]
            start = choice.start.get(name)
            if start is None:
                if needed < tensor.rows:
                    entry = name, self.span(tensor, resident.base, needed, tensor.rows)
                    for spans in found:
                        spans.append(entry)
                continue
            for number in reversed(range(len(pieces))):
                spans, first, (row, last) = found[number], needed, pieces[number].rows[name]
                overwritten = name == replaced and number >= choice.streamed
                if last > start:
                    needed = min(needed, max(row, start))
                    first = needed if not overwritten else min(first, max(last, start))
                if row < start and not overwritten and name in choice.restored:
                    spans.append((name, self.span(tensor, resident.base, row, min(last, start))))
                if first < tensor.rows:
                    spans.append((name, self.span(tensor, resident.base, first, tensor.rows)))
        return found

    def _apart(self, choice: Choice, spans: list[tuple[str, Span]]) -> bool:
        """Whether rows that are restored find their places free, of other tensors and of the rest of their own, which
        may be larger than the memory."""
        return not any(overlap(one, other, self.ring) is not None for place, (name, one) in enumerate(spans)
                       if name in choice.restored for at, (_, other) in enumerate(spans) if at != place)

    def place(self, state: State, geometry: Geometry, choice: Choice) -> Iterator[Placed]:
        """Every placement worth comparing, in no order; none if the choice does not fit."""
        output, pieces = self.tensors[geometry.name], choice.cut.pieces
        kept = min((piece.strip.first for piece in pieces[choice.streamed:]), default=output.rows)

        def occupied(replaced: str | None = None) -> list[list[Span]] | None:
            found = self._occupied(state, choice, replaced)
            if choice.restored and not all(self._apart(choice, spans) for spans in found):
                return None
            return [[span for _, span in spans] for spans in found]

        spans = occupied()
        candidates = []
        if choice.streamed == len(pieces):
            candidates = [(None, spans)] if spans else []
        elif self._beats(output.rows * output.row_bytes) - kept * output.row_bytes <= self.ring:
            residual = geometry.layer.residual
            if self.in_place(geometry) and state.residents[residual].base is not None:
                replaced, base = occupied(residual), state.residents[residual].base % self.ring
                if replaced and self._is_free(choice, self._with_restored(state, choice, replaced, residual), base):
                    candidates.append((base, replaced))
            if spans:
                taken = self._with_restored(state, choice, spans, None)
                candidates += [(base, spans) for base in self._bases(choice, taken)]
        for base, spans in candidates:
            placed = Walk(self, state, geometry, choice, spans, base, kept).run()
            if placed:
                yield placed

    def _with_restored(self, state: State, choice: Choice, occupied: list[list[Span]],
                       replaced: str | None) -> list[list[Span]]:
        """``occupied`` and, for every strip, the places where later strips will have rows restored: what is to stay
        must not be put there."""
        if not choice.restored:
            return occupied
        later: list[Span] = []
        found = []
        for piece, spans in reversed(list(zip(choice.cut.pieces, occupied))):
            found.append(spans + later)
            for name in choice.restored - {replaced}:
                rows, start = piece.rows[name], choice.start[name]
                if rows[0] < start:
                    span = self.span(self.tensors[name], state.residents[name].base, rows[0], min(rows[1], start))
                    later = [*later, span]
        return found[::-1]

    def _forbidden(self, choice: Choice, occupied: list[list[Span]]) -> list[Span]:
        """Bases at which some strip that stays would cover an occupied span."""
        return [(address - piece.offset - piece.size + 1, length + piece.size - 1)
                for piece, spans in zip(choice.cut.pieces[choice.streamed:], occupied[choice.streamed:])
                for address, length in spans]

    def _is_free(self, choice: Choice, occupied: list[list[Span]], base: int) -> bool:
        return all((base - address) % self.ring >= size for address, size in self._forbidden(choice, occupied))

    def _bases(self, choice: Choice, occupied: list[list[Span]]) -> list[int]:
        """Both ends of every range of bases that no strip forbids, and the banks that begin in it, widest ranges
        first."""
        found, bank = {}, self.bank_bytes
        free = gaps(self._forbidden(choice, occupied), self.ring)
        for address, room in sorted(free, key=lambda gap: (-gap[1], gap[0])):
            low = -(-address // self.alignment) * self.alignment
            high = (address + room - 1) // self.alignment * self.alignment
            if low <= high:
                found[low % self.ring] = found[high % self.ring] = None
                for base in range(-(-low // bank) * bank, high + 1, bank):
                    found[base % self.ring] = None
        return list(found)[:_BASES]
