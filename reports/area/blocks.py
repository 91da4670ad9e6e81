"""The blocks that an engine is made of: each alone as Verilog, and the configurations it is synthesised for."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.lib import wiring

from arch.config import EngineConfig
from hw.activations import ActivationMemory
from hw.ans import AnsTable
from hw.builder import WeightBuilder
from hw.column import Column
from hw.decoder import CoatDecoder
from hw.engine import Engine
from hw.lane import DecoderLane
from hw.masks import MaskBuffer
from hw.parameters import ParameterBuffer
from hw.postprocess import PostProcessor
from hw.requantise import Requantiser
from hw.threefry import RandomStream
from reports.area.outline import outlined_verilog
from reports.area.register_file import RegisterFile

__all__ = ["BLOCKS", "Block", "Sample", "TOP", "block_verilog", "samples", "standalone_verilog"]

TOP = "topcoat_block"
"""Name of a block's module."""

_ZEROED_MEMORY = re.compile(r"  initial begin\n(?:    \w+\[\d+\] = \d+'[dh]0+;\n)+  end\n")
"""Zeros that a memory starts with, word by word: they cost no cell, and Yosys most of its time."""


@dataclass(frozen=True)
class Block:
    """A part of the engine that is synthesised by itself, flat."""

    component: type[wiring.Component]
    #: The configurations that have a point: a preset, and what replaces its parameters.
    configurations: tuple[tuple[str, dict], ...]
    #: What the component is made with, from the configuration.
    arguments: Callable[[EngineConfig], tuple] = lambda config: (config,)
    #: Components inside it that are blocks themselves: their cells are not counted.
    without: tuple[type[wiring.Component], ...] = ()
    #: For standard cells alone: its memories become flip-flops.
    registers: bool = False
    #: For FPGAs alone.
    fpga: bool = False


def _of(*overrides: dict, presets: Sequence[str] = ()):
    """These presets as they are, and edge with parameters replaced."""
    return tuple((preset, {}) for preset in presets) + tuple(("edge", override) for override in overrides)


_PRESETS = ("tiny", "edge", "base")
_LARGE = (*_PRESETS, "hiddenite")
_STORED = {"weight_bits": 8, "accumulator_bits": 32}

# Every width of weights, nearly every number of lanes, and the width of a sum at one of them.
_COLUMNS = (*({"lanes": lanes, **width} for width in ({"weight_bits": 2}, {}, _STORED) for lanes in (8, 16, 32)),
            {"lanes": 64, "weight_bits": 2}, {"lanes": 64}, {"accumulator_bits": 32})

BLOCKS = {
    "column": Block(Column, _of(*_COLUMNS)),
    "plane_column": Block(Column, _of(*({"lane": "planes", **column} for column in _COLUMNS)), fpga=True),
    "generator": Block(RandomStream, _of({"rounds": 20}, presets=("edge",)), lambda config: (config.rounds,)),
    "decoder_lane": Block(DecoderLane, _of(_STORED, presets=("edge",))),
    "ans_table": Block(AnsTable, _of(presets=("edge",)), lambda config: ()),
    "decoder": Block(CoatDecoder, _of({"refill_words": 2}, {"build_columns": 2}, {"table_lanes": 1}, presets=_LARGE),
                     without=(DecoderLane, AnsTable)),
    "builder": Block(WeightBuilder, _of({"weight_bits": 2}, _STORED, {"build_columns": 2}, presets=_LARGE),
                     without=(RandomStream,)),
    "activations": Block(ActivationMemory, (
        ("tiny", {}), ("tiny", {"activation_banks": 8}), ("tiny", {"lanes": 16}),
        ("tiny", {"lanes": 16, "bus_bits": 128}), ("edge", {}), ("edge", {"activation_banks": 4}))),
    "mask_buffer": Block(MaskBuffer, _of({"refill_words": 2}, presets=_LARGE)),
    "parameter_buffer": Block(ParameterBuffer, _of({"requantiser_lanes": 4}, presets=_PRESETS)),
    "requantiser": Block(Requantiser, _of({"requantiser_lanes": 4}, presets=("tiny", "edge"))),
    "post_processor": Block(PostProcessor, _of(presets=_PRESETS), without=(Requantiser,)),
    "control": Block(Engine, _of(presets=_PRESETS), without=(
        Column, CoatDecoder, WeightBuilder, ActivationMemory, MaskBuffer, ParameterBuffer, PostProcessor)),
    # To hold the sum of all the others against.
    "engine": Block(Engine, (("tiny", {}),)),
    "register_file": Block(RegisterFile, _of(*({"weight_slots": depth} for depth in (2, 4, 8, 16, 32))),
                           lambda config: (config.weight_slots,), registers=True),
}
"""What an engine is made of, each with the configurations it is synthesised for. ``control`` is all that has no block
of its own: dispatcher, sequencer, memory interface, load and store units, checksums, the array's control, counters.
``engine`` is all of them at once. ``register_file`` has no place in the engine; its depth is a sample's
``weight_slots``."""


@dataclass(frozen=True)
class Sample:
    """A block of one configuration."""

    block: str
    preset: str
    #: Parameters of the preset that are replaced: names and values.
    overrides: tuple[tuple[str, int | str], ...]

    @property
    def config(self) -> EngineConfig:
        """The whole configuration."""
        return EngineConfig.preset(self.preset, **dict(self.overrides))

    def __str__(self) -> str:
        return f"{self.block} of {' '.join((self.preset, *(f'{name}={value}' for name, value in self.overrides)))}"


def samples(*, registers: bool) -> list[Sample]:
    """What is synthesised for a target: with ``registers`` the blocks for standard cells, else those for FPGAs."""
    return [Sample(name, preset, tuple(overrides.items())) for name, block in BLOCKS.items()
            if not (block.fpga if registers else block.registers) for preset, overrides in block.configurations]


@functools.cache
def block_verilog(sample: Sample) -> str:
    """Verilog of a block, module ``topcoat_block``, as it is synthesised: memories start with anything.

    The same configuration always gives the same text; a change of another block gives the same text, too.
    """
    block = BLOCKS[sample.block]
    return standalone_verilog(block.component(*block.arguments(sample.config)), block.without)


def standalone_verilog(component: wiring.Component, without: tuple[type[wiring.Component], ...] = ()) -> str:
    """Verilog of a component, module ``topcoat_block``, with outlines of the parts ``without``; memories start with
    anything."""
    return _ZEROED_MEMORY.sub("", outlined_verilog(component, TOP, without))
