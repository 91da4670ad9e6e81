"""Planning a network: into how many strips each layer is cut, what stays on chip between layers, and where.

A search in the order of the layers that keeps the few best states of the activation memory behind each of them. For a
layer it tries strip heights; for each, it gives up as little on-chip memory as makes the layer fit: rows of the
tensors needed last first (Belady 1966), then rows of the output or of what the layer itself reads.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from arch import descriptor
from arch.config import EngineConfig
from compiler.errors import CompileError
from compiler.geometry import Geometry, Strip
from compiler.placement import Placer
from compiler.sizes import (LayerSizes, MaskSize, Supposition, fetched_bytes, kept_mask_beats, parameter_bytes,
                            stays)
from compiler.states import Choice, Cut, Placed, State, beginning
from compiler.steps import LayerStep, Step
from compiler.walk import STRIP_CYCLES

_STATES = 12
"""States kept behind every layer."""

_STATES_ALIKE = 2
"""Of them, with the same rows on chip in different places."""

_BEHIND = 1
"""How far a state may be behind the best one, in what it costs to load a memory full of bytes."""

_BITS = 1.5
"""Bits of a weight, for what a beat is worth."""

_SUPPOSITIONS = (Supposition(86 << 10, 460, _BITS), Supposition(344 << 10, 1984, _BITS), Supposition(0, 0, 4.))
"""What plans are made for: the buffers of presets `edge` and `base`, and none."""

_CUTS = 3
"""Ways of cutting a layer that are followed from a state."""

_STRIP_COUNTS = (1, 2, 3, 4, 6, 8, 11, 14, 28, 56, 112)

_ROW_STEPS = 32

_BUSY = 1.03
"""Cycles of a layer, in those of the array, with which a placement that gives nothing up is good: more strips are not
tried."""

_LEVELS = 2
"""Choices of a ladder that are followed: behind the first that fits, those that leave room for double buffering."""


@dataclass(frozen=True)
class _Path:
    """A state, how it was reached and what that cost."""

    state: State
    cost: float
    steps: tuple[Step, ...]
    before: _Path | None


class _Option:
    """A choice and its placements, found when they are asked for and kept."""

    __slots__ = ("choice", "_found", "_more")

    def __init__(self, choice: Choice, placer: Placer, state: State, geometry: Geometry):
        self.choice = choice
        self._found: list[Placed] = []
        self._more = placer.place(state, geometry, choice)

    def first(self) -> Placed | None:
        """Any placement; None if there is none."""
        if not self._found:
            self._found += itertools.islice(self._more, 1)
        return self._found[0] if self._found else None

    def all(self) -> list[Placed]:
        """All placements."""
        self._found += self._more
        return self._found


@dataclass(frozen=True)
class _Chip:
    """What planning needs to know of an engine, besides the sizes of layers."""

    activation_bytes: int
    bank_bytes: int
    bus_bytes: int
    lanes: int
    partial_sums: int


def plan(layers: tuple[Geometry, ...], masks: Sequence[MaskSize], config: EngineConfig) -> tuple[Step, ...]:
    """The steps of one image. Raises CompileError if a layer does not fit however it is cut.

    Of a few plans, the one that moves the fewest bytes with these masks and this engine's buffers for them and for
    parameters. The plans themselves depend on neither: so smaller masks and larger buffers never cost bytes, and plans
    are kept for later calls with others.
    """
    for geometry, mask in zip(layers, masks, strict=True):
        _check_tiles(geometry, mask, config)
    stay = [mask.tile_beats(config) <= kept_mask_beats(config) for mask in masks]
    chip = _Chip(config.activation_bytes, config.bank_bytes, config.bus_bytes, config.lanes,
                 0 if all(stay) else config.partial_sums)
    best = None
    for supposed in _SUPPOSITIONS:
        sizes = tuple(LayerSizes.of(geometry, supposed, config, tiles_stay=tiles_stay)
                      for geometry, tiles_stay in zip(layers, stay))
        steps = _with_flags(_plan(layers, sizes, chip), layers, masks, config)
        if len(steps) == len(layers) + 2:  # nothing is cut, the image is loaded and the result is stored
            return steps
        moved = _moved(steps, layers, masks, config)
        if best is None or moved < best[0]:
            best = moved, steps
    return best[1]


@functools.lru_cache(maxsize=128)
def _plan(layers: tuple[Geometry, ...], sizes: tuple[LayerSizes, ...], chip: _Chip) -> tuple[Step, ...]:
    return Planner(layers, sizes, chip).plan()


def _with_flags(steps: tuple[Step, ...], layers: tuple[Geometry, ...], masks: Sequence[MaskSize],
                config: EngineConfig) -> tuple[Step, ...]:
    """The steps with what stays on chip between strips."""
    strips = Counter(step.layer for step in steps if isinstance(step, LayerStep))
    seen, changed = Counter(), []
    for step in steps:
        if isinstance(step, LayerStep) and strips[step.layer] > 1:
            mask, parameters = stays(layers[step.layer], masks[step.layer], config)
            seen[step.layer] += 1
            first, last = seen[step.layer] == 1, seen[step.layer] == strips[step.layer]
            step = step._replace(mask_keep=mask and not last, mask_reuse=mask and not first,
                                 parameter_keep=parameters and not last, parameter_reuse=parameters and not first)
        changed.append(step)
    return tuple(changed)


def _moved(steps: tuple[Step, ...], layers: tuple[Geometry, ...], masks: Sequence[MaskSize],
           config: EngineConfig) -> int:
    """Bytes that cross the memory interface."""
    return descriptor.BYTES * len(steps) + sum(
        sum(fetched_bytes(step, layers[step.layer], masks[step.layer], config)) if isinstance(step, LayerStep)
        else step.size for step in steps)


def _heights(geometry: Geometry, quantum: int) -> list[int]:
    """Rows of a strip, for every way of cutting a layer, most first."""
    rows, heights = geometry.output_shape[0], set()
    for count in _STRIP_COUNTS if geometry.splits else (1,):
        height = -(-rows // min(count, rows))
        heights |= {height, min(rows, -(-height // quantum) * quantum)}
    return sorted(heights, reverse=True)


def _check_tiles(geometry: Geometry, mask: MaskSize, config: EngineConfig):
    """Raises CompileError if a layer's masks cannot be decoded again and no strip of it does without that."""
    if geometry.pixels <= config.partial_sums or mask.tile_beats(config) <= kept_mask_beats(config):
        return
    smallest = min(max(strip.map_last - strip.map_first for strip in geometry.strips(height))
                   for height in _heights(geometry, 1))
    if smallest * geometry.map_shape[1] > config.partial_sums:
        raise CompileError(
            f"layer {geometry.name}: {geometry.pixels} pixels in {-(-geometry.pixels // config.partial_sums)} tiles of "
            f"partial sums need {mask.tile_beats(config)} beats of coded masks kept on chip, the mask buffer can keep "
            f"{kept_mask_beats(config)}, and no strip of rows fits one tile: use a configuration with larger "
            f"mask_bytes or partial_sums of {1 << (geometry.pixels - 1).bit_length()}")


