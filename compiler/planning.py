"""Planning a network: into how many strips each layer is cut, what stays on chip between layers, and where.

A search in the order of the layers that keeps the few best states of the activation memory behind each of them. For a
layer it tries strip heights; for each, it gives up as little on-chip memory as makes the layer fit: rows of the
tensors needed last first (Belady 1966), then rows of the output or of what the layer itself reads.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from arch.config import EngineConfig
from compiler.errors import CompileError
from compiler.geometry import Geometry, Strip
from compiler.placement import Choice, Placed, Placer, State, Step, beginning
from compiler.sizes import LayerSizes, MaskSize, kept_mask_beats
from golden.topology import IMAGE

_STATES = 12
"""States kept behind every layer."""

_STATES_ALIKE = 2
"""Of them, with the same rows on chip in different places."""

_CUTS = 3
"""Ways of cutting a layer that are followed from a state."""

_STRIP_COUNTS = (1, 2, 3, 4, 6, 8, 11, 14, 28, 56, 112)

_ROW_STEPS = 32

_BUSY = 1.03
"""Cycles of a layer, in those of the array, with which a placement that gives nothing up is good: more strips are not tried."""

_LEVELS = 2
"""Choices of a ladder that are followed: behind the first that fits, those that leave room for double buffering."""


@dataclass(frozen=True)
class _Path:
    """A state, how it was reached and what that cost."""

    state: State
    cost: float
    steps: tuple[Step, ...]
    before: _Path | None


class Planner:
    """Plans one network for one engine."""

    def __init__(self, layers: tuple[Geometry, ...], masks: tuple[MaskSize, ...], config: EngineConfig):
        self.layers, self.config = layers, config
        self._number = {geometry.name: geometry.index for geometry in layers}
        self.sizes = tuple(LayerSizes.of(geometry, mask, config) for geometry, mask in zip(layers, masks))
        self.placer = Placer(layers, self.sizes, config)
        self._beat_cycles = self._worth_of_a_beat()

    def _worth_of_a_beat(self) -> float:
        """Cycles that a beat across the memory interface is worth: those with which half a hundredth of the cycles is worth
        a hundredth of the traffic, about."""
        tensors, beat = self.placer.tensors, self.config.bus_bytes
        cycles = sum(size.cycles(geometry.map_shape[0]) for geometry, size in zip(self.layers, self.sizes))
        traffic = sum(size.mask_beats + size.parameter_beats for size in self.sizes)
        for geometry in self.layers:
            live = sum(tensor.rows * tensor.row_bytes for name, tensor in tensors.items() if
                       self.placer.lives(name, geometry.index) and (name == IMAGE or self._number[name] <= geometry.index))
            traffic += max(0, live - self.config.activation_bytes) // beat
        return cycles / traffic / 2

    def plan(self) -> tuple[Step, ...]:
        """The steps of one image. Raises CompileError if a layer does not fit however it is cut."""
        paths = [_Path(beginning(self.layers), 0, (), None)]
        for geometry in self.layers:
            following: dict[tuple, tuple[float, _Path]] = {}
            for path in paths:
                for placed in self._placements(path.state, geometry):
                    cost = path.cost + self._cost(placed)
                    rank = cost + self._to_come(placed.state, geometry)
                    key = placed.state.key(self.config.activation_bytes)
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
        for _, path in sorted(following, key=lambda entry: entry[0]):
            rows = tuple(sorted((name, place.first) for name, place in path.state.residents.items()))
            if alike[rows] < _STATES_ALIKE:
                alike[rows] += 1
                selected.append(path)
                if len(selected) == _STATES:
                    break
        return selected

    def _cost(self, placed: Placed) -> float:
        return placed.cycles + self._beat_cycles * placed.bytes / self.config.bus_bytes

    def _to_come(self, state: State, geometry: Geometry) -> float:
        """Cost of loading, once per use, what is not on chip."""
        size = 0
        for name, resident in state.residents.items():
            tensor = self.placer.tensors[name]
            size += resident.first * tensor.row_bytes * sum(use > geometry.index for use in tensor.uses)
        return self._beat_cycles * size / self.config.bus_bytes

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
        return CompileError(f"layer {layer.name}: a strip of its rows, in whole beats, needs {size} bytes of activation "
                            f"memory in pieces that do not fit the engine's {self.config.activation_bytes}: use a "
                            f"configuration with larger activation_bytes or a smaller input")

    def _cuts(self, geometry: Geometry) -> Iterator[tuple[Strip, ...]]:
        """Ways of cutting the layer, fewest strips first."""
        sizes, rows = self.sizes[geometry.index], geometry.output_shape[0]
        quantum = self.placer.tensors[geometry.name].quantum
        # Pixels of a strip whose masks cannot be decoded again.
        limit = geometry.pixels if sizes.tiles_stay else self.config.partial_sums
        heights = {}
        for count in _STRIP_COUNTS if geometry.splits else (1,):
            height = -(-rows // min(count, rows))
            heights[height] = heights[min(rows, -(-height // quantum) * quantum)] = None
        fitting = 0
        for height in sorted(heights, reverse=True):
            strips = geometry.strips(height)
            if max(strip.map_last - strip.map_first for strip in strips) * geometry.map_shape[1] <= limit:
                fitting += 1
                yield strips
        if not fitting:
            sizes = self.sizes[geometry.index]
            raise CompileError(
                f"layer {geometry.name}: {geometry.pixels} pixels in {-(-geometry.pixels // self.config.partial_sums)} "
                f"tiles of partial sums need {sizes.tile_beats} beats of coded masks kept on chip, the mask buffer "
                f"can keep {kept_mask_beats(self.config)}, and no strip of rows fits one tile: use a configuration "
                f"with larger mask_bytes or partial_sums of {1 << (geometry.pixels - 1).bit_length()}")

    def _placements(self, state: State, geometry: Geometry) -> list[Placed]:
        """The placements of a layer behind ``state`` that are worth going on from."""
        fitting: list[tuple[float, list[Choice]]] = []
        busy = self.sizes[geometry.index].cycles(geometry.map_shape[0])
        for strips in self._cuts(geometry):
            good = False
            for order in self._orders(state, geometry, strips):
                ladders = self._ladders(state, geometry, order)
                for ladder in ladders:
                    climbed = self._climb(state, geometry, ladder)
                    if climbed is not None:
                        placed, rest = climbed
                        fitting.append((self._cost(placed) + self._to_come(placed.state, geometry), rest))
                        good |= rest[0] == ladder[0] and placed.cycles < _BUSY * busy
            if good:
                break
        best = sorted(fitting, key=lambda entry: entry[0])[:_CUTS]
        return [placed for _, ladder in best for placed in self._alternatives(state, geometry, ladder)]

    def _orders(self, state: State, geometry: Geometry, strips: tuple[Strip, ...]) -> Iterator[tuple[Strip, ...]]:
        """Orders of a layer's strips: from the first row to the last; and, where the output stays on chip and the input's
        last rows are there, from these on and around, so that they make room for the output."""
        yield strips
        resident = state.residents[geometry.layer.input]
        begin = next((number for number, strip in enumerate(strips) if strip.input_first >= resident.first), 0)
        if begin and self.placer.tensors[geometry.name].uses and resident.stored >= strips[begin - 1].input_last:
            yield strips[begin:] + strips[:begin]

    def _ladders(self, state: State, geometry: Geometry, strips: tuple[Strip, ...]) -> list[list[Choice]]:
        """Choices in which the layer asks for less and less memory. The first ones, and so the best, are the same in
        every ladder."""
        placer, index, layer = self.placer, geometry.index, geometry.layer
        tensors, residents = placer.tensors, state.residents
        read = [name for name in (layer.input, layer.residual) if name is not None]
        start = {name: residents[name].first for name in read}
        keep = {name: resident.first if placer.lives(name, index) else tensors[name].rows
                for name, resident in residents.items()}
        streamed = len(strips) if self._always_streamed(geometry, strips) else 0

        def next_use(name: str) -> int:
            return min(use for use in tensors[name].uses if use > index)

        shared = [Choice(strips, dict(start), dict(keep), streamed)]
        victims = [name for name in residents if placer.lives(name, index) and residents[name].first < tensors[name].rows]
        for name in sorted(victims, key=lambda name: (-next_use(name), -tensors[name].rows * tensors[name].row_bytes, name)):
            tensor = tensors[name]
            step = -(-max(1, tensor.rows // _ROW_STEPS) // tensor.quantum) * tensor.quantum
            for row in [*range((keep[name] // step + 1) * step, tensor.rows, step), tensor.rows]:
                keep[name] = row
                shared.append(Choice(strips, dict(start), dict(keep), streamed))

        def give_up_output(choice: Choice) -> Iterator[Choice]:
            if strips[0].first:  # what stays on chip of a tensor are its last rows
                return
            for count in range(choice.streamed + 1, len(strips) + 1):
                yield replace(choice, streamed=count)

        def give_up_sources(choice: Choice) -> Iterator[Choice]:
            for name in dict.fromkeys(read):
                if name in choice.restored:
                    continue
                rows = {strip.input_first if name == layer.input else strip.map_first for strip in strips[1:]}
                for row in sorted({row for row in rows if row > choice.start[name]} | {tensors[name].rows}):
                    choice = replace(choice, start=choice.start | {name: row},
                                     keep=choice.keep | {name: max(choice.keep[name], row)})
                    yield choice

        broken = [name for name in dict.fromkeys(read) if 0 < residents[name].first < tensors[name].rows]
        ladders = []
        for restored in (names for count in range(len(broken) + 1) for names in itertools.combinations(broken, count)):
            # Where rows are restored, an output that is stored instead has no place of its own.
            orders = ((give_up_output,), (give_up_sources,)) if restored else (
                (give_up_output, give_up_sources), (give_up_sources, give_up_output))
            for orders in orders:
                ladder = [replace(choice, restored=frozenset(restored)) for choice in shared]
                for order in orders:
                    ladder += order(ladder[-1])
                ladders.append(ladder)
        return ladders

    def _always_streamed(self, geometry: Geometry, strips: tuple[Strip, ...]) -> bool:
        """Whether nobody reads the output: the network's result, which is stored strip by strip if each is in whole beats,
        or a tensor of no use."""
        choice = Choice(strips, {}, {}, len(strips))
        return not self.placer.tensors[geometry.name].uses and self.placer.in_whole_beats(geometry, choice)

    def _climb(self, state: State, geometry: Geometry, ladder: list[Choice]) -> tuple[Placed, list[Choice]] | None:
        """A placement of the first choice of a ladder that fits, and the ladder from there on."""
        def first(level: int) -> Placed | None:
            return next(self.placer.place(state, geometry, ladder[level]), None)

        ladder = [choice for choice in ladder if self.placer.in_whole_beats(geometry, choice)]
        low, high = 0, len(ladder) - 1
        placed = first(high) if ladder else None
        if placed is None:
            return None
        while low < high:
            middle = (low + high) // 2
            found = first(middle)
            if found is None:
                low = middle + 1
            else:
                high, placed = middle, found
        return placed, ladder[high:]

    def _alternatives(self, state: State, geometry: Geometry, ladder: list[Choice]) -> Iterator[Placed]:
        """All placements of the first choice of a ladder, and of some that leave more room."""
        freed = [self._freed(choice) for choice in ladder]
        levels = {next((level for level, size in enumerate(freed) if size >= freed[0] + spare), 0)
                  for spare in self._spares(geometry)}
        for level in sorted(levels | set(range(min(_LEVELS, len(ladder))))):
            yield from self.placer.place(state, geometry, ladder[level])

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
        return {0} | {max(strip.last * rows - strip.input_first * inputs for strip in strips)
                      for strips in self._cuts(following)}

    def _freed(self, choice: Choice) -> int:
        tensors = self.placer.tensors
        return sum(row * tensors[name].row_bytes for name, row in choice.keep.items())
