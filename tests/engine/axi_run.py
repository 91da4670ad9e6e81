"""What cocotb runs for test_axi.py: a driver's use of the accelerator, with cocotbext-axi as bus and memory.

The folder named by ``+job`` holds the job (job.json, memory.bin) and gets what the memory held after each run
(output.bin, one after another).
"""

import itertools
import json
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp, AxiSlave, MemoryRegion

from arch.counters import COUNTERS
from arch.descriptor import Error
from arch.registers import OFFSETS

PERIOD = 2
"""Of the clock, in nanoseconds."""

LIMIT = 400_000
"""Cycles in which a program ends: several times what the longest takes."""

START, RESET, SNAPSHOT = 1, 2, 4
BUSY, DONE, ERROR, RESETTING, READY = 1, 2, 4, 8, 16


class FaultyMemory(MemoryRegion):
    """A memory that answers with an error outside its size and where it is ``broken`` (a range of addresses)."""

    broken = range(0)

    async def _read(self, address, length, **kwargs):
        if address in self.broken:
            raise IndexError(hex(address))
        return await super()._read(address, length, **kwargs)

    async def _write(self, address, data, **kwargs):
        if address in self.broken:
            raise IndexError(hex(address))
        await super()._write(address, data, **kwargs)


class Driver:
    """The accelerator's driver: registers by name, and memory as software sees it."""

    def __init__(self, dut):
        self.folder = Path(cocotb.plusargs["job"])
        self.job = json.loads((self.folder / "job.json").read_text())
        self.content = (self.folder / "memory.bin").read_bytes()
        self.dut = dut
        self.memory = FaultyMemory(len(self.content))
        names = {"bus_separator": "__", "case_insensitive": False}
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi", **names), dut.clk, dut.rst, target=self.memory)
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil", **names), dut.clk, dut.rst)
        (self.folder / "output.bin").write_bytes(b"")

    async def power_up(self):
        self.dut.rst.value = 0
        Clock(self.dut.clk, PERIOD, unit="ns").start()
        await ClockCycles(self.dut.clk, 2)
        await self.reset()

    async def reset(self):
        """By `rst`."""
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def hold_up(self, chance: float):
        """Random pauses on all channels of both buses."""
        rng = random.Random(self.job["seed"])

        def pauses():
            while True:
                yield rng.random() < chance

        for side in self.slave.write_if, self.registers.write_if:
            for channel in side.aw_channel, side.w_channel, side.b_channel:
                channel.set_pause_generator(pauses())
        for side in self.slave.read_if, self.registers.read_if:
            for channel in side.ar_channel, side.r_channel:
                channel.set_pause_generator(pauses())

    def stick(self, stuck: bool):
        """From now on the memory accepts and offers nothing, or all again."""
        for channel in (self.slave.write_if.aw_channel, self.slave.write_if.w_channel, self.slave.write_if.b_channel,
                        self.slave.read_if.ar_channel, self.slave.read_if.r_channel):
            if stuck:
                channel.set_pause_generator(itertools.repeat(True))
            else:
                channel.clear_pause_generator()
                channel.pause = False

    async def read(self, register: str) -> int:
        response = await self.registers.read(OFFSETS[register], 4)
        assert response.resp == AxiResp.OKAY
        return int.from_bytes(response.data, "little")

    async def write(self, register: str, value: int):
        response = await self.registers.write(OFFSETS[register], value.to_bytes(4, "little"))
        assert response.resp == AxiResp.OKAY

    async def counters(self) -> dict[str, int]:
        return {name: await self.read(f"{name}_LOW".upper()) | await self.read(f"{name}_HIGH".upper()) << 32
                for name in COUNTERS}

    async def start(self, program_address: int | None = None, content: bytes | None = None):
        """Fresh memory, or ``content`` in it, and go."""
        self.memory[:] = self.content if content is None else content
        address = self.job["program_address"] if program_address is None else program_address
        await self.write("PROGRAM_ADDRESS", address)
        await self.write("INTERRUPT_ENABLE", 1)
        await self.write("CONTROL", START)

    async def interrupt(self) -> int:
        """Waits for the interrupt and clears it. Returns STATUS."""
        if not self.dut.irq.value:
            await with_timeout(RisingEdge(self.dut.irq), LIMIT * PERIOD, "ns")
        await self.write("INTERRUPT_PENDING", 1)
        assert not self.dut.irq.value
        return await self.read("STATUS")

    async def run(self) -> dict[str, int]:
        """A whole program without an error; its output is kept. Returns the counters."""
        await self.start()
        status = await self.interrupt()
        assert status == DONE | READY, f"status {status}, error {await self.read('ERROR')}"
        first = self.job["output_address"]
        with open(self.folder / "output.bin", "ab") as file:
            file.write(self.memory[first:first + self.job["output_bytes"]])
        return await self.counters()

    async def soft_reset(self):
        """Keeps the counters as they were."""
        await self.write("CONTROL", SNAPSHOT | RESET)
        for _ in range(1000):
            if not await self.read("STATUS") & RESETTING:
                break
        assert await self.read("STATUS") == READY
        assert await self.read("ERROR") == 0

    async def expect_error(self, error: Error) -> int:
        """The interrupt of a program that fails. Returns the descriptor's index."""
        assert await self.interrupt() == DONE | ERROR
        assert await self.read("ERROR") == error
        # Nothing starts before the reset.
        await self.write("CONTROL", START)
        await ClockCycles(self.dut.clk, 20)
        assert await self.read("STATUS") == DONE | ERROR
        return await self.read("ERROR_POSITION")