class Planner:
    """Plans one network for one engine."""

    def __init__(self, layers: tuple[Geometry, ...], sizes: tuple[LayerSizes, ...], chip: _Chip):
        self.layers, self.sizes, self.chip = layers, sizes, chip
        self._number = {geometry.name: geometry.index for geometry in layers}
        self.placer = Placer(layers, self.sizes, chip)
        self._cuts_of: dict[int, list[Cut]] = {}
        self._beat_cycles = self._worth_of_a_beat()
        self._behind = _BEHIND * self._beat_cycles * chip.activation_bytes / chip.bus_bytes

    def _worth_of_a_beat(self) -> float:
        """Cycles that a beat across the memory interface is worth: those with which half a hundredth of the cycles is
        worth a hundredth of the traffic, about."""
        tensors, chip = self.placer.tensors, self.chip
        cycles = sum(size.cycles(geometry.map_shape[0]) for geometry, size in zip(self.layers, self.sizes))
        traffic = sum(geometry.layer.weights * _BITS / 8 + parameter_bytes(geometry) for geometry in self.layers)
        for geometry in self.layers:
            live = sum(tensor.rows * tensor.row_bytes for name, tensor in tensors.items()
                       if self.placer.lives(name, geometry.index) and self._number.get(name, -1) <= geometry.index)
            traffic += max(0, live - chip.activation_bytes)
        return cycles / traffic / 2 * chip.bus_bytes

    def plan(self) -> tuple[Step, ...]:
        """The steps of one image. Raises CompileError if a layer does not fit however it is cut."""
        paths = [_Path(beginning(self.layers), 0, (), None)]
        for geometry in self.layers:
            following: dict[tuple, tuple[float, _Path]] = {}
            for path in paths:
                most = min((rank for rank, _ in following.values()), default=math.inf) + self._behind
                for placed in self._placements(path.state, geometry, most - path.cost):
                    cost = path.cost + self._cost(placed)
                    rank = cost + self._to_come(placed.state, geometry)
                    key = placed.state.key(self.chip.activation_bytes)
                    if key not in following or rank < following[key][0]:
                        following[key] = rank, _Path(placed.state, cost, placed.steps, path)
            if not following:
                raise self._does_not_fit(geometry)
            paths = self._select(following.values())
        parts, path = [], paths[0]
        while path is not None:
            parts.append(path.steps)
            path = path.before
        return tuple(step for steps in reversed(parts) for step in steps)

    def _select(self, following: Iterable[tuple[float, _Path]]) -> list[_Path]:
        """The best paths, but only a few that have the same rows on chip and differ in where they are."""
        selected, alike = [], Counter()
        ranked = sorted(following, key=lambda entry: entry[0])
        most = ranked[0][0] + self._behind
        for rank, path in ranked:
            if rank > most:
                break
            rows = tuple(sorted((name, place.first) for name, place in path.state.residents.items()))
            if alike[rows] < _STATES_ALIKE:
                alike[rows] += 1
                selected.append(path)
                if len(selected) == _STATES:
                    break
        return selected

    def _cost(self, placed: Placed) -> float:
        return placed.cycles + self._beat_cycles * placed.bytes / self.chip.bus_bytes

    def _to_come(self, state: State, geometry: Geometry) -> float:
        """Cost of loading, once per use, what is not on chip."""
        size = 0
        for name, resident in state.residents.items():
            tensor = self.placer.tensors[name]
            size += resident.first * tensor.row_bytes * self._uses_behind(name, geometry.index)
        return self._beat_cycles * size / self.chip.bus_bytes

    def _does_not_fit(self, geometry: Geometry) -> CompileError:
        tensors, layer = self.placer.tensors, geometry.layer
        output = tensors[layer.name]

        def needed(strip: Strip) -> int:
            size = output.row_bytes * (strip.last - strip.first)
            size += tensors[layer.input].row_bytes * (strip.input_last - strip.input_first)
            if layer.residual not in (None, layer.input) and not self.placer.in_place(geometry):
                size += tensors[layer.residual].row_bytes * (strip.map_last - strip.map_first)
            return size

        rows = output.rounded(1) if geometry.splits else output.rows
        size = max(map(needed, geometry.strips(rows)))
        return CompileError(f"layer {layer.name}: a strip of its rows, in whole beats, needs {size} bytes of "
                            f"activation memory in pieces that do not fit the engine's {self.chip.activation_bytes}: "
                            f"use a configuration with larger activation_bytes or a smaller input")

    def _cuts(self, geometry: Geometry) -> list[Cut]:
        """Ways of cutting the layer, fewest strips first."""
        if geometry.index not in self._cuts_of:
            self._cuts_of[geometry.index] = list(self._all_cuts(geometry))
        return self._cuts_of[geometry.index]

    def _all_cuts(self, geometry: Geometry) -> Iterator[Cut]:
        # Pixels of a strip whose masks cannot be decoded again.
        limit = geometry.pixels if self.sizes[geometry.index].tiles_stay else self.chip.partial_sums
        for height in _heights(geometry, self.placer.tensors[geometry.name].quantum):
            cut = self.placer.cut(geometry, geometry.strips(height))
            if max(piece.pixels for piece in cut.pieces) <= limit:
                yield cut

    def _placements(self, state: State, geometry: Geometry, most: float) -> list[Placed]:
        """The placements of a layer behind ``state`` that are worth going on from; none that cost more than
        ``most``."""
        fitting: list[tuple[float, list[_Option]]] = []
        busy = self.sizes[geometry.index].cycles(geometry.map_shape[0])
        for cut in self._cuts(geometry):
            good = False
            for order in self._orders(state, geometry, cut):
                for ladder in self._ladders(state, geometry, order):
                    limit = min(most, fitting[_CUTS - 1][0]) if len(fitting) >= _CUTS else most
                    climbed = self._climb(state, geometry, ladder, limit)
                    if climbed is not None:
                        placed, rest = climbed
                        fitting.append((self._cost(placed) + self._to_come(placed.state, geometry), rest))
                        fitting.sort(key=lambda entry: entry[0])
                        good |= rest[0] is ladder[0] and placed.cycles < _BUSY * busy
            if good:
                break
        return [placed for _, ladder in fitting[:_CUTS] for placed in self._alternatives(geometry, ladder)]

    def _least(self, state: State, geometry: Geometry, choice: Choice) -> float:
        """What no placement of the choice can cost less than, loading what it leaves in DRAM included."""
        cut, index, tensors = choice.cut, geometry.index, self.placer.tensors
        strips = len(cut.pieces)
        size = (strips - 1) * self.sizes[index].again_bytes + strips * descriptor.BYTES
        for name, row in choice.keep.items():
            tensor, start = tensors[name], choice.start.get(name, 0)
            uses = self._uses_behind(name, index)
            rows = row * uses + max(0, (max(row, start) if uses else start) - state.residents[name].stored)
            if start and name in choice.restored:
                rows += max(0, start - min(piece.rows[name][0] for piece in cut.pieces))
            elif start:
                packed = geometry.skips_rows and tensor.quantum == 1 and name != geometry.layer.residual
                rows += sum(piece.map_rows if packed else piece.rows[name][1] - piece.rows[name][0]
                            for piece in cut.pieces if piece.rows[name][0] < start)
            size += rows * tensor.row_bytes
        if self.placer.is_stored(geometry):
            size += cut.stored[choice.streamed] * (1 + len(tensors[geometry.name].uses))
        return cut.cycles + strips * STRIP_CYCLES + self._beat_cycles * size / self.chip.bus_bytes

    def _uses_behind(self, name: str, index: int) -> int:
        """How many layers after number ``index`` read a tensor."""
        return sum(use > index for use in self.placer.tensors[name].uses)

    def _orders(self, state: State, geometry: Geometry, cut: Cut) -> Iterator[Cut]:
        """Orders of a layer's strips: from the first row to the last; and, where the output stays on chip and the
        input's last rows are there, from these on and around, so that they make room for the output."""
        yield cut
        resident, strips = state.residents[geometry.layer.input], [piece.strip for piece in cut.pieces]
        begin = next((number for number, strip in enumerate(strips) if strip.input_first >= resident.first), 0)
        if begin and self.placer.tensors[geometry.name].uses and resident.stored >= strips[begin - 1].input_last:
            yield self.placer.cut(geometry, tuple(strips[begin:] + strips[:begin]))

    def _ladders(self, state: State, geometry: Geometry, cut: Cut) -> list[list[_Option]]:
        """Choices in which the layer asks for less and less memory. The first ones, and so the best, are the same in
        every ladder."""
        placer, index, layer = self.placer, geometry.index, geometry.layer
        tensors, residents = placer.tensors, state.residents
        read = [name for name in dict.fromkeys((layer.input, layer.residual)) if name is not None]
        strips = [piece.strip for piece in cut.pieces]

        def option(*choice) -> _Option:
            return _Option(Choice(cut, *choice), placer, state, geometry)

        def next_use(name: str) -> int:
            return min(use for use in tensors[name].uses if use > index)

        start = {name: residents[name].first for name in read}
        keep = {name: resident.first if placer.lives(name, index) else tensors[name].rows
                for name, resident in residents.items()}
        streamed = len(strips) if self._always_streamed(geometry, cut) else 0
        if not placer.in_whole_beats(geometry, cut, streamed):
            return []
        keeps = [keep]
        victims = [tensors[name] for name in residents
                   if placer.lives(name, index) and residents[name].first < tensors[name].rows]
        for tensor in sorted(victims, key=lambda one: (-next_use(one.name), -one.rows * one.row_bytes, one.name)):
            name = tensor.name
            step = -(-max(1, tensor.rows // _ROW_STEPS) // tensor.quantum) * tensor.quantum
            for row in [*range((keep[name] // step + 1) * step, tensor.rows, step), tensor.rows]:
                keep = keep | {name: row}
                keeps.append(keep)

        # What stays on chip of a tensor are its last rows.
        most = 0 if cut.first_row else len(strips) if not placer.is_stored(geometry) else cut.whole

        def give_up_output(last: Choice) -> Iterator[_Option]:
            for count in range(last.streamed + 1, most + 1):
                yield option(last.start, last.keep, count, last.restored)

        def give_up_sources(last: Choice) -> Iterator[_Option]:
            start, keep = last.start, last.keep
            for name in read:
                if name in last.restored:
                    continue
                rows = {strip.input_first if name == layer.input else strip.map_first for strip in strips[1:]}
                for row in sorted({row for row in rows if row > start[name]} | {tensors[name].rows}):
                    start, keep = start | {name: row}, keep | {name: max(keep[name], row)}
                    yield option(start, keep, last.streamed, last.restored)

        broken = [name for name in read if 0 < residents[name].first < tensors[name].rows]
        ladders = []
        for restored in (names for count in range(len(broken) + 1) for names in itertools.combinations(broken, count)):
            shared = [option(start, keep, streamed, frozenset(restored)) for keep in keeps]
            # Where rows are restored, an output that is stored instead has no place of its own.
            orders = ((give_up_output,), (give_up_sources,)) if restored else (
                (give_up_output, give_up_sources), (give_up_sources, give_up_output))
            for order in orders:
                ladder = list(shared)
                for part in order:
                    ladder += part(ladder[-1].choice)
                ladders.append(ladder)
        return ladders

    def _always_streamed(self, geometry: Geometry, cut: Cut) -> bool:
        """Whether nobody reads the output: the network's result, which is stored strip by strip if each is in whole
        beats, or a tensor of no use."""
        return not self.placer.tensors[geometry.name].uses and self.placer.in_whole_beats(
            geometry, cut, len(cut.pieces))

    def _climb(self, state: State, geometry: Geometry, ladder: list[_Option],
               limit: float) -> tuple[Placed, list[_Option]] | None:
        """A placement of the first choice of a ladder that fits, and the ladder from there on; None if there is none or
        it costs more than ``limit``."""
        low, high, placed, step = 0, 0, None, 1
        # By larger and larger steps to one that fits, then by halves back to the first.
        while placed is None:
            if high >= len(ladder) or self._least(state, geometry, ladder[low].choice) > limit:
                return None
            placed = ladder[high].first()
            if placed is None:
                low, high, step = high + 1, min(high + step, max(high + 1, len(ladder) - 1)), 2 * step
        while low < high:
            if self._least(state, geometry, ladder[low].choice) > limit:
                return None
            middle = (low + high) // 2
            found = ladder[middle].first()
            if found is None:
                low = middle + 1
            else:
                high, placed = middle, found
        return placed, ladder[high:]

    def _alternatives(self, geometry: Geometry, ladder: list[_Option]) -> Iterator[Placed]:
        """All placements of the first choice of a ladder, and of some that leave more room."""
        freed = [self._freed(option.choice) for option in ladder]
        levels = {next((level for level, size in enumerate(freed) if size >= freed[0] + spare), 0)
                  for spare in self._spares(geometry)}
        for level in sorted(levels | set(range(min(_LEVELS, len(ladder))))):
            yield from ladder[level].all()

    def _spares(self, geometry: Geometry) -> set[int]:
        """Bytes that, left free before a layer's output, let the next layer's output slide over it, for every way of
        cutting the next layer."""
        tensors = self.placer.tensors
        if geometry.index + 1 == len(self.layers):
            return {0}
        following = self.layers[geometry.index + 1]
        if following.layer.input != geometry.name:
            return {0}
        rows, inputs = tensors[following.name].row_bytes, tensors[geometry.name].row_bytes
        return {0} | {max(piece.strip.last * rows - piece.strip.input_first * inputs for piece in cut.pieces)
                      for cut in self._cuts(following)}

    def _freed(self, choice: Choice) -> int:
        tensors = self.placer.tensors
        return sum(row * tensors[name].row_bytes for name, row in choice.keep.items())
