"""The control registers over AXI4-Lite, against the table and an engine played by the test."""

import random

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from arch.counters import COUNTER_BITS, COUNTERS
from arch.registers import ADDRESS_BITS, OFFSETS, REGISTERS, Access
from hw.control import Control
from tests.hw.axi_world import OKAY, SLVERR, Sink, Source, axi_channels, check_outputs_are_registered, cycle

CONFIG = EngineConfig.preset("tiny", bus_bits=128)
LIMIT = 200
START, RESET, SNAPSHOT = 1, 2, 4


class Driver:
    """Reads and writes registers with random pauses, addresses before or after data."""

    def __init__(self, seed: int = 0, rate: float = .5):
        self.dut = Control(CONFIG)
        rng = random.Random(seed)
        channels = axi_channels(self.dut.axil)
        self._channels = channels
        self._sources = {name: Source(channels[name], rng, rate) for name in ("aw", "w", "ar")}
        self._actors = [*self._sources.values(), *(Sink(channels[name], rng, rate) for name in ("b", "r"))]
        #: Per cycle: start, reset.
        self.pulses = []

    async def cycle(self, ctx):
        self.pulses.append(tuple(await cycle(ctx, self._actors, self._channels.values(), self.dut.start,
                                             self.dut.reset)))

    async def _answer(self, ctx, name: str) -> dict:
        for _ in range(LIMIT):
            await self.cycle(ctx)
            if self._channels[name].fired:
                return self._channels[name].fired
        raise TimeoutError(name)

    async def write(self, ctx, register: str | int, value: int, strobes: int = 0b1111) -> int:
        """The response."""
        address = OFFSETS[register] if isinstance(register, str) else register
        self._sources["aw"].queue.append({"addr": address, "prot": 0})
        self._sources["w"].queue.append({"data": value, "strb": strobes})
        return (await self._answer(ctx, "b"))["resp"]

    async def read(self, ctx, register: str | int) -> tuple[int, int]:
        """(response, data)."""
        address = OFFSETS[register] if isinstance(register, str) else register
        self._sources["ar"].queue.append({"addr": address, "prot": 0})
        answer = await self._answer(ctx, "r")
        return answer["resp"], answer["data"]

    async def value(self, ctx, register: str) -> int:
        response, value = await self.read(ctx, register)
        assert response == OKAY
        return value

    def run(self, testbench):
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(testbench)
        sim.run()


def test_bus_outputs_are_registered():
    check_outputs_are_registered(Control(CONFIG), "axil", random.Random(0))


def test_every_address():
    """The whole address space: what the table does not have is an error, read or written, and changes nothing."""
    driver = Driver(rate=1)
    by_offset = {register.offset: register for register in REGISTERS}
    writable = {name: 0 for name in ("PROGRAM_ADDRESS", "INTERRUPT_ENABLE")}

    async def testbench(ctx):
        ctx.set(driver.dut.error, 3)
        for address in range(0, 1 << ADDRESS_BITS, 4):
            register = by_offset.get(address)
            response, value = await driver.read(ctx, address)
            assert response == (SLVERR if register is None else OKAY), hex(address)
            if register is None:
                assert value == 0
            response = await driver.write(ctx, address, 0xFFFF_FFFC)
            legal = register is not None and register.access is not Access.READ
            assert response == (OKAY if legal else SLVERR), hex(address)
        assert await driver.value(ctx, "PROGRAM_ADDRESS") == 0xFFFF_FFFC
        assert await driver.value(ctx, "INTERRUPT_ENABLE") == 0
        assert await driver.value(ctx, "ERROR") == 3

    driver.run(testbench)
    assert len(writable) == sum(register.access is Access.READ_WRITE for register in REGISTERS)
    assert not any(start or reset for start, reset in driver.pulses)


