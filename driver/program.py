"""Program files: a compiled network as a board needs it. docs/driver.md has the layout."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch import descriptor, regions
from arch.depths import PAGE_BYTES
from arch.descriptor import Opcode

MAGIC = int.from_bytes(b"TCPF", "little")
VERSION = 1
"""Of the file's format."""

HEADER_BYTES = 128

_ADDRESSES = {
    Opcode.LOAD: ("memory_address",),
    Opcode.STORE: ("memory_address",),
    Opcode.LAYER: ("mask_address", "parameter_address"),
}
"""Fields of a descriptor that hold an address of the memory."""


def _relocated(content: bytes, delta: int) -> bytes:
    """A descriptor whose memory has moved by ``delta`` bytes."""
    words = list(struct.unpack(f"<{descriptor.WORDS}I", content))
    for name in _ADDRESSES.get(descriptor.FIELDS["opcode"].extract(words), ()):
        word = descriptor.FIELDS[name].word
        words[word] = (words[word] + delta) % (1 << 32)
    moved = struct.pack(f"<{descriptor.WORDS - 1}I", *words[:-1])
    return moved + zlib.crc32(moved).to_bytes(4, "little")


@dataclass(frozen=True, kw_only=True)
class ProgramFile:
    """A program with its masks and parameters, for a memory from ``address`` on. Places are bytes from there. Raises
    ValueError for regions that are not inside of what holds them: of an image that was cut short, for example."""

    #: Hash of the configuration that it was compiled for.
    configuration: int
    #: Of the memory's first byte, as the engine sees it; a multiple of 4096.
    address: int
    #: Bytes of memory that a run needs.
    memory_bytes: int
    #: Place and number of descriptors.
    program_place: int
    descriptors: int
    input_place: int
    input_bytes: int
    output_place: int
    output_bytes: int
    #: Images of a run.
    batch: int
    #: (height, width, channels) of an image and of a result.
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    #: Bytes of a result's values, which are signed: 1 or 4.
    value_bytes: int
    #: Descriptors, masks and parameters: what the memory's first bytes are before the first run.
    image: bytes

    def __post_init__(self):
        descriptors = descriptor.BYTES * self.descriptors
        for name, place, size, limit in (("descriptors", self.program_place, descriptors, len(self.image)),
                                         ("input", self.input_place, self.input_bytes, self.memory_bytes),
                                         ("output", self.output_place, self.output_bytes, self.memory_bytes),
                                         ("image", 0, len(self.image), self.memory_bytes)):
            if place % 4 or size % 4 or place + size > limit:
                raise ValueError(f"the program's {name}, {size} bytes from {place} on, must be whole words inside of "
                                 f"{limit} bytes")

    @classmethod
    def of(cls, program) -> ProgramFile:
        """From a :class:`compiler.program.Program`."""
        end = min(program.input_address, program.output_address)
        last = program.layers[-1]
        memory = max(len(program.image), program.input_address + program.input_bytes,
                     program.output_address + program.output_bytes)
        return cls(
            configuration=program.config.hash, address=0, memory_bytes=memory, program_place=program.program_address,
            descriptors=program.descriptors, input_place=program.input_address, input_bytes=program.input_bytes,
            output_place=program.output_address, output_bytes=program.output_bytes, batch=program.batch,
            input_shape=program.input_shape, output_shape=last.output_shape, value_bytes=last.output_type.itemsize,
            image=program.image[:end])

    def relocated(self, address: int) -> ProgramFile:
        """The same program for a memory that begins at ``address``. Raises ValueError for an address that no memory
        of its size can have."""
        if address % PAGE_BYTES or not 0 <= address <= (1 << 32) - self.memory_bytes:
            raise ValueError(f"address must be a multiple of {PAGE_BYTES} with {self.memory_bytes} bytes below 2^32, "
                             f"not {address:#x}")
        end = self.program_place + descriptor.BYTES * self.descriptors
        descriptors = b"".join(
            _relocated(self.image[first:first + descriptor.BYTES], address - self.address)
            for first in range(self.program_place, end, descriptor.BYTES))
        image = self.image[:self.program_place] + descriptors + self.image[end:]
        return dataclasses.replace(self, address=address, image=image)

    def to_bytes(self) -> bytes:
        """The file's content."""
        header = struct.pack(
            "<20I", MAGIC, VERSION, self.configuration, self.address, len(self.image), self.memory_bytes,
            self.program_place, self.descriptors, self.input_place, self.input_bytes, self.output_place,
            self.output_bytes, self.batch, *self.input_shape, *self.output_shape,
            self.value_bytes).ljust(HEADER_BYTES - 4, b"\0")
        return header + zlib.crc32(header).to_bytes(4, "little") + self.image

    @classmethod
    def from_bytes(cls, content: bytes) -> ProgramFile:
        """Reads a file's content. Raises ValueError if it is no program file, damaged or cut short; what lies in its
        image the engine checks itself."""
        header = content[:HEADER_BYTES - 4]
        if len(content) < HEADER_BYTES or int.from_bytes(header[:4], "little") != MAGIC:
            raise ValueError("no program file: make one with `topcoat compile`")
        if zlib.crc32(header) != int.from_bytes(content[HEADER_BYTES - 4:HEADER_BYTES], "little"):
            raise ValueError("the program file's header is damaged: its checksum is wrong")
        words = struct.unpack("<20I", header[:80])
        if words[1] != VERSION:
            raise ValueError(f"the program file must have version {VERSION}, not {words[1]}: "
                             "make it anew with `topcoat compile`")
        if len(content) != HEADER_BYTES + words[4]:
            raise ValueError(f"the program file must have {HEADER_BYTES + words[4]} bytes, not {len(content)}")
        return cls(
            configuration=words[2], address=words[3], memory_bytes=words[5], program_place=words[6],
            descriptors=words[7], input_place=words[8], input_bytes=words[9], output_place=words[10],
            output_bytes=words[11], batch=words[12], input_shape=words[13:16], output_shape=words[16:19],
            value_bytes=words[19], image=content[HEADER_BYTES:])

    @classmethod
    def read(cls, path: Path) -> ProgramFile:
        """Reads a file. Raises OSError, and ValueError as :meth:`from_bytes`."""
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def pack_input(self, images: np.ndarray) -> bytes:
        """Content of the input region for int8 ``images`` (batch, height, width, channels). Raises ValueError for
        others."""
        return regions.pack_input(images, (self.batch, *self.input_shape), self.input_bytes)

    def unpack_output(self, content: bytes) -> np.ndarray:
        """Results (batch, height, width, channels), int8 or int32, from the output region's content."""
        return regions.unpack_output(content, (self.batch, *self.output_shape), f"<i{self.value_bytes}")
