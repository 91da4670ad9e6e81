"""Registers and memory mapped from files, with a simulated engine behind them."""

import mmap
import re

import numpy as np
import pytest

from arch.registers import ADDRESS_BITS, OFFSETS, REGISTERS, Access
from driver.device import DeviceError, MappedDevice
from driver.engine import Engine
from sim.device import SimulatedDevice
from tests.driver.conftest import ADDRESS, CONFIG

REGISTERS_OFFSET, MEMORY_OFFSET = 1 << 16, 1 << 20
READABLE = [register.offset for register in REGISTERS if register.access is not Access.PULSE]


class FileBoard(MappedDevice):
    """A file in place of /dev/mem: what the driver writes into it a simulated engine gets, and what that has to say is
    put into it."""

    def __init__(self, path, engine: SimulatedDevice):
        path.write_bytes(bytes(MEMORY_OFFSET + engine.memory_bytes))
        super().__init__(path, registers_offset=REGISTERS_OFFSET, memory=path, memory_offset=MEMORY_OFFSET,
                         memory_bytes=engine.memory_bytes, address=engine.address)
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 0)
        self._engine = engine
        self._show()

    def _show(self):
        for offset in READABLE:
            place = REGISTERS_OFFSET + offset
            self._bytes[place:place + 4] = self._engine.read(offset).to_bytes(4, "little")
        size = self._engine.memory_bytes
        self._bytes[MEMORY_OFFSET:MEMORY_OFFSET + size] = self._engine.fetch(0, size)

    def write(self, offset: int, value: int):
        super().write(offset, value)
        place = REGISTERS_OFFSET + offset
        self._engine.load(0, self._bytes[MEMORY_OFFSET:MEMORY_OFFSET + self._engine.memory_bytes])
        self._engine.write(offset, int.from_bytes(self._bytes[place:place + 4], "little"))
        self._show()

    def pause(self):
        self._engine.pause()
        self._show()


def test_memory_is_settled_before_the_start(case, tmp_path, monkeypatch):
    """The last word put into it is read back between the input and CONTROL.start."""
    size = -(-case.file.memory_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
    with SimulatedDevice(CONFIG, memory_bytes=size, address=ADDRESS) as engine, \
            FileBoard(tmp_path / "mem", engine) as board:
        driver = Engine(board)
        driver.load(case.file)
        done = []

        class Memory:
            def __init__(self, words):
                self._words = words

            def __getitem__(self, place):
                done.append(("get", place))
                return self._words[place]

            def __setitem__(self, place, word):
                done.append(("set", place))
                self._words[place] = word

        write = board.write
        monkeypatch.setattr(board, "_memory", Memory(board._memory))
        monkeypatch.setattr(board, "write", lambda offset, value: (done.append(("register", offset)),
                                                                   write(offset, value)))
        driver.start(case.images)
        last = [place for kind, place in done if kind == "set"][-1]
        assert last == (case.file.input_place + case.file.input_bytes) // 4 - 1
        assert done[-2:] == [("get", last), ("register", OFFSETS["CONTROL"])]
        driver.reset()


def test_results_and_counters_of_the_direct_backend(case, tmp_path):
    size = -(-case.file.memory_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
    with SimulatedDevice(CONFIG, memory_bytes=size, address=ADDRESS) as engine, \
            FileBoard(tmp_path / "mem", engine) as board:
        driver = Engine(board)
        driver.load(case.file)
        assert np.array_equal(driver.run(case.images), case.direct.outputs)
        assert driver.counters() == case.direct.counters


def test_where_accesses_go(tmp_path):
    """Registers and memory in files of their own."""
    registers, memory = tmp_path / "uio0", tmp_path / "udmabuf0"
    registers.write_bytes(bytes(1 << ADDRESS_BITS))
    memory.write_bytes(bytes(range(256)) * 32)
    with MappedDevice(registers, memory=memory, memory_offset=mmap.PAGESIZE, memory_bytes=4096) as device:
        assert device.address == mmap.PAGESIZE
        device.write(OFFSETS["PROGRAM_ADDRESS"], 0x89AB_CDEF)
        assert device.read(OFFSETS["PROGRAM_ADDRESS"]) == 0x89AB_CDEF
        assert device.fetch(16, 4) == bytes(range(16, 20))
        assert device.fetch(0, 4096) == bytes(range(256)) * 16
        device.load(8, b"abcdefgh")
        assert device.fetch(8, 12) == b"abcdefgh" + bytes(range(16, 20))
        device.pause()
    place = OFFSETS["PROGRAM_ADDRESS"]
    assert registers.read_bytes()[place:place + 8] == bytes.fromhex("efcdab8900000000")
    assert memory.read_bytes()[mmap.PAGESIZE + 7:mmap.PAGESIZE + 17] == b"\7abcdefgh\20"


def test_files_that_cannot_be_mapped(tmp_path):
    registers, memory = tmp_path / "registers", tmp_path / "memory"
    with pytest.raises(FileNotFoundError, match="registers"):
        MappedDevice(registers, memory=memory, memory_bytes=4096)
    registers.write_bytes(bytes(4096))
    memory.write_bytes(bytes(4096))
    for arguments, path, size, offset in (({"registers_offset": 4096}, registers, 4096, 4096),
                                          ({"memory_offset": 64}, memory, 4096, 64),
                                          ({"memory_bytes": 8192}, memory, 8192, 0),
                                          ({"memory_bytes": 4094}, memory, 4094, 0)):
        message = f"{path}: {size} bytes from {offset:#x} on cannot be mapped: "
        with pytest.raises(DeviceError, match=f"^{re.escape(message)}"):
            MappedDevice(registers, **{"memory": memory, "memory_bytes": 4096, **arguments})
