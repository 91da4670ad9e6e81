"""What a run makes the engine do, as counts that energy is priced by.

Two steps. A :class:`LayerRecord` is what one layer asks of the engine: from a program or from a layer's shape alone
(:mod:`reports.records`), or from the counters of a run (:func:`counted_record`). :func:`actions` turns it, or the sum
of several, into the accesses and operations of an engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from arch.config import ANS_BITS, EngineConfig
from arch.counters import STREAMS


class _Counts:
    """Counts that add up field by field."""

    def __add__(self, other):
        return type(self)(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __mul__(self, times: int):
        return type(self)(**{name: times * value for name, value in vars(self).items()})

    @property
    def dram_bytes(self) -> int:
        """Bytes that cross the memory interface, all streams."""
        return sum(getattr(self, f"{stream}_bytes") for stream in STREAMS)

    def to_json(self) -> dict[str, int]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class LayerRecord(_Counts):
    """What one layer, or a strip of it, asks of the engine. Records add up: over strips, images, layers, runs.

    K, C, G, R: columns, lanes, build_columns, requantiser_lanes. A *pass* is the weights of one column tile for one
    kernel row and chunk of C bytes, over one pixel tile; a *beat* one pixel of it; a *step* builds one row (C weights)
    in up to G columns. A *group* is up to R values of one pixel (one value if wide) that the post-processor takes for
    one pooled pixel, its *target*; without a maximum pool a pixel has one.
    """

    #: Cycles from the layer's start to the next one's; 0 where not known.
    cycles: int = 0
    passes: int = 0
    beats: int = 0
    #: Multiply-accumulates with a weight and an activation, padding and rows that strips compute twice included.
    macs: int = 0
    #: Those of them whose weight is zero; 0 where the weights are not known.
    zero_macs: int = 0
    #: Steps of the decoder and the builder, and those of them whose signs come from the random stream.
    steps: int = 0
    stream_steps: int = 0
    #: Weights built, once for every pixel tile.
    weights_built: int = 0
    #: Those of them that are zero; 0 where the weights are not known.
    zero_weights: int = 0
    #: Those of them that are symbols of code `ans`, and decoding tables made for it.
    ans_symbols: int = 0
    ans_tables: int = 0
    #: 16-bit words of the mask stream decoded, again for every pixel tile.
    mask_words: int = 0
    #: Beats read from the mask buffer, one for every ``refill_words`` words, and beats written: without checksums.
    mask_buffer_reads: int = 0
    mask_buffer_writes: int = 0
    groups: int = 0
    #: Values through the requantiser, an average once more than its pixels, and those of them with a residual.
    requantised: int = 0
    residuals: int = 0
    #: Parameter records, of one channel each, written on chip.
    parameter_writes: int = 0
    #: C-byte words of the activation memory: windows, residuals, pooled maxima, outputs, loads and stores.
    activation_reads: int = 0
    activation_writes: int = 0
    #: Bytes that cross the memory interface, by stream: whole beats, checksums included.
    program_bytes: int = 0
    mask_bytes: int = 0
    parameter_bytes: int = 0
    load_bytes: int = 0
    store_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Actions(_Counts):
    """What an engine does: what each count is of is a unit of hardware that works once. Letters as in
    :class:`LayerRecord`."""

    #: 0 where not known.
    cycles: int = 0
    #: Multiply-accumulates, and those of them whose weight is known to be zero.
    macs: int = 0
    zero_macs: int = 0
    #: Multiply positions that had none: beats x K x C - macs.
    idle_macs: int = 0
    #: Bytes that the activation memory hands to the array: C for every beat.
    window_bytes: int = 0
    #: Partial sums of one column read and written by the array, K each for every beat, and read by the post-processor,
    #: K for every group.
    sum_reads: int = 0
    sum_writes: int = 0
    sum_drains: int = 0
    #: Rows of weight slots (C weights) written, G for every step, and read: K for every pass, since a slot stays
    #: selected for all pixels of its pass.
    slot_writes: int = 0
    slot_reads: int = 0
    weights_built: int = 0
    #: 64-sign blocks of the random stream: G for every step that needs signs.
    generator_blocks: int = 0
    #: Reads of a lane's decoding table, and entries of tables written, each into all G x C lanes.
    ans_symbols: int = 0
    ans_entries: int = 0
    #: 16-bit words that pass the decoder.
    mask_words: int = 0
    #: Words of a bus beat.
    mask_buffer_reads: int = 0
    mask_buffer_writes: int = 0
    #: Words of C bytes.
    activation_reads: int = 0
    activation_writes: int = 0
    #: Parameter records read, R for every group, and written.
    parameter_reads: int = 0
    parameter_writes: int = 0
    requantised: int = 0
    residuals: int = 0
    #: Bytes that cross the memory interface, by stream.
    program_bytes: int = 0
    mask_bytes: int = 0
    parameter_bytes: int = 0
    load_bytes: int = 0
    store_bytes: int = 0

    @property
    def nonzero_macs(self) -> int:
        """Multiply-accumulates whose weight is not known to be zero."""
        return self.macs - self.zero_macs


_ALIKE = tuple(field.name for field in dataclasses.fields(Actions)
               if field.name in {field.name for field in dataclasses.fields(LayerRecord)})
"""Counts that an action is by itself."""


def actions(record: LayerRecord, config: EngineConfig) -> Actions:
    """What ``record``, of a layer or of several together, makes an engine of ``config`` do."""
    return Actions(
        **{name: getattr(record, name) for name in _ALIKE},
        idle_macs=record.beats * config.macs_per_cycle - record.macs, window_bytes=record.beats * config.lanes,
        sum_reads=record.beats * config.columns, sum_writes=record.beats * config.columns,
        sum_drains=record.groups * config.columns, slot_writes=record.steps * config.build_columns,
        slot_reads=record.passes * config.columns, generator_blocks=record.stream_steps * config.build_columns,
        ans_entries=record.ans_tables << ANS_BITS, parameter_reads=record.groups * config.requantiser_lanes)


COUNTED = {"beats": "beats", "macs": "useful_macs", "weights_built": "built_weights", "zero_weights": "zero_weights",
           **{f"{stream}_bytes": f"{stream}_bytes" for stream in STREAMS}}
"""Counts of a record that the engine counts itself, with the counter's name."""


def counted_record(record: LayerRecord, counters: Mapping[str, int], cycles: int) -> LayerRecord:
    """``record``, of whole runs, with what :data:`COUNTED` names from the engine's ``counters``
    (:mod:`arch.counters`) of the same runs, which took ``cycles`` from the start pulses to done."""
    return dataclasses.replace(record, cycles=cycles, **{name: counters[key] for name, key in COUNTED.items()})
