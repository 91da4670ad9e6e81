"""Records of layers (:class:`reports.actions.LayerRecord`): exact ones from a program's descriptors, strips and kept
masks included, and those of a layer that is known by its shape alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from arch import descriptor
from arch.config import MASK_WORD_BITS, EngineConfig
from arch.descriptor import FIELDS, PARAMETER_BYTES, Code, PoolMode
from compiler.geometry import Geometry
from compiler.lower import CODES, POOLS
from compiler.program import Program
from compiler.sizes import checked_beats, content_beats
from reports.actions import LayerRecord, counted_record

if TYPE_CHECKING:  # importing them would load torch, which counting does not need
    from golden.integer import IntegerNetwork
    from sim.network import NetworkRun

Fields = Mapping[str, int]
"""Fields of a LAYER descriptor by name."""


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


def _post_record(config: EngineConfig, layer: Fields) -> LayerRecord:
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
    reads = writes = 0
    if layer["residual"]:
        pixels = _together(_tally(lanes, layer["residual_address"] + np.arange(height) * width * out, rows),
                           _tally(lanes, np.arange(width) * out, columns))
        reads += _words(_together(pixels, _tally(lanes, groups.channels)), aux_bytes)

    # Pixels of the tensor in the activation memory, as often as they are written.
    first = np.array([layer["output_address"]])
    if maximum:
        places = (np.arange(layer["pool_height"]) * layer["pool_row_bytes"],
                  np.arange(layer["pool_width"]) * out)
        written = _together(_tally(lanes, places[0], row_pixels), _tally(lanes, places[1], column_pixels))
        updated = written - _together(_tally(lanes, places[0]), _tally(lanes, places[1]))
        reads += _words(_together(_tally(lanes, first + groups.channels), updated), aux_bytes)
    elif average:
        written = _tally(lanes, np.array([0]))
    else:
        written = _tally(lanes, np.arange(layer["pixels"]) * out * value_bytes)
    for size in np.unique(groups.sizes):
        channels = groups.channels[groups.sizes == size]
        at = _together(written, _tally(lanes, first + channels * value_bytes))
        writes += _words(at, int(size) * value_bytes)
    return LayerRecord(groups=targets * len(groups.channels), requantised=targets * out + (out if average else 0),
                       residuals=targets * out if layer["residual"] else 0, activation_reads=reads,
                       activation_writes=writes)


def operation_record(config: EngineConfig, layer: Fields, zeros: float = 0) -> LayerRecord:
    """Record of one LAYER operation, of which ``layer`` has the descriptor's fields, but its cycles, its bytes and its
    `ans` tables. ``zeros`` is the fraction of zero weights."""
    columns, build, out = config.columns, config.build_columns, layer["out_channels"]
    full, rest = divmod(out, columns)
    column_tiles = full + (rest > 0)
    passes = layer["kernel_rows"] * layer["run_chunks"]
    weights = out * layer["kernel_rows"] * layer["run_bytes"]
    zero = round(zeros * weights)
    tiles, words = layer["pixel_tiles"], layer["mask_words"]
    steps = tiles * passes * (full * -(-columns // build) + -(-rest // build))
    windows = column_tiles * layer["run_chunks"] * _window_words(config, layer)
    return _post_record(config, layer) + LayerRecord(
        passes=column_tiles * passes * tiles, beats=column_tiles * passes * layer["pixels"],
        macs=weights * layer["pixels"], zero_macs=zero * layer["pixels"], steps=steps,
        stream_steps=0 if layer["code"] == Code.STORED else steps, weights_built=weights * tiles,
        zero_weights=zero * tiles, ans_symbols=weights * tiles if layer["code"] == Code.ANS else 0,
        mask_words=words * tiles, mask_buffer_reads=-(-words // config.refill_words) * tiles,
        mask_buffer_writes=content_beats(words * MASK_WORD_BITS // 8, config) if layer["mask_beats"] else 0,
        parameter_writes=out if layer["parameter_beats"] else 0, activation_reads=windows)


def _transfers(config: EngineConfig, moved: Mapping[str, int]) -> LayerRecord:
    """Bytes by ``<stream>_bytes``, and the words of the activation memory that loads and stores are: a beat is as many,
    at least one."""
    words = {stream: moved.get(f"{stream}_bytes", 0) // config.bus_bytes * max(1, config.bus_bytes // config.lanes)
             for stream in ("load", "store")}
    return LayerRecord(**moved, activation_writes=words["load"], activation_reads=words["store"])


def shape_record(config: EngineConfig, geometry: Geometry, *, code: str, mask_words: int, pixel_tiles: int,
                 moved: Mapping[str, int], cycles: int = 0, ans_tables: int = 0, zeros: float = 0) -> LayerRecord:
    """Record of a layer, or of a strip of it, for one image, without a program.

    ``geometry`` and ``code`` ("raw", "unary", "ans" or "stored") say what it is; ``mask_words`` how many 16-bit words
    its mask stream has; ``pixel_tiles`` in how many its map is cut, all strips together; ``moved`` what crosses the
    memory interface for it, in bytes by ``<stream>_bytes``; ``ans_tables`` how many decoding tables are made for it;
    ``zeros`` is the fraction of zero weights. All as in a program's record but two: rows that strips of a whole layer
    compute twice are not in it; words of the activation memory are those of tensors that begin with one.
    """
    layer, pool = geometry.layer, geometry.layer.pool
    height, width, channels = geometry.output_shape
    fields = dict.fromkeys(FIELDS, 0) | {
        "code": CODES[code], "mask_words": mask_words, "pixel_tiles": pixel_tiles,
        "row_bytes": geometry.row_bytes, "step_bytes": layer.stride * layer.in_channels,
        "pad_bytes": layer.padding * layer.in_channels, "pad_rows": geometry.pad_rows, "run_bytes": geometry.run_bytes,
        "run_chunks": geometry.run_chunks(config), "kernel_rows": layer.kernel, "stride": geometry.row_stride,
        "map_width": geometry.map_shape[1], "pixels": geometry.pixels, "out_channels": layer.out_channels,
        "residual": layer.residual is not None, "wide": layer.wide, "pool": POOLS[geometry.pool_kind],
        "pool_height": height, "pool_width": width, "pool_row_bytes": width * channels,
    }
    if geometry.pool_kind == "max":
        fields |= {"pool_kernel": pool.kernel, "pool_stride": pool.stride, "pool_padding": pool.padding,
                   "pool_row_padding": geometry.pool_row_padding}
    record = operation_record(config, fields, zeros) + _transfers(config, moved)
    sizes = {"mask": mask_words * MASK_WORD_BITS // 8, "parameter": PARAMETER_BYTES * layer.out_channels}
    fetches = {stream: moved[f"{stream}_bytes"] // (checked_beats(size, config) * config.bus_bytes)
               for stream, size in sizes.items()}
    return dataclasses.replace(
        record, cycles=cycles, ans_tables=ans_tables,
        mask_buffer_writes=fetches["mask"] * content_beats(sizes["mask"], config),
        parameter_writes=fetches["parameter"] * layer.out_channels)


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
class AnsTables:
    """Which tables the decoder's two banks hold: a table is built into the bank that is not in use."""

    banks: list[Hashable | None] = dataclasses.field(default_factory=lambda: [None, None])
    bank: int = 0

    def built(self, table: Hashable | None) -> int:
        """How many are built for a layer with this table, None in another code, which then uses its bank: one or
        none."""
        if table is None:
            return 0
        if table in self.banks:
            self.bank = self.banks.index(table)
            return 0
        self.bank ^= 1
        self.banks[self.bank] = table
        return 1


