"""What a self-test (hw/selftest.py) runs and expects: a small supermask network, compiled, and its results by the
integer model; and a simulation of it."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import zlib
from dataclasses import dataclass

import numpy as np

from arch.config import EngineConfig
from compiler import compile_network
from compiler.program import Program
from golden import arithmetic
from golden.codes import COAT_CODES
from golden.integer import IntegerLayer, IntegerNetwork
from golden.networks import resnet
from golden.recode import code_fields
from golden.topology import IMAGE, Pool, Topology
from hw.emit import SELF_TEST_MODULE, self_test_verilog
from hw.selftest import SelfTest
from hw.uart import BAUD
from sim.build import verilate
from sim.harness import FOLDER
from sim.toolchain import find_toolchain

SEED = 1

ROUNDS = 13

DENSITIES = (.3, .2, .1)
"""Of three coats."""

SHIFT, HEAD_SHIFT, LOUDEST = 14, 4, 120
"""Shifts of the layers' requantisers and of the last one's, which has 32 bits; and what a layer's largest sum becomes
by the former."""


def _topology() -> Topology:
    """Two residual blocks over a pooled stem, for 16x16 pixels of three channels; each of its last 4x4 pixels has 16
    results of 32 bits, so nothing that goes wrong is averaged away."""
    topology = resnet(blocks=(1, 1), width=8, input_shape=(3, 16, 16), classes=16,
                      stem_pool=Pool(kind="max", kernel=2, stride=2), name="self-test")
    *layers, last, head = topology.layers
    return dataclasses.replace(topology, layers=(*layers, dataclasses.replace(last, pool=None), head))


def self_test_network() -> tuple[IntegerNetwork, np.ndarray]:
    """The network, and an image for it: int8 (1, height, width, channels).

    Layers take turns with the codes. All follows from SEED by integers, so it is the same on every machine.
    """
    rng = np.random.default_rng(SEED)
    topology = _topology()
    channels, height, width = topology.input_shape
    image = rng.integers(-128, 128, (1, height, width, channels), np.int8)
    tensors, layers = {IMAGE: image}, []
    for number, layer in enumerate(topology.layers):
        out_channels, in_channels, kernel, _ = layer.weight_shape
        draws = rng.integers(100, size=(out_channels, kernel, kernel, in_channels))
        indices = sum(draws < round(100 * density) for density in DENSITIES).astype(np.uint8)
        drawn = IntegerLayer(
            layer=layer, indices=indices, stored=None, table=tuple(range(len(DENSITIES) + 1)),
            **code_fields(indices, len(DENSITIES), COAT_CODES[number % len(COAT_CODES)]),
            multiplier=np.ones(out_channels, np.int32), bias=rng.integers(-8 << SHIFT, 8 << SHIFT, out_channels),
            residual_multiplier=1 << SHIFT - 1 if layer.residual else 0, shift=HEAD_SHIFT if layer.wide else SHIFT,
            low=0 if layer.relu else -128, offset_input=layer.input == IMAGE, offset_output=False)
        # The network so far, which knows its weights; their sums decide on the multipliers.
        partial = dataclasses.replace(topology, layers=topology.layers[:number + 1])
        weights = IntegerNetwork(partial, SEED, ROUNDS, (*layers, drawn), "released").weights(number)
        sums = arithmetic.convolve(tensors[layer.input], weights, stride=layer.stride, padding=layer.padding,
                                   pad_value=drawn.pad_value)
        # A channel may have lost all of its weights.
        multiplier = (LOUDEST << SHIFT) // np.maximum(np.abs(sums).max((0, 1, 2)), LOUDEST)
        layers.append(dataclasses.replace(drawn, multiplier=multiplier.astype(np.int32)))
        network = IntegerNetwork(partial, SEED, ROUNDS, tuple(layers), "released")
        tensors = network.run(image)
    return network, image


@dataclass(frozen=True, eq=False)
class SelfTestProgram:
    """The network compiled for an engine, and what its memory holds before and after."""

    config: EngineConfig
    program: Program
    #: The memory's content before the run, in whole beats.
    content: bytes
    #: The results, in whole beats.
    expected: bytes

    @property
    def checksum(self) -> int:
        """CRC-32 of the results."""
        return zlib.crc32(self.expected)

    @functools.cache
    def verilog(self, clock_hz: int) -> str:
        """Of the self-test for a clock of ``clock_hz``: module ``topcoat_self_test`` with ports clk, rst, led, alive,
        uart. Raises ValueError for a clock that no serial line can be made from."""
        return self_test_verilog(SelfTest(
            self.config, content=self.content, program_address=self.program.program_address,
            output_address=self.program.output_address, expected=self.expected, clock_hz=clock_hz, emit=True))

    def simulate(self, clock_hz: int, cycles: int, changes: dict[int, int] | None = None) -> list[tuple[int, str, str]]:
        """What a board shows in the first ``cycles`` cycles: (cycle, "led", level), (cycle, "alive", level) and (cycle,
        "line", text).

        ``changes`` are added to words of memory, by number; the numbers of the expected results follow. Raises
        ToolchainError or BuildError.
        """
        public = "".join(f'public_flat_rw -module "{module}" -var "{name}"\n' for module, name in (
            (f"{SELF_TEST_MODULE}.memory", "words"), (SELF_TEST_MODULE, "expected")))
        model = verilate({"self_test.v": self.verilog(clock_hz), "public.vlt": f"`verilator_config\n{public}"},
                         [FOLDER / "selftest.cpp"], top=SELF_TEST_MODULE, toolchain=find_toolchain())
        arguments = (round(clock_hz / BAUD), cycles, *(value for pair in (changes or {}).items() for value in pair))
        shown = subprocess.run([model, *map(str, arguments)], capture_output=True, text=True, check=True).stdout
        return [(int(cycle), kind, text) for cycle, kind, text in (line.split(" ", 2) for line in shown.splitlines())]


def self_test(preset: str = "tiny", lane: str = "planes") -> SelfTestProgram:
    """The self-test of an engine."""
    config = EngineConfig.preset(preset, lane=lane, trace=False)
    network, image = self_test_network()
    program = compile_network(network, config)
    content = bytearray(program.image)
    content[program.input_address:program.input_address + program.input_bytes] = program.pack_input(image)
    expected = network.outputs(image).astype(program.layers[-1].output_type).tobytes()
    return SelfTestProgram(config, program, bytes(content), expected)
