"""One bundled network on the smallest preset, for every driver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import compile_network
from compiler.program import Program
from driver.program import ProgramFile
from golden import bundled, datasets, packed
from golden.integer import images_from_uint8
from sim.backend import RunResult
from sim.memory import MemoryTiming
from sim.native import NativeBackend

CONFIG = EngineConfig.preset("tiny")

ADDRESS = 0x8765_4000
"""Of the memory; the highest bit is set."""

BRIDGE_CYCLES = 2
"""Latency of the AXI4 bridge (hw/axi.py): the direct backend has none, so its memory gets it."""


@dataclass(frozen=True)
class Case:
    """A program, its input, and what the direct backend makes of them."""

    program: Program
    file: ProgramFile
    images: np.ndarray
    golden: np.ndarray
    direct: RunResult


@pytest.fixture(scope="session")
def case() -> Case:
    network = packed.load(bundled.find("fashion-n1"))
    program = compile_network(network, CONFIG)
    images = images_from_uint8(datasets.load(bundled.IMAGES, "test").images[:1])
    direct = NativeBackend(CONFIG, memory=MemoryTiming(latency=BRIDGE_CYCLES), tensors=False).run(program, images)
    return Case(program, ProgramFile.of(program), images, network.run(images)[program.layers[-1].name], direct.runs[0])