def test_identification():
    driver = Driver()

    async def testbench(ctx):
        identity = (await driver.value(ctx, "ID")).to_bytes(4, "little")
        assert identity == b"TCOT"
        assert await driver.value(ctx, "VERSION") == 1 << 16 | 2
        assert await driver.value(ctx, "CONFIGURATION") == CONFIG.hash
        assert await driver.value(ctx, "ARRAY") == 8 << 16 | 4
        assert await driver.value(ctx, "WEIGHTS") == 1 << 16 | 4
        assert await driver.value(ctx, "BUS") == 16 << 16 | 128
        assert await driver.value(ctx, "ACTIVATION_MEMORY") == 16 << 10
        assert await driver.value(ctx, "MASK_BUFFER") == 4 << 10
        assert await driver.value(ctx, "PARAMETER_BUFFER") == 64

    driver.run(testbench)


@pytest.mark.parametrize("seed", range(3))
def test_byte_strobes_and_both_orders(seed):
    driver = Driver(seed, rate=.3)
    rng = random.Random(seed)

    async def testbench(ctx):
        expected = 0
        for _ in range(40):
            value, strobes = rng.getrandbits(32), rng.getrandbits(4)
            mask = sum(0xFF << 8 * byte for byte in range(4) if strobes >> byte & 1)
            expected = expected & ~mask | value & mask
            # The lowest two address bits do not matter.
            address = OFFSETS["PROGRAM_ADDRESS"] + rng.randrange(4)
            assert await driver.write(ctx, address, value, strobes) == OKAY
            assert await driver.value(ctx, "PROGRAM_ADDRESS") == expected
            assert ctx.get(driver.dut.program_address) == expected
        # Strobes hold for bits that act when written, too.
        await driver.write(ctx, "CONTROL", RESET, 0b1110)

    driver.run(testbench)
    assert not any(reset for _, reset in driver.pulses)


def test_latency():
    driver = Driver(rate=1)
    cycles = {}

    async def testbench(ctx):
        driver._sources["ar"].queue.append({"addr": OFFSETS["ID"], "prot": 0})
        driver._sources["aw"].queue.append({"addr": OFFSETS["CONTROL"], "prot": 0})
        driver._sources["w"].queue.append({"data": START, "strb": 1})
        for index in range(10):
            await driver.cycle(ctx)
            cycles.update({name: index for name, channel in driver._channels.items() if channel.fired})

    driver.run(testbench)
    assert cycles["r"] - cycles["ar"] == 3
    assert cycles["b"] - cycles["aw"] == cycles["b"] - cycles["w"] == 2
    assert [start for start, _ in driver.pulses].index(1) == cycles["b"]


def test_start_is_one_pulse_if_ready():
    driver = Driver()
    dut = driver.dut

    async def starts(ctx) -> int:
        before = len(driver.pulses)
        assert await driver.write(ctx, "CONTROL", START) == OKAY
        await driver.cycle(ctx)
        return sum(start for start, _ in driver.pulses[before:])

    async def testbench(ctx):
        assert await driver.value(ctx, "STATUS") == 0b10000
        assert await starts(ctx) == 1
        ctx.set(dut.busy, 1)
        assert await driver.value(ctx, "STATUS") == 0b00001
        assert await starts(ctx) == 0
        ctx.set(dut.busy, 0), ctx.set(dut.done, 1), ctx.set(dut.error, 12)
        ctx.set(dut.error_position, 700), ctx.set(dut.error_segment, 65535)
        assert await driver.value(ctx, "STATUS") == 0b00110
        assert [await driver.value(ctx, f"ERROR{part}") for part in ("", "_POSITION", "_SEGMENT")] == [12, 700, 65535]
        assert await starts(ctx) == 0
        ctx.set(dut.error, 0)
        assert await driver.value(ctx, "STATUS") == 0b10010
        assert await starts(ctx) == 1
        assert await driver.value(ctx, "CONTROL") == 0

    driver.run(testbench)


@pytest.mark.parametrize("wait", (0, 1, 50))
def test_soft_reset_lasts_until_the_bus_is_drained(wait):
    driver = Driver(rate=1)
    dut = driver.dut

    async def testbench(ctx):
        ctx.set(dut.drained, wait == 0)
        # Both at once: no start.
        assert await driver.write(ctx, "CONTROL", START | RESET) == OKAY
        for _ in range(wait):
            await driver.cycle(ctx)
        if wait == 50:
            assert await driver.value(ctx, "STATUS") == 0b01000
            assert await driver.write(ctx, "CONTROL", START) == OKAY
        ctx.set(dut.drained, 1)
        for _ in range(3):
            await driver.cycle(ctx)
        assert await driver.value(ctx, "STATUS") == 0b10000

    driver.run(testbench)
    assert not any(start for start, _ in driver.pulses)
    high = [index for index, (_, reset) in enumerate(driver.pulses) if reset]
    assert high == list(range(high[0], high[-1] + 1))
    assert len(high) == 1 if wait == 0 else len(high) > wait


