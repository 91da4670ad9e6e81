"""The memory image: where descriptors, masks, parameters, images, results and spilled tensors are."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from arch import descriptor
from arch.config import SEGMENT_BYTES, EngineConfig
from compiler.geometry import Geometry
from compiler.masks import MaskStream
from compiler.steps import Step, StoreStep
from golden.topology import IMAGE

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerNetwork

REGION_BYTES = 64
"""Every region of the memory image starts at a multiple of this, and of a beat."""


class Allocator:
    """Gives out addresses, one region after another."""

    def __init__(self, config: EngineConfig):
        self._alignment = max(REGION_BYTES, config.bus_bytes)
        #: Bytes of all regions so far.
        self.size = 0

    def reserve(self, size: int) -> int:
        """Address of a new region of ``size`` bytes."""
        address = self.size
        self.size += -(-size // self._alignment) * self._alignment
        return address


class ImageBuilder(Allocator):
    """Lays regions one after another. What nothing is put into is zero."""

    def __init__(self, config: EngineConfig):
        super().__init__(config)
        self._image = bytearray()

    def place(self, address: int, content: bytes):
        """Fill a region from its beginning."""
        self._image += bytes(max(0, address + len(content) - len(self._image)))
        self._image[address:address + len(content)] = content

    def append(self, content: bytes) -> int:
        """Address of a new region that begins with ``content``."""
        address = self.reserve(len(content))
        self.place(address, content)
        return address

    def build(self) -> bytes:
        """All regions."""
        return bytes(self._image.ljust(self.size, b"\0"))


def segments(content: bytes, config: EngineConfig) -> bytes:
    """``content`` in checked segments: as many bytes of it as leave room for a beat, then a beat with their CRC-32. The
    last segment is as short as its content, padded to a beat, allows."""
    beat = config.bus_bytes
    size = SEGMENT_BYTES - beat
    parts = bytearray()
    for first in range(0, len(content), size):
        part = content[first:first + size]
        part += bytes(-len(part) % beat)
        parts += part + zlib.crc32(part).to_bytes(4, "little").ljust(beat, b"\0")
    return bytes(parts)


def parameter_records(multiplier: np.ndarray, bias: np.ndarray) -> bytes:
    """One 9-byte record per channel: multiplier in bits 0..17, bias in bits 18..65."""
    records = bytearray()
    for factor, offset in zip(multiplier.tolist(), bias.tolist()):
        record = factor & (1 << 18) - 1 | (offset & (1 << 48) - 1) << 18
        records += record.to_bytes(descriptor.PARAMETER_BYTES, "little")
    return bytes(records)


class TensorRegions:
    """Where in memory every tensor is that memory holds some of."""

    def __init__(self, memory: Allocator, layers: tuple[Geometry, ...], steps: Sequence[Step], config: EngineConfig,
                 batch: int):
        beat = config.bus_bytes
        height, width, channels = layers[0].input_shape
        #: Bytes of one image, and of its result.
        self.input_bytes, self.output_bytes = (
            -(-size // beat) * beat for size in (height * width * channels, layers[-1].output_bytes))
        self.input, self.output = (memory.reserve(batch * size) for size in (self.input_bytes, self.output_bytes))
        spilled: dict[str, int] = {}
        for step in steps:
            if isinstance(step, StoreStep):
                spilled[step.tensor] = max(spilled.get(step.tensor, 0), step.offset + step.size)
        spilled.pop(layers[-1].name)
        # Images share the places of what is spilled: address and bytes to the next image's.
        self._tensors = {IMAGE: (self.input, self.input_bytes), layers[-1].name: (self.output, self.output_bytes)}
        self._tensors |= {name: (memory.reserve(size), 0) for name, size in spilled.items()}

    def address(self, name: str, image: int) -> int:
        """Address of a tensor's copy in memory."""
        address, pitch = self._tensors[name]
        return address + image * pitch


class Regions:
    """Where in memory everything is: descriptors, masks, parameters and tensors."""

    def __init__(self, image: ImageBuilder, network: IntegerNetwork, layers: tuple[Geometry, ...],
                 streams: list[MaskStream], steps: Sequence[Step], config: EngineConfig, batch: int):
        self.descriptors = batch * len(steps) + 2
        self.program = image.reserve(self.descriptors * descriptor.BYTES)
        coded = [segments(stream.words.astype("<u2").tobytes(), config) for stream in streams]
        records = [segments(parameter_records(layer.multiplier, layer.bias), config) for layer in network.layers]
        #: (address, bytes) by layer.
        self.masks = [(image.append(content), len(content)) for content in coded]
        self.parameters = [(image.append(content), len(content)) for content in records]
        self.tensors = TensorRegions(image, layers, steps, config, batch)
