"""The blocks that are measured: which of the engine's instances, what they do, and which prices follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from arch.config import EngineConfig
from hw.column import Column
from reports.gates.record import Recording

__all__ = ["PARTS", "Part"]

Recordings = Mapping[str, Recording]


def _column(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    column, stages = recordings[path], Column.tree_stages(config)
    stored = column.values("store_valid") != 0
    beats = np.concatenate([stored[stages + 1:], np.zeros(stages + 1, bool)])
    weights = column.bits("row")[:, :config.lanes * config.weight_bits].reshape(len(beats), config.lanes, -1)
    written = weights.any(2).sum(1)
    # A row is announced in the cycle before it.
    comes = np.concatenate([[False], column.values("row_comes")[:-1] != 0])
    into, slots = np.roll(column.values("row_slot"), 1), column.values("slot")
    nonzero = np.zeros(len(beats), np.int64)
    for slot in range(config.weight_slots):
        writes, uses = np.flatnonzero(comes & (into == slot)), np.flatnonzero(beats & (slots == slot))
        # A row is seen from the cycle after its write on.
        nonzero[uses] = np.concatenate([[0], written[writes]])[np.searchsorted(writes, uses)]
    return [config.lanes * beats - nonzero, nonzero]


def _generator(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    return [recordings[path].values("request__valid") & recordings[path].values("request__ready")]


def _lane(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    lane = recordings[path]
    return [lane.values("fire") & lane.values("takes_part"), lane.values("arrive")]


def _decoder(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    lanes = [_lane(recordings, f"{path}.lane_{lane}", config) for lane in range(config.decoder_lanes)]
    return [sum(counts) for counts in zip(*lanes)]


def _words(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    return [recordings[path].values("take")]


def _builder(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    return [recordings[path].values("built_weights")]


def _requantiser(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    unit = recordings[path]
    values = config.requantiser_lanes * unit.values("valid")
    return [values, values * (unit.values("residual_multiplier") != 0)]


def _post_processor(recordings: Recordings, path: str, config: EngineConfig) -> list[np.ndarray]:
    return _requantiser(recordings, f"{path}.requantiser", config)[:1]


@dataclass(frozen=True)
class Part:
    """A block of :data:`reports.area.blocks.BLOCKS` as it works in an engine."""

    block: str
    #: Paths in the engine. Of many alike a few are measured.
    instances: tuple[str, ...]
    #: How often a block does in every cycle what ``prices`` are of, in their order.
    counts: Callable[[Recordings, str, EngineConfig], list[np.ndarray]]
    #: Components and actions of :func:`reports.energy.prices`. Parts with the same ones add up.
    prices: tuple[tuple[str, str], ...]
    #: Prices depend on the width of weights.
    by_weight_bits: bool = False


_SYMBOLS, _WORDS = ("decoder", "weights_built"), ("decoder", "mask_words")

PARTS = (
    Part("column", tuple(f"array.column_{index}" for index in (0, 5, 10, 15)), _column,
         (("array", "zero_macs"), ("array", "nonzero_macs")), by_weight_bits=True),
    Part("builder", ("builder",), _builder, (("weight builder", "weights_built"),), by_weight_bits=True),
    Part("generator", ("builder.random_0",), _generator, (("generator", "generator_blocks"),)),
    Part("decoder_lane", tuple(f"decoder.lane_{index}" for index in (0, 5, 10, 15)), _lane, (_SYMBOLS, _WORDS)),
    Part("decoder", ("decoder",), _decoder, (_SYMBOLS, _WORDS)),
    Part("mask_buffer", ("masks",), _words, (_WORDS,)),
    Part("requantiser", ("post.requantiser",), _requantiser,
         (("requantiser", "requantised"), ("requantiser", "residuals"))),
    Part("post_processor", ("post",), _post_processor, (("requantiser", "requantised"),)),
)
"""All of them. A column's energy, which is for all its lanes, is that of lanes with a zero weight and, on top of it, of
those with another: so idle lanes, which hold zero weights, cost as much as these."""
