"""Placing a layer strip by strip, once it is known what each strip must not overwrite and where the output goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arch import descriptor
from compiler.geometry import Geometry
from compiler.ring import Span, fit, gaps, overlap
from compiler.states import Choice, Piece, Placed, Resident, State
from compiler.steps import LayerStep, LoadStep, Step, StoreStep

if TYPE_CHECKING:
    from compiler.placement import Placer

STRIP_CYCLES = 24
"""What a strip costs beside its passes, about: for comparing placements only."""

_SAMPLES = 8
"""Moments of a strip at which bank conflicts are looked for."""


class Walk:
    """Places what strips load and what they write for a while, and moves to DRAM what is overwritten.

    ``occupied`` are the spans that each strip must leave alone, ``base`` is the place of the output's first row, None
    if all strips are streamed, and ``kept`` the first row that stays.
    """

    def __init__(self, placer: Placer, state: State, geometry: Geometry, choice: Choice, occupied: list[list[Span]],
                 base: int | None, kept: int):
        self._placer, self._state, self._geometry, self._choice = placer, state, geometry, choice
        self._occupied, self._base, self._kept = occupied, base, kept
        self._output = placer.tensors[geometry.name]
        self._stored = {name: resident.stored for name, resident in state.residents.items()}
        self._restored = dict.fromkeys(choice.restored, 0)
        self._pending = self._must_be_stored()
        self._pointer = state.pointer
        self._cover = state.cover
        self._steps: list[Step] = []
        self._bytes = 0
        self._cycles = 0.
        # Of the strip at work: what it may use under no circumstances, and better not; its transient places; its loads;
        # whether one of its places was in use a moment ago.
        self._hard: list[Span] = []
        self._soft: list[Span] = []
        self._recent: list[Span] = list(state.recent)
        self._held: list[Span] = []
        self._loads: list[LoadStep] = []
        self._blocked = False

    def _must_be_stored(self) -> dict[str, int]:
        """Rows, by tensor, that have to be in DRAM when they are overwritten."""
        placer, choice, index = self._placer, self._choice, self._geometry.index
        pending = {}
        for name, stored in self._stored.items():
            row = max(choice.keep[name] if placer.lives(name, index) else 0, choice.start.get(name, 0))
            if row > stored:
                row = placer.tensors[name].rounded(row)
                if row > stored:
                    pending[name] = row
        return pending

    def run(self) -> Placed | None:
        """The layer placed; None if a transient place does not fit."""
        placer, state, geometry, choice = self._placer, self._state, self._geometry, self._choice
        in_place: list[Span] = []
        before: list[Span] = []
        for number, (piece, spans) in enumerate(zip(choice.cut.pieces, self._occupied)):
            self._hard, self._soft, before = spans + in_place, before, spans
            written = None
            if self._base is not None and number >= choice.streamed:
                written = self._base + piece.offset, piece.size
                in_place.append(written)
                self._hard.append(written)
            if not self._strip(number, piece, written):
                return None

        living = [name for name in state.residents if placer.lives(name, geometry.index)]
        for name in living:
            self._store(name, choice.keep[name])
        count = len(choice.cut.pieces)
        size = self._bytes + (count - 1) * placer.sizes[geometry.index].again_bytes
        size += descriptor.BYTES * len(self._steps)
        residents = {}
        for name in living:
            keep = choice.keep[name]
            base = None if keep == placer.tensors[name].rows else state.residents[name].base
            residents[name] = Resident(base, keep, self._stored[name])
        if self._output.uses:
            residents[geometry.name] = Resident(self._base, self._kept, self._kept)
        return Placed(tuple(self._steps), State(residents, tuple(self._recent), self._pointer, self._cover), size,
                      self._cycles)

    def _strip(self, number: int, piece: Piece, written: Span | None) -> bool:
        """Places strip ``number``, whose output goes to the span ``written`` or, if None, is streamed; False if it does
        not fit."""
        placer, geometry, steps = self._placer, self._geometry, self._steps
        layer, strip, ring, beat = geometry.layer, piece.strip, placer.ring, placer.beat
        self._held, self._loads, self._blocked = [], [], False
        streamed = written is None
        if streamed:
            size = -((strip.first - strip.last) * self._output.row_bytes // beat) * beat
            output_address = self._transient(size)
            if output_address is None:
                return False
            written = output_address, size
        else:
            output_address = written[0] % ring
        packed = self._packs(strip.input_first)

        residual_address = residual = None
        if layer.residual is not None and layer.residual != layer.input:
            residual_address = self._source(layer.residual, piece, output_address, False)
            if residual_address is None:
                return False
        input_address = self._source(layer.input, piece, output_address, packed)
        if input_address is None:
            return False
        row_bytes = placer.tensors[layer.input].row_bytes
        if layer.residual == layer.input:
            first = piece.rows[layer.input][0]
            residual_address = (input_address + (strip.map_first - first) * row_bytes) % ring
            input_address = (input_address + (strip.input_first - first) * row_bytes) % ring
        if residual_address is not None:
            residual = residual_address, piece.pixels * layer.out_channels

        before = self._bytes
        if self._pending:
            self._save(written)
        read = 0
        for load in self._loads:
            read += load.size
            steps.append(load)
        self._bytes += read
        steps.append(LayerStep(geometry.index, strip, input_address, residual_address, output_address, packed))
        if placer.is_stored(geometry):
            if streamed:
                self._append_store(geometry.name, piece.offset, written[1], output_address)
            elif number + 1 == len(self._choice.cut.pieces) and not self._output.uses:
                # The network's result, in one piece.
                address, size = placer.span(self._output, self._base, self._kept, self._output.rows)
                self._append_store(geometry.name, self._kept * self._output.row_bytes, size, address % ring)
        window = input_address, row_bytes * (piece.map_rows if packed else strip.input_last - strip.input_first)
        self._count(piece, self._bytes - before - read, read, window, residual, written)
        self._recent = [*self._held, written, window]
        return True

    def _count(self, piece: Piece, wrote: int, read: int, window: Span, residual: Span | None, written: Span):
        """Adds a strip's cycles, about."""
        work = piece.cycles + STRIP_CYCLES
        beat = self._placer.beat
        loads = read / beat
        self._cycles += self._conflicts(piece, window, residual, written)
        self._cycles += max(work, wrote / beat) + (loads if self._blocked else max(0, loads - self._cover))
        self._cover = work

    def _conflicts(self, piece: Piece, window: Span, residual: Span | None, written: Span) -> float:
        """Cycles, about, that reads of windows and of the post-processor take from each other: where both are in the
        same bank at the same time, which goes through all three spans from end to end."""
        together = 0 if residual is None else self._together(window, residual)
        if self._geometry.pool_kind == "max":
            together += self._together(window, written)
        reads = piece.pixels * self._placer.sizes[self._geometry.index].groups
        return reads * together / _SAMPLES / 2

    def _together(self, one: Span, other: Span) -> int:
        """At how many moments two spans are in the same bank."""
        ring, bank, count = self._placer.ring, self._placer.bank_bytes, 0
        (first, size), (second, length) = one, other
        for part in range(_SAMPLES):
            count += (first + size * part // _SAMPLES) % ring // bank == (
                second + length * part // _SAMPLES) % ring // bank
        return count

    def _packs(self, input_first: int) -> bool:
        """Whether rows that no window touches are not loaded."""
        geometry, choice = self._geometry, self._choice
        layer = geometry.layer
        return (geometry.skips_rows and input_first < choice.start[layer.input] and layer.input != layer.residual
                and self._placer.tensors[layer.input].quantum == 1 and layer.input not in choice.restored)

    def _transient(self, size: int) -> int | None:
        """A place for ``size`` bytes that only this strip uses, if possible not one that the strip before it used."""
        placer = self._placer
        taken = self._hard + self._held
        address = fit(gaps(taken + self._soft + self._recent, placer.ring), size, placer.alignment, self._pointer,
                      placer.ring)
        if address is None:
            address = fit(gaps(taken, placer.ring), size, placer.alignment, self._pointer, placer.ring)
            self._blocked = True
        if address is not None:
            self._held.append((address, size))
            self._pointer = (address + size) % placer.ring
        return address

    def _source(self, name: str, piece: Piece, output_address: int, packed: bool) -> int | None:
        """Address of the first row of a tensor that a strip reads, loaded if need be."""
        placer, geometry, start = self._placer, self._geometry, self._choice.start[name]
        tensor, resident = placer.tensors[name], self._state.residents[name]
        first, last = piece.rows[name]
        row_bytes, ring = tensor.row_bytes, placer.ring
        if first >= start:
            return (resident.base + first * row_bytes) % ring
        if name in self._restored:
            row, end = max(first, self._restored[name]), min(last, start)
            if row % tensor.quantum or end != tensor.rounded(end):
                return None
            if row < end:
                address, size = placer.span(tensor, resident.base, row, end)
                self._loads.append(LoadStep(geometry.index, name, row * row_bytes, size, address % ring))
                self._restored[name] = end
                self._store(name, end)
            return (resident.base + first * row_bytes) % ring
        if packed:
            rows = range(piece.strip.map_first, piece.strip.map_last)
            address = self._transient(len(rows) * row_bytes)
            if address is None:
                return None
            self._loads += [LoadStep(geometry.index, name, row * geometry.layer.stride * row_bytes, row_bytes,
                                     (address + place * row_bytes) % ring) for place, row in enumerate(rows)]
            self._store(name, last)
            return address
        beat = placer.beat
        low = first * row_bytes // beat * beat
        size = -(-last * row_bytes // beat) * beat - low
        layer = geometry.layer
        over = name == layer.residual != layer.input and self._whole_beats(piece)
        address = output_address if over else self._transient(size)
        if address is None:
            return None
        self._loads.append(LoadStep(geometry.index, name, low, size, address))
        self._store(name, last)
        return (address + first * row_bytes - low) % ring

    def _whole_beats(self, piece: Piece) -> bool:
        """Whether a strip's residual may be loaded to where its output goes: the same rows, in whole beats."""
        layer, output, strip = self._geometry.layer, self._output, piece.strip
        return (layer.pool is None and not layer.wide and strip.first % output.quantum == 0
                and strip.last == output.rounded(strip.last))

    def _save(self, written: Span):
        """Stores what a strip overwrites with its output or its loads."""
        placer = self._placer
        writes = [written, *((load.address, load.size) for load in self._loads)]
        for name, row in self._pending.items():
            base, tensor = self._state.residents[name].base, placer.tensors[name]
            for write in writes:
                stored = self._stored[name]
                if stored < row:
                    over = overlap(write, placer.span(tensor, base, stored, row), placer.ring)
                    if over is not None:
                        self._store(name, min(row, stored + over // tensor.row_bytes + 1))

    def _store(self, name: str, row: int):
        """Stores rows of a tensor up to ``row``, unless DRAM has them."""
        first = self._stored[name]
        if row <= first:
            return
        placer = self._placer
        tensor = placer.tensors[name]
        row = tensor.rounded(row)
        address, size = placer.span(tensor, self._state.residents[name].base, first, row)
        self._stored[name] = row
        self._append_store(name, first * tensor.row_bytes, size, address % placer.ring)

    def _append_store(self, name: str, offset: int, size: int, address: int):
        self._steps.append(StoreStep(name, offset, size, address))
        self._bytes += size
