"""States of the activation memory between layers, ways of cutting and running a layer, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.geometry import Geometry, Strip
from compiler.ring import Span
from compiler.steps import Step
from golden.topology import IMAGE


@dataclass(frozen=True)
class Resident:
    """Where a tensor is: rows before ``stored`` in DRAM, rows from ``first`` on on chip, row y at ``base`` + y rows.
    ``first`` <= ``stored``: no row is nowhere. Without a row on chip there is no base."""

    base: int | None
    first: int
    stored: int


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Piece:
    """A strip of a cut, with the sizes that placing it needs."""

    strip: Strip
    #: Rows that it reads, by tensor.
    rows: dict[str, tuple[int, int]]
    #: Bytes of its output, and how far they are behind the tensor's first row.
    offset: int
    size: int
    #: Rows and pixels of the map.
    map_rows: int
    pixels: int
    #: Cycles of the array.
    cycles: int


@dataclass(frozen=True, eq=False)
class Cut:
    """A layer in strips, in the order in which they run."""

    pieces: tuple[Piece, ...]
    #: Leading strips that begin and end at whole beats, so that they can be stored.
    whole: int
    #: Bytes of the first 0, 1, .. strips of the output.
    stored: tuple[int, ...]
    #: Cycles of the array for all strips.
    cycles: int

    @property
    def first_row(self) -> int:
        """First row of the strip that runs first."""
        return self.pieces[0].strip.first


@dataclass(frozen=True, eq=False)
class Choice:
    """How a layer runs. ``start``: first row of the input or residual that strips find on chip; the others are loaded,
    a strip's all at once to a transient place, or, for tensors in ``restored``, to where they were before they were
    overwritten. ``keep``: first row of a tensor that is on chip when the layer has run. ``streamed``: strips stored,
    not kept."""

    cut: Cut
    start: dict[str, int]
    keep: dict[str, int]
    streamed: int
    restored: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Placed:
    """A layer placed: its steps, the state behind it, bytes across the memory interface beside what every placement
    costs, and cycles, about."""

    steps: tuple[Step, ...]
    state: State
    bytes: int
    cycles: float


def beginning(layers: tuple[Geometry, ...]) -> State:
    """The state before the first layer: the image in DRAM, nothing on chip."""
    rows = layers[0].input_shape[0]
    return State({IMAGE: Resident(None, rows, rows)})
