"""Mask streams: a layer's coat indices or stored weights in the order in which the decoder lanes ask for them.

Source: docs/specification.md, "Mask stream (engine order)".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arch import latency
from arch.config import ANS_BITS, EngineConfig
from compiler.timing.requests import Requests, in_lockstep, requests
from golden import ans
from golden.lanes import LaneWords, interleave

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerLayer


@dataclass(frozen=True, eq=False)
class MaskStream:
    """The coded weights of one layer.

    ``words`` (uint16) are the stored words, ``bits`` the coded bits among them. ``tile_words[t]`` is how many stored
    words have been requested when column tile t begins; the last entry is for the layer's end. ``tile_cycles[t]`` is in
    how many cycles the requests of column tile t are served. ``requests`` says when the decoder asks for words and
    needs them.
    """

    words: np.ndarray
    bits: int
    tile_words: tuple[int, ...]
    tile_cycles: tuple[int, ...]
    requests: Requests


@dataclass(frozen=True, eq=False)
class CodedLayer:
    """A layer's weights as they are coded: ``values`` uint8 (out, ky, run), coat indices, or stored weights as bytes.

    ``size`` is the width of a symbol, for "unary" the number of coats. ``frequencies`` and ``offset`` are of "ans".
    """

    code: str
    values: np.ndarray
    size: int
    frequencies: tuple[int, ...] = ()
    offset: int = 0


def _symbols(layer: CodedLayer) -> tuple[np.ndarray, np.ndarray]:
    """Every value's symbol and its length in bits, uint8."""
    values, size = layer.values, layer.size
    if layer.code == "unary":
        table = np.array([(1 << index) - 1 for index in range(size + 1)], np.uint8)
        return table[values], np.minimum(values + np.uint8(1), np.uint8(size))
    return values & np.uint8((1 << size) - 1), np.full_like(values, size)


def _engine_order(values: np.ndarray, config: EngineConfig, hole: int = 0) -> np.ndarray:
    """(out, ky, run) in step order: (steps, decoder lanes), ``hole`` for positions outside the run and the layer.

    Columns outside the layer become steps or lanes without symbols: they consume nothing, so the stream is the same.
    """
    out, kernel, run = values.shape
    tiles, chunks = -(-out // config.columns), -(-run // config.lanes)
    padded = np.full((tiles * config.columns, kernel, chunks * config.lanes), hole, values.dtype)
    padded[:out, :, :run] = values
    groups = config.columns // config.build_columns
    ordered = padded.reshape(tiles, groups, config.build_columns, kernel, chunks, config.lanes)
    return ordered.transpose(0, 3, 4, 1, 2, 5).reshape(-1, config.decoder_lanes)


def _in_layer(layer: CodedLayer, config: EngineConfig) -> np.ndarray:
    """Which of the steps of :func:`_engine_order` the engine makes: not those of columns outside the layer."""
    out, kernel, run = layer.values.shape
    columns = np.arange(-(-out // config.columns) * config.columns) < out
    steps = columns.reshape(-1, 1, config.columns // config.build_columns, config.build_columns).any(axis=3)
    return np.broadcast_to(steps, (len(steps), kernel * -(-run // config.lanes), steps.shape[2])).ravel()


def _requests(layer: CodedLayer, lengths: np.ndarray, used: np.ndarray, config: EngineConfig) -> Requests:
    steps = _in_layer(layer, config)
    part = _engine_order(np.ones_like(layer.values), config).astype(bool)
    if layer.code == "ans":
        bits = ans.decoding_table(layer.frequencies, layer.offset).bits
        return requests(lengths[steps], part[steps], used, int(bits.max()), ANS_BITS)
    return requests(lengths[steps], part[steps], used, layer.size, 0, lockstep=_lockstep(layer, config))


def _coded(layers: Sequence[CodedLayer], config: EngineConfig) -> Iterator[tuple[LaneWords, Requests]]:
    """The words of every layer in turn, and when the decoder asks for them."""
    coded = ans.encode([ans.Steps(_engine_order(layer.values, config, ans.HOLE), layer.frequencies, layer.offset)
                        for layer in layers if layer.code == "ans"])
    for layer in layers:
        run = layer.values.shape[2]
        used = np.flatnonzero(np.arange(config.decoder_lanes) % config.lanes < min(config.lanes, run))
        if layer.code == "ans":
            bits = next(coded)
            words = interleave(bits.values, bits.lengths, used, bits.head)
            lengths = bits.lengths
        else:
            values, lengths = (_engine_order(part, config) for part in _symbols(layer))
            words = interleave(values, lengths, used)
        yield words, _requests(layer, lengths, used, config)


def _lockstep(layer: CodedLayer, config: EngineConfig) -> bool:
    out, _, run = layer.values.shape
    return in_lockstep(layer.code, out, run, config)


def _tile_cycles(layer: CodedLayer, asked: Requests, config: EngineConfig) -> tuple[int, ...]:
    """Cycles in which the requests of every column tile are served: those of a step take whole cycles. Where nearly all
    lanes ask in the same step, as symbols have one length, but not in lockstep, they wait for each other's words."""
    out, kernel, run = layer.values.shape
    columns = np.minimum(config.columns, out - np.arange(0, out, config.columns))
    steps = -(-columns // config.build_columns) * kernel * -(-run // config.lanes)
    words = np.diff(asked.asked)
    cycles = -(-words // config.refill_words)
    if layer.code in ("raw", "stored") and not _lockstep(layer, config) or (layer.code, layer.size) == ("unary", 1):
        cycles += (words > 0) * latency.word_wait(config)
    return tuple(np.add.reduceat(cycles, np.cumsum(steps) - steps).tolist())


def encode(layers: Sequence[CodedLayer], config: EngineConfig) -> list[MaskStream]:
    """The mask stream of every layer for an engine of ``config``."""
    streams = []
    for layer, (lanes, asked) in zip(layers, _coded(layers, config)):
        tiles = -(-len(layer.values) // config.columns)
        requested = lanes.requested[::(lanes.requested.size - 1) // tiles]
        streams.append(MaskStream(words=lanes.words, bits=lanes.bits,
                                  tile_words=tuple(np.minimum(requested, lanes.words.size).tolist()),
                                  tile_cycles=_tile_cycles(layer, asked, config), requests=asked))
    return streams


def mask_streams(layers: Sequence[IntegerLayer], config: EngineConfig) -> list[MaskStream]:
    """The mask stream of every layer for an engine of ``config``; made together, which for "ans" is much faster."""
    coded = []
    for layer in layers:
        weights = layer.stored.view(np.uint8) if layer.code == "stored" else layer.indices
        coded.append(CodedLayer(layer.code, weights.reshape(*weights.shape[:2], -1), layer.symbol_bits,
                                layer.frequencies, layer.offset))
    return encode(coded, config)
