"""How the driver reaches an engine: its registers, and the memory that both share."""

from __future__ import annotations

import mmap
import os
import time
from abc import ABC, abstractmethod
from array import array
from contextlib import ExitStack, closing
from pathlib import Path

from arch.registers import ADDRESS_BITS


class DeviceError(RuntimeError):
    """The device cannot be opened, or did not do what it was asked for."""


class Device(ABC):
    """Registers and memory of an engine. A context manager that closes it.

    ``address`` is that of the memory's first byte as the engine sees it, ``memory_bytes`` its size.
    """

    address: int
    memory_bytes: int

    @abstractmethod
    def read(self, offset: int) -> int:
        """A register, by one access of 32 bits."""

    @abstractmethod
    def write(self, offset: int, value: int):
        """Writes a register, by one access of 32 bits."""

    @abstractmethod
    def load(self, place: int, content: bytes):
        """Puts ``content`` into the memory, ``place`` bytes from its beginning; both are whole words."""

    @abstractmethod
    def fetch(self, place: int, size: int) -> bytes:
        """``size`` bytes of the memory from ``place`` on; both are whole words."""

    def barrier(self):
        """Returns when the memory holds what was put into it, for the engine as well. Nothing to do where it always
        does."""

    @abstractmethod
    def pause(self):
        """Lets a little time pass; the driver calls it while it waits."""

    def close(self):
        """Gives up what it holds."""

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_):
        self.close()


class MappedDevice(Device):
    """An engine whose registers and memory are mapped from files: /dev/mem, or a UIO device and a DMA buffer.

    ``registers`` and ``memory`` are paths, mapped from byte ``registers_offset`` and ``memory_offset`` on, multiples of
    a page. ``address`` is where the engine sees the memory's first byte (default: ``memory_offset``, as for /dev/mem).
    Neither may be cached, and they are opened so that /dev/mem does not. Every access is one of an aligned word: memory
    that the kernel does not know of is mapped as a device's on ARM, where a plain copy may end in a bus error.

    Raises OSError if a file cannot be opened, DeviceError if it cannot be mapped.
    """

    PAUSE_SECONDS = 50e-6

    def __init__(self, registers: Path, *, registers_offset: int = 0, memory: Path, memory_offset: int = 0,
                 memory_bytes: int, address: int | None = None):
        self.address = memory_offset if address is None else address
        self.memory_bytes = memory_bytes
        with ExitStack() as stack:
            self._registers = self._map(stack, registers, registers_offset, 1 << ADDRESS_BITS)
            self._memory = self._map(stack, memory, memory_offset, memory_bytes)
            self._mappings = stack.pop_all()
        self._last = 0

    @staticmethod
    def _map(stack: ExitStack, path: Path, offset: int, size: int) -> memoryview:
        """The mapping as words."""
        file = os.open(path, os.O_RDWR | os.O_SYNC)
        try:
            mapping = stack.enter_context(closing(mmap.mmap(file, size, offset=offset)))
            return stack.enter_context(stack.enter_context(memoryview(mapping)).cast("I"))
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise DeviceError(f"{path}: {size} bytes from {offset:#x} on cannot be mapped: {error}") from None
        finally:
            os.close(file)

    def read(self, offset: int) -> int:
        return self._registers[offset >> 2]

    def write(self, offset: int, value: int):
        self._registers[offset >> 2] = value

    def load(self, place: int, content: bytes):
        # By items: a slice would be copied as bytes.
        for index, word in enumerate(memoryview(content).cast("I"), place >> 2):
            self._memory[index] = word
            self._last = index

    def barrier(self):
        # Where memory that is not cached is written through a buffer (arm64), a word that is read back has left it, and
        # those before it.
        self._memory[self._last]

    def fetch(self, place: int, size: int) -> bytes:
        return array("I", self._memory[place >> 2:place + size >> 2]).tobytes()

    def pause(self):
        time.sleep(self.PAUSE_SECONDS)

    def close(self):
        self._mappings.close()