def test_interrupt():
    driver = Driver()
    dut = driver.dut

    async def irq(ctx) -> int:
        await driver.cycle(ctx)
        return ctx.get(dut.irq)

    async def testbench(ctx):
        # Not enabled: it only pends.
        ctx.set(dut.done, 1)
        assert await driver.value(ctx, "INTERRUPT_PENDING") == 1
        assert not await irq(ctx)
        await driver.write(ctx, "INTERRUPT_ENABLE", 1)
        assert await irq(ctx)
        await driver.write(ctx, "INTERRUPT_PENDING", 0)
        assert await irq(ctx)
        await driver.write(ctx, "INTERRUPT_PENDING", 1)
        # Done is still high, but only its rise counts.
        assert not await irq(ctx) and await driver.value(ctx, "INTERRUPT_PENDING") == 0
        ctx.set(dut.done, 0)
        assert not await irq(ctx)
        ctx.set(dut.done, 1), ctx.set(dut.error, 13)
        await irq(ctx)
        assert await irq(ctx)
        await driver.write(ctx, "INTERRUPT_ENABLE", 0)
        assert not await irq(ctx) and await driver.value(ctx, "INTERRUPT_PENDING") == 1
        await driver.write(ctx, "INTERRUPT_PENDING", 1)

        # What a soft reset cuts off has not ended.
        ctx.set(dut.done, 0), ctx.set(dut.drained, 0)
        await driver.write(ctx, "CONTROL", RESET)
        ctx.set(dut.done, 1)
        await irq(ctx)
        ctx.set(dut.done, 0), ctx.set(dut.drained, 1)
        await irq(ctx)
        assert await driver.value(ctx, "INTERRUPT_PENDING") == 0

    driver.run(testbench)


def test_an_end_in_the_cycle_of_its_clearing_is_not_lost():
    """Tries every distance between the two."""
    for delay in range(8):
        driver = Driver(rate=1)
        dut = driver.dut
        state = []

        async def testbench(ctx):
            ctx.set(dut.done, 1)
            await driver.cycle(ctx)
            ctx.set(dut.done, 0)
            await driver.cycle(ctx)
            driver._sources["aw"].queue.append({"addr": OFFSETS["INTERRUPT_PENDING"], "prot": 0})
            driver._sources["w"].queue.append({"data": 1, "strb": 1})
            for index in range(8):
                ctx.set(dut.done, index >= delay)
                await driver.cycle(ctx)
            state.append(await driver.value(ctx, "INTERRUPT_PENDING"))

        driver.run(testbench)
        # The write takes effect in the second cycle.
        assert state == [int(delay >= 1)], delay


def test_counters_are_read_from_one_cycle():
    driver = Driver()
    dut = driver.dut
    rng = random.Random(1)

    def count(ctx) -> dict[str, int]:
        values = {name: rng.getrandbits(COUNTER_BITS) for name in COUNTERS}
        for name, value in values.items():
            ctx.set(getattr(dut.counters, name), value)
        return values

    async def snapshot(ctx) -> dict[str, int]:
        halves = {register.name: await driver.value(ctx, register.name) for register in REGISTERS
                  if register.name.endswith(("_LOW", "_HIGH"))}
        return {name: halves[f"{name}_LOW".upper()] | halves[f"{name}_HIGH".upper()] << 32 for name in COUNTERS}

    async def testbench(ctx):
        assert set((await snapshot(ctx)).values()) == {0}
        asked = count(ctx)
        await driver.write(ctx, "CONTROL", SNAPSHOT)
        count(ctx)
        assert await snapshot(ctx) == asked
        ctx.set(dut.done, 1)
        await driver.cycle(ctx)
        later = count(ctx)
        await driver.cycle(ctx)
        count(ctx)
        assert await snapshot(ctx) == later

    driver.run(testbench)
