"""Placing one layer: where its strips find their input and residual, where they put their output, and what crosses the
memory interface meanwhile.

A tensor between two layers is in DRAM up to a row, and on chip from a row that is not behind it to its end, at
consecutive addresses: see :class:`Resident`. What strips read of its rows in DRAM only is loaded, strip by strip, into a
*transient* place; output strips that are not to stay on chip are written to transient places and stored. The rows
that stay are written where nothing lies that this strip or a later one needs, often over the layer's own input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from arch import descriptor
from arch.config import EngineConfig
from compiler.geometry import Geometry, Strip, Tensor, tensors
from compiler.ring import Span, fit, gaps, overlap
from compiler.sizes import LayerSizes
from golden.topology import IMAGE

_STRIP_CYCLES = 24
"""What a strip costs beside its passes, about: for comparing placements only."""

_BASES = 8

_SAMPLES = 8
"""Moments of a strip at which bank conflicts are looked for."""


@dataclass(frozen=True)
class LoadStep:
    """``size`` bytes of a tensor's copy in DRAM, from byte ``offset`` on, to activation address ``address``."""

    layer: int
    tensor: str
    offset: int
    size: int
    address: int


@dataclass(frozen=True)
class StoreStep:
    """``size`` bytes at activation address ``address`` to byte ``offset`` of a tensor's copy in DRAM."""

    tensor: str
    offset: int
    size: int
    address: int


@dataclass(frozen=True)
class LayerStep:
    """One strip of a layer: addresses of its first input row, first residual row and first output row."""

    layer: int
    strip: Strip
    input_address: int
    residual_address: int | None
    output_address: int
    #: The input is the rows alone that windows touch.
    packed: bool
    #: The next or the step before is a strip of the same layer, and the buffer holds the masks or the parameters.
    mask_keep: bool
    mask_reuse: bool
    parameter_keep: bool
    parameter_reuse: bool


Step = LoadStep | StoreStep | LayerStep


@dataclass(frozen=True)
class Resident:
    """Where a tensor is: rows before ``stored`` in DRAM, rows from ``first`` on on chip, row y at ``base`` + y rows.
    ``first`` <= ``stored``: no row is nowhere. Without a row on chip there is no base."""

    base: int | None
    first: int
    stored: int


@dataclass(frozen=True)
class State:
    """What a layer leaves behind: tensors by name that later layers read, and places that are better left alone for a
    while, since the last strip used them."""

    residents: dict[str, Resident]
    recent: tuple[Span, ...] = ()
    pointer: int = 0
    #: Cycles of the last strip: what a load may hide behind.
    cover: int = 0

    def key(self, ring: int) -> tuple:
        """Equal for states from which the same can be reached at the same cost: turning the ring changes nothing, and
        what is not on chip has no place."""
        parts, origin = [], None
        for name, place in sorted(self.residents.items()):
            if place.base is not None and origin is None:
                origin = place.base
            base = None if place.base is None else (place.base - origin) % ring
            parts.append((name, base, place.first, place.stored))
        return tuple(parts)


@dataclass(frozen=True)
class Choice:
    """How a layer runs. ``start``: first row of the input or residual that strips find on chip; the others are loaded,
    a strip's all at once to a transient place, or, for tensors in ``restored``, to where they were before they were
    overwritten. ``keep``: first row of a tensor that is on chip when the layer has run. ``streamed``: strips stored,
    not kept."""

    strips: tuple[Strip, ...]
    start: dict[str, int]
    keep: dict[str, int]
    streamed: int
    restored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Placed:
    """A layer placed: its steps, the state behind it, bytes across the memory interface beside what every placement
    costs, and cycles, about."""

    steps: tuple[Step, ...]
    state: State
    bytes: int
    cycles: float


@dataclass
class _Walk:
    """Placing strips one after another, for one base of the output."""

    stored: dict[str, int]
    pointer: int
    steps: list[Step] = field(default_factory=list)
    bytes: int = 0
    cycles: float = 0


