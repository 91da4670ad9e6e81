"""What a run makes the engine do, as counts: the actions that energy is priced by.

Counts follow from a program's descriptors alone (:func:`program_actions`), strips and kept masks included. Those that
the engine counts itself come from its counters where a run exists (:func:`counted_actions`, :func:`run_actions`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from arch import descriptor
from arch.config import ANS_BITS, MASK_WORD_BITS, EngineConfig
from arch.descriptor import FIELDS, Code, Opcode, PoolMode
from compiler.program import Program

if TYPE_CHECKING:  # importing them would load torch, which counting does not need
    from golden.integer import IntegerNetwork
    from sim.network import NetworkRun

STREAMS = ("program", "mask", "parameter", "load", "store")
"""What crosses the memory interface; bytes are under ``<stream>_bytes``."""

Fields = Mapping[str, int]
"""Fields of a LAYER descriptor by name."""


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Counts of a run, all images together. K, C, G, R: columns, lanes, build_columns, requantiser_lanes.

    A *word* is one access of one memory of the engine: C bytes of an activation bank's even or odd half, a beat of the
    mask buffer, a partial sum of a column, a slot's row of a column. A *step* builds one row (C weights) in up to G
    columns. A *target* is a pooled pixel that a map pixel belongs to; without a maximum pool a pixel has one.
    """

    #: Pixels of passes that the array took: sum of column tiles x kernel rows x chunks x pixels.
    beats: int = 0
    #: Multiply-accumulates with a weight and an activation: out_channels x kernel rows x run bytes x pixels.
    macs: int = 0
    #: Those of them whose weight is zero; 0 where the weights are not known.
    zero_macs: int = 0
    #: Multiply positions without one: beats x K x C - macs.
    idle_macs: int = 0
    #: Weights built, once for every pixel tile.
    weights_built: int = 0
    #: Those of them that are zero; 0 where the weights are not known.
    zero_weights: int = 0
    #: Steps of the decoder and the builder: for every pass, channels of the column tile / G, rounded up.
    steps: int = 0
    #: 64-sign blocks of the random stream: steps x G, none for stored weights.
    generator_blocks: int = 0
    #: Symbols of code `ans`: each reads an entry of a decoding table.
    ans_symbols: int = 0
    #: Entries of decoding tables written, each into all G x C decoder lanes.
    ans_entries: int = 0
    #: 16-bit words of the mask stream decoded, again for every pixel tile.
    mask_words: int = 0
    #: Beats read from the mask buffer: one for every ``refill_words`` words.
    mask_buffer_reads: int = 0
    #: Beats written to it: those fetched, less checksums.
    mask_buffer_writes: int = 0
    #: Rows of weight slots written: steps x G.
    slot_writes: int = 0
    #: Rows of weight slots read: K for every pass, since a slot stays selected for all pixels of its pass.
    slot_reads: int = 0
    #: Partial sums read and written by the array: beats x K each.
    sum_reads: int = 0
    sum_writes: int = 0
    #: Partial sums read by the post-processor: K for every group it takes.
    sum_drains: int = 0
    #: Values through the requantiser: targets x out_channels; an average is requantised once more.
    requantised: int = 0
    #: Those of them with a residual.
    residuals: int = 0
    #: Parameter records read (R for every group the post-processor takes) and written (out_channels).
    parameter_reads: int = 0
    parameter_writes: int = 0
    #: Bytes read from the activation memory: C for every beat.
    window_bytes: int = 0
    #: The same for residuals and for maxima that a pool updates; used bytes only.
    residual_bytes: int = 0
    pool_bytes: int = 0
    #: Bytes the post-processor writes to it, those that a pool writes several times included.
    output_bytes: int = 0
    #: Words of the activation memory read and written, for all of these and for loads and stores.
    activation_reads: int = 0
    activation_writes: int = 0
    #: Bytes that cross the memory interface, by stream.
    program_bytes: int = 0
    mask_bytes: int = 0
    parameter_bytes: int = 0
    load_bytes: int = 0
    store_bytes: int = 0

    def __add__(self, other: Actions) -> Actions:
        return Actions(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    def __mul__(self, runs: int) -> Actions:
        return Actions(**{name: runs * getattr(self, name) for name in NAMES})

    @property
    def nonzero_macs(self) -> int:
        """Multiply-accumulates whose weight is not known to be zero."""
        return self.macs - self.zero_macs

    @property
    def dram_bytes(self) -> int:
        """Bytes that cross the memory interface, all streams."""
        return sum(getattr(self, f"{stream}_bytes") for stream in STREAMS)

    def to_json(self) -> dict[str, int]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


NAMES = tuple(field.name for field in fields(Actions))
"""Names of all counts."""


def _tally(lanes: int, positions: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """How many of ``positions``, each ``times`` times, have remainder 0, 1, .. modulo ``lanes``."""
    times = np.ones(len(positions), np.int64) if times is None else times
    tally = np.zeros(lanes, np.int64)
    np.add.at(tally, positions % lanes, times)
    return tally


@lru_cache(maxsize=None)
def _differences(lanes: int) -> np.ndarray:
    return (np.arange(lanes)[:, None] - np.arange(lanes)[None, :]) % lanes


def _together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Tally of all sums of a position of ``one`` and one of ``other``."""
    return other[_differences(len(one))] @ one


def _words(tally: np.ndarray, size: int) -> int:
    """Words that runs of ``size`` bytes touch; ``tally`` is of their first bytes' places in a word."""
    return int(tally.sum() + tally[len(tally) - size + 1:].sum())


@dataclass(frozen=True)
class _Groups:
    """The post-processor's groups of one pixel: channel of the first value, and values, of each."""

    channels: np.ndarray
    sizes: np.ndarray


def _groups(config: EngineConfig, layer: Fields) -> _Groups:
    out, step = layer["out_channels"], 1 if layer["wide"] else config.requantiser_lanes
    channels = np.concatenate([np.arange(first, min(first + config.columns, out), step)
                               for first in range(0, out, config.columns)])
    ends = np.minimum(np.minimum(channels // config.columns * config.columns + config.columns, out), channels + step)
    return _Groups(channels, ends - channels)


def _covered(size: int, windows: int, kernel: int, stride: int, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis of a maximum pool: windows that hold each position, and positions that each window holds."""
    firsts = np.arange(windows) * stride - padding
    held = (np.arange(size) >= firsts[:, None]) & (np.arange(size) < firsts[:, None] + kernel)
    return held.sum(0), held.sum(1)


def _window_words(config: EngineConfig, layer: Fields) -> int:
    """Words that the array's window reads touch, for one column tile and one chunk of the run."""
    rows = np.arange(layer["pixels"] // layer["map_width"])[:, None] * layer["stride"]
    rows = (rows - layer["pad_rows"] + np.arange(layer["kernel_rows"])).ravel()
    columns = np.arange(layer["map_width"]) * layer["step_bytes"] - layer["pad_bytes"]
    tally = _together(_tally(config.lanes, layer["input_address"] + rows * layer["row_bytes"]),
                      _tally(config.lanes, columns))
    return _words(tally, config.lanes)


def _post_actions(config: EngineConfig, layer: Fields) -> dict[str, int]:
    """What the post-processor does for one layer operation."""
    lanes, out, width = config.lanes, layer["out_channels"], layer["map_width"]
    height = layer["pixels"] // width
    groups = _groups(config, layer)
    aux_bytes, value_bytes = max(config.requantiser_lanes, 4), 4 if layer["wide"] else 1
    maximum, average = layer["pool"] == PoolMode.MAX, layer["pool"] == PoolMode.AVERAGE
    if maximum:
        rows, row_pixels = _covered(height, layer["pool_height"], layer["pool_kernel"], layer["pool_stride"],
                                    layer["pool_row_padding"])
        columns, column_pixels = _covered(width, layer["pool_width"], layer["pool_kernel"], layer["pool_stride"],
                                          layer["pool_padding"])
    else:
        rows, columns = np.ones(height, np.int64), np.ones(width, np.int64)
    targets = int(rows.sum() * columns.sum())
    steps = targets * len(groups.channels)
    counts = {"sum_drains": steps * config.columns, "parameter_reads": steps * config.requantiser_lanes,
              "requantised": targets * out + (out if average else 0), "residuals": 0, "residual_bytes": 0,
              "pool_bytes": 0, "activation_reads": 0, "activation_writes": 0}

    if layer["residual"]:
        pixels = _together(_tally(lanes, layer["residual_address"] + np.arange(height) * width * out, rows),
                           _tally(lanes, np.arange(width) * out, columns))
        counts["residuals"] = counts["residual_bytes"] = targets * out
        counts["activation_reads"] += _words(_together(pixels, _tally(lanes, groups.channels)), aux_bytes)

    # Pixels of the tensor in the activation memory, as often as they are written.
    first = np.array([layer["output_address"]])
    if maximum:
        places = (np.arange(layer["pool_height"]) * layer["pool_row_bytes"],
                  np.arange(layer["pool_width"]) * out)
        written = _together(_tally(lanes, places[0], row_pixels), _tally(lanes, places[1], column_pixels))
        updated = written - _together(_tally(lanes, places[0]), _tally(lanes, places[1]))
        at = _together(_tally(lanes, first + groups.channels), updated)
        counts["pool_bytes"] = int(updated.sum()) * out
        counts["activation_reads"] += _words(at, aux_bytes)
    elif average:
        written = _tally(lanes, np.array([0]))
    else:
        written = _tally(lanes, np.arange(layer["pixels"]) * out * value_bytes)
    counts["output_bytes"] = int(written.sum()) * out * value_bytes
    for size in np.unique(groups.sizes):
        channels = groups.channels[groups.sizes == size]
        at = _together(written, _tally(lanes, first + channels * value_bytes))
        counts["activation_writes"] += _words(at, int(size) * value_bytes)
    return counts


def operation_actions(config: EngineConfig, layer: Fields, zeros: float = 0) -> Actions:
    """Actions of one LAYER operation but its bytes from memory and its `ans` tables; ``layer`` has its descriptor's
    fields, of which a program need not exist. ``zeros`` is the fraction of zero weights."""
    columns, build, out = config.columns, config.build_columns, layer["out_channels"]
    full, rest = divmod(out, columns)
    column_tiles = full + (rest > 0)
    passes = layer["kernel_rows"] * layer["run_chunks"]
    beats = column_tiles * passes * layer["pixels"]
    weights = out * layer["kernel_rows"] * layer["run_bytes"]
    zero = round(zeros * weights)
    macs, tiles = weights * layer["pixels"], layer["pixel_tiles"]
    steps = tiles * passes * (full * -(-columns // build) + -(-rest // build))
    post = _post_actions(config, layer)
    post["activation_reads"] += column_tiles * layer["run_chunks"] * _window_words(config, layer)
    code, words = layer["code"], layer["mask_words"]
    return Actions(
        beats=beats, macs=macs, zero_macs=zero * layer["pixels"], idle_macs=beats * config.macs_per_cycle - macs,
        weights_built=weights * tiles, zero_weights=zero * tiles, steps=steps,
        generator_blocks=0 if code == Code.STORED else steps * build,
        ans_symbols=weights * tiles if code == Code.ANS else 0, mask_words=words * tiles,
        mask_buffer_reads=-(-words // config.refill_words) * tiles,
        mask_buffer_writes=-(-words * MASK_WORD_BITS // config.bus_bits) if layer["mask_beats"] else 0,
        slot_writes=steps * build, slot_reads=column_tiles * passes * tiles * columns,
        sum_reads=beats * columns, sum_writes=beats * columns,
        parameter_writes=out if layer["parameter_beats"] else 0, window_bytes=beats * config.lanes, **post)


def _beat_words(config: EngineConfig) -> int:
    """Words of the activation memory that a beat of a load or a store touches."""
    return max(1, config.bus_bytes // config.lanes)


@dataclass(frozen=True)
class _Descriptor:
    """A descriptor's words; its fields by name."""

    words: tuple[int, ...]

    def __getitem__(self, name: str) -> int:
        field = FIELDS[name]
        value = self.words[field.word] >> field.lsb & (1 << field.bits) - 1
        return value - (1 << field.bits) if field.signed and value >> field.bits - 1 else value


def _descriptors(program: Program) -> Iterator[_Descriptor]:
    first = program.program_address
    words = np.frombuffer(program.image[first:first + descriptor.BYTES * program.descriptors], "<u4")
    return (_Descriptor(tuple(row)) for row in words.reshape(-1, descriptor.WORDS).tolist())


@dataclass
class _AnsTables:
    """Which tables the decoder's two banks hold: a table is built into the bank that is not in use."""

    banks: list[tuple | None] = dataclasses.field(default_factory=lambda: [None, None])
    bank: int = 0

    def entries(self, layer: Fields) -> int:
        """Entries to be written for ``layer``, which then uses its bank."""
        if layer["code"] != Code.ANS:
            return 0
        table = (layer["ans_offset"], *(layer[f"frequency_{index}"] for index in range(1, 8)))
        if table in self.banks:
            self.bank = self.banks.index(table)
            return 0
        self.bank ^= 1
        self.banks[self.bank] = table
        return 1 << ANS_BITS


def layer_actions(program: Program, zeros: Sequence[float] | None = None) -> tuple[Actions, ...]:
    """Actions of one run of ``program``, one entry per layer of the network and one for what belongs to none of them
    (its descriptors). ``zeros`` are the fractions of zero weights by layer: see :func:`zero_fractions`. Without them no
    weight counts as zero."""
    config, tables = program.config, _AnsTables()
    operations = {operation.position: operation for operation in program.operations}
    totals = [Actions() for _ in range(len(program.layers) + 1)]
    seen: dict[tuple, Actions] = {}
    for position, one in enumerate(_descriptors(program)):
        if one["opcode"] != Opcode.LAYER:
            continue
        index = operations[position].layer
        # Operations of the images of a batch differ in nothing that counts.
        key = (index, *one.words[1:11], *one.words[13:31])
        if key not in seen:
            seen[key] = operation_actions(config, one, 0 if zeros is None else zeros[index])
        totals[index] += dataclasses.replace(seen[key], ans_entries=tables.entries(one))
    for transfer in program.transfers:
        moved = {f"{transfer.stream}_bytes": transfer.bytes}
        words = transfer.bytes // config.bus_bytes * _beat_words(config)
        if transfer.stream in ("load", "store"):
            moved["activation_writes" if transfer.stream == "load" else "activation_reads"] = words
        totals[-1 if transfer.layer is None else transfer.layer] += Actions(**moved)
    return tuple(totals)


def program_actions(program: Program, zeros: Sequence[float] | None = None) -> Actions:
    """Actions of one run of ``program``, all images of its batch: :func:`layer_actions` together."""
    return sum(layer_actions(program, zeros), Actions())


def zero_fractions(network: IntegerNetwork) -> tuple[float, ...]:
    """Fraction of zero weights of every layer of ``network``."""
    return tuple(1 - np.count_nonzero(network.weights(index)) / layer.layer.weights
                 for index, layer in enumerate(network.layers))


COUNTED = ("beats", "macs", "idle_macs", "weights_built", "zero_weights", "sum_reads", "sum_writes", "window_bytes",
           *(f"{stream}_bytes" for stream in STREAMS))
"""Counts that the engine's own counters give; the others follow from the program."""


def counted_actions(program: Program, counters: Mapping[str, int], *, runs: int = 1,
                    zeros: Sequence[float] | None = None) -> Actions:
    """Actions of ``runs`` runs of ``program`` in which the engine's counters (:mod:`arch.counters`) came to
    ``counters``: what :data:`COUNTED` names is from them. ``zeros`` as for :func:`layer_actions`, for ``zero_macs``."""
    config, beats = program.config, counters["beats"]
    counted = {
        "beats": beats, "macs": counters["useful_macs"],
        "idle_macs": beats * config.macs_per_cycle - counters["useful_macs"],
        "weights_built": counters["built_weights"], "zero_weights": counters["zero_weights"],
        "sum_reads": beats * config.columns, "sum_writes": beats * config.columns, "window_bytes": beats * config.lanes,
        **{f"{stream}_bytes": counters[f"{stream}_bytes"] for stream in STREAMS},
    }
    return dataclasses.replace(program_actions(program, zeros) * runs, **counted)


def run_actions(run: NetworkRun, program: Program, *, zeros: Sequence[float] | None = None) -> Actions:
    """Actions of a simulated run; ``program`` is what it ran. Raises ValueError for another configuration's."""
    if program.config.hash != run.config.hash:
        raise ValueError(f"program must be compiled for the run's configuration {run.config.name}, "
                         f"not {program.config.name}")
    return counted_actions(program, run.counters, runs=run.images // program.batch, zeros=zeros)