@cocotb.test()
async def whole_program(dut):
    """Twice, first with pauses on every channel."""
    driver = Driver(dut)
    await driver.power_up()
    assert await driver.read("ID") == int.from_bytes(b"TCOT", "little")
    assert await driver.read("CONFIGURATION") == driver.job["configuration"]
    assert (await driver.registers.read(0xFFC, 4)).resp == AxiResp.SLVERR
    driver.hold_up(.3)
    slow = await driver.run()
    driver.hold_up(0)
    fast = await driver.run()
    assert slow["cycles"] > fast["cycles"] > 0
    for name in COUNTERS:
        if name.endswith("_bytes") or name in ("useful_macs", "built_weights", "zero_weights", "saturations"):
            assert slow[name] == fast[name], name
    (driver.folder / "counters.json").write_text(json.dumps(fast))


@cocotb.test()
async def reset_in_the_middle(dut):
    """A run after a soft reset at any time is the same as a fresh one, to the cycle."""
    driver = Driver(dut)
    await driver.power_up()
    fresh = await driver.run()
    rng = random.Random(driver.job["seed"])
    for chance in 0, .5, .5, 0:
        driver.hold_up(chance)
        await driver.start()
        await ClockCycles(dut.clk, rng.randrange(fresh["cycles"] * 9 // 10))
        await driver.soft_reset()
        stopped = await driver.counters()
        assert 0 < stopped["cycles"] and stopped["useful_macs"] < fresh["useful_macs"]
        driver.hold_up(0)
        assert await driver.run() == fresh


@cocotb.test()
async def bus_errors(dut):
    """A read and a write that the memory refuses: error, position and interrupt; after a reset all is well."""
    driver = Driver(dut)
    await driver.power_up()
    await driver.start(program_address=len(driver.content))
    assert await driver.expect_error(Error.BUS_READ) == 0
    await driver.soft_reset()
    await driver.run()

    first = driver.job["output_address"]
    driver.memory.broken = range(first, first + driver.job["output_bytes"])
    await driver.start()
    assert await driver.expect_error(Error.BUS_WRITE) > 0
    await driver.soft_reset()
    driver.memory.broken = range(0)
    await driver.run()


@cocotb.test()
async def damaged_segments(dut):
    """A flipped bit in every descriptor and in every segment of masks and parameters: error, position and interrupt;
    after a reset all is well."""
    driver = Driver(dut)
    await driver.power_up()
    rng = random.Random(driver.job["seed"])
    assert {name for name, *_ in driver.job["segments"]} == {"PROGRAM_CRC", "MASK_CRC", "PARAMETER_CRC"}
    for name, position, segment, first, size in driver.job["segments"]:
        content = bytearray(driver.content)
        content[first + rng.randrange(size)] ^= 1 << rng.randrange(8)
        await driver.start(content=content)
        assert await driver.expect_error(Error[name]) == position
        assert await driver.read("ERROR_SEGMENT") == segment
        await driver.soft_reset()
    await driver.run()


@cocotb.test()
async def stuck_bus(dut):
    """A memory that stops: the watchdog's error and interrupt. A soft reset ends when the memory goes on; if it does
    not, `rst` helps."""
    driver = Driver(dut)
    await driver.power_up()
    fresh = await driver.run()
    last = max(position for _, position, *_ in driver.job["segments"])
    for when, resumes in (0, True), (fresh["cycles"] // 2, False), (fresh["cycles"] * 3 // 4, True):
        await driver.start()
        await ClockCycles(dut.clk, when)
        driver.stick(True)
        position = await driver.expect_error(Error.WATCHDOG)
        assert position == 0 if when == 0 else 0 < position <= last
        await driver.write("CONTROL", RESET)
        await ClockCycles(dut.clk, 1000)
        assert await driver.read("STATUS") & RESETTING
        driver.stick(False)
        if resumes:
            await driver.soft_reset()
        else:
            await driver.reset()
            assert await driver.read("STATUS") == READY
        assert await driver.run() == fresh