class Placer:
    """Places layers of one network on one engine."""

    def __init__(self, layers: tuple[Geometry, ...], sizes: tuple[LayerSizes, ...], config: EngineConfig):
        self.layers, self.sizes, self.config = layers, sizes, config
        self.tensors = tensors(layers, config)
        self.ring = config.activation_bytes
        self.alignment = max(config.bus_bytes, config.lanes)

    def _beats(self, size: int) -> int:
        beat = self.config.bus_bytes
        return -(-size // beat) * beat

    def _span(self, tensor: Tensor, base: int, first: int, last: int) -> Span:
        """Bytes of rows of a tensor at ``base``; with its last row, to the end of the beat."""
        end = self._beats(last * tensor.row_bytes) if last == tensor.rows else last * tensor.row_bytes
        return base + first * tensor.row_bytes, end - first * tensor.row_bytes

    def lives(self, name: str, index: int) -> bool:
        """Whether a layer after number ``index`` reads the tensor."""
        uses = self.tensors[name].uses
        return bool(uses) and uses[-1] > index

    def in_place(self, geometry: Geometry) -> bool:
        """Whether the output may be written over the residual: every byte is read before it is written, and by no one
        after."""
        layer = geometry.layer
        return (layer.residual is not None and layer.residual != layer.input and not layer.wide and layer.pool is None
                and not self.lives(layer.residual, geometry.index))

    def _rows(self, geometry: Geometry, strip: Strip, name: str) -> tuple[int, int] | None:
        """Rows of a tensor that a strip reads."""
        layer, found = geometry.layer, []
        if name == layer.input:
            found.append((strip.input_first, strip.input_last))
        if name == layer.residual:
            found.append((strip.map_first, strip.map_last))
        return (min(first for first, _ in found), max(last for _, last in found)) if found else None

    def _occupied(self, state: State, geometry: Geometry, choice: Choice, replaced: str | None) -> list[dict[str, list[Span]]]:
        """What must not be overwritten while each strip runs: rows that it, a later strip or a later layer reads. The
        output of a strip that stays may take the place of the rows of ``replaced`` that it reads."""
        found: list[dict[str, list[Span]]] = [{} for _ in choice.strips]
        for name, resident in state.residents.items():
            tensor, needed = self.tensors[name], choice.keep[name]
            start = choice.start.get(name, tensor.rows)
            for number in reversed(range(len(choice.strips))):
                here, rows = [], self._rows(geometry, choice.strips[number], name)
                first, gives_way = needed, name == replaced and number >= choice.streamed
                if rows is not None and rows[1] > start:
                    needed = min(needed, max(rows[0], start))
                    first = min(first, max(rows[1], start)) if gives_way else needed
                if name in choice.restored and not gives_way and rows[0] < start:
                    here.append(self._span(tensor, resident.base, rows[0], min(rows[1], start)))
                if first < tensor.rows:
                    here.append(self._span(tensor, resident.base, first, tensor.rows))
                found[number][name] = here
        return found

    def _apart(self, choice: Choice, spans: dict[str, list[Span]]) -> bool:
        """Whether rows that are restored find their places free, of other tensors and of the rest of their own, which may
        be larger than the memory."""
        everything = [(name, place, span) for name, group in spans.items() for place, span in enumerate(group)]
        return not any(overlap(one, other, self.ring) is not None for name, place, one in everything
                       for others, at, other in everything if name in choice.restored and (name, place) != (others, at))

    def in_whole_beats(self, geometry: Geometry, choice: Choice) -> bool:
        """Whether the strips that are stored can be: a transfer begins and ends at a beat."""
        output = self.tensors[geometry.name]
        streamed = choice.strips[:choice.streamed] if self._is_stored(geometry) else ()
        return all(strip.first % output.quantum == 0 and strip.last == output.rounded(strip.last) for strip in streamed)

    def _is_stored(self, geometry: Geometry) -> bool:
        """Whether anyone reads the output."""
        return bool(self.tensors[geometry.name].uses) or geometry.index == len(self.layers) - 1

    def place(self, state: State, geometry: Geometry, choice: Choice) -> Iterator[Placed]:
        """Every placement worth comparing, in no order; none if the choice does not fit."""
        output = self.tensors[geometry.name]
        strips = choice.strips
        kept = min((strip.first for strip in strips[choice.streamed:]), default=output.rows)

        def occupied(replaced: str | None = None) -> list[list[Span]] | None:
            found = self._occupied(state, geometry, choice, replaced)
            if choice.restored and not all(self._apart(choice, spans) for spans in found):
                return None
            return [[span for group in spans.values() for span in group] for spans in found]

        spans = occupied()
        candidates = []
        if choice.streamed == len(strips):
            candidates = [(None, spans)] if spans else []
        elif self._beats(output.rows * output.row_bytes) - kept * output.row_bytes <= self.ring:
            residual = geometry.layer.residual
            if self.in_place(geometry) and state.residents[residual].base is not None:
                replaced, base = occupied(residual), state.residents[residual].base % self.ring
                if replaced and self._is_free(output, choice, self._with_restored(state, geometry, choice, replaced, residual),
                                              base):
                    candidates.append((base, replaced))
            if spans:
                taken = self._with_restored(state, geometry, choice, spans, None)
                candidates += [(base, spans) for base in self._bases(output, choice, taken)]
        for base, spans in candidates:
            walk = self._walk(state, geometry, choice, spans, base, kept)
            if walk:
                yield walk

    def _with_restored(self, state: State, geometry: Geometry, choice: Choice, occupied: list[list[Span]],
                       replaced: str | None) -> list[list[Span]]:
        """``occupied`` and, for every strip, the places where later strips will have rows restored: what is to stay must
        not be put there."""
        later: list[Span] = []
        found = []
        for strip, spans in reversed(list(zip(choice.strips, occupied))):
            found.append(spans + later)
            for name in choice.restored - {replaced}:
                rows, start = self._rows(geometry, strip, name), choice.start[name]
                if rows[0] < start:
                    later = [*later, self._span(self.tensors[name], state.residents[name].base, rows[0], min(rows[1], start))]
        return found[::-1]

    def _forbidden(self, output: Tensor, choice: Choice, occupied: list[list[Span]]) -> Iterator[Span]:
        """Bases at which some strip that stays would cover an occupied span."""
        for strip, spans in zip(choice.strips[choice.streamed:], occupied[choice.streamed:]):
            offset, size = self._span(output, 0, strip.first, strip.last)
            for address, length in spans:
                yield address - offset - size + 1, length + size - 1

    def _is_free(self, output: Tensor, choice: Choice, occupied: list[list[Span]], base: int) -> bool:
        return all((base - address) % self.ring >= size for address, size in self._forbidden(output, choice, occupied))

    def _bases(self, output: Tensor, choice: Choice, occupied: list[list[Span]]) -> list[int]:
        """Both ends of every range of bases that no strip forbids, and the banks that begin in it, widest ranges first."""
        found, bank = {}, self.config.bank_bytes
        free = gaps(self._forbidden(output, choice, occupied), self.ring)
        for address, room in sorted(free, key=lambda gap: (-gap[1], gap[0])):
            low = -(-address // self.alignment) * self.alignment
            high = (address + room - 1) // self.alignment * self.alignment
            if low <= high:
                found[low % self.ring] = found[high % self.ring] = None
                for base in range(-(-low // bank) * bank, high + 1, bank):
                    found[base % self.ring] = None
        return list(found)[:_BASES]

    def _conflicts(self, geometry: Geometry, strip: Strip, windows: Span, residual: Span | None, output: Span) -> float:
        """Cycles, about, that reads of windows and of the post-processor take from each other: where both are in the same
        bank at the same time, which goes through all three spans from end to end."""
        others = [] if residual is None else [residual]
        if geometry.pool_kind == "max":
            others.append(output)
        pixels = (strip.map_last - strip.map_first) * geometry.map_shape[1]
        reads = pixels * self.sizes[geometry.index].groups
        together = 0
        for other in others:
            for part in range(_SAMPLES):
                banks = {(span[0] + span[1] * part // _SAMPLES) % self.ring // self.config.bank_bytes
                         for span in (windows, other)}
                together += len(banks) == 1
        return reads * together / _SAMPLES / 2

    def _walk(self, state: State, geometry: Geometry, choice: Choice, occupied: list[list[Span]],
              base: int | None, kept: int) -> Placed | None:
        """Place transients strip by strip; None if one does not fit."""
        layer, output, beat = geometry.layer, self.tensors[geometry.name], self.config.bus_bytes
        sizes = self.sizes[geometry.index]
        to_store = self._is_stored(geometry)
        walk = _Walk({name: resident.stored for name, resident in state.residents.items()}, state.pointer)
        recent, cover = list(state.recent), state.cover
        restored = dict.fromkeys(choice.restored, 0)
        count = len(choice.strips)
        # Rows that have to be in DRAM when they are overwritten.
        pending = {}
        for name in state.residents:
            tensor = self.tensors[name]
            row = max(choice.keep[name] if self.lives(name, geometry.index) else 0, choice.start.get(name, 0))
            if tensor.rounded(row) > walk.stored[name]:
                pending[name] = tensor.rounded(row)

        in_place: list[Span] = []
        for number, (strip, spans) in enumerate(zip(choice.strips, occupied)):
            streamed = number < choice.streamed
            hard = list(spans)
            soft = [] if number == 0 else occupied[number - 1]
            if base is not None and not streamed:
                in_place.append(self._span(output, base, strip.first, strip.last))
            hard += in_place
            loads: list[LoadStep] = []
            held: list[Span] = []
            blocked = False

            def transient(size: int) -> int | None:
                nonlocal blocked
                taken = hard + held
                address = fit(gaps(taken + soft + recent, self.ring), size, self.alignment, walk.pointer, self.ring)
                if address is None:
                    address = fit(gaps(taken, self.ring), size, self.alignment, walk.pointer, self.ring)
                    blocked = True
                if address is not None:
                    held.append((address, size))
                    walk.pointer = (address + size) % self.ring
                return address

            if streamed or base is None:
                size = self._beats((strip.last - strip.first) * output.row_bytes)
                output_address = transient(size)
                if output_address is None:
                    return None
                written = output_address, size
            else:
                written = self._span(output, base, strip.first, strip.last)
                output_address = written[0] % self.ring

            # Rows that no window touches are not loaded.
            packed = ()
            if (geometry.skips_rows and strip.input_first < choice.start[layer.input] and self.tensors[layer.input].quantum == 1
                    and layer.input not in choice.restored and layer.input != layer.residual):
                packed = (layer.input,)

            def source(name: str, first: int, last: int) -> int | None:
                """Address of a tensor's row ``first``, loaded if need be."""
                tensor = self.tensors[name]
                if first >= choice.start[name]:
                    return (state.residents[name].base + first * tensor.row_bytes) % self.ring
                resident = state.residents[name]
                if name in choice.restored:
                    row, end = max(first, restored[name]), min(last, choice.start[name])
                    if row % tensor.quantum or end != tensor.rounded(end):
                        return None
                    if row < end:
                        address, size = self._span(tensor, resident.base, row, end)
                        loads.append(LoadStep(geometry.index, name, row * tensor.row_bytes, size, address % self.ring))
                        restored[name] = end
                        self._store(walk, state, name, end)
                    return (resident.base + first * tensor.row_bytes) % self.ring
                if name in packed:
                    rows = range(strip.map_first, strip.map_last)
                    address = transient(len(rows) * tensor.row_bytes)
                    if address is None:
                        return None
                    loads.extend(LoadStep(
                        geometry.index, name, row * layer.stride * tensor.row_bytes, tensor.row_bytes,
                        (address + place * tensor.row_bytes) % self.ring) for place, row in enumerate(rows))
                    self._store(walk, state, name, last)
                    return address
                low = first * tensor.row_bytes // beat * beat
                size = self._beats(last * tensor.row_bytes) - low
                over = name == layer.residual != layer.input and self._whole_beats(geometry, strip)
                address = output_address if over else transient(size)
                if address is None:
                    return None
                loads.append(LoadStep(geometry.index, name, low, size, address))
                self._store(walk, state, name, last)
                return (address + first * tensor.row_bytes - low) % self.ring

            found = {}
            for name in dict.fromkeys((layer.residual, layer.input)):
                if name is not None:
                    first, last = self._rows(geometry, strip, name)
                    address = source(name, first, last)
                    if address is None:
                        return None
                    found[name] = address, first

            def address_of(name: str, row: int) -> int:
                address, first = found[name]
                return (address + (row - first) * self.tensors[name].row_bytes) % self.ring

            input_address = address_of(layer.input, strip.input_first)
            residual_address = None if layer.residual is None else address_of(layer.residual, strip.map_first)

            before = walk.bytes
            for name, row in pending.items():
                resident, tensor = state.residents[name], self.tensors[name]
                for write in (written, *((load.address, load.size) for load in loads)):
                    stored = walk.stored[name]
                    if stored < row:
                        over = overlap(write, self._span(tensor, resident.base, stored, row), self.ring)
                        if over is not None:
                            self._store(walk, state, name, min(row, stored + over // tensor.row_bytes + 1))
            read = sum(load.size for load in loads)
            walk.steps += loads
            walk.bytes += read
            walk.steps.append(LayerStep(
                geometry.index, strip, input_address, residual_address, output_address, bool(packed),
                mask_keep=sizes.masks_stay and number + 1 < count, mask_reuse=sizes.masks_stay and number > 0,
                parameter_keep=sizes.parameters_stay and number + 1 < count,
                parameter_reuse=sizes.parameters_stay and number > 0))
            if to_store and (streamed or base is None):
                walk.steps.append(StoreStep(geometry.name, strip.first * output.row_bytes, written[1], output_address))
                walk.bytes += written[1]
            elif not output.uses and to_store and number == count - 1:
                # The network's result, in one piece.
                address, size = self._span(output, base, kept, output.rows)
                walk.steps.append(StoreStep(geometry.name, kept * output.row_bytes, size, address % self.ring))
                walk.bytes += size
            wrote = walk.bytes - before - read
            work = sizes.cycles(strip.map_last - strip.map_first) + _STRIP_CYCLES
            read_cycles = read / beat
            residual = None if residual_address is None else (
                residual_address, (strip.map_last - strip.map_first) * math.prod(geometry.map_shape[1:]))
            window = self.tensors[layer.input].row_bytes * (
                strip.map_last - strip.map_first if packed else strip.input_last - strip.input_first)
            walk.cycles += self._conflicts(geometry, strip, (input_address, window), residual, written)
            walk.cycles += max(work, wrote / beat) + (read_cycles if blocked else max(0, read_cycles - cover))
            cover = work
            recent = [*held, written, (input_address, window)]

        for name in state.residents:
            if self.lives(name, geometry.index):
                self._store(walk, state, name, choice.keep[name])
        walk.bytes += (count - 1) * sizes.again_bytes + descriptor.BYTES * len(walk.steps)
        residents = {name: Resident(None if choice.keep[name] == self.tensors[name].rows else resident.base,
                                    choice.keep[name], walk.stored[name])
                     for name, resident in state.residents.items() if self.lives(name, geometry.index)}
        if output.uses:
            residents[geometry.name] = Resident(base, kept, kept)
        return Placed(tuple(walk.steps), State(residents, tuple(recent), walk.pointer, cover), walk.bytes, walk.cycles)

    def _whole_beats(self, geometry: Geometry, strip: Strip) -> bool:
        """Whether a strip's residual may be loaded to where its output goes: the same rows, in whole beats."""
        output = self.tensors[geometry.name]
        return (geometry.layer.pool is None and not geometry.layer.wide and strip.first % output.quantum == 0
                and strip.last == output.rounded(strip.last))

    def _store(self, walk: _Walk, state: State, name: str, row: int):
        """Store rows of a tensor up to ``row``, unless DRAM has them."""
        tensor, first = self.tensors[name], walk.stored[name]
        row = tensor.rounded(row)
        if row <= first:
            return
        address, size = self._span(tensor, state.residents[name].base, first, row)
        walk.steps.append(StoreStep(name, first * tensor.row_bytes, size, address % self.ring))
        walk.stored[name] = row
        walk.bytes += size


def beginning(layers: tuple[Geometry, ...]) -> State:
    """The state before the first layer: the image in DRAM, nothing on chip."""
    rows = layers[0].input_shape[0]
    return State({IMAGE: Resident(None, rows, rows)})
