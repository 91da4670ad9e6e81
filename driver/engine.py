"""The driver: loads a program into an engine's memory, runs it, and reads results and counters."""

from __future__ import annotations

import time

import numpy as np

from arch import descriptor
from arch.counters import COUNTERS
from arch.depths import PAGE_BYTES
from arch.descriptor import Error
from arch.registers import FIELDS, MAP_VERSION, OFFSETS
from driver.device import Device
from driver.program import ProgramFile


class DriverError(RuntimeError):
    """The engine cannot do what it was asked for. It is as it was before."""


class ProgramError(DriverError):
    """A program failed: ``error`` at descriptor ``position`` and, for a wrong checksum, segment ``segment``. The engine
    was reset and takes the next program."""

    def __init__(self, error: Error, position: int, segment: int):
        place = f"{error.name} at descriptor {position}"
        if error in (Error.MASK_CRC, Error.PARAMETER_CRC):
            place += f", segment {segment}"
        super().__init__(f"the engine reported {place}")
        self.error = error
        self.position = position
        self.segment = segment


class Engine:
    """An engine of this version of the registers and of the program format, idle.

    What a program before has left running or failed is reset. Raises DriverError if there is no such engine, or if it
    cannot be reset.
    """

    RESET_SECONDS = 1.0
    """How long a reset may take: as long as the memory takes to answer what it was asked for."""

    def __init__(self, device: Device):
        self._device = device
        self._program: ProgramFile | None = None
        self._running = self._done = False
        self._require("ID.value", descriptor.MAGIC, "there is no engine at the device's address: register ID")
        self._require("VERSION.registers", MAP_VERSION, "the engine is not for this driver: version of its registers")
        self._require("VERSION.program", descriptor.VERSION,
                      "the engine is not for this driver: version of its programs")
        self.beat_bytes = self.read("BUS.bits") // 8
        if not self.read("STATUS.ready"):
            self.reset()

    def _require(self, field: str, expected: int, message: str):
        value = self.read(field)
        if value != expected:
            raise DriverError(f"{message} must be {expected:#x}, not {value:#x}")

    def read(self, name: str) -> int:
        """A field of a register, by the names of both: ``"STATUS.busy"``."""
        field = FIELDS[name]
        return (self._device.read(OFFSETS[name.partition(".")[0]]) & field.mask) >> field.lsb

    def write(self, name: str, value: int):
        """Writes a field of a register, and zeros to its others."""
        self._device.write(OFFSETS[name.partition(".")[0]], value << FIELDS[name].lsb)

    def load(self, program: ProgramFile):
        """Puts a program into the memory, for any number of runs. Raises DriverError if it is not for this engine and
        memory."""
        if self._running:
            raise DriverError("a program is running: wait() for its end, or reset()")
        configuration = self.read("CONFIGURATION.value")
        if program.configuration != configuration:
            raise DriverError(f"the program was compiled for configuration {program.configuration:#010x}, the engine "
                              f"has {configuration:#010x}")
        if program.memory_bytes > self._device.memory_bytes:
            raise DriverError(f"the program needs {program.memory_bytes} bytes of memory, the device has "
                              f"{self._device.memory_bytes}")
        if self._device.address % PAGE_BYTES:
            raise DriverError(f"the memory must begin at a multiple of {PAGE_BYTES}, not at {self._device.address:#x}")
        if program.program_place % self.beat_bytes:
            raise DriverError(f"the program must begin at a multiple of {self.beat_bytes} bytes, not at "
                              f"{program.program_place:#x}")
        self._program = program.relocated(self._device.address)
        self._done = False
        self._device.load(0, self._program.image)

    def start(self, images: np.ndarray):
        """Starts a run on int8 ``images`` (batch, height, width, channels). Raises ValueError for images that do not
        fit the program, DriverError if there is no program or the last one has not ended."""
        program = self._loaded()
        if not self.read("STATUS.ready"):
            raise DriverError("a program is running: wait() for its end, or reset()")
        self._device.load(program.input_place, program.pack_input(images))
        self._running, self._done = True, False
        self.write("INTERRUPT_PENDING.done", 1)
        self.write("INTERRUPT_ENABLE.done", 1)
        self.write("PROGRAM_ADDRESS.value", program.address + program.program_place)
        self._device.barrier()
        self.write("CONTROL.start", 1)

    def done(self) -> bool:
        """Whether the run that was started has ended. Raises ProgramError if it failed."""
        if self._running and self.read("INTERRUPT_PENDING.done"):
            self._running = False
            self.write("INTERRUPT_PENDING.done", 1)
            if self.read("STATUS.error"):
                error = ProgramError(Error(self.read("ERROR.value")), self.read("ERROR_POSITION.value"),
                                     self.read("ERROR_SEGMENT.value"))
                self.reset()
                raise error
            self._done = True
        return self._done

    def wait(self, seconds: float = 60.0):
        """Waits for the end of the run. Raises ProgramError if it fails, DriverError if there is none or if it has not
        ended after ``seconds``: it goes on, until reset()."""
        if not self._running and not self._done:
            raise DriverError("no program was started: start() one")
        limit = time.monotonic() + seconds
        while not self.done():
            if time.monotonic() > limit:
                raise DriverError(f"the program has not ended after {seconds} s: wait() longer, or reset()")
            self._device.pause()

    def outputs(self) -> np.ndarray:
        """Results of the last run (batch, height, width, channels), int8 or int32. Raises DriverError before its
        end."""
        self._require_end("results")
        program = self._loaded()
        return program.unpack_output(self._device.fetch(program.output_place, program.output_bytes))

    def counters(self) -> dict[str, int]:
        """Counters of the last run, by the names of ``arch.counters.COUNTERS``. Raises DriverError before its end."""
        self._require_end("counters")
        return {name: self.read(f"{name.upper()}_LOW.value") | self.read(f"{name.upper()}_HIGH.value") << 32
                for name in COUNTERS}

    def run(self, images: np.ndarray) -> np.ndarray:
        """A whole run: start(), wait(), outputs()."""
        self.start(images)
        self.wait()
        return self.outputs()

    def reset(self):
        """Stops whatever runs; what is loaded stays. Raises DriverError if the memory does not answer what it was asked
        for before."""
        self._running = self._done = False
        self.write("CONTROL.reset", 1)
        limit = time.monotonic() + self.RESET_SECONDS
        while not self.read("STATUS.ready"):
            if time.monotonic() > limit:
                raise DriverError("the engine cannot be reset: its memory does not answer")
            self._device.pause()
        # Of a run that ended just before.
        self.write("INTERRUPT_PENDING.done", 1)

    def _loaded(self) -> ProgramFile:
        if self._program is None:
            raise DriverError("no program is loaded: load() one")
        return self._program

    def _require_end(self, what: str):
        if not self.done():
            raise DriverError(f"there are no {what} yet: wait() for the end of a run")
