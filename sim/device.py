"""The Verilated accelerator as a device for the driver: AXI4-Lite registers, and a memory on its AXI4 port."""

from __future__ import annotations

import ctypes
from pathlib import Path

from arch.config import EngineConfig
from driver.device import Device, DeviceError
from hw.emit import ACCELERATOR_MODULE, accelerator_verilog
from sim.build import emitted, verilate
from sim.harness import FOLDER
from sim.toolchain import find_toolchain


def board_library(config: EngineConfig, cache: Path | None = None) -> Path:
    """The simulated board of sim/device.cpp as a shared library, built if the cache does not hold it. Raises
    ToolchainError or BuildError."""
    verilog = emitted("accelerator.v", accelerator_verilog, config, cache)
    return verilate({"accelerator.v": verilog}, [FOLDER / "device.cpp"], top=ACCELERATOR_MODULE,
                    toolchain=find_toolchain(), flags=("-CFLAGS", "-fPIC", "-LDFLAGS", "-shared"), cache=cache)


class SimulatedDevice(Device):
    """An engine of configuration ``config`` with ``memory_bytes`` bytes of memory from ``address`` on, after reset.

    Simulated time passes in accesses to registers and in pauses only. A register that answers with an error raises
    DeviceError, as a bus fault ends a program.
    """

    PAUSE_CYCLES = 1 << 16
    """The longest that a pause takes; an interrupt ends it."""

    def __init__(self, config: EngineConfig, *, memory_bytes: int, address: int = 0, cache: Path | None = None):
        if address < 0 or not 0 < memory_bytes < 1 << 32 or address + memory_bytes > 1 << 32:
            raise DeviceError(f"the memory must have bytes below 2^32, not {memory_bytes} from {address:#x} on")
        self.address = address
        self.memory_bytes = memory_bytes
        self._library = library = ctypes.CDLL(str(board_library(config, cache)))
        library.topcoat_board_open.restype = library.topcoat_board_memory.restype = ctypes.c_void_p
        library.topcoat_board_open.argtypes = ctypes.c_uint32, ctypes.c_uint32
        self._board = ctypes.c_void_p(library.topcoat_board_open(address, memory_bytes))
        content = ctypes.c_char * memory_bytes
        self._memory = memoryview(content.from_address(library.topcoat_board_memory(self._board))).cast("B")

    def _call(self, name: str, *arguments) -> int:
        if not self._board:
            raise DeviceError("the simulated device is closed")
        return getattr(self._library, f"topcoat_board_{name}")(self._board, *arguments)

    def _access(self, name: str, offset: int, value):
        if self._call(name, offset, value):
            raise DeviceError(f"a {name} of the register at {offset:#x} was answered SLVERR")

    def read(self, offset: int) -> int:
        value = ctypes.c_uint32()
        self._access("read", offset, ctypes.byref(value))
        return value.value

    def write(self, offset: int, value: int):
        self._access("write", offset, value)

    def load(self, place: int, content: bytes):
        self._memory[place:place + len(content)] = content

    def fetch(self, place: int, size: int) -> bytes:
        return bytes(self._memory[place:place + size])

    def pause(self):
        self._call("wait", self.PAUSE_CYCLES)

    def close(self):
        if self._board:
            self._memory.release()
            self._call("close")
            self._board = ctypes.c_void_p()
