"""A compiled network: its memory image, and where everything in it and in the activation memory is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch import descriptor
from arch.config import EngineConfig
from arch.counters import COUNTERS

REGION_BYTES = 64
"""Every region of the memory image starts at a multiple of this, and of a beat."""


class ImageBuilder:
    """Lays regions one after another."""

    def __init__(self, config: EngineConfig):
        self._alignment = max(REGION_BYTES, config.bus_bytes)
        self._image = bytearray()

    def reserve(self, size: int) -> int:
        """Address of a new region of ``size`` zero bytes."""
        address = len(self._image)
        self._image += bytes(-(-size // self._alignment) * self._alignment)
        return address

    def place(self, address: int, content: bytes):
        """Fill a region from its beginning."""
        self._image[address:address + len(content)] = content

    def append(self, content: bytes) -> int:
        """Address of a new region that begins with ``content``."""
        address = self.reserve(len(content))
        self.place(address, content)
        return address

    def build(self) -> bytes:
        """All regions."""
        return bytes(self._image)


def parameter_records(multiplier: np.ndarray, bias: np.ndarray) -> bytes:
    """One 9-byte record per channel: multiplier in bits 0..17, bias in bits 18..65."""
    records = bytearray()
    for factor, offset in zip(multiplier.tolist(), bias.tolist()):
        record = factor & (1 << 18) - 1 | (offset & (1 << 48) - 1) << 18
        records += record.to_bytes(descriptor.PARAMETER_BYTES, "little")
    return bytes(records)


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one layer runs, and where its tensor is.

    The post-processor writes the layer's tensor to ``output_address`` and up, and nothing else. A maximum pool writes a
    byte several times: the tensor is what the last write to every byte left, see :meth:`tensor`.
    """

    name: str
    #: Number of the layer.
    index: int
    column_tiles: int
    pixel_tiles: int
    #: Pixels of a pixel tile; the last one holds the rest.
    tile_pixels: int
    #: Bytes of the mask stream, in whole beats: what is fetched.
    mask_bytes: int
    #: Coded bits in it.
    mask_bits: int
    #: Bytes of the parameter records, in whole beats.
    parameter_bytes: int
    macs: int
    weights: int
    #: Beats of all passes: cycles of the array if nothing stalls.
    beats: int
    #: Layers that must be complete before this one's first window is read.
    wait_layers: int
    input_address: int
    residual_address: int | None
    #: Byte address of the output in the activation memory.
    output_address: int
    #: (height, width, channels).
    output_shape: tuple[int, int, int]
    #: Whether the output is 32-bit.
    wide: bool
    pool: descriptor.PoolMode

    @property
    def output_type(self) -> np.dtype:
        """Type of one value as it lies in memory."""
        return np.dtype("<i4") if self.wide else np.dtype(np.int8)

    @property
    def output_bytes(self) -> int:
        """Bytes of the output in the activation memory."""
        return int(np.prod(self.output_shape)) * self.output_type.itemsize

    def tensor(self, content: bytes) -> np.ndarray:
        """The output (height, width, channels) from the ``output_bytes`` bytes at ``output_address``."""
        return np.frombuffer(bytes(content), self.output_type).reshape(self.output_shape)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network compiled for one engine configuration: one run computes one image."""

    config: EngineConfig
    #: The memory image, from address 0; its input region holds zeros.
    image: bytes
    program_address: int
    input_address: int
    #: Bytes of the input region, in whole beats.
    input_bytes: int
    #: (height, width, channels) of the image.
    input_shape: tuple[int, int, int]
    output_address: int
    #: Bytes of the output region, in whole beats.
    output_bytes: int
    layers: tuple[LayerPlan, ...]
    #: Number of descriptors.
    descriptors: int
    #: Cycles from start to done as the scheduler's model sees them: memory without latency, no bank conflicts.
    predicted_cycles: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def predicted_utilisation(self) -> float:
        """Multiply-accumulates over what the array could do in the predicted cycles."""
        return self.macs / (self.predicted_cycles * self.config.macs_per_cycle)

    @property
    def predicted(self) -> dict[str, int]:
        """Bytes that cross the memory interface in one run, by counter name."""
        moved = {
            "program_bytes": self.descriptors * descriptor.BYTES,
            "mask_bytes": sum(layer.mask_bytes for layer in self.layers),
            "parameter_bytes": sum(layer.parameter_bytes for layer in self.layers),
            "load_bytes": self.input_bytes,
            "store_bytes": self.output_bytes,
        }
        return {name: moved[name] for name in COUNTERS if name in moved}

    def pack_input(self, image: np.ndarray) -> bytes:
        """Content of the input region for one image, int8 (height, width, channels). Raises ValueError for another."""
        if image.dtype != np.int8 or image.shape != self.input_shape:
            raise ValueError(f"image must be int8 of shape {self.input_shape}, not {image.dtype} {image.shape}")
        return image.tobytes().ljust(self.input_bytes, b"\0")

    def unpack_output(self, content: bytes) -> np.ndarray:
        """The last layer's tensor (height, width, channels), int8 or int32, from the content of the output region."""
        last = self.layers[-1]
        return last.tensor(content[:last.output_bytes])
