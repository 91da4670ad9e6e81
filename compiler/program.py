"""A compiled network: its memory image, its operations, and what crosses the memory interface."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from arch import descriptor, regions
from arch.config import EngineConfig
from compiler.timing import IDEAL, Memory, Prediction, predict
from compiler.timing.requests import Requests


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one layer of the network runs, and what its tensor is."""

    name: str
    #: Number of the layer.
    index: int
    #: Coded bits of the mask stream.
    mask_bits: int
    #: Multiply-accumulates of one image.
    macs: int
    weights: int
    #: LAYER operations for one image.
    strips: int
    #: Bytes that cross the memory interface in a run, by counter name.
    bytes: dict[str, int]
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
        """Bytes of the tensor of one image."""
        return int(np.prod(self.output_shape)) * self.output_type.itemsize


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One LAYER operation: the rows ``first_row`` to ``first_row + rows - 1`` of a layer's tensor for one image.

    The post-processor writes them to ``output_address`` and up in the activation memory, which wraps at its end, and
    nothing else. A maximum pool writes a byte several times: what counts is the last time.
    """

    #: Index of its descriptor.
    position: int
    #: Index of the layer, and of the image in the batch.
    layer: int
    image: int
    first_row: int
    rows: int
    output_address: int
    output_bytes: int
    #: Multiply-accumulates; strips of a layer with a maximum pool may compute a row of the map twice.
    macs: int


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One contiguous run of bytes that crosses the memory interface; those of a stream are in the engine's order."""

    #: "program", "mask", "parameter", "load" or "store".
    stream: str
    address: int
    #: Whole beats.
    bytes: int
    #: Index of the layer it is for; None for descriptors.
    layer: int | None
    image: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network compiled for one engine configuration: one run computes ``batch`` images."""

    config: EngineConfig
    batch: int
    #: The memory image, from address 0; its input region holds zeros.
    image: bytes
    program_address: int
    input_address: int
    #: Bytes of the input region, every image in whole beats.
    input_bytes: int
    #: (height, width, channels) of an image.
    input_shape: tuple[int, int, int]
    output_address: int
    #: Bytes of the output region, every image's tensor in whole beats.
    output_bytes: int
    layers: tuple[LayerPlan, ...]
    #: In program order.
    operations: tuple[Operation, ...]
    transfers: tuple[Transfer, ...]
    #: Number of descriptors.
    descriptors: int
    #: What the decoder lanes ask of each operation's mask stream.
    requests: tuple[Requests, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a run."""
        return self.batch * sum(layer.macs for layer in self.layers)

    def predict(self, memory: Memory = IDEAL) -> Prediction:
        """Cycles of a run with ``memory`` behind an engine that was just reset."""
        end = self.program_address + self.descriptors * descriptor.BYTES
        program = [self.image[first:first + descriptor.BYTES]
                   for first in range(self.program_address, end, descriptor.BYTES)]
        return predict(self.config, program, self.requests, memory, address=self.program_address)

    @cached_property
    def prediction(self) -> Prediction:
        """Cycles of a run with an ideal memory."""
        return self.predict()

    @property
    def predicted_cycles(self) -> int:
        """Cycles from start to done with an ideal memory."""
        return self.prediction.cycles

    @property
    def predicted_utilisation(self) -> float:
        """Multiply-accumulates over what the array could do in the predicted cycles."""
        return self.macs / (self.predicted_cycles * self.config.macs_per_cycle)

    @property
    def predicted(self) -> dict[str, int]:
        """Bytes that cross the memory interface in one run, by counter name."""
        moved = Counter()
        for transfer in self.transfers:
            moved[f"{transfer.stream}_bytes"] += transfer.bytes
        return dict(moved)

    def pack_input(self, images: np.ndarray) -> bytes:
        """Content of the input region for int8 ``images`` (batch, height, width, channels). Raises ValueError for
        others."""
        return regions.pack_input(images, (self.batch, *self.input_shape), self.input_bytes)

    def unpack_output(self, content: bytes) -> np.ndarray:
        """The last layer's tensors (batch, height, width, channels), int8 or int32, from the output region's
        content."""
        last = self.layers[-1]
        return regions.unpack_output(content, (self.batch, *last.output_shape), last.output_type)