def _table(layer: Fields) -> tuple | None:
    """What stands for the decoding table of a LAYER descriptor; None in another code than `ans`."""
    if layer["code"] != Code.ANS:
        return None
    return layer["ans_offset"], *(layer[f"frequency_{index}"] for index in range(1, 8))


def program_records(program: Program, zeros: Sequence[float] | None = None) -> tuple[LayerRecord, ...]:
    """Records of one run of ``program``, all images: one per layer of the network, and one for what belongs to none of
    them, its descriptors and the cycles before the first layer. ``zeros`` are the fractions of zero weights by layer
    (:func:`zero_fractions`); without them no weight counts as zero."""
    config, tables = program.config, AnsTables()
    descriptors = list(_descriptors(program))
    totals = [LayerRecord() for _ in range(len(program.layers) + 1)]
    seen: dict[tuple, LayerRecord] = {}
    for operation, cycles in zip(program.operations, program.prediction.operations):
        one, index = descriptors[operation.position], operation.layer
        # Operations of the images of a batch differ in what they wait for, words 0 and 30, and in that alone.
        key = (index, *one.words[1:11], *one.words[13:30], one["parameter_beats"])
        if key not in seen:
            seen[key] = operation_record(config, one, 0 if zeros is None else zeros[index])
        totals[index] += dataclasses.replace(seen[key], cycles=cycles, ans_tables=tables.built(_table(one)))
    for transfer in program.transfers:
        moved = _transfers(config, {f"{transfer.stream}_bytes": transfer.bytes})
        totals[-1 if transfer.layer is None else transfer.layer] += moved
    totals[-1] += LayerRecord(cycles=program.predicted_cycles - sum(program.prediction.operations))
    return tuple(totals)


def program_record(program: Program, zeros: Sequence[float] | None = None) -> LayerRecord:
    """:func:`program_records` together."""
    return sum(program_records(program, zeros), LayerRecord())


def run_record(run: NetworkRun, zeros: Sequence[float] | None = None) -> LayerRecord:
    """Record of a simulated run, with what its engine counted."""
    return counted_record(program_record(run.program, zeros) * (run.images // run.batch), run.counters, run.cycles)


def zero_fractions(network: IntegerNetwork) -> tuple[float, ...]:
    """Fraction of zero weights of every layer of ``network``."""
    return tuple(1 - np.count_nonzero(network.weights(index)) / layer.layer.weights
                 for index, layer in enumerate(network.layers))
